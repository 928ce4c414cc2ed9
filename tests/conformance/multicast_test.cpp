#include "../support/sockets.hpp"

#include <gyre/io/ip_option.hpp>
#include <gyre/io/multicast.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <iostream>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sys/ioctl.h>

namespace {

using namespace gyre_test;

gyre::address ipv4(const char* host, std::uint16_t port = 0) {
    ::sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = inet_addr(host);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

gyre::address ipv6(std::array<std::uint8_t, 16> bytes, std::uint16_t port = 0) {
    ::sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(port);
    std::copy(bytes.begin(), bytes.end(), a.sin6_addr.s6_addr);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

/// Groups on the loopback. Each receiver has a port of its own, and does not see what others that
/// are joined on this machine get.
class Multicast : public on_each_backend<> {
protected:
    const unsigned lo = if_nametoindex("lo");
    const gyre::address group = ipv4("239.255.77.1");

    static gyre::socket make_receiver() {
        gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
        s.set(gyre::option::ip::multicast_all, false);
        s.bind(ipv4("0.0.0.0"));
        return s;
    }
    /// From 127.0.0.1, or another address of the loopback's network.
    gyre::socket make_sender(const char* from = "127.0.0.1") const {
        gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
        s.bind(ipv4(from));
        gyre::set_multicast_interface(s, lo);
        return s;
    }
    static gyre::address at(const char* host, const gyre::socket& receiver) {
        return ipv4(host, receiver.getsockname().port());
    }

    /// Of the scope that never leaves the machine.
    static gyre::address group6(std::uint16_t port = 0) {
        return ipv6({0xff, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77, 1}, port);
    }

    /// What comes; empty when nothing does.
    gyre::task<std::string> receive(gyre::socket& s) {
        std::array<std::byte, 32> memory;
        const auto n = co_await gyre::as_result(s.recv(memory).within(20ms));
        co_return n ? std::string(text_of(std::span(memory).first(*n))) : std::string();
    }
};

TEST_P(Multicast, WhatIsSentToAGroupComesToItsMembers) {
    run([&]() -> gyre::task<> {
        gyre::socket receiver = make_receiver();
        gyre::socket sender = make_sender();
        std::array<std::byte, 32> memory;
        gyre::join_group(receiver, group, lo);
        co_await sender.sendto("hello", at("239.255.77.1", receiver));
        auto [n, from, flags] = co_await receiver.recvfrom(memory);
        EXPECT_EQ(text_of(std::span(memory).first(n)), "hello");
        EXPECT_EQ(from, sender.getsockname());

        co_await sender.sendto("other", at("239.255.77.2", receiver));
        EXPECT_EQ(co_await receive(receiver), "") << "not joined";

        gyre::leave_group(receiver, group, lo);
        co_await sender.sendto("late", at("239.255.77.1", receiver));
        EXPECT_EQ(co_await receive(receiver), "") << "left";
    });
}

TEST_P(Multicast, SeveralSocketsOnOnePortAllReceive) {
    run([&]() -> gyre::task<> {
        gyre::socket one = gyre::socket::open(AF_INET, SOCK_DGRAM);
        gyre::socket two = gyre::socket::open(AF_INET, SOCK_DGRAM);
        one.set(gyre::option::reuse_address, true);
        two.set(gyre::option::reuse_address, true);
        one.bind(ipv4("0.0.0.0"));
        two.bind(one.getsockname());
        gyre::socket sender = make_sender();
        std::array<std::byte, 32> memory;
        for (gyre::socket* s : {&one, &two})
            gyre::join_group(*s, group, lo);
        co_await sender.sendto("all", at("239.255.77.1", one));
        EXPECT_EQ(co_await one.recv(memory), 3U);
        EXPECT_EQ(co_await two.recv(memory), 3U);
    });
}

TEST_P(Multicast, OfASourceComesOnlyWhatItSends) {
    run([&]() -> gyre::task<> {
        gyre::socket receiver = make_receiver();
        gyre::socket one = make_sender("127.0.0.1");
        gyre::socket two = make_sender("127.0.0.2");
        const gyre::address specific = ipv4("232.77.0.1");
        std::array<std::byte, 32> memory;
        gyre::join_group(receiver, specific, ipv4("127.0.0.2"), lo);
        co_await one.sendto("one", at("232.77.0.1", receiver));
        co_await two.sendto("two", at("232.77.0.1", receiver));
        auto [n, from, flags] = co_await receiver.recvfrom(memory);
        EXPECT_EQ(text_of(std::span(memory).first(n)), "two");
        EXPECT_EQ(from, two.getsockname());
        gyre::leave_group(receiver, specific, ipv4("127.0.0.2"), lo);
        co_await two.sendto("late", at("232.77.0.1", receiver));
        EXPECT_EQ(co_await receive(receiver), "");
    });
}

TEST_P(Multicast, ABlockedSourceIsNotHeardUntilItIsUnblocked) {
    run([&]() -> gyre::task<> {
        gyre::socket receiver = make_receiver();
        gyre::socket one = make_sender("127.0.0.1");
        gyre::socket two = make_sender("127.0.0.2");
        std::array<std::byte, 32> memory;
        gyre::join_group(receiver, group, lo);
        gyre::block_source(receiver, group, ipv4("127.0.0.1"), lo);
        co_await one.sendto("one", at("239.255.77.1", receiver));
        co_await two.sendto("two", at("239.255.77.1", receiver));
        EXPECT_EQ(text_of(std::span(memory).first(co_await receiver.recv(memory))), "two");
        gyre::unblock_source(receiver, group, ipv4("127.0.0.1"), lo);
        co_await one.sendto("again", at("239.255.77.1", receiver));
        EXPECT_EQ(text_of(std::span(memory).first(co_await receiver.recv(memory))), "again");
    });
}

TEST_P(Multicast, MembershipIsCheckedByTheKernel) {
    gyre::socket s = make_receiver();
    gyre::join_group(s, group, lo);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, group, lo); }), std::errc::address_in_use);
    gyre::leave_group(s, group, lo);
    EXPECT_EQ(thrown_by([&] { gyre::leave_group(s, group, lo); }),
              std::errc::address_not_available);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, ipv4("127.0.0.1"), lo); }),
              std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, group, 1U << 30); }), std::errc::no_such_device);
}

TEST_P(Multicast, AGroupOfAnotherFamilyIsRefused) {
    gyre::socket s = make_receiver();
    const gyre::address other = ipv6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77, 1});
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, other); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, group, other); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, gyre::address()); }),
              std::errc::invalid_argument);
    s.close();
    EXPECT_EQ(thrown_by([&] { gyre::join_group(s, group); }), gyre::errc::closed);
}

TEST_P(Multicast, OfIpv6IsJoinedAndLeft) {
    gyre::socket receiver = gyre::socket::open(AF_INET6, SOCK_DGRAM);
    receiver.bind(ipv6({}));
    gyre::join_group(receiver, group6(), lo);
    EXPECT_EQ(thrown_by([&] { gyre::join_group(receiver, group6(), lo); }),
              std::errc::address_in_use);
    gyre::leave_group(receiver, group6(), lo);
    EXPECT_EQ(thrown_by([&] { gyre::leave_group(receiver, group6(), lo); }),
              std::errc::address_not_available);
    const gyre::address source = gyre::address::loopback_ipv6(0);
    gyre::join_group(receiver, group6(), source, lo);
    gyre::leave_group(receiver, group6(), source, lo);
}

// The loopback has no IPv6 multicast; any other interface gives a copy back to this machine.
TEST_P(Multicast, OfIpv6IsReceived) {
    run([&]() -> gyre::task<> {
        for (unsigned i = 1; i < 64; ++i) {
            gyre::socket receiver = gyre::socket::open(AF_INET6, SOCK_DGRAM);
            gyre::socket sender = gyre::socket::open(AF_INET6, SOCK_DGRAM);
            ::ifreq request{};
            request.ifr_ifindex = static_cast<int>(i);
            if (thrown_by([&] { receiver.ioctl(SIOCGIFNAME, request); }) ||
                receiver.ioctl(SIOCGIFFLAGS, request) != 0 ||
                (request.ifr_flags & IFF_RUNNING) == 0 || (request.ifr_flags & IFF_MULTICAST) == 0)
                continue;
            receiver.bind(ipv6({}));
            const gyre::address to = group6(receiver.getsockname().port());
            std::array<std::byte, 32> memory;
            if (thrown_by([&] {
                    gyre::set_multicast_interface(sender, i);
                    gyre::join_group(receiver, to, i);
                }) ||
                !co_await gyre::as_result(sender.sendto("six", to)))
                continue;
            EXPECT_EQ(sender.get(gyre::option::ipv6::multicast_interface), static_cast<int>(i));
            EXPECT_EQ(co_await receiver.recv(memory), 3U);
            co_return;
        }
        std::cout << "not received: no interface has IPv6 multicast\n";
    });
}

TEST_P(Multicast, APacketSocketBecomesPromiscuous) {
    gyre::socket s = open_or_skip(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    if (!s)
        return;
    gyre::set_promiscuous(s, lo, true);
    gyre::set_promiscuous(s, lo, false);
    EXPECT_EQ(thrown_by([&] { gyre::set_promiscuous(s, 1U << 30, true); }),
              std::errc::no_such_device);
}

GYRE_ON_EACH_BACKEND(Multicast);

} // namespace
