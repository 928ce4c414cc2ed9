#pragma once

#include <chrono>
#include <cstdint>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <vector>

namespace gyre {

/// A socket option with the type of its value, for socket::get and socket::set:
///
///     s.set(gyre::option::no_delay, true);
///     int bytes = s.get(gyre::option::receive_buffer);
///     s.set(gyre::option::tcp::keep_idle, 5min);
///
/// A bool, a number, a time where the kernel counts time (a shorter unit than the kernel's does not
/// compile), text, a list (a vector), or the kernel's own struct. A number that get finds has the
/// size of its type, else it throws std::errc::invalid_argument; of a struct that this kernel knows
/// less of, the rest is zero.
///
/// Anything else goes through getsockopt and setsockopt, or an option of your own:
/// `constexpr gyre::socket_option<int> mark{SOL_SOCKET, SO_MARK};`
template <class T>
struct socket_option {
    int level;
    int name;
};

namespace detail {

template <class T>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;

/// A time as the int that the kernel takes; std::errc::invalid_argument when it does not fit.
int option_count(std::int64_t count);

} // namespace detail

/// Those of every socket: socket(7). Those of TCP, IP and UDP are in tcp_option.hpp and
/// ip_option.hpp, but for the two everyday ones at the end.
namespace option {

inline constexpr socket_option<bool> reuse_address{SOL_SOCKET, SO_REUSEADDR};
/// Several sockets on one port share what arrives. Set on each of them, before bind.
inline constexpr socket_option<bool> reuse_port{SOL_SOCKET, SO_REUSEPORT};
/// See set_keepalive in tcp_option.hpp for the times.
inline constexpr socket_option<bool> keep_alive{SOL_SOCKET, SO_KEEPALIVE};
inline constexpr socket_option<bool> broadcast{SOL_SOCKET, SO_BROADCAST};
inline constexpr socket_option<bool> out_of_band_inline{SOL_SOCKET, SO_OOBINLINE};
inline constexpr socket_option<bool> dont_route{SOL_SOCKET, SO_DONTROUTE};
/// Needs CAP_NET_ADMIN.
inline constexpr socket_option<bool> debug{SOL_SOCKET, SO_DEBUG};
/// {1, 0}: close() resets the connection. A time, which lets close(2) block until the data is gone,
/// has no effect here: close() takes it back before it closes (from duplicates of the descriptor,
/// too), and the kernel sends what is left in the background, as it does after that time.
inline constexpr socket_option<::linger> linger{SOL_SOCKET, SO_LINGER};

/// Bytes; the kernel doubles what is set, and get tells the doubled number. At most
/// net.core.rmem_max and wmem_max; the forced ones beyond that, with CAP_NET_ADMIN (only set).
inline constexpr socket_option<int> receive_buffer{SOL_SOCKET, SO_RCVBUF};
inline constexpr socket_option<int> send_buffer{SOL_SOCKET, SO_SNDBUF};
inline constexpr socket_option<int> receive_buffer_forced{SOL_SOCKET, SO_RCVBUFFORCE};
inline constexpr socket_option<int> send_buffer_forced{SOL_SOCKET, SO_SNDBUFFORCE};
/// Bytes that have to be there before a stream is readable. Receiving waits for them, too.
inline constexpr socket_option<int> receive_low_water{SOL_SOCKET, SO_RCVLOWAT};
/// Linux has only 1, and set fails.
inline constexpr socket_option<int> send_low_water{SOL_SOCKET, SO_SNDLOWAT};
/// Without effect on gyre's own operations, whose descriptors never wait: see settimeout. For whom
/// a descriptor is handed to.
inline constexpr socket_option<::timeval> receive_timeout{SOL_SOCKET, SO_RCVTIMEO};
inline constexpr socket_option<::timeval> send_timeout{SOL_SOCKET, SO_SNDTIMEO};

/// Only get. Reading it clears it: a pending reset is then reported to nobody else.
inline constexpr socket_option<int> pending_error{SOL_SOCKET, SO_ERROR};
/// Only get: whether the socket listens.
inline constexpr socket_option<bool> accepts{SOL_SOCKET, SO_ACCEPTCONN};
/// Only get: what socket(2) was asked for.
inline constexpr socket_option<int> type{SOL_SOCKET, SO_TYPE};
inline constexpr socket_option<int> domain{SOL_SOCKET, SO_DOMAIN};
inline constexpr socket_option<int> protocol{SOL_SOCKET, SO_PROTOCOL};

/// The name of the interface that everything goes through; empty: any. Once bound, changing it
/// needs CAP_NET_RAW. The same by index (0: any).
inline constexpr socket_option<std::string> bind_device{SOL_SOCKET, SO_BINDTODEVICE};
inline constexpr socket_option<int> bind_interface{SOL_SOCKET, SO_BINDTOIFINDEX};
/// Needs CAP_NET_ADMIN.
inline constexpr socket_option<unsigned> mark{SOL_SOCKET, SO_MARK};
/// 0 to 6; more with CAP_NET_ADMIN.
inline constexpr socket_option<int> priority{SOL_SOCKET, SO_PRIORITY};
inline constexpr socket_option<int> incoming_cpu{SOL_SOCKET, SO_INCOMING_CPU};
/// Only get.
inline constexpr socket_option<unsigned> incoming_napi_id{SOL_SOCKET, SO_INCOMING_NAPI_ID};
inline constexpr socket_option<std::chrono::duration<int, std::micro>> busy_poll{SOL_SOCKET,
                                                                                 SO_BUSY_POLL};
inline constexpr socket_option<bool> prefer_busy_poll{SOL_SOCKET, SO_PREFER_BUSY_POLL};
/// Bytes a second, for the fq queueing discipline and for TCP; all ones: no limit.
inline constexpr socket_option<std::uint64_t> max_pacing_rate{SOL_SOCKET, SO_MAX_PACING_RATE};
/// Only get: a number that no other socket has had since boot.
inline constexpr socket_option<std::uint64_t> cookie{SOL_SOCKET, SO_COOKIE};

/// UNIX: who connected, as it was then. Only get.
inline constexpr socket_option<::ucred> peer_credentials{SOL_SOCKET, SO_PEERCRED};
/// And its further groups.
inline constexpr socket_option<std::vector<gid_t>> peer_groups{SOL_SOCKET, SO_PEERGROUPS};
/// The security context of the peer, where a security module has one. Only get.
inline constexpr socket_option<std::string> peer_security{SOL_SOCKET, SO_PEERSEC};
/// Messages come with SCM_CREDENTIALS, SCM_SECURITY.
inline constexpr socket_option<bool> pass_credentials{SOL_SOCKET, SO_PASSCRED};
inline constexpr socket_option<bool> pass_security{SOL_SOCKET, SO_PASSSEC};
/// Where MSG_PEEK looks next; -1: at the front.
inline constexpr socket_option<int> peek_offset{SOL_SOCKET, SO_PEEK_OFF};

/// Messages come with when they arrived; the last one takes SOF_TIMESTAMPING_* flags, also for when
/// they left. See ancillary.hpp, timestamp() and packet_times().
inline constexpr socket_option<bool> timestamp{SOL_SOCKET, SO_TIMESTAMP};
inline constexpr socket_option<bool> timestamp_ns{SOL_SOCKET, SO_TIMESTAMPNS};
inline constexpr socket_option<int> timestamping{SOL_SOCKET, SO_TIMESTAMPING};
/// Messages come with the number of those dropped before.
inline constexpr socket_option<bool> drop_count{SOL_SOCKET, SO_RXQ_OVFL};
/// Messages may say when they are to leave, by this clock: see append_transmit_time() in
/// ancillary.hpp, and tc-etf(8).
inline constexpr socket_option<::sock_txtime> transmit_time{SOL_SOCKET, SO_TXTIME};
/// Lets MSG_ZEROCOPY be used: see zero_copy_done() in ancillary.hpp.
inline constexpr socket_option<bool> zero_copy{SOL_SOCKET, SO_ZEROCOPY};
/// A filter can no more be changed.
inline constexpr socket_option<bool> lock_filter{SOL_SOCKET, SO_LOCK_FILTER};

/// AF_VSOCK: bytes. vsock(7).
inline constexpr socket_option<std::uint64_t> vsock_buffer_size{AF_VSOCK, 0};
inline constexpr socket_option<std::uint64_t> vsock_buffer_min_size{AF_VSOCK, 1};
inline constexpr socket_option<std::uint64_t> vsock_buffer_max_size{AF_VSOCK, 2};

/// TCP sends at once, also a few bytes while others are unacknowledged. tcp(7).
inline constexpr socket_option<bool> no_delay{IPPROTO_TCP, TCP_NODELAY};
/// IPv6: no IPv4 through this socket. Set it before bind. ipv6(7).
inline constexpr socket_option<bool> v6_only{IPPROTO_IPV6, IPV6_V6ONLY};

} // namespace option
} // namespace gyre
