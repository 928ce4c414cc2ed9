// The kernel's headers first: they define macros in lower case, which must not reach gyre's names.
#include <linux/can.h>
#include <linux/can/raw.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/tipc.h>
#include <linux/vm_sockets.h>

#include "../support/sockets.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

// What docs/sockets.md calls the kernel's own constants, with gyre's calls.

namespace {

using namespace gyre_test;

class Constants : public on_each_backend<> {
protected:
    std::array<std::byte, 64> memory{};
    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
};

TEST_P(Constants, OfProtocolsAreWhatASocketIsOpenedWith) {
    const struct {
        int type;
        int protocol;
    } kinds[] = {{SOCK_STREAM, IPPROTO_TCP},     {SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP},
                 {SOCK_DGRAM, IPPROTO_UDP},      {SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDPLITE},
                 {SOCK_SEQPACKET, IPPROTO_SCTP}, {SOCK_RAW, IPPROTO_ICMP},
                 {SOCK_RAW, IPPROTO_RAW}};
    for (const int family : {AF_INET, AF_INET6})
        for (const auto& [type, protocol] : kinds) {
            gyre::socket s;
            const std::error_code code =
                thrown_by([&] { s = gyre::socket::open(family, type, protocol); });
            if (!code) {
                EXPECT_EQ(s.proto(), s.get(gyre::option::protocol));
                continue;
            }
            const bool lacking = code == std::errc::protocol_not_supported ||
                                 code == std::errc::no_protocol_option ||
                                 code == std::errc::operation_not_permitted ||
                                 code.value() == ESOCKTNOSUPPORT;
            EXPECT_TRUE(lacking) << protocol << ": " << code.message();
        }
}

// RDM is of TIPC and RDS alone.
TEST_P(Constants, OfAFamilyThatTheKernelLacksGiveAnErrorThatNamesIt) {
    const struct {
        int family;
        int type;
        int protocol;
        const char* name;
    } kinds[] = {{AF_TIPC, SOCK_RDM, 0, "AF_TIPC"},
                 {AF_ALG, SOCK_SEQPACKET, 0, "AF_ALG"},
                 {AF_CAN, SOCK_RAW, CAN_RAW, "AF_CAN"},
                 {AF_RDS, SOCK_SEQPACKET, 0, "AF_RDS"},
                 {AF_QIPCRTR, SOCK_DGRAM, 0, "AF_QIPCRTR"}};
    for (const auto& kind : kinds) {
        try {
            gyre::socket::open(kind.family, kind.type, kind.protocol);
        } catch (const gyre::error& e) {
            EXPECT_TRUE(e.code() == std::errc::address_family_not_supported ||
                        e.code() == std::errc::operation_not_permitted)
                << e.what();
            EXPECT_NE(std::string_view(e.what()).find(kind.name), std::string_view::npos)
                << e.what();
        }
    }
}

TEST_P(Constants, OfFlagsThatAskForNothingHereLeaveTheMessageAsItIs) {
    auto [a, b] = make_udp_pair();
    auto [c, d] = make_unix_pair(SOCK_SEQPACKET);
    run([&]() -> gyre::task<> {
        for (const int flag : {MSG_CONFIRM, MSG_DONTROUTE, MSG_NOSIGNAL}) {
            EXPECT_EQ(co_await b.sendto("x", a.getsockname(), flag), 1U);
            EXPECT_EQ(received(co_await a.recv(memory)), "x");
        }
        EXPECT_EQ(co_await c.send("record", MSG_EOR), 6U);
        EXPECT_EQ(received((co_await d.recvfrom(memory)).count), "record");
    });
}

TEST_P(Constants, OfLevelsAreWhereOptionsAreSet) {
    static_assert(SOL_IP == IPPROTO_IP && SOL_TCP == IPPROTO_TCP && SOL_UDP == IPPROTO_UDP);
    gyre::socket s = gyre::socket::open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    s.bind(gyre::address::netlink());
    s.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK);
    EXPECT_EQ(s.getsockname().as_netlink().groups, std::uint32_t{RTMGRP_LINK});
    // A socket of another family knows nothing of them.
    const gyre::socket_option<int> strange[] = {{SOL_ALG, ALG_SET_KEY},
                                                {SOL_TIPC, TIPC_IMPORTANCE},
                                                {SOL_PACKET, PACKET_VERSION},
                                                {SOL_CAN_RAW, CAN_RAW_LOOPBACK}};
    for (const auto& option : strange)
        EXPECT_TRUE(thrown_by([&] { s.set(option, 1); }));
}

TEST_P(Constants, OfIpAddressesAreInHostOrder) {
    const auto text = [](std::uint32_t a) { return gyre::address::ipv4(a, 0).host(); };
    EXPECT_EQ(text(INADDR_ANY), "0.0.0.0");
    EXPECT_EQ(text(INADDR_LOOPBACK), "127.0.0.1");
    EXPECT_EQ(text(INADDR_BROADCAST), "255.255.255.255");
    EXPECT_EQ(text(INADDR_NONE), "255.255.255.255");
    EXPECT_EQ(text(INADDR_UNSPEC_GROUP), "224.0.0.0");
    EXPECT_EQ(text(INADDR_ALLHOSTS_GROUP), "224.0.0.1");
    EXPECT_EQ(text(INADDR_MAX_LOCAL_GROUP), "224.0.0.255");
    EXPECT_EQ(gyre::address::vsock(VMADDR_CID_LOCAL, VMADDR_PORT_ANY).to_string(),
              "vsock:1:4294967295");
    EXPECT_EQ(gyre::address::tipc(gyre::tipc_kind::nameseq, 1, 2, 3).data()->sa_family, AF_TIPC);
    EXPECT_EQ(static_cast<int>(gyre::tipc_kind::nameseq), TIPC_ADDR_MCAST);
    EXPECT_EQ(gyre::address::packet({.interface = 1, .protocol = ETH_P_ALL}).to_string(),
              "packet:1/0x3");
}

TEST_P(Constants, OfPortsAndGroupsAreWhatTheKernelGoesBy) {
    static_assert(IPPORT_RESERVED == 1024 && IPPORT_USERRESERVED == 5000);
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    s.bind(gyre::address::loopback_ipv4(0));
    EXPECT_GE(s.getsockname().port(), IPPORT_RESERVED);
    EXPECT_EQ(s.getsockopt(IPPROTO_IP, IP_MULTICAST_TTL), IP_DEFAULT_MULTICAST_TTL);
    EXPECT_EQ(s.getsockopt(IPPROTO_IP, IP_MULTICAST_LOOP), IP_DEFAULT_MULTICAST_LOOP);
    static_assert(IP_MAX_MEMBERSHIPS == 20); // the system's default, igmp_max_memberships
    gyre::socket listener = gyre::socket::open();
    listener.bind(gyre::address::loopback_ipv4(0));
    listener.listen(SOMAXCONN);
    EXPECT_TRUE(listener.get(gyre::option::accepts));
}

// sha256 of "abc", in the kernel.
TEST_P(Constants, OfAlgMakeAHashWhereThereIsOne) {
    gyre::socket algorithm;
    if (const std::error_code code =
            thrown_by([&] { algorithm = gyre::socket::open(AF_ALG, SOCK_SEQPACKET); }))
        GTEST_SKIP() << "no AF_ALG: " << code.message();
    algorithm.bind(gyre::address::alg("hash", "sha256"));
    run([&]() -> gyre::task<> {
        auto [hash, name] = co_await algorithm.accept();
        EXPECT_TRUE(name.empty());
        EXPECT_EQ(co_await hash.send("abc"), 3U);
        EXPECT_EQ(co_await hash.recv(memory), 32U);
        EXPECT_EQ(memory[0], std::byte{0xba});
        EXPECT_EQ(memory[31], std::byte{0xad});
    });
}

GYRE_ON_EACH_BACKEND(Constants);

} // namespace
