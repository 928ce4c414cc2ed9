#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>

#include <algorithm>
#include <cstring>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace gyre_test;

/// The checksum of the internet, RFC 1071.
std::uint16_t checksum(std::span<const std::byte> bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, bytes.data() + i, std::min<std::size_t>(2, bytes.size() - i));
        sum += word;
    }
    sum = (sum >> 16) + (sum & 0xffff);
    sum += sum >> 16;
    return static_cast<std::uint16_t>(~sum);
}

/// An echo request: type, code 0, checksum, identifier, sequence number, data. RFC 792, RFC 4443.
std::vector<std::byte> echo_request(int family, std::uint16_t id, std::uint16_t sequence,
                                    std::size_t data) {
    icmphdr header{};
    header.type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
    header.un.echo.id = htons(id);
    header.un.echo.sequence = htons(sequence);
    std::vector<std::byte> packet(sizeof header);
    const std::vector<std::byte> bytes = pattern(data, sequence);
    packet.insert(packet.end(), bytes.begin(), bytes.end());
    std::memcpy(packet.data(), &header, sizeof header);
    if (family == AF_INET) { // the kernel makes that of ICMPv6
        header.checksum = checksum(packet);
        std::memcpy(packet.data(), &header, sizeof header);
    }
    return packet;
}

class Raw : public on_each_backend<> {
protected:
    void SetUp() override {
        on_each_backend::SetUp();
        open_or_skip(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    }

    static gyre::socket open(int family) {
        return gyre::socket::open(family, SOCK_RAW,
                                  family == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    }
    static gyre::address loopback(int family) {
        return family == AF_INET ? gyre::address::loopback_ipv4(0)
                                 : gyre::address::loopback_ipv6(0);
    }

    /// The reply to that request; others' packets, and our own requests, arrive here too.
    static gyre::task<std::vector<std::byte>> reply_to(gyre::socket& s, int family,
                                                       std::uint16_t id, std::uint16_t sequence) {
        std::vector<std::byte> memory(65536);
        for (;;) {
            auto [n, from, flags] = co_await s.recvfrom(memory);
            EXPECT_EQ(from.host(), loopback(family).host());
            EXPECT_EQ(flags, 0);
            std::size_t begin = 0;
            if (family == AF_INET) { // the header of IPv4 comes along, that of IPv6 does not
                ip header{};
                std::memcpy(&header, memory.data(), sizeof header);
                begin = std::size_t{4} * header.ip_hl;
                EXPECT_EQ(header.ip_p, IPPROTO_ICMP);
                EXPECT_EQ(ntohs(header.ip_len), n);
            }
            icmphdr header{};
            std::memcpy(&header, memory.data() + begin, sizeof header);
            const int expected = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
            if (header.type == expected && header.un.echo.id == htons(id) &&
                header.un.echo.sequence == htons(sequence))
                co_return std::vector<std::byte>(
                    memory.begin() + static_cast<std::ptrdiff_t>(begin + sizeof header),
                    memory.begin() + static_cast<std::ptrdiff_t>(n));
        }
    }

    void echo(int family) {
        const auto id = static_cast<std::uint16_t>(getpid() ^ 0x6779);
        run([&]() -> gyre::task<> {
            gyre::socket s = open(family);
            s.settimeout(10s);
            const gyre::address to = loopback(family);
            constexpr std::size_t sizes[] = {0, 1, 56, 1400, 20'000}; // the last in fragments
            std::uint16_t sequence = 0;
            for (const std::size_t size : sizes) {
                ++sequence;
                const std::vector<std::byte> packet = echo_request(family, id, sequence, size);
                EXPECT_EQ(co_await s.sendto(packet, to), packet.size());
                const std::vector<std::byte> data = co_await reply_to(s, family, id, sequence);
                EXPECT_EQ(data, pattern(size, sequence)) << size << " bytes";
            }
        });
    }
};

TEST_P(Raw, AnEchoRequestToTheLoopbackIsAnswered) {
    echo(AF_INET);
}

TEST_P(Raw, SoIsOneOfIpv6) {
    gyre::socket probe = gyre::socket::open(AF_INET6, SOCK_DGRAM);
    if (thrown_by([&] { probe.bind(loopback(AF_INET6)); }))
        GTEST_SKIP() << "no IPv6 loopback here";
    echo(AF_INET6);
}

TEST_P(Raw, TheReplyIsWaitedForWhileItIsNotThere) {
    const auto id = static_cast<std::uint16_t>(getpid() ^ 0x7779);
    run([&]() -> gyre::task<> {
        gyre::socket s = open(AF_INET);
        gyre::socket other = open(AF_INET);
        const auto send = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await other.sendto(echo_request(AF_INET, id, 1, 8), loopback(AF_INET));
        };
        auto [data, nothing] = co_await gyre::all(reply_to(s, AF_INET, id, 1), send());
        EXPECT_EQ(data, pattern(8, 1));
    });
}

TEST_P(Raw, AConnectedOneSendsAndHearsItsPeerAlone) {
    const auto id = static_cast<std::uint16_t>(getpid() ^ 0x5779);
    run([&]() -> gyre::task<> {
        gyre::socket s = open(AF_INET);
        co_await s.connect(loopback(AF_INET));
        co_await s.send(echo_request(AF_INET, id, 7, 8));
        EXPECT_EQ(co_await reply_to(s, AF_INET, id, 7), pattern(8, 7));
    });
}

TEST_P(Raw, AFilterOfTypesIsAnOptionLikeAnyOther) {
    constexpr int icmp_filter =
        1; // ICMP_FILTER of <linux/icmp.h>, which cannot be had with netinet/
    constexpr gyre::socket_option<std::uint32_t> filter{SOL_RAW, icmp_filter};
    const auto id = static_cast<std::uint16_t>(getpid() ^ 0x4779);
    run([&]() -> gyre::task<> {
        gyre::socket s = open(AF_INET);
        s.set(filter, ~(1U << ICMP_ECHOREPLY)); // what is set is not heard
        EXPECT_EQ(s.get(filter), ~(1U << ICMP_ECHOREPLY));
        for (std::uint16_t sequence = 1; sequence <= 3; ++sequence) {
            co_await s.sendto(echo_request(AF_INET, id, sequence, 8), loopback(AF_INET));
            co_await reply_to(s, AF_INET, id, sequence);
        }
    });
}

GYRE_ON_EACH_BACKEND(Raw);

} // namespace
