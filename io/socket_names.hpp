#pragma once

#include <string>

namespace gyre::detail {

/// "AF_TIPC", "SOCK_STREAM", for messages; what has no name here gives its number. As in
/// "of family 99", the word before it says what it is.
std::string family_name(int family);
std::string type_name(int type);

} // namespace gyre::detail
