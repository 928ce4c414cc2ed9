#include <gyre/io/socket.hpp>
#include <gyre/io/tcp_option.hpp>

#include <array>
#include <cstring>

namespace gyre {

namespace {

void require_range(const char* what, std::int64_t value, std::int64_t most) {
    if (value < 1 || value > most)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    std::string("keepalive: ") + what + " is " + std::to_string(value) +
                        " (expected 1 to " + std::to_string(most) + ")");
}

constexpr std::int64_t most_seconds = 32767;

} // namespace

void set_keepalive(socket& s, std::chrono::seconds idle, std::chrono::seconds interval, int count) {
    require_range("idle", idle.count(), most_seconds);
    require_range("interval", interval.count(), most_seconds);
    require_range("count", count, 127);
    s.set(option::tcp::keep_idle, idle);
    s.set(option::tcp::keep_interval, interval);
    s.set(option::tcp::keep_count, count);
    s.set(option::keep_alive, true);
}

void keepalive_vals(socket& s, bool on, std::chrono::milliseconds idle,
                    std::chrono::milliseconds interval) {
    using std::chrono::ceil;
    using std::chrono::seconds;
    if (on && idle.count() != 0)
        require_range("idle", ceil<seconds>(idle).count(), most_seconds);
    if (on && interval.count() != 0)
        require_range("interval", ceil<seconds>(interval).count(), most_seconds);
    if (on && idle.count() != 0)
        s.set(option::tcp::keep_idle, ceil<seconds>(idle));
    if (on && interval.count() != 0)
        s.set(option::tcp::keep_interval, ceil<seconds>(interval));
    s.set(option::keep_alive, on);
}

namespace {

/// What the kernel fills, as of Linux 5.4; the struct of glibc ends at total_retrans. A kernel that
/// knows more gives as much as this holds, one that knows less leaves zeros.
struct kernel_tcp_info {
    std::uint8_t state, ca_state, retransmits, probes, backoff, options, scales, flags;
    std::uint32_t rto, ato, snd_mss, rcv_mss;
    std::uint32_t unacked, sacked, lost, retrans, fackets;
    std::uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    std::uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    std::uint32_t rcv_rtt, rcv_space, total_retrans;
    std::uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    std::uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    std::uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
    std::uint32_t delivered, delivered_ce;
    std::uint64_t bytes_sent, bytes_retrans;
    std::uint32_t dsack_dups, reord_seen;
};
static_assert(offsetof(kernel_tcp_info, total_retrans) == offsetof(::tcp_info, tcpi_total_retrans));
static_assert(offsetof(kernel_tcp_info, bytes_sent) == 200);

} // namespace

tcp_status get_tcp_info(const socket& s) {
    using std::chrono::microseconds;
    using std::chrono::milliseconds;
    kernel_tcp_info k{};
    s.getsockopt(IPPROTO_TCP, TCP_INFO, buffer(&k, sizeof k));
    tcp_status t;
    t.state = k.state;
    t.congestion_state = k.ca_state;
    t.retransmits = k.retransmits;
    t.fast_open_data_acknowledged = (k.options & TCPI_OPT_SYN_DATA) != 0;
    t.retransmit_timeout = microseconds(k.rto);
    t.round_trip = microseconds(k.rtt);
    t.round_trip_variance = microseconds(k.rttvar);
    t.round_trip_min = microseconds(k.min_rtt);
    t.since_data_sent = milliseconds(k.last_data_sent);
    t.since_data_received = milliseconds(k.last_data_recv);
    t.since_ack_received = milliseconds(k.last_ack_recv);
    t.send_segment = k.snd_mss;
    t.receive_segment = k.rcv_mss;
    t.path_mtu = k.pmtu;
    t.congestion_window = k.snd_cwnd;
    t.slow_start_threshold = k.snd_ssthresh;
    t.unacknowledged = k.unacked;
    t.lost = k.lost;
    t.retransmitted = k.retrans;
    t.total_retransmitted = k.total_retrans;
    t.receive_space = k.rcv_space;
    t.not_sent = k.notsent_bytes;
    t.bytes_sent = k.bytes_sent;
    t.bytes_retransmitted = k.bytes_retrans;
    t.bytes_acknowledged = k.bytes_acked;
    t.bytes_received = k.bytes_received;
    t.segments_sent = k.segs_out;
    t.segments_received = k.segs_in;
    t.pacing_rate = k.pacing_rate;
    t.delivery_rate = k.delivery_rate;
    return t;
}

} // namespace gyre
