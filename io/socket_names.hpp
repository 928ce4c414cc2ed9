#pragma once

#include <string>

namespace gyre::detail {

/// "AF_TIPC", "SOCK_STREAM", for messages; what has no name here gives its number. As in
/// "of family 99", the word before it says what it is.
std::string family_name(int family);
std::string type_name(int type);
/// "family AF_TIPC, type SOCK_STREAM, protocol 0".
std::string kind_of_socket(int family, int type, int protocol);

} // namespace gyre::detail
