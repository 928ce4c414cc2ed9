#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace gyre {

struct server_options {
    std::string_view host = ""; ///< a name or a numeric address; "": every address of this host
    std::uint16_t port = 0;     ///< 0: the kernel picks one, see getsockname()
    int backlog = SOMAXCONN;    ///< connections that wait to be accepted
    bool reuse_port = false;    ///< several listeners share the port (SO_REUSEPORT, socket(7))
    bool dualstack = false;     ///< IPv4 as well, on an IPv6 address; peers show as ::ffff:a.b.c.d
};
static_assert(std::is_trivially_destructible_v<server_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

/// Opens, binds and listens: `co_await gyre::create_server({.host = "::", .port = 7000})`.
///
/// An address that was in use a moment ago may be bound at once (SO_REUSEADDR); IPv6 is IPv6 only
/// unless `dualstack`. A name is looked up, and its first address taken. With host "" that is
/// 0.0.0.0, or :: with `dualstack`. Throws gyre::error that names the address; dualstack with an
/// IPv4 address is std::errc::invalid_argument.
task<socket> create_server(server_options options);

/// The same for an address of any family; host and port of the options do not count. A UNIX path
/// must not exist yet.
task<socket> create_server(address at, server_options options = {});

} // namespace gyre
