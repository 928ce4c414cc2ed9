#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace gyre {

class resolver; // resolver.hpp

struct datagram_options {
    std::string_view local_host = "";  ///< a name or a numeric address; "": every one of this host
    std::uint16_t local_port = 0;      ///< 0: the kernel picks one, see getsockname()
    std::string_view remote_host = ""; ///< likewise; "": none
    std::uint16_t remote_port = 0;
    int family = AF_UNSPEC;  ///< AF_INET or AF_INET6: only addresses of this family
    bool reuse_port = false; ///< several sockets share the local port (SO_REUSEPORT, socket(7))
    bool broadcast = false;  ///< may send to a broadcast address (SO_BROADCAST)
    bool dualstack = false;  ///< on "::" IPv4 as well; peers show as ::ffff:a.b.c.d
    void (*prepare)(socket&) = nullptr; ///< called with the new socket before it is bound: options
    gyre::resolver* resolver = nullptr; ///< who looks up names; nullptr: default_resolver()
};
static_assert(std::is_trivially_destructible_v<datagram_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

namespace detail {
task<socket> datagram_endpoint(const address& local, const address& remote,
                               const datagram_options& options);
} // namespace detail

/// A UDP socket, bound to the local address and connected to the remote one, so that send and recv
/// are about that peer, who refuses with std::errc::connection_refused:
///
///     co_await gyre::create_datagram_endpoint({.local_port = 5353});             // a server
///     co_await gyre::create_datagram_endpoint({.remote_host = "ns.example", .remote_port = 53});
///
/// With `broadcast` it is not connected: the answers come from others, and sendto says whom to.
///
/// Names are looked up. The first pair of addresses of one family that can be bound and connected
/// counts; those of the remote host come first. Where only one end is a name or an address, the
/// other goes by its family, and where none is, that is IPv4. Throws address_info_error,
/// gyre::error of the last pair ("bind to 127.0.0.1:53: Permission denied"), and
/// std::errc::invalid_argument when no two addresses are of one family. To limit how long it takes:
/// with_timeout.
task<socket> create_datagram_endpoint(datagram_options options = {});

/// The same for addresses of any family; an empty one is none, and hosts, ports and family of the
/// options do not count. A UNIX path that a socket has left behind is replaced; it stays when this
/// socket is closed.
template <std::same_as<address> Address> // else `{}` could be one
task<socket> create_datagram_endpoint(Address local, address remote = {},
                                      datagram_options options = {}) {
    return detail::datagram_endpoint(local, remote, options);
}

} // namespace gyre
