#include "../support/sockets.hpp"

#include <gyre/io/ip_option.hpp>
#include <gyre/io/tcp_option.hpp>

#include <climits>
#include <cstring>
#include <ctime>
#include <grp.h>
#include <iostream>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <numeric>
#include <unistd.h>
#include <vector>

namespace {

using namespace gyre_test;
namespace option = gyre::option;

class Option : public on_each_backend<> {
protected:
    /// Sets `to`, and gets `expected`; what this machine does not let is printed.
    template <class T>
    void set_and_get(gyre::socket& s, const char* name, gyre::socket_option<T> o,
                     std::type_identity_t<T> to, std::type_identity_t<T> expected) {
        SCOPED_TRACE(name);
        try {
            s.set(o, to);
            EXPECT_EQ(s.get(o), expected);
        } catch (const gyre::error& e) {
            const int code = e.code().value();
            if (code == ENOPROTOOPT || code == EPERM || code == EACCES || code == EOPNOTSUPP)
                std::cout << "not here: " << name << ": " << e.what() << '\n';
            else
                ADD_FAILURE() << e.what();
        }
    }
    void switch_it(gyre::socket& s, const char* name, gyre::socket_option<bool> o) {
        set_and_get(s, name, o, true, true);
        set_and_get(s, name, o, false, false);
    }
};

#define ROUND_TRIP(s, option, value) set_and_get(s, #option, option, value, value)
#define SWITCH(s, option) switch_it(s, #option, option)

gyre::socket tcp() {
    return gyre::socket::open(AF_INET, SOCK_STREAM);
}
gyre::socket udp() {
    return gyre::socket::open(AF_INET, SOCK_DGRAM);
}
gyre::socket udp6() {
    return gyre::socket::open(AF_INET6, SOCK_DGRAM);
}

TEST_P(Option, OfEverySocketGivesBackWhatWasSet) {
    gyre::socket s = udp();
    SWITCH(s, option::reuse_address);
    SWITCH(s, option::reuse_port);
    SWITCH(s, option::broadcast);
    SWITCH(s, option::out_of_band_inline);
    SWITCH(s, option::dont_route);
    SWITCH(s, option::debug);
    SWITCH(s, option::timestamp);
    SWITCH(s, option::timestamp_ns);
    SWITCH(s, option::drop_count);
    SWITCH(s, option::zero_copy);
    SWITCH(s, option::prefer_busy_poll);
    ROUND_TRIP(s, option::timestamping, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
    ROUND_TRIP(s, option::priority, 5);
    ROUND_TRIP(s, option::mark, 77U);
    ROUND_TRIP(s, option::incoming_cpu, 0);
    ROUND_TRIP(s, option::busy_poll, std::chrono::microseconds(50));
    ROUND_TRIP(s, option::max_pacing_rate, 1'000'000U);
    ROUND_TRIP(s, option::peek_offset, 3);
    ROUND_TRIP(s, option::receive_low_water, 100);
    set_and_get(s, "receive_buffer", option::receive_buffer, 10000, 20000);
    set_and_get(s, "send_buffer", option::send_buffer, 10000, 20000);
    const int beyond = 1 << 28; // of net.core.rmem_max and wmem_max
    if (!thrown_by([&] { s.set(option::receive_buffer_forced, beyond); })) {
        EXPECT_EQ(s.get(option::receive_buffer), 2 * beyond);
    }
    if (!thrown_by([&] { s.set(option::send_buffer_forced, beyond); })) {
        EXPECT_EQ(s.get(option::send_buffer), 2 * beyond);
    }
    ROUND_TRIP(s, option::lock_filter, true);
    EXPECT_EQ(thrown_by([&] { s.set(option::lock_filter, false); }),
              std::errc::operation_not_permitted);
    ROUND_TRIP(s, option::bind_interface, static_cast<int>(if_nametoindex("lo")));
    EXPECT_EQ(s.get(option::type), SOCK_DGRAM);
    EXPECT_EQ(s.get(option::domain), AF_INET);
    EXPECT_EQ(s.get(option::protocol), IPPROTO_UDP);
    EXPECT_EQ(s.get(option::pending_error), 0);
    EXPECT_FALSE(s.get(option::accepts));
    EXPECT_EQ(s.get(option::send_low_water), 1);
    EXPECT_NE(s.get(option::cookie), udp().get(option::cookie));
    EXPECT_EQ(s.get(option::incoming_napi_id), 0U);
    gyre::socket t = tcp();
    SWITCH(t, option::keep_alive);
    EXPECT_TRUE(make_listener(stream_kind::tcp).get(option::accepts));
}

TEST_P(Option, ThatIsAStructGivesBackWhatWasSet) {
    gyre::socket s = tcp();
    s.set(option::linger, {1, 7});
    EXPECT_EQ(s.get(option::linger).l_onoff, 1);
    EXPECT_EQ(s.get(option::linger).l_linger, 7);
    s.set(option::linger, {0, 0});
    EXPECT_EQ(s.get(option::linger).l_onoff, 0);
    s.set(option::receive_timeout, {2, 500'000});
    EXPECT_EQ(s.get(option::receive_timeout).tv_sec, 2);
    EXPECT_EQ(s.get(option::receive_timeout).tv_usec, 500'000);
    s.set(option::send_timeout, {3, 0});
    EXPECT_EQ(s.get(option::send_timeout).tv_sec, 3);
}

TEST_P(Option, TransmitTimeIsOfAClock) {
    gyre::socket s = udp();
    if (const std::error_code code = thrown_by(
            [&] { s.set(option::transmit_time, {CLOCK_MONOTONIC, SOF_TXTIME_REPORT_ERRORS}); }))
        GTEST_SKIP() << "not here: " << code.message();
    EXPECT_EQ(s.get(option::transmit_time).clockid, CLOCK_MONOTONIC);
    EXPECT_EQ(s.get(option::transmit_time).flags, std::uint32_t{SOF_TXTIME_REPORT_ERRORS});
}

TEST_P(Option, BindDeviceIsTheNameOfAnInterface) {
    gyre::socket s = udp();
    EXPECT_EQ(s.get(option::bind_device), "");
    ROUND_TRIP(s, option::bind_device, "lo");
    ROUND_TRIP(s, option::bind_device, "");
    EXPECT_EQ(thrown_by([&] { udp().set(option::bind_device, "none-such"); }),
              std::errc::no_such_device);
}

TEST_P(Option, OfUnixSockets) {
    auto [a, b] = gyre::socketpair();
    SWITCH(a, option::pass_credentials);
    SWITCH(a, option::pass_security);
    const ::ucred peer = a.get(option::peer_credentials);
    EXPECT_EQ(peer.pid, getpid());
    EXPECT_EQ(peer.uid, getuid());
    EXPECT_EQ(peer.gid, getgid());
    std::vector<gid_t> groups(static_cast<std::size_t>(getgroups(0, nullptr)));
    getgroups(static_cast<int>(groups.size()), groups.data());
    EXPECT_EQ(a.get(option::peer_groups), groups);
    const std::error_code code = thrown_by([&] { (void)a.get(option::peer_security); });
    EXPECT_TRUE(!code || code == std::errc::no_protocol_option) << code.message();
}

TEST_P(Option, OfTcpGivesBackWhatWasSet) {
    gyre::socket s = tcp();
    SWITCH(s, option::no_delay);
    SWITCH(s, option::tcp::cork);
    SWITCH(s, option::tcp::thin_linear_timeouts);
    SWITCH(s, option::tcp::in_queue);
    SWITCH(s, option::tcp::fast_open_connect);
    SWITCH(s, option::tcp::fast_open_no_cookie);
    ROUND_TRIP(s, option::tcp::keep_idle, 5min);
    ROUND_TRIP(s, option::tcp::keep_interval, 30s);
    ROUND_TRIP(s, option::tcp::keep_count, 4);
    ROUND_TRIP(s, option::tcp::user_timeout, 1500ms);
    ROUND_TRIP(s, option::tcp::syn_count, 3);
    ROUND_TRIP(s, option::tcp::linger2, 20s);
    ROUND_TRIP(s, option::tcp::window_clamp, 65536);
    ROUND_TRIP(s, option::tcp::not_sent_low_water, 16384U);
    ROUND_TRIP(s, option::tcp::save_syn, 1);
    ROUND_TRIP(s, option::tcp::send_delay, std::chrono::microseconds(100));
    s.set(option::tcp::max_segment, 1000);
    EXPECT_GT(s.get(option::tcp::max_segment), 0);
    s.set(option::tcp::defer_accept, 10s);
    EXPECT_GE(s.get(option::tcp::defer_accept), 10s);
    s.set(option::tcp::fast_open, 5);
    EXPECT_EQ(s.get(option::tcp::fast_open), 5);
    EXPECT_GT(s.get(option::tcp::timestamp), 0U);
    const std::array<std::byte, 16> key{std::byte{1}, std::byte{2}, std::byte{3}};
    ROUND_TRIP(s, option::tcp::fast_open_key, key);
    EXPECT_EQ(s.get(option::tcp::upper_layer), "");
}

TEST_P(Option, QuickAckIsOnAndOff) {
    auto [a, b] = make_pair(stream_kind::tcp);
    a.set(option::tcp::quick_ack, false);
    EXPECT_FALSE(a.get(option::tcp::quick_ack));
    a.set(option::tcp::quick_ack, true);
    EXPECT_TRUE(a.get(option::tcp::quick_ack));
}

TEST_P(Option, CongestionIsTheNameOfAnAlgorithm) {
    gyre::socket s = tcp();
    EXPECT_NE(s.get(option::tcp::congestion), "");
    ROUND_TRIP(s, option::tcp::congestion, "reno");
    EXPECT_EQ(thrown_by([&] { s.set(option::tcp::congestion, "none-such"); }),
              std::errc::no_such_file_or_directory);
}

/// More groups than the first try has room for; in a process of its own.
std::string look_at_many_groups(gyre::backend_kind) {
    std::vector<gid_t> groups(500);
    std::iota(groups.begin(), groups.end(), 1000U);
    if (setgroups(groups.size(), groups.data()) != 0)
        return "skip: " + std::system_category().message(errno);
    return gyre::socketpair().first.get(option::peer_groups) == groups ? "" : "others";
}

TEST_P(Option, PeerGroupsMayBeMany) {
    const std::string wrong = in_child(look_at_many_groups, GetParam());
    if (wrong.starts_with("skip: "))
        GTEST_SKIP() << wrong;
    EXPECT_EQ(wrong, "");
}

TEST_P(Option, SavedSynIsGivenOnce) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    listener.set(option::tcp::save_syn, 1);
    run([&]() -> gyre::task<> {
        gyre::socket client = tcp();
        co_await client.connect(listener.getsockname());
        gyre::socket peer = (co_await listener.accept()).first;
        const std::vector<std::byte> headers = peer.get(option::tcp::saved_syn);
        CO_ASSERT_TRUE(headers.size() >= 40); // IP and TCP
        EXPECT_EQ(headers[0], std::byte{0x45});
        EXPECT_TRUE(peer.get(option::tcp::saved_syn).empty());
        EXPECT_TRUE(client.get(option::tcp::saved_syn).empty());
    });
}

TEST_P(Option, CongestionInfoIsWhatTheAlgorithmTells) {
    gyre::socket s = tcp();
    s.set(option::tcp::congestion, "reno");
    EXPECT_TRUE(s.get(option::tcp::congestion_info).empty());
    auto [a, b] = make_pair(stream_kind::tcp);
    if (thrown_by([&] { a.set(option::tcp::congestion, "bbr"); }))
        GTEST_SKIP() << "no bbr";
    EXPECT_GE(a.get(option::tcp::congestion_info).size(), 20U); // tcp_bbr_info
}

TEST_P(Option, RepairTellsOfTheWindow) {
    auto [a, b] = make_pair(stream_kind::tcp);
    if (const std::error_code code = thrown_by([&] { a.set(option::tcp::repair, TCP_REPAIR_ON); }))
        GTEST_SKIP() << "not here: " << code.message();
    EXPECT_EQ(a.get(option::tcp::repair), TCP_REPAIR_ON);
    EXPECT_GT(a.get(option::tcp::repair_window).snd_wnd, 0U);
    a.set(option::tcp::repair_queue, TCP_SEND_QUEUE);
    EXPECT_EQ(a.get(option::tcp::repair_queue), TCP_SEND_QUEUE);
    EXPECT_NE(a.get(option::tcp::queue_sequence), 0U);
    a.set(option::tcp::repair_options, {{TCPOPT_SACK_PERMITTED, 0}, {TCPOPT_MAXSEG, 1000}});
    a.set(option::tcp::repair, TCP_REPAIR_OFF_NO_WP);
}

TEST_P(Option, OfIpGivesBackWhatWasSet) {
    gyre::socket s = udp();
    ROUND_TRIP(s, option::ip::type_of_service, 0x10);
    ROUND_TRIP(s, option::ip::ttl, 7);
    ROUND_TRIP(s, option::ip::min_ttl, 2);
    ROUND_TRIP(s, option::ip::mtu_discover, IP_PMTUDISC_DO);
    ROUND_TRIP(s, option::ip::multicast_ttl, 3);
    ROUND_TRIP(s, option::ip::unicast_interface, htonl(if_nametoindex("lo")));
    SWITCH(s, option::ip::free_bind);
    SWITCH(s, option::ip::transparent);
    SWITCH(s, option::ip::bind_address_no_port);
    SWITCH(s, option::ip::receive_packet_info);
    SWITCH(s, option::ip::receive_type_of_service);
    SWITCH(s, option::ip::receive_ttl);
    SWITCH(s, option::ip::receive_options);
    SWITCH(s, option::ip::receive_raw_options);
    SWITCH(s, option::ip::receive_original_destination);
    SWITCH(s, option::ip::receive_checksum);
    SWITCH(s, option::ip::receive_fragment_size);
    SWITCH(s, option::ip::pass_security);
    SWITCH(s, option::ip::receive_errors);
    SWITCH(s, option::ip::multicast_loop);
    SWITCH(s, option::ip::multicast_all);
    s.set(option::ip::multicast_interface,
          {{}, {htonl(INADDR_LOOPBACK)}, static_cast<int>(if_nametoindex("lo"))});
    EXPECT_EQ(thrown_by([&] { s.set(option::ip::ttl, 256); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { (void)s.get(option::ip::mtu); }), std::errc::not_connected);
    EXPECT_TRUE(s.get(option::ip::options).empty());
    constexpr std::byte no_operation{1};
    ROUND_TRIP(s, option::ip::options,
               (std::vector{no_operation, no_operation, no_operation, std::byte{0}}));
    ROUND_TRIP(s, option::ip::options, {});
}

TEST_P(Option, OfRawSockets) {
    gyre::socket s = open_or_skip(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (!s)
        return;
    SWITCH(s, option::ip::header_included);
    SWITCH(s, option::ip::no_defragment);
    gyre::socket s6 = gyre::socket::open(AF_INET6, SOCK_RAW, 200);
    ROUND_TRIP(s6, option::ipv6::checksum, 16);
    SWITCH(s6, option::ipv6::header_included);
}

TEST_P(Option, OfIpv6GivesBackWhatWasSet) {
    gyre::socket s = udp6();
    SWITCH(s, option::v6_only);
    SWITCH(s, option::ipv6::only);
    ROUND_TRIP(s, option::ipv6::traffic_class, 0x20);
    ROUND_TRIP(s, option::ipv6::unicast_hops, 9);
    ROUND_TRIP(s, option::ipv6::min_hop_count, 2);
    ROUND_TRIP(s, option::ipv6::multicast_hops, 4);
    ROUND_TRIP(s, option::ipv6::multicast_interface, static_cast<int>(if_nametoindex("lo")));
    ROUND_TRIP(s, option::ipv6::unicast_interface, htonl(if_nametoindex("lo")));
    ROUND_TRIP(s, option::ipv6::mtu_discover, IPV6_PMTUDISC_DO);
    s.set(option::ipv6::mtu, 1400);
    SWITCH(s, option::ipv6::dont_fragment);
    SWITCH(s, option::ipv6::free_bind);
    SWITCH(s, option::ipv6::transparent);
    SWITCH(s, option::ipv6::auto_flow_label);
    s.set(option::ipv6::address_preferences, 2); // IPV6_PREFER_SRC_PUBLIC
    EXPECT_EQ(s.get(option::ipv6::address_preferences) & 2, 2);
    SWITCH(s, option::ipv6::receive_packet_info);
    SWITCH(s, option::ipv6::receive_traffic_class);
    SWITCH(s, option::ipv6::receive_hop_limit);
    SWITCH(s, option::ipv6::receive_hop_options);
    SWITCH(s, option::ipv6::receive_destination_options);
    SWITCH(s, option::ipv6::receive_routing_header);
    SWITCH(s, option::ipv6::receive_path_mtu);
    SWITCH(s, option::ipv6::receive_original_destination);
    SWITCH(s, option::ipv6::receive_fragment_size);
    SWITCH(s, option::ipv6::receive_errors);
    SWITCH(s, option::ipv6::multicast_loop);
    SWITCH(s, option::ipv6::multicast_all);
}

TEST_P(Option, ThatIsAnIpv6HeaderGivesBackWhatWasSet) {
    gyre::socket s = udp6();
    const std::vector<std::byte> padding{std::byte{0}, std::byte{0}, std::byte{1}, std::byte{4},
                                         std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
    for (const auto& header : {option::ipv6::hop_options, option::ipv6::destination_options,
                               option::ipv6::routing_destination_options}) {
        EXPECT_TRUE(s.get(header).empty());
        ROUND_TRIP(s, header, padding);
        ROUND_TRIP(s, header, {});
    }
    EXPECT_TRUE(s.get(option::ipv6::routing_header).empty());
    EXPECT_TRUE(thrown_by([&] { s.set(option::ipv6::routing_header, padding); }));
}

TEST_P(Option, PacketInfoAndPathMtuAreOfEveryPacket) {
    auto [a, b] = make_udp_pair(AF_INET6);
    a.set(option::ipv6::packet_info, {IN6ADDR_LOOPBACK_INIT, if_nametoindex("lo")});
    EXPECT_EQ(thrown_by([&] { (void)a.get(option::ipv6::path_mtu); }), std::errc::not_connected);
    run([&]() -> gyre::task<> {
        co_await a.connect(b.getsockname());
        EXPECT_GE(a.get(option::ipv6::path_mtu).ip6m_mtu, 1280U);
        co_await a.send("x");
        std::array<std::byte, 8> memory;
        EXPECT_EQ((co_await b.recvfrom(memory)).from.host(), "::1");
    });
}

TEST_P(Option, OfUdpGivesBackWhatWasSet) {
    gyre::socket s = udp();
    SWITCH(s, option::udp::cork);
    ROUND_TRIP(s, option::udp::segment, 500);
    SWITCH(s, option::udp::coalesce);
    SWITCH(s, option::udp::no_checksum6_send);
    SWITCH(s, option::udp::no_checksum6_receive);
    gyre::socket lite;
    if (const std::error_code code =
            thrown_by([&] { lite = gyre::socket::open(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE); })) {
        std::cout << "not here: UDP-Lite: " << code.message() << '\n';
        return;
    }
    ROUND_TRIP(lite, option::udp::lite_send_coverage, 20);
    ROUND_TRIP(lite, option::udp::lite_receive_coverage, 20);
}

TEST_P(Option, OfVsockIsEightBytes) {
    gyre::socket s = open_or_skip(AF_VSOCK, SOCK_STREAM);
    if (!s)
        return;
    ROUND_TRIP(s, option::vsock_buffer_max_size, 1U << 20);
    ROUND_TRIP(s, option::vsock_buffer_size, 1U << 19);
    ROUND_TRIP(s, option::vsock_buffer_min_size, 1U << 10);
    // A number of 4 bytes is the wrong size for it, both ways.
    EXPECT_EQ(thrown_by([&] { s.setsockopt(AF_VSOCK, 0, 4096); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { (void)s.getsockopt(AF_VSOCK, 0); }), std::errc::invalid_argument);
}

// ---- As they are -------------------------------------------------------------------------------

TEST_P(Option, AsBytesIsAsItIs) {
    gyre::socket s = tcp();
    const int yes = 1;
    s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, gyre::const_buffer(&yes, sizeof yes));
    EXPECT_EQ(s.getsockopt(SOL_SOCKET, SO_KEEPALIVE), 1);
    std::array<std::byte, 1024> memory{};
    EXPECT_EQ(s.getsockopt(SOL_SOCKET, SO_KEEPALIVE, memory), 4U);
    EXPECT_EQ(s.getsockopt(SOL_SOCKET, SO_LINGER, memory), 8U);
    EXPECT_GT(s.getsockopt(IPPROTO_TCP, TCP_INFO, memory), 104U);
}

TEST_P(Option, WithoutAValueIsRefusedByTheKernelWhereItNeedsOne) {
    gyre::socket s = tcp();
    EXPECT_EQ(thrown_by([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, nullptr, 4); }),
              std::errc::bad_address);
}

TEST_P(Option, OfAWrongSizeSaysSo) {
    gyre::socket s = tcp();
    EXPECT_EQ(thrown_by([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, "x"); }),
              std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { s.setsockopt(SOL_SOCKET, SO_LINGER, 1); }),
              std::errc::invalid_argument);
    constexpr gyre::socket_option<std::uint64_t> too_wide{SOL_SOCKET, SO_KEEPALIVE};
    EXPECT_EQ(thrown_by([&] { (void)s.get(too_wide); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { (void)s.getsockopt(SOL_SOCKET, SO_BINDTODEVICE); }),
              std::errc::invalid_argument);
    try {
        (void)s.get(too_wide);
    } catch (const gyre::error& e) {
        EXPECT_NE(std::string(e.what()).find("8 bytes: it has 4"), std::string::npos) << e.what();
    }
}

TEST_P(Option, OfASizeBeyondAnIntIsRefused) {
    gyre::socket s = tcp();
    int value = 0;
    const std::size_t huge = std::size_t{1} << 32; // 0, in the kernel's 32 bits
    for (const std::size_t size : {huge, huge + sizeof value, std::size_t{INT_MAX} + 1, SIZE_MAX}) {
        EXPECT_EQ(thrown_by([&] {
                      s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, gyre::const_buffer(&value, size));
                  }),
                  std::errc::invalid_argument);
        EXPECT_EQ(thrown_by([&] {
                      (void)s.getsockopt(SOL_SOCKET, SO_KEEPALIVE, gyre::buffer(&value, size));
                  }),
                  std::errc::invalid_argument);
        EXPECT_EQ(thrown_by([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, nullptr, size); }),
                  std::errc::invalid_argument);
    }
    EXPECT_EQ(thrown_by([&] { s.set(option::tcp::keep_idle, std::chrono::hours(1 << 20)); }),
              std::errc::invalid_argument);
}

TEST_P(Option, ThatIsUnknownSaysSo) {
    gyre::socket s = tcp();
    EXPECT_EQ(thrown_by([&] { s.setsockopt(SOL_SOCKET, 9999, 1); }), std::errc::no_protocol_option);
    EXPECT_EQ(thrown_by([&] { s.setsockopt(9999, 1, 1); }), std::errc::no_protocol_option);
    EXPECT_EQ(thrown_by([&] { (void)s.getsockopt(9999, 1); }), std::errc::operation_not_supported);
    s.close();
    EXPECT_EQ(thrown_by([&] { s.set(option::keep_alive, true); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { (void)s.get(option::bind_device); }), gyre::errc::closed);
}

// ---- Helpers -----------------------------------------------------------------------------------

TEST_P(Option, SetKeepaliveSetsAllThreeTimes) {
    gyre::socket s = tcp();
    gyre::set_keepalive(s, 60s, 10s, 5);
    EXPECT_TRUE(s.get(option::keep_alive));
    EXPECT_EQ(s.get(option::tcp::keep_idle), 60s);
    EXPECT_EQ(s.get(option::tcp::keep_interval), 10s);
    EXPECT_EQ(s.get(option::tcp::keep_count), 5);
    gyre::socket other = tcp();
    EXPECT_EQ(thrown_by([&] { gyre::set_keepalive(other, 0s, 10s, 5); }),
              std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::set_keepalive(other, 1s, 10s, 128); }),
              std::errc::invalid_argument);
    EXPECT_FALSE(other.get(option::keep_alive));
}

TEST_P(Option, KeepaliveValsRoundsUpToSeconds) {
    gyre::socket s = tcp();
    const auto count = s.get(option::tcp::keep_count);
    const auto interval = s.get(option::tcp::keep_interval);
    gyre::keepalive_vals(s, true, 1ms, 0ms);
    EXPECT_TRUE(s.get(option::keep_alive));
    EXPECT_EQ(s.get(option::tcp::keep_idle), 1s);
    EXPECT_EQ(s.get(option::tcp::keep_interval), interval);
    gyre::keepalive_vals(s, true, 10'000ms, 3001ms);
    EXPECT_EQ(s.get(option::tcp::keep_idle), 10s);
    EXPECT_EQ(s.get(option::tcp::keep_interval), 4s);
    EXPECT_EQ(s.get(option::tcp::keep_count), count);
    gyre::keepalive_vals(s, false, 7000ms, 7000ms);
    EXPECT_FALSE(s.get(option::keep_alive));
    EXPECT_EQ(s.get(option::tcp::keep_idle), 10s);
}

TEST_P(Option, TcpInfoTellsOfTheConnection) {
    auto [a, b] = make_pair(stream_kind::tcp);
    EXPECT_EQ(gyre::get_tcp_info(tcp()).state, TCP_CLOSE);
    EXPECT_EQ(gyre::get_tcp_info(make_listener(stream_kind::tcp)).state, TCP_LISTEN);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        co_await a.send("12345");
        EXPECT_EQ(co_await b.recv(memory), 5U);
        while (a.bytes_unsent() > 0)
            co_await next_turn();
        const gyre::tcp_status from = gyre::get_tcp_info(a);
        const gyre::tcp_status to = gyre::get_tcp_info(b);
        EXPECT_EQ(from.state, TCP_ESTABLISHED);
        EXPECT_EQ(from.bytes_sent, 5U);
        EXPECT_GE(from.bytes_acknowledged, 5U);
        EXPECT_EQ(to.bytes_received, 5U);
        EXPECT_GT(from.round_trip, 0us);
        EXPECT_GT(from.retransmit_timeout, from.round_trip);
        EXPECT_GT(from.congestion_window, 0U);
        EXPECT_GT(from.send_segment, 0U);
        EXPECT_GT(from.path_mtu, from.send_segment);
        EXPECT_EQ(from.not_sent, 0U);
        EXPECT_EQ(from.unacknowledged, 0U);
    });
    EXPECT_EQ(thrown_by([] { gyre::get_tcp_info(gyre::socketpair().first); }),
              std::errc::operation_not_supported);
    EXPECT_EQ(thrown_by([] { gyre::get_tcp_info(gyre::socket()); }), gyre::errc::closed);
}

TEST_P(Option, Md5SignaturesLetThoseInWhoKnowTheKey) {
    ::tcp_md5sig signature{};
    signature.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
    signature.tcpm_prefixlen = 8;
    const gyre::address local = gyre::address::loopback_ipv4(0);
    std::memcpy(&signature.tcpm_addr, local.data(), local.size());
    signature.tcpm_keylen = 6;
    std::memcpy(signature.tcpm_key, "secret", 6);
    gyre::socket listener = make_listener(stream_kind::tcp);
    gyre::socket client = tcp();
    if (const std::error_code code =
            thrown_by([&] { listener.set(option::tcp::md5_signature_of_network, signature); }))
        GTEST_SKIP() << "no signatures: " << code.message();
    client.set(option::tcp::md5_signature, signature);
    run([&]() -> gyre::task<> {
        gyre::socket other = tcp();
        EXPECT_EQ(co_await outcome(other.connect(listener.getsockname()).within(20ms)),
                  gyre::errc::timed_out);
        co_await client.connect(listener.getsockname());
        auto [peer, from] = co_await listener.accept();
        std::array<std::byte, 8> memory;
        co_await client.sendall("hello");
        EXPECT_EQ(co_await peer.recv(memory), 5U);
    });
}

TEST_P(Option, ReusePortLetsTwoListenOnOnePort) {
    gyre::socket one = tcp();
    one.set(option::reuse_port, true);
    one.bind(gyre::address::loopback_ipv4(0));
    one.listen();
    gyre::socket two = tcp();
    EXPECT_EQ(thrown_by([&] { two.bind(one.getsockname()); }), std::errc::address_in_use);
    two.set(option::reuse_port, true);
    two.bind(one.getsockname());
    two.listen();
}

// With and without a cookie, and whether or not the system lets a server take part.
TEST_P(Option, FastOpenBeginsTheConnectionWithTheFirstSend) {
    gyre::socket listener = tcp();
    listener.bind(gyre::address::loopback_ipv4(0));
    listener.set(option::tcp::fast_open, 5);
    listener.listen();
    enum { send, sendall, sendall_parts, sendto };
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 8; ++round) {
            gyre::socket client = tcp();
            client.set(option::tcp::fast_open_connect, true);
            const auto begin = [&]() -> gyre::task<> {
                co_await client.connect(listener.getsockname());
                const std::array parts{gyre::const_buffer("he"), gyre::const_buffer("llo")};
                switch (round % 4) {
                case send: EXPECT_EQ(co_await client.send("hello"), 5U); break;
                case sendall: co_await client.sendall("hello"); break;
                case sendall_parts: co_await client.sendall(parts); break;
                default: EXPECT_EQ(co_await client.sendmsg("hello", gyre::ancillary()), 5U);
                }
            };
            auto [accepted, nothing] = co_await gyre::all(listener.accept(), begin());
            gyre::socket& peer = accepted.first;
            std::array<std::byte, 8> memory;
            EXPECT_EQ(co_await peer.recv(memory), 5U);
            co_await peer.sendall("back");
            EXPECT_EQ(co_await client.recv(memory), 4U);
        }
    });
}

TEST_P(Option, FastOpenBySendtoNeedsNoConnect) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        gyre::socket client = tcp();
        auto [n, accepted] = co_await gyre::all(
            client.sendto("hello", listener.getsockname(), MSG_FASTOPEN), listener.accept());
        EXPECT_EQ(n, 5U);
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await accepted.first.recv(memory), 5U);
    });
}

// When connecting, where the kernel has no cookie; with one, later.
TEST_P(Option, FastOpenToNobodyIsRefused) {
    gyre::address nobody;
    {
        gyre::socket s = tcp();
        s.bind(gyre::address::loopback_ipv4(0));
        nobody = s.getsockname();
    }
    run([&]() -> gyre::task<> {
        gyre::socket client = tcp();
        client.set(option::tcp::fast_open_connect, true);
        std::error_code code = co_await client.connect_ex(nobody);
        if (!code)
            code = co_await outcome(client.sendall("hello"));
        std::array<std::byte, 8> memory;
        if (!code)
            code = co_await outcome(client.recv(memory));
        EXPECT_EQ(code, std::errc::connection_refused);
    });
}

GYRE_ON_EACH_BACKEND(Option);

} // namespace
