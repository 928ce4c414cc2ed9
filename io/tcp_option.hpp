#pragma once

#include <gyre/io/option.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gyre {

class socket;

/// The options of TCP: tcp(7). no_delay is in option.hpp. TCP_ZEROCOPY_RECEIVE, whose struct goes
/// both ways and which needs mmap(2), is used with getsockopt.
namespace option::tcp {

/// Sends only full segments until it is taken back, or 200 ms have passed.
inline constexpr socket_option<bool> cork{IPPROTO_TCP, TCP_CORK};
/// Bytes of a segment; before connect and listen.
inline constexpr socket_option<int> max_segment{IPPROTO_TCP, TCP_MAXSEG};

/// The three times of keepalive; see set_keepalive.
inline constexpr socket_option<std::chrono::seconds> keep_idle{IPPROTO_TCP, TCP_KEEPIDLE};
inline constexpr socket_option<std::chrono::seconds> keep_interval{IPPROTO_TCP, TCP_KEEPINTVL};
inline constexpr socket_option<int> keep_count{IPPROTO_TCP, TCP_KEEPCNT};
/// For how long what was sent may stay unacknowledged before the connection fails with
/// std::errc::timed_out; 0: what the system has.
inline constexpr socket_option<std::chrono::milliseconds> user_timeout{IPPROTO_TCP,
                                                                       TCP_USER_TIMEOUT};
/// How often a SYN is repeated.
inline constexpr socket_option<int> syn_count{IPPROTO_TCP, TCP_SYNCNT};
/// How long an orphan stays in FIN-WAIT-2.
inline constexpr socket_option<std::chrono::seconds> linger2{IPPROTO_TCP, TCP_LINGER2};
/// A listener accepts a connection when it has data, or after this long. Rounded by the kernel.
inline constexpr socket_option<std::chrono::seconds> defer_accept{IPPROTO_TCP, TCP_DEFER_ACCEPT};
inline constexpr socket_option<int> window_clamp{IPPROTO_TCP, TCP_WINDOW_CLAMP};
/// Acknowledges at once; the kernel takes it back as it sees fit.
inline constexpr socket_option<bool> quick_ack{IPPROTO_TCP, TCP_QUICKACK};
/// The name of the algorithm: "cubic", "bbr" ... An unknown one is
/// std::errc::no_such_file_or_directory.
inline constexpr socket_option<std::string> congestion{IPPROTO_TCP, TCP_CONGESTION};
/// Only get: what the algorithm tells of itself, a tcp_cc_info of <linux/inet_diag.h>; empty where
/// it says nothing.
inline constexpr socket_option<std::vector<std::byte>> congestion_info{IPPROTO_TCP, TCP_CC_INFO};
/// What lies above: "tls", "mptcp". Empty: nothing.
inline constexpr socket_option<std::string> upper_layer{IPPROTO_TCP, TCP_ULP};
/// Bytes that wait in the socket's buffer, above which it is not writable.
inline constexpr socket_option<unsigned> not_sent_low_water{IPPROTO_TCP, TCP_NOTSENT_LOWAT};
inline constexpr socket_option<bool> thin_linear_timeouts{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS};
inline constexpr socket_option<std::chrono::duration<int, std::micro>> send_delay{IPPROTO_TCP,
                                                                                  TCP_TX_DELAY};
/// The clock of the timestamps that the peer sees, in their units.
inline constexpr socket_option<unsigned> timestamp{IPPROTO_TCP, TCP_TIMESTAMP};
/// Messages come with TCP_CM_INQ: how many bytes are left to read.
inline constexpr socket_option<bool> in_queue{IPPROTO_TCP, TCP_INQ};
/// A listener keeps the SYN of each connection: 1 from IP on, 2 from the link layer on.
inline constexpr socket_option<int> save_syn{IPPROTO_TCP, TCP_SAVE_SYN};
/// Of a connection, only get: those headers. The kernel gives them once; then it is empty.
inline constexpr socket_option<std::vector<std::byte>> saved_syn{IPPROTO_TCP, TCP_SAVED_SYN};
/// Only set: signatures of the segments from and to one peer, RFC 2385; of all in a network, by
/// the flags and the length of the prefix.
inline constexpr socket_option<::tcp_md5sig> md5_signature{IPPROTO_TCP, TCP_MD5SIG};
inline constexpr socket_option<::tcp_md5sig> md5_signature_of_network{IPPROTO_TCP, TCP_MD5SIG_EXT};
/// Taking a connection apart and together again, with CAP_NET_ADMIN.
inline constexpr socket_option<int> repair{IPPROTO_TCP, TCP_REPAIR};
inline constexpr socket_option<int> repair_queue{IPPROTO_TCP, TCP_REPAIR_QUEUE};
inline constexpr socket_option<unsigned> queue_sequence{IPPROTO_TCP, TCP_QUEUE_SEQ};
inline constexpr socket_option<::tcp_repair_window> repair_window{IPPROTO_TCP, TCP_REPAIR_WINDOW};
/// Only set.
inline constexpr socket_option<std::vector<::tcp_repair_opt>> repair_options{IPPROTO_TCP,
                                                                             TCP_REPAIR_OPTIONS};

/// TCP Fast Open, RFC 7413. Of a listener: how many connections may be under way that began with
/// data. Needs 2 in net.ipv4.tcp_fastopen to do anything.
inline constexpr socket_option<int> fast_open{IPPROTO_TCP, TCP_FASTOPEN};
/// Of a client, before connect. Where the kernel has a cookie of the server from before, connect
/// ends at once: the connection begins with what is sent first, and its errors show from then on.
/// Until then there is nothing to receive (ENOTCONN).
inline constexpr socket_option<bool> fast_open_connect{IPPROTO_TCP, TCP_FASTOPEN_CONNECT};
/// The key of the cookies: the first 16 bytes are the present one.
inline constexpr socket_option<std::array<std::byte, 16>> fast_open_key{IPPROTO_TCP,
                                                                        TCP_FASTOPEN_KEY};
/// Trusts every client, without a cookie.
inline constexpr socket_option<bool> fast_open_no_cookie{IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE};

} // namespace option::tcp

/// Turns keepalive on: after `idle` without a word from the peer it is asked every `interval`, and
/// the connection fails with std::errc::timed_out when `count` questions have got no answer. Each
/// is 1 to 32767 (count: 127), else std::errc::invalid_argument, and then nothing is changed.
void set_keepalive(socket& s, std::chrono::seconds idle, std::chrono::seconds interval, int count);

/// The same as Windows has it, SIO_KEEPALIVE_VALS: in milliseconds, which are rounded up to
/// seconds, and with the system's number of questions. Zero leaves a time as it is. When it is not
/// `on`, the times do not matter.
void keepalive_vals(socket& s, bool on, std::chrono::milliseconds idle,
                    std::chrono::milliseconds interval);

/// TCP_INFO: how a connection is doing. What the kernel does not know of is zero.
struct tcp_status {
    int state = 0; ///< TCP_ESTABLISHED ... of <netinet/tcp.h>
    int congestion_state = 0;
    unsigned retransmits = 0;                 ///< of the segment that is being repeated
    bool fast_open_data_acknowledged = false; ///< what came with the SYN was taken
    std::chrono::microseconds retransmit_timeout{};
    std::chrono::microseconds round_trip{}; ///< smoothed
    std::chrono::microseconds round_trip_variance{};
    std::chrono::microseconds round_trip_min{};
    std::chrono::milliseconds since_data_sent{};
    std::chrono::milliseconds since_data_received{};
    std::chrono::milliseconds since_ack_received{};
    unsigned send_segment = 0; ///< bytes of one: MSS
    unsigned receive_segment = 0;
    unsigned path_mtu = 0;          ///< bytes
    unsigned congestion_window = 0; ///< segments
    unsigned slow_start_threshold = 0;
    unsigned unacknowledged = 0; ///< segments
    unsigned lost = 0;
    unsigned retransmitted = 0;       ///< segments, that are under way again
    unsigned total_retransmitted = 0; ///< segments, ever
    unsigned receive_space = 0;       ///< bytes
    unsigned not_sent = 0;            ///< bytes
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_retransmitted = 0;
    std::uint64_t bytes_acknowledged = 0;
    std::uint64_t bytes_received = 0;
    unsigned segments_sent = 0;
    unsigned segments_received = 0;
    std::uint64_t pacing_rate = 0;   ///< bytes a second
    std::uint64_t delivery_rate = 0; ///< bytes a second
};

/// Throws std::errc::not_supported where the socket is none of TCP's.
tcp_status get_tcp_info(const socket& s);

} // namespace gyre
