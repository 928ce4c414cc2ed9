#pragma once

#include <gyre/core/task.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace gyre {

/// The databases of services(5) and protocols(5). What is not there throws gyre::error with
/// errc::not_found, and says what was looked for: "getservbyname nosuch/tcp: Not found". A NUL in a
/// name is std::errc::invalid_argument.

/// The port of a service; without a protocol ("tcp", "udp"), of any. Upper and lower case differ;
/// aliases ("www") count. getservbyname(3).
task<std::uint16_t> getservbyname(std::string_view name, std::string_view protocol = "");

/// The name of the service on a port. Beyond 0..65535 it is std::errc::invalid_argument.
task<std::string> getservbyport(int port, std::string_view protocol = "");

/// The number of a protocol by its name or alias: "tcp", "IPv6-ICMP". getprotobyname(3).
task<int> getprotobyname(std::string_view name);

} // namespace gyre
