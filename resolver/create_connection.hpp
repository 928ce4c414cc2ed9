#pragma once

#include <gyre/core/clock.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace gyre {

struct connection_options {
    /// For all of it, the look-up of the name included. None: for ever.
    std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
    int family = AF_UNSPEC; ///< AF_INET or AF_INET6: only addresses of this family
};
static_assert(std::is_trivially_destructible_v<connection_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

/// Connects a TCP socket to a host, which is a name or a numeric address ("127.0.0.1", "::1",
/// "fe80::1%eth0"). The addresses of a name are tried one after another; when none can be
/// connected to, the error of the last is thrown, which names that address. Throws
/// address_info_error for an unknown name, and timeout_error ("connect to example.org:443: Deadline
/// exceeded") when `timeout` has passed.
task<socket> create_connection(std::string_view host, std::uint16_t port,
                               connection_options options = {});

/// Connects a stream socket to an address of any family.
task<socket> create_connection(address to, connection_options options = {});

} // namespace gyre
