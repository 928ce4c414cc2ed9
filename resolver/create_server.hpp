#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/resolver/listener.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <sys/types.h>
#include <type_traits>

namespace gyre {

class resolver;

struct server_options {
    std::string_view host = ""; ///< a name or a numeric address; "": every address of this host
    std::uint16_t port = 0;     ///< 0: the kernel picks one, see getsockname()
    int backlog = SOMAXCONN;    ///< connections that wait to be accepted
    bool reuse_port = false;    ///< several listeners share the port (SO_REUSEPORT, socket(7))
    bool dualstack = false;     ///< IPv4 as well, on an IPv6 address; peers show as ::ffff:a.b.c.d
    int family = AF_UNSPEC;     ///< AF_INET or AF_INET6: only addresses of this family
    /// TCP: a connection is accepted when its first bytes have come, or after so long
    /// (TCP_DEFER_ACCEPT, tcp(7)).
    std::chrono::seconds defer_accept{0};
    std::optional<::mode_t> mode = std::nullopt; ///< of a UNIX path: 0660; none: by the umask
    gyre::resolver* resolver = nullptr; ///< who looks the name up; nullptr: default_resolver()
};
static_assert(std::is_trivially_destructible_v<server_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

namespace detail {
task<listener> serve_at(const address& at, const server_options& options);
} // namespace detail

/// Opens, binds and listens: `co_await gyre::create_server({.host = "::", .port = 7000})`.
///
/// One socket for each address of the host, all with the same port. A name is looked up; "" is
/// 0.0.0.0 and ::, each for its own family, or with `dualstack` one socket at :: for both. An
/// address that this host does not have, or a family that it does not know, is left out where there
/// are others; any other failure closes all.
///
/// An address that was in use a moment ago may be bound at once (SO_REUSEADDR). Throws gyre::error
/// that names the address; dualstack with an IPv4 address is std::errc::invalid_argument.
task<listener> create_server(server_options options = {});

/// The same for an address of any family; host, port and family of the options do not count.
///
/// A UNIX path is removed when the listener is closed. A socket that a server left there which was
/// killed is replaced, also when several start at once: gyre's lock the folder meanwhile
/// (flock(2)). To find out, it is connected to. One that is in use, and a file that is no socket,
/// is std::errc::address_in_use, and not touched.
template <std::same_as<address> Address> // else `{}` could be one
task<listener> create_server(Address at, server_options options = {}) {
    return detail::serve_at(at, options);
}

} // namespace gyre
