#pragma once

#include <gyre/io/address.hpp>

#include <vector>

namespace gyre::detail {

/// Lets the families take turns, so that one that does not work delays a connection by one attempt:
/// first `first` addresses of the family that leads, then one of the other, and so on; each family
/// keeps its order. 0 leaves all as it is. RFC 8305, section 4 (First Address Family Count).
std::vector<address> interleave(std::vector<address> found, unsigned first);

} // namespace gyre::detail
