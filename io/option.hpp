#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace gyre {

/// A socket option with the type of its value, for socket::get and socket::set:
///
///     s.set(gyre::option::no_delay, true);
///     int bytes = s.get(gyre::option::receive_buffer);
///
/// Anything else goes through getsockopt and setsockopt, or an option of your own:
/// `constexpr gyre::socket_option<int> mark{SOL_SOCKET, SO_MARK};`
template <class T>
struct socket_option {
    int level;
    int name;
};

/// The everyday ones. socket(7), tcp(7), ipv6(7).
namespace option {

inline constexpr socket_option<bool> reuse_address{SOL_SOCKET, SO_REUSEADDR};
inline constexpr socket_option<bool> reuse_port{SOL_SOCKET, SO_REUSEPORT};
inline constexpr socket_option<bool> keep_alive{SOL_SOCKET, SO_KEEPALIVE};
inline constexpr socket_option<bool> broadcast{SOL_SOCKET, SO_BROADCAST};
/// Bytes; the kernel doubles what is set, and get tells the doubled number.
inline constexpr socket_option<int> receive_buffer{SOL_SOCKET, SO_RCVBUF};
inline constexpr socket_option<int> send_buffer{SOL_SOCKET, SO_SNDBUF};
/// {1, 0}: close() resets the connection. A time, which lets close(2) block until the data is gone,
/// has no effect here: close() takes it back before it closes (from duplicates of the descriptor,
/// too), and the kernel sends what is left in the background, as it does after that time.
inline constexpr socket_option<::linger> linger{SOL_SOCKET, SO_LINGER};
/// Only get. Reading it clears it: a pending reset is then reported to nobody else.
inline constexpr socket_option<int> pending_error{SOL_SOCKET, SO_ERROR};
/// Only get: whether the socket listens.
inline constexpr socket_option<bool> accepts{SOL_SOCKET, SO_ACCEPTCONN};
inline constexpr socket_option<bool> no_delay{IPPROTO_TCP, TCP_NODELAY};
inline constexpr socket_option<bool> v6_only{IPPROTO_IPV6, IPV6_V6ONLY};

} // namespace option
} // namespace gyre
