#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/address.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gyre {

class resolver;

namespace detail {

/// The addresses of a host, which may be a numeric one (or <broadcast>), in the order of the
/// look-up. Without a resolver default_resolver() is asked.
task<std::vector<address>> addresses_of(resolver* names, std::string host, std::uint16_t port,
                                        address_info_hints hints);

} // namespace detail
} // namespace gyre
