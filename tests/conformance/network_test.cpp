#include "../support/network.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/interface.hpp>
#include <gyre/io/ip_option.hpp>
#include <gyre/io/multicast.hpp>

#include <array>
#include <cstdlib>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string>
#include <vector>

// What needs a network of its own: routes that refuse, a queue that is full, two ends of a cable.

namespace {

using namespace gyre_test;

class Network : public on_own_network {};
GYRE_ON_EACH_BACKEND(Network);

// C7. The route decides, and at once.
TEST_P(Network, ConnectSaysWhatTheRouteSays) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why =
            set_up({"ip link set lo up", "ip route add unreachable 192.0.2.1",
                    "ip route add prohibit 192.0.2.2", "ip route add blackhole 192.0.2.3"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            const auto connect = [](const char* to) -> gyre::task<std::error_code> {
                gyre::socket s = gyre::socket::open(AF_INET);
                co_return co_await s.connect_ex(gyre::address::parse(to)).within(patience);
            };
            expect_code(wrong, "unreachable", co_await connect("192.0.2.1:7"),
                        std::errc::host_unreachable);
            expect_code(wrong, "prohibited", co_await connect("192.0.2.2:7"),
                        std::errc::permission_denied);
            expect_code(wrong, "black hole", co_await connect("192.0.2.3:7"),
                        std::errc::invalid_argument);
            expect_code(wrong, "no route", co_await connect("198.51.100.1:7"),
                        std::errc::network_unreachable);
        });
    });
}

// D9. A datagram waits only behind a queue of the interface: here one that lets little through.
TEST_P(Network, SendtoWaitsForAFullQueueAndHeedsItsDeadline) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up(
            {"ip link set lo up", "tc qdisc add dev lo root tbf rate 64kbit burst 2kb limit 10mb"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket receiver = gyre::socket::open(AF_INET, SOCK_DGRAM);
            receiver.bind(gyre::address::loopback_ipv4(0));
            const gyre::address to = receiver.getsockname();
            gyre::socket sender = gyre::socket::open(AF_INET, SOCK_DGRAM);
            sender.set(gyre::option::send_buffer, 8192);
            const std::array<std::byte, 1000> data{};
            std::error_code code;
            for (int i = 0; i < 1000 && !code; ++i) {
                const auto r = co_await gyre::as_result(sender.sendto(data, to).nonblocking());
                if (!r)
                    code = r.error();
            }
            expect_code(wrong, "without waiting", code, std::errc::operation_would_block);
            const auto late = co_await gyre::as_result(sender.sendto(data, to).within(1ms));
            if (late || late.error() != gyre::errc::timed_out)
                wrong += "the deadline did not pass\n";
            const auto sent = co_await gyre::as_result(sender.sendto(data, to).within(patience));
            if (!sent || *sent != data.size())
                wrong += "it was not sent when there was room\n";
        });
    });
}

// A peer that vanishes without a word: the kernel's own timeout is not gyre's.
TEST_P(Network, TheKernelsTimeoutIsNotADeadline) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up({"ip link set lo up"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            auto [a, b] = make_pair(stream_kind::tcp);
            a.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 50);
            shell("ip link set lo down");
            co_await a.sendall("into the void");
            std::array<std::byte, 8> memory;
            const auto r = co_await gyre::as_result(a.recv(memory).within(patience));
            if (r)
                wrong += "something was received\n";
            else if (r.error() != std::errc::timed_out && r.error() != std::errc::host_unreachable)
                wrong += "it ended with: " + r.error().message() + "\n";
        });
    });
}

// ---- A cable, with the peer's network at its other end -----------------------------------------

const gyre::address any4 = gyre::address::any_ipv4(0);
const gyre::address any6 = gyre::address::any_ipv6(0);
constexpr const char* here4 = "192.0.2.1:0";
constexpr const char* there4 = "192.0.2.2:0";

gyre::address with_port_of(std::string_view text, const gyre::socket& s) {
    const gyre::address a = gyre::address::parse(text);
    const std::uint16_t port = s.getsockname().port();
    return a.is_ipv4() ? gyre::address::ipv4(a.ip_bytes().first<4>(), port)
                       : gyre::address::ipv6(a.ip_bytes().first<16>(), port, a.scope_id());
}

gyre::socket bound(const gyre::address& to, int type = SOCK_DGRAM) {
    gyre::socket s = gyre::socket::open(to.family(), type);
    s.bind(to);
    return s;
}

/// In the peer's network.
gyre::socket bound_there(const gyre::address& to, int type = SOCK_DGRAM) {
    const in_peer there;
    return bound(to, type);
}

gyre::task<std::string> received(gyre::socket& s) {
    std::array<char, 4096> memory;
    const std::size_t n = co_await s.recv(memory);
    co_return std::string(memory.data(), n);
}

// C8, N11.
TEST_P(Network, LinkLocalAddressesHaveAScopeAndAreNothingWithoutIt) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            const std::uint32_t index = gyre::if_nametoindex("veth0");
            gyre::address at; // whose scope means something only there
            std::uint32_t index_there = 0;
            {
                const in_peer there;
                at = gyre::address::parse("[fe80::2%veth0]:0");
                index_there = gyre::if_nametoindex("veth0");
            }
            gyre::socket listener = bound_there(at, SOCK_STREAM);
            listener.listen();
            const gyre::address to = with_port_of("[fe80::2%veth0]:0", listener);
            gyre::socket client = bound(gyre::address::parse("[fe80::1%veth0]:0"), SOCK_STREAM);
            co_await client.connect(to);
            auto [peer, from] = co_await listener.accept();
            const std::string scope = '%' + std::to_string(index) + "]:";
            const std::string scope_there = '%' + std::to_string(index_there) + "]:";
            const std::string port = std::to_string(client.getsockname().port());
            expect_equal(wrong, "peer", client.getpeername().to_string(),
                         "[fe80::2" + scope + std::to_string(to.port()));
            expect_equal(wrong, "self", client.getsockname().to_string(),
                         "[fe80::1" + scope + port);
            expect_equal(wrong, "accepted", from.to_string(), "[fe80::1" + scope_there + port);

            gyre::socket receiver = bound_there(at);
            gyre::socket sender = bound(any6);
            co_await sender.sendto("x", with_port_of("[fe80::2%veth0]:0", receiver));
            std::array<std::byte, 8> memory;
            const auto got = co_await receiver.recvfrom(memory);
            expect_equal(wrong, "sender", got.from.host(),
                         "fe80::1%" + std::to_string(index_there));

            const gyre::address bare = with_port_of("[fe80::2]:0", listener);
            gyre::socket second = gyre::socket::open(AF_INET6);
            expect_code(wrong, "connect without", co_await second.connect_ex(bare),
                        std::errc::invalid_argument);
            expect_code(wrong, "bind without",
                        thrown_by([&] { second.bind(gyre::address::parse("[fe80::1]:0")); }),
                        std::errc::invalid_argument);
            expect_code(wrong, "bind with that of lo",
                        thrown_by([&] { second.bind(gyre::address::parse("[fe80::1%lo]:0")); }),
                        std::errc::address_not_available);
        });
    });
}

// C7, as the neighbours have it. The kernel asks three times, here 1 ms apart instead of a second.
TEST_P(Network, ANeighbourThatDoesNotAnswerIsHostUnreachable) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why =
                set_up_with_peer({"echo 1 > /proc/sys/net/ipv4/neigh/veth0/retrans_time_ms",
                                  "echo 1 > /proc/sys/net/ipv6/neigh/veth0/retrans_time_ms"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            for (const char* nobody : {"192.0.2.77:7", "[2001:db8::77]:7"}) {
                const gyre::address to = gyre::address::parse(nobody);
                gyre::socket s = gyre::socket::open(to.family());
                expect_code(wrong, nobody, co_await s.connect_ex(to), std::errc::host_unreachable);
            }
            gyre::socket udp = gyre::socket::open(AF_INET, SOCK_DGRAM);
            udp.set(gyre::option::ip::receive_errors, true);
            co_await udp.connect(gyre::address::parse("192.0.2.77:7"));
            co_await udp.send("x");
            std::array<std::byte, 8> memory;
            expect_code(wrong, "UDP", co_await outcome(udp.recv(memory)),
                        std::errc::host_unreachable);
        });
    });
}

// C9. The peer drops what is not for its hardware address.
TEST_P(Network, AConnectIntoTheVoidEndsByItsDeadlineOrByACancel) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(
                {"ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev veth0 nud permanent"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            const gyre::address to = gyre::address::parse("192.0.2.77:7");
            gyre::socket s = gyre::socket::open(AF_INET);
            expect_code(wrong, "deadline", co_await outcome(s.connect(to).within(5ms)),
                        gyre::errc::timed_out);
            std::array<std::byte, 8> memory;
            expect(wrong, static_cast<bool>(co_await s.connect_ex(to).within(5ms)),
                   "not so: no connect later");
            expect(wrong, static_cast<bool>(co_await outcome(s.send("x").within(5ms))),
                   "not so: no send later");
            expect(wrong, static_cast<bool>(co_await outcome(s.recv(memory).within(5ms))),
                   "not so: nothing to receive");
            s.close();

            gyre::socket other = gyre::socket::open(AF_INET);
            std::error_code code;
            const auto connect = [&]() -> gyre::task<> {
                code = co_await outcome(other.connect(to));
            };
            co_await gyre::race(connect(), next_turn());
            expect_code(wrong, "cancel", code, gyre::errc::cancelled);
        });
    });
}

// D7.
TEST_P(Network, ABroadcastTakesItsOptionAndReachesTheNetwork) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket receiver = bound_there(any4);
            const gyre::address net = with_port_of("192.0.2.255:0", receiver);
            const gyre::address all = with_port_of("<broadcast>:0", receiver);
            gyre::socket sender = bound(any4);
            for (const gyre::address& to : {net, all}) {
                sender.set(gyre::option::broadcast, false);
                if (to == all) // which has no route, but through an interface
                    sender.set(gyre::option::bind_device, "veth0");
                expect_code(wrong, "without the option", co_await outcome(sender.sendto("x", to)),
                            std::errc::permission_denied);
                sender.set(gyre::option::broadcast, true);
                co_await sender.sendto("to all", to);
                std::array<char, 8> memory;
                const auto got = co_await receiver.recvfrom(memory);
                expect_equal(wrong, "size", got.count, 6);
                expect_equal(wrong, "from", got.from, with_port_of(here4, sender));
            }
            gyre::socket elsewhere = bound(any4);
            elsewhere.set(gyre::option::broadcast, true);
            expect_code(wrong, "no route", co_await outcome(elsewhere.sendto("x", all)),
                        std::errc::network_unreachable);
        });
    });
}

// D10. What is sent to a group that was left is seen not to come: what is sent after it does.
gyre::task<> exercise_groups(std::string& wrong, const gyre::address& any, const char* group_text,
                             const char* own, const char* unicast) {
    const std::uint32_t index = gyre::if_nametoindex("veth0");
    std::uint32_t index_there = 0;
    std::uint32_t lo_there = 0;
    {
        const in_peer there;
        index_there = gyre::if_nametoindex("veth0");
        lo_there = gyre::if_nametoindex("lo");
    }
    gyre::socket receiver = bound_there(any);
    if (any.is_ipv4())
        receiver.set(gyre::option::ip::multicast_all, false);
    else
        receiver.set(gyre::option::ipv6::multicast_all, false);
    gyre::socket sender = bound(gyre::address::parse(own));
    gyre::set_multicast_interface(sender, index);
    const gyre::address group = with_port_of(group_text, receiver);
    const gyre::address direct = with_port_of(unicast, receiver);
    const auto comes = [&](const char* when, const char* what) -> gyre::task<> {
        co_await sender.sendto("to the group", group);
        co_await sender.sendto("direct", direct);
        expect_equal(wrong, when, co_await received(receiver), what);
        if (std::string_view(what) != "direct")
            expect_equal(wrong, when, co_await received(receiver), "direct");
    };
    co_await comes("at first", "direct");
    gyre::join_group(receiver, group, lo_there);
    co_await comes("joined on another interface", "direct");
    gyre::join_group(receiver, group, index_there);
    co_await comes("joined", "to the group");
    expect_code(wrong, "twice", thrown_by([&] { gyre::join_group(receiver, group, index_there); }),
                std::errc::address_in_use);
    gyre::leave_group(receiver, group, index_there);
    co_await comes("left", "direct");
    gyre::join_group(receiver, group, gyre::address::parse(unicast), index_there);
    co_await comes("joined for another source", "direct");
    gyre::join_group(receiver, group, gyre::address::parse(own), index_there);
    co_await comes("joined for this source", "to the group");
    gyre::leave_group(receiver, group, gyre::address::parse(own), index_there);
    co_await comes("source left", "direct");
}

TEST_P(Network, GroupsAreJoinedAndLeftOnAnInterface) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            return exercise_groups(wrong, any4, "239.255.77.1:0", here4, there4);
        });
    });
}

TEST_P(Network, SoAreThoseOfIpv6) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            return exercise_groups(wrong, any6, "[ff05::77:1]:0", "[2001:db8::1]:0",
                                   "[2001:db8::2]:0");
        });
    });
}

// M: what comes beside a datagram, both ways.
TEST_P(Network, ADatagramTellsItsInterfaceAndHopsAndIsSentByThem) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why =
                set_up_with_peer({"ip addr add 192.0.2.11/24 dev veth0",
                                  "ip addr add 2001:db8::11/64 dev veth0 nodad"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            const std::uint32_t index = gyre::if_nametoindex("veth0");
            std::uint32_t index_there = 0;
            {
                const in_peer there;
                index_there = gyre::if_nametoindex("veth0");
            }
            for (const bool v6 : {false, true}) {
                gyre::socket receiver = bound_there(v6 ? any6 : any4);
                gyre::socket sender = bound(v6 ? any6 : any4);
                if (v6) {
                    receiver.set(gyre::option::ipv6::receive_packet_info, true);
                    receiver.set(gyre::option::ipv6::receive_hop_limit, true);
                } else {
                    receiver.set(gyre::option::ip::receive_packet_info, true);
                    receiver.set(gyre::option::ip::receive_ttl, true);
                }
                const gyre::address to = with_port_of(v6 ? "[2001:db8::2]:0" : there4, receiver);
                const gyre::address source =
                    gyre::address::parse(v6 ? "[2001:db8::11]:0" : "192.0.2.11:0");
                gyre::ancillary with;
                with.append_packet_info({.interface = index, .destination = {}, .local = source});
                with.append_hop_limit(to.family(), 9);
                co_await sender.sendmsg("x", with, 0, to);
                gyre::ancillary control;
                std::array<std::byte, 8> memory;
                const auto got = co_await receiver.recvmsg(memory, control);
                expect_equal(wrong, "from", got.from.host(), source.host());
                expect(wrong, control.hop_limit() == 9, "not so: hops");
                const auto info = control.packet_info();
                expect(wrong, info.has_value(), "not so: information");
                if (!info)
                    continue;
                expect_equal(wrong, "interface", info->interface, index_there);
                expect_equal(wrong, "to", info->destination.host(), to.host());
                expect_equal(wrong, "local", info->local.host(), to.host());
            }
            // A link-local group without a scope: by the interface beside it.
            gyre::socket receiver = bound_there(any6);
            gyre::ancillary with;
            with.append_packet_info({.interface = index, .destination = {}, .local = any6});
            gyre::socket sender = bound(any6);
            co_await sender.sendmsg("all nodes", with, 0, with_port_of("[ff02::1]:0", receiver));
            expect_equal(wrong, "ff02::1", co_await received(receiver), "all nodes");
        });
    });
}

// D8. What ICMP says, with who says it: the peer, as a router that knows no way, and as a host
// where nobody listens.
TEST_P(Network, WhatIcmpSaysOfADatagramIsInTheErrorQueue) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(
                {"ip route add 198.51.100.0/24 via 192.0.2.2",
                 "ip -6 route add 2001:db8:1::/64 via 2001:db8::2",
                 "ip netns exec peer sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward && "
                 "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'",
                 "ip -n peer route add unreachable 198.51.100.1",
                 "ip -n peer route add prohibit 198.51.100.2",
                 "ip -n peer route add unreachable 2001:db8:1::/64"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            struct expected {
                const char* to;
                std::errc code;
                std::uint8_t type;
                std::uint8_t icmp_code;
            };
            for (const expected& e : {expected{"192.0.2.2:7", std::errc::connection_refused,
                                               ICMP_DEST_UNREACH, ICMP_PORT_UNREACH},
                                      expected{"198.51.100.1:7", std::errc::host_unreachable,
                                               ICMP_DEST_UNREACH, ICMP_HOST_UNREACH},
                                      expected{"198.51.100.2:7", std::errc::host_unreachable,
                                               ICMP_DEST_UNREACH, ICMP_PKT_FILTERED},
                                      expected{"[2001:db8::2]:7", std::errc::connection_refused,
                                               ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT},
                                      expected{"[2001:db8:1::1]:7", std::errc::network_unreachable,
                                               ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}}) {
                const gyre::address to = gyre::address::parse(e.to);
                gyre::socket s = gyre::socket::open(to.family(), SOCK_DGRAM);
                if (to.is_ipv6())
                    s.set(gyre::option::ipv6::receive_errors, true);
                else
                    s.set(gyre::option::ip::receive_errors, true);
                co_await s.sendto("lost", to); // not connected
                gyre::ancillary control;
                std::array<char, 64> memory;
                const auto got = co_await s.recvmsg(memory, control, MSG_ERRQUEUE);
                expect_equal(wrong, e.to, std::string(memory.data(), got.count), "lost");
                expect_equal(wrong, e.to, got.from, to);
                const auto told = control.queued_error();
                expect(wrong, told.has_value(), e.to);
                if (!told)
                    continue;
                expect_code(wrong, e.to, told->code, e.code);
                expect_equal(wrong, e.to, told->origin,
                             to.is_ipv6() ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP);
                expect_equal(wrong, e.to, told->type, e.type);
                expect_equal(wrong, e.to, told->icmp_code, e.icmp_code);
                expect_equal(wrong, e.to, told->offender.host(),
                             to.is_ipv6() ? "2001:db8::2" : "192.0.2.2");
            }
        });
    });
}

// D6, by the way to the peer.
TEST_P(Network, ADatagramBeyondTheMtuIsRefusedOrCutUp) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer({"ip link set veth0 mtu 1300"}); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            for (const char* peer : {there4, "[2001:db8::2]:0"}) {
                gyre::socket receiver = bound_there(gyre::address::parse(peer));
                const gyre::address to = receiver.getsockname();
                gyre::socket sender = gyre::socket::open(to.family(), SOCK_DGRAM);
                const auto discover = [&](int how) {
                    if (to.is_ipv6())
                        sender.set(gyre::option::ipv6::mtu_discover, how);
                    else
                        sender.set(gyre::option::ip::mtu_discover, how);
                };
                if (to.is_ipv6())
                    sender.set(gyre::option::ipv6::receive_errors, true);
                else
                    sender.set(gyre::option::ip::receive_errors, true);
                const std::vector<std::byte> data(3000);
                discover(IP_PMTUDISC_DO);
                expect_code(wrong, peer, co_await outcome(sender.sendto(data, to)),
                            std::errc::message_size);
                gyre::ancillary control;
                std::array<std::byte, 4096> memory;
                co_await sender.recvmsg(memory, control, MSG_ERRQUEUE);
                const auto told = control.queued_error();
                expect(wrong,
                       told && told->info == 1300 && told->origin == SO_EE_ORIGIN_LOCAL &&
                           told->code == std::errc::message_size,
                       "not so: it says the MTU");
                discover(IP_PMTUDISC_DONT);
                co_await sender.sendto(data, to);
                expect_equal(wrong, peer, co_await receiver.recv(memory), data.size());
            }
        });
    });
}

// Echo without raw sockets: the kernel writes the identifier and the checksum.
TEST_P(Network, WhoMayPingDoesSoWithDatagrams) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why =
                set_up_with_peer({"echo '1 0' > /proc/sys/net/ipv4/ping_group_range"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            expect_code(wrong, "not allowed",
                        thrown_by([] { gyre::socket::open(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); }),
                        std::errc::permission_denied);
            shell("echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range");
            for (const char* peer : {there4, "[2001:db8::2]:0"}) {
                const gyre::address to = gyre::address::parse(peer);
                gyre::socket s =
                    gyre::socket::open(to.family(), SOCK_DGRAM,
                                       to.is_ipv6() ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});
                icmphdr header{};
                header.type = to.is_ipv6() ? std::uint8_t{ICMP6_ECHO_REQUEST} : ICMP_ECHO;
                header.un.echo.sequence = htons(7);
                std::array<std::byte, sizeof header + 5> packet{};
                std::memcpy(packet.data(), &header, sizeof header);
                std::memcpy(packet.data() + sizeof header, "hello", 5);
                co_await s.sendto(packet, to);
                std::array<std::byte, 64> memory{};
                const auto got = co_await s.recvfrom(memory);
                std::memcpy(&header, memory.data(), sizeof header);
                expect_equal(wrong, "from", got.from.host(), to.host());
                expect_equal(wrong, "size", got.count, packet.size());
                expect_equal(wrong, "type", header.type,
                             to.is_ipv6() ? std::uint8_t{ICMP6_ECHO_REPLY} : ICMP_ECHOREPLY);
                expect_equal(wrong, "sequence", ntohs(header.un.echo.sequence), 7);
                expect_equal(wrong, "identifier", ntohs(header.un.echo.id), s.getsockname().port());
                expect(wrong, std::memcmp(memory.data() + sizeof header, "hello", 5) == 0,
                       "not so: data");
            }
        });
    });
}

TEST_P(Network, ASocketThatIsBoundToADeviceHearsAndReachesNothingElse) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            // Both on one port.
            gyre::socket on_lo = gyre::socket::open(AF_INET, SOCK_DGRAM);
            on_lo.set(gyre::option::bind_device, "lo");
            on_lo.bind(any4);
            gyre::socket on_veth = gyre::socket::open(AF_INET, SOCK_DGRAM);
            on_veth.set(gyre::option::bind_interface,
                        static_cast<int>(gyre::if_nametoindex("veth0")));
            expect_equal(wrong, "its name", on_veth.get(gyre::option::bind_device), "veth0");
            on_veth.bind(on_lo.getsockname());

            gyre::socket peer = bound_there(gyre::address::parse(there4));
            gyre::socket self = bound(gyre::address::loopback_ipv4(0));
            co_await peer.sendto("by the cable", with_port_of(here4, on_lo));
            co_await self.sendto("from here", with_port_of("127.0.0.1:0", on_lo));
            expect_equal(wrong, "lo", co_await received(on_lo), "from here");
            expect_equal(wrong, "veth0", co_await received(on_veth), "by the cable");
            expect_equal(wrong, "left on lo", on_lo.bytes_readable(), 0);
            expect_equal(wrong, "left on veth0", on_veth.bytes_readable(), 0);

            gyre::socket listener = bound_there(gyre::address::parse(there4), SOCK_STREAM);
            listener.listen();
            gyre::socket astray = gyre::socket::open(AF_INET);
            astray.set(gyre::option::bind_device, "lo");
            const std::error_code lost =
                co_await astray.connect_ex(listener.getsockname()).within(20ms);
            expect(wrong, static_cast<bool>(lost), "not so: no way by lo");
            gyre::socket client = gyre::socket::open(AF_INET);
            client.set(gyre::option::bind_device, "veth0");
            co_await client.connect(listener.getsockname());
            expect_code(wrong, "no such device",
                        thrown_by([&] { client.set(gyre::option::bind_device, "nosuchif"); }),
                        std::errc::no_such_device);
        });
    });
}

TEST_P(Network, AnInterfaceThatGoesDownEndsNothingThatWaits) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket listener = bound_there(gyre::address::parse(there4), SOCK_STREAM);
            listener.listen();
            gyre::socket client = gyre::socket::open(AF_INET);
            co_await client.connect(listener.getsockname());
            auto [peer, from] = co_await listener.accept();
            gyre::socket& far_end = peer;
            gyre::socket udp = bound(gyre::address::parse(here4));
            gyre::socket udp_peer = bound_there(gyre::address::parse(there4));
            gyre::socket& near_end = client;
            const auto outage = [&]() -> gyre::task<> {
                co_await next_turn();
                shell("ip link set veth0 down");
                co_await next_turn();
                expect_code(wrong, "meanwhile",
                            co_await outcome(udp.sendto("x", udp_peer.getsockname())),
                            std::errc::network_unreachable);
                shell("ip link set veth0 up");
                co_await far_end.sendall("tcp");
                co_await udp_peer.sendto("udp", udp.getsockname());
            };
            const auto [over_tcp, over_udp, nothing] =
                co_await gyre::all(received(near_end), received(udp), outage());
            expect_equal(wrong, "tcp", over_tcp, "tcp");
            expect_equal(wrong, "udp", over_udp, "udp");
        });
    });
}

TEST_P(Network, AnAddressIsInUseOrNotAvailableAfterItsRemoval) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer({"ip addr add 192.0.2.11/24 dev veth0"});
            !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket listener = bound(gyre::address::parse("192.0.2.11:0"), SOCK_STREAM);
            listener.listen();
            const gyre::address at = listener.getsockname();
            gyre::socket s = gyre::socket::open(AF_INET);
            expect_code(wrong, "taken", thrown_by([&] { s.bind(at); }), std::errc::address_in_use);
            shell("ip addr del 192.0.2.11/24 dev veth0");
            expect_equal(wrong, "the listener has it", listener.getsockname(), at);
            expect_code(wrong, "removed", thrown_by([&] { s.bind(at); }),
                        std::errc::address_not_available);
            const gyre::address other = gyre::address::parse("192.0.2.11:0");
            expect_code(wrong, "for any port", thrown_by([&] { s.bind(other); }),
                        std::errc::address_not_available);
            s.set(gyre::option::ip::free_bind, true);
            s.bind(other);
            shell("ip addr add 192.0.2.11/24 dev veth0");
            gyre::socket client = gyre::socket::open(AF_INET);
            co_await client.connect(at);
            auto [peer, from] = co_await listener.accept();
            expect_equal(wrong, "again", peer.getsockname(), at);
        });
    });
}

TEST_P(Network, ADualStackServerSeesPeersOfIpv4AsMapped) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        if (const std::string why = set_up_with_peer(); !why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket listener = gyre::socket::open(AF_INET6);
            listener.set(gyre::option::v6_only, false);
            listener.bind(any6);
            listener.listen();
            gyre::socket client = bound_there(gyre::address::parse(there4), SOCK_STREAM);
            co_await client.connect(with_port_of(here4, listener));
            auto [peer, from] = co_await listener.accept();
            expect(wrong, from.is_ipv6(), "not so: it is IPv6");
            expect_equal(wrong, "the client", from.host(), "::ffff:192.0.2.2");
            expect_equal(wrong, "this end", peer.getsockname().host(), "::ffff:192.0.2.1");
            gyre::socket client6 =
                bound_there(gyre::address::parse("[2001:db8::2]:0"), SOCK_STREAM);
            co_await client6.connect(with_port_of("[2001:db8::1]:0", listener));
            auto [peer6, from6] = co_await listener.accept();
            expect_equal(wrong, "of IPv6", from6, client6.getsockname());

            gyre::socket udp = gyre::socket::open(AF_INET6, SOCK_DGRAM);
            udp.set(gyre::option::v6_only, false);
            udp.bind(any6);
            gyre::socket udp_peer = bound_there(gyre::address::parse(there4));
            co_await udp_peer.sendto("question", with_port_of(here4, udp));
            std::array<std::byte, 16> memory;
            const auto got = co_await udp.recvfrom(memory);
            expect_equal(wrong, "the sender", got.from.host(), "::ffff:192.0.2.2");
            co_await udp.sendto("answer", got.from);
            expect_equal(wrong, "the way back", co_await received(udp_peer), "answer");

            gyre::socket only6 = gyre::socket::open(AF_INET6);
            only6.set(gyre::option::v6_only, true);
            only6.bind(any6);
            only6.listen();
            gyre::socket refused = bound_there(gyre::address::parse(there4), SOCK_STREAM);
            expect_code(wrong, "IPv6 only", co_await refused.connect_ex(with_port_of(here4, only6)),
                        std::errc::connection_refused);
        });
    });
}

} // namespace
