#pragma once

#include <string>

namespace gyre::detail {

struct descriptor;

/// "AF_TIPC", "SOCK_STREAM", for messages; what has no name here gives its number. As in
/// "of family 99", the word before it says what it is.
std::string family_name(int family);
std::string type_name(int type);
/// "family AF_TIPC, type SOCK_STREAM, protocol 0".
std::string kind_of_socket(int family, int type, int protocol);
/// What the peer is called; where that cannot be told any more, "the peer of" this end.
std::string name_of_connection(const descriptor* d);

} // namespace gyre::detail
