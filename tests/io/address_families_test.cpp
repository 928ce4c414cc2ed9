// The kernel's headers first: they define macros in lower case, which must not reach gyre's names.
#include <linux/can.h>
#include <linux/can/j1939.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/tipc.h>
#include <linux/vm_sockets.h>

#include "../support/sockets.hpp"

#include <gyre/io/address.hpp>
#include <gyre/io/interface.hpp>
#include <gyre/io/socket.hpp>

#include <net/if_arp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <unordered_set>

namespace {

using gyre::address;
using gyre::can_kind;
using gyre::tipc_kind;
using namespace gyre_test;
using namespace std::string_literals;

std::string error_of(std::string_view text) {
    const auto result = address::try_parse(text);
    return result ? "accepted as " + result->to_string() : result.error().message;
}

std::errc code_of(std::string_view text) {
    const auto result = address::try_parse(text);
    return result ? std::errc{} : result.error().code;
}

/// What `make()` throws, as "code: what()".
template <class Make>
std::string thrown_by(Make make) {
    try {
        make();
    } catch (const gyre::error& e) {
        const bool too_long = e.code() == std::errc::filename_too_long;
        const bool invalid = e.code() == std::errc::invalid_argument;
        return (too_long ? "too long: " : invalid ? "invalid: " : "else: ") + std::string(e.what());
    }
    return "nothing";
}

/// The bytes of the address as the kernel's struct.
template <class Raw>
Raw raw_of(const address& a) {
    Raw raw{};
    EXPECT_EQ(a.size(), sizeof raw);
    const void* const bytes = a.data();
    std::memcpy(&raw, bytes, std::min<std::size_t>(sizeof raw, a.size()));
    return raw;
}

template <class Raw>
address from_raw(const Raw& raw, std::size_t size = sizeof(Raw)) {
    return {reinterpret_cast<const sockaddr*>(&raw), static_cast<socklen_t>(size)};
}

constexpr std::array mac{std::byte{2},    std::byte{0xfc}, std::byte{0},
                         std::byte{0xab}, std::byte{0},    std::byte{1}};

std::string lo() {
    return std::to_string(gyre::if_nametoindex("lo"));
}

/// One of each kind.
std::vector<address> all_kinds() {
    return {address::netlink(4242, 0x11),
            address::packet({.interface = 2, .protocol = ETH_P_IP}),
            address::packet({.interface = 2,
                             .protocol = ETH_P_IP,
                             .packet_type = PACKET_OUTGOING,
                             .hardware_type = ARPHRD_ETHER,
                             .hardware_address = mac}),
            address::vsock(3, 1024),
            address::tipc(tipc_kind::nameseq, 18888, 0, 99),
            address::tipc(tipc_kind::name, 18888, 17),
            address::tipc(tipc_kind::name, 18888, 17, 5, TIPC_NODE_SCOPE),
            address::tipc(tipc_kind::id, 18888, 17),
            address::can(2),
            address::can_isotp(2, 0x123, 0x9ffffffe),
            address::can_j1939(2, 0x123456789abcdef0, 0x1ffff, 0x80),
            address::alg("hash", "sha256"),
            address::alg("aead", "rfc4106(gcm(aes))", 1, 2)};
}

// ---- What all have in common -------------------------------------------------------------------

TEST(AddressFamilies, TheTextOfEachIsReadBack) {
    const std::vector<std::string> texts{"netlink:4242/0x11",
                                         "packet:2/0x800",
                                         "packet:2/0x800/02:fc:00:ab:00:01/4/1",
                                         "vsock:3:1024",
                                         "tipc:nameseq:18888/0/99",
                                         "tipc:name:18888/17",
                                         "tipc:name:18888/17/5@3",
                                         "tipc:id:18888/17",
                                         "can:2",
                                         "can-isotp:2/0x123/0x9ffffffe",
                                         "can-j1939:2/0x123456789abcdef0/0x1ffff/0x80",
                                         "alg:hash/sha256",
                                         "alg:aead/rfc4106(gcm(aes))/0x1/0x2"};
    const std::vector<address> all = all_kinds();
    ASSERT_EQ(all.size(), texts.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(all[i].to_string(), texts[i]);
        EXPECT_EQ(address::parse(texts[i]), all[i]) << texts[i];
    }
}

TEST(AddressFamilies, DifferentOnesAreDifferentAndEqualOnesHashAlike) {
    const std::vector<address> all = all_kinds();
    std::unordered_set<address> set(all.begin(), all.end());
    EXPECT_EQ(set.size(), all.size());
    for (const address& a : all_kinds())
        EXPECT_TRUE(set.contains(a)) << a.to_string();
    EXPECT_NE(address::netlink(1, 2), address::netlink(2, 1));
    EXPECT_NE(address::vsock(1, 2), address::vsock(2, 1));
    EXPECT_NE(address::tipc(tipc_kind::name, 1, 2), address::tipc(tipc_kind::id, 1, 2));
}

TEST(AddressFamilies, EachIsOfOneKind) {
    for (const address& a : all_kinds()) {
        const int kinds = a.is_ipv4() + a.is_ipv6() + a.is_unix_path() + a.is_unix_abstract() +
                          a.is_unix_unnamed() + a.is_netlink() + a.is_packet() + a.is_vsock() +
                          a.is_tipc() + a.is_can() + a.is_alg() + a.is_generic();
        EXPECT_EQ(kinds, 1) << a.to_string();
        EXPECT_FALSE(a.is_generic()) << a.to_string();
        EXPECT_EQ(a.port(), 0);
        EXPECT_EQ(a.host(), "");
    }
    for (const address& a : {address(), address::loopback_ipv4(1), address::unix_path("/x")})
        EXPECT_FALSE(a.is_netlink() || a.is_packet() || a.is_vsock() || a.is_tipc() || a.is_can() ||
                     a.is_alg() || a.is_generic());
}

TEST(AddressFamilies, ThePartsOfAnotherKindAreZero) {
    const address a = address::loopback_ipv4(7000);
    EXPECT_EQ(a.as_netlink(), gyre::netlink_parts());
    EXPECT_EQ(a.as_packet().protocol, 0);
    EXPECT_TRUE(a.as_packet().hardware_address.empty());
    EXPECT_EQ(a.as_vsock(), gyre::vsock_parts());
    EXPECT_EQ(a.as_tipc(), gyre::tipc_parts());
    EXPECT_EQ(a.as_can(), gyre::can_parts());
    EXPECT_EQ(a.as_alg(), gyre::alg_parts());
}

TEST(AddressFamilies, ACutOffOneIsNotTakenForAWholeOne) {
    for (const address& a : all_kinds()) {
        const address part(a.data(), 5);
        EXPECT_EQ(part.family(), a.family());
        EXPECT_TRUE(part.is_generic()) << a.to_string();
        EXPECT_EQ(part.to_string().substr(0, 4), "(AF_") << part.to_string();
    }
}

TEST(AddressFamilies, NumbersAreDecimalOrHexadecimal) {
    EXPECT_EQ(address::parse("netlink:0x10/17"), address::netlink(16, 17));
    EXPECT_EQ(address::parse("netlink:0/0x0000000F"), address::netlink(0, 15));
    EXPECT_EQ(address::parse("netlink:4294967295/0xffffffff"), address::netlink(~0U, ~0U));
    for (const std::string bad : {"", "-1", "+1", " 1", "1 ", "01", "0x", "0xg", "1f", "one"})
        EXPECT_EQ(error_of("netlink:" + bad + "/0"),
                  "\"netlink:" + bad + "/0\": pid " + bad +
                      " is not a number, decimal without leading zeros or hexadecimal behind 0x");
    EXPECT_EQ(error_of("netlink:1/4294967296"),
              "\"netlink:1/4294967296\": groups 4294967296 is not in 0..4294967295");
    EXPECT_EQ(error_of("vsock:1:0x10000000000000000"),
              "\"vsock:1:0x10000000000000000\": port 0x10000000000000000 is not in 0..4294967295");
}

TEST(AddressFamilies, TextOfTheWrongFormIsToldTheRightOne) {
    EXPECT_EQ(error_of("netlink:1"), "\"netlink:1\": this should read netlink:PID/GROUPS");
    EXPECT_EQ(error_of("netlink:1/2/3"), "\"netlink:1/2/3\": this should read netlink:PID/GROUPS");
    EXPECT_EQ(error_of("vsock:1/2"), "\"vsock:1/2\": this should read vsock:CID:PORT");
    for (const char* text : {"packet:1",
                             "packet:1/2/3/4",
                             "packet:1/2//4/5/6",
                             "tipc:",
                             "tipc:1",
                             "tipc:port:1/2",
                             "tipc:nameseq:1/2",
                             "tipc:nameseq:1/2/3/4",
                             "tipc:name:1",
                             "tipc:name:1/2/3/4",
                             "tipc:id:1",
                             "tipc:id:1/2/3",
                             "can-isotp:1",
                             "can-isotp:1/2/3/4",
                             "can-j1939:1/2/3",
                             "can-j1939:1/2/3/4/5",
                             "alg:hash",
                             "alg:hash/a/1",
                             "alg:hash/a/1/2/3",
                             "can:1/2",
                             "can:",
                             "netlink:",
                             "vsock:",
                             "alg:"}) {
        EXPECT_EQ(code_of(text), std::errc::invalid_argument) << text;
        EXPECT_EQ(error_of(text).find("accepted"), std::string::npos) << error_of(text);
    }
}

TEST(AddressFamilies, AnErrorMessageIsPrintableAndShortWhateverTheText) {
    for (const char* prefix : {"netlink:", "packet:", "vsock:", "tipc:name:", "can:", "alg:"}) {
        for (const char* around : {"", "1/", "1:", "1/2/3/4/"}) {
            const std::string text = prefix + (around + std::string(1000, '\x1b'));
            EXPECT_LT(error_of(text).size(), 1000U) << prefix << around;
            EXPECT_EQ(error_of(text).find('\x1b'), std::string::npos) << prefix << around;
        }
        const std::string slashes = prefix + std::string(100'000, '/');
        EXPECT_LT(error_of(slashes).size(), 1000U);
    }
}

TEST(AddressFamilies, AnInterfaceIsGivenByNumberOrName) {
    EXPECT_EQ(address::parse("packet:lo/3"), address::parse("packet:" + lo() + "/3"));
    EXPECT_EQ(address::parse("can:lo"), address::can(gyre::if_nametoindex("lo")));
    EXPECT_EQ(address::parse("can:0"), address::can(0)) << "any";
    EXPECT_EQ(error_of("can:nosuchif"), "\"can:nosuchif\": interface nosuchif: No such device");
    EXPECT_EQ(code_of("can:nosuchif"), std::errc::no_such_device);
    EXPECT_EQ(error_of("can:" + std::string(16, 'i')),
              "\"can:" + std::string(16, 'i') +
                  "\": the interface is neither the number nor the name of an interface");
    EXPECT_EQ(error_of("can:2147483648"),
              "\"can:2147483648\": interface 2147483648 is not in 0..2147483647");
    EXPECT_EQ(thrown_by([] { address::can(0x80000000); }),
              "invalid: interface 2147483648 is not in 0..2147483647: Invalid argument");
    EXPECT_EQ(thrown_by([] { address::packet({.interface = 0x80000000}); }),
              "invalid: interface 2147483648 is not in 0..2147483647: Invalid argument");
}

// ---- AF_NETLINK --------------------------------------------------------------------------------

TEST(AddressFamilies, NetlinkIsAPidAndGroups) {
    const address a = address::netlink(4242, 0x80000001);
    const auto raw = raw_of<sockaddr_nl>(a);
    EXPECT_EQ(raw.nl_family, AF_NETLINK);
    EXPECT_EQ(raw.nl_pad, 0);
    EXPECT_EQ(raw.nl_pid, 4242U);
    EXPECT_EQ(raw.nl_groups, 0x80000001);
    EXPECT_EQ(a.as_netlink(), (gyre::netlink_parts{4242, 0x80000001}));
    sockaddr_nl padded = raw;
    padded.nl_pad = 7;
    EXPECT_EQ(from_raw(padded), a);
}

class Netlink : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Netlink);

TEST_P(Netlink, AMessageToTheOtherSocketsPidArrivesWithThatOfItsSender) {
    run([]() -> gyre::task<> {
        gyre::socket a = gyre::socket::open(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
        gyre::socket b = gyre::socket::open(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
        a.bind(address::netlink());
        b.bind(address::netlink());
        const address at = a.getsockname();
        const address from_b = b.getsockname();
        EXPECT_TRUE(at.is_netlink());
        EXPECT_NE(at.as_netlink().pid, 0U);
        EXPECT_NE(at, from_b);
        EXPECT_EQ(address::parse(at.to_string()), at);
        EXPECT_EQ(co_await b.sendto("hello", at), 5U);
        std::array<char, 16> memory{};
        auto [n, from, flags] = co_await a.recvfrom(memory);
        EXPECT_EQ(std::string_view(memory.data(), n), "hello");
        EXPECT_EQ(from, from_b);
        EXPECT_EQ(co_await a.sendto("back", from), 4U);
        EXPECT_EQ(co_await b.recv(memory), 4U);
    });
}

TEST_P(Netlink, TheKernelListsItsInterfacesFromPid0) {
    run([]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
        s.bind(address::netlink());
        struct {
            nlmsghdr header;
            rtgenmsg body;
        } request{};
        request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.body);
        request.header.nlmsg_type = RTM_GETLINK;
        request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.body.rtgen_family = AF_UNSPEC;
        co_await s.sendto(gyre::const_buffer(&request, request.header.nlmsg_len),
                          address::netlink());
        std::array<std::byte, 32768> memory{};
        std::unordered_set<std::uint32_t> found;
        for (bool done = false; !done;) {
            auto [n, from, flags] = co_await s.recvfrom(memory);
            EXPECT_EQ(from, address::netlink(0, 0)) << from.to_string();
            EXPECT_EQ(flags & MSG_TRUNC, 0);
            for (std::size_t at = 0; at + sizeof(nlmsghdr) <= n;) {
                nlmsghdr header;
                std::memcpy(&header, &memory[at], sizeof header);
                if (header.nlmsg_type == NLMSG_DONE)
                    done = true;
                CO_ASSERT_TRUE(header.nlmsg_type != NLMSG_ERROR);
                if (header.nlmsg_type == RTM_NEWLINK) {
                    ifinfomsg link;
                    std::memcpy(&link, &memory[at + NLMSG_HDRLEN], sizeof link);
                    found.insert(static_cast<std::uint32_t>(link.ifi_index));
                }
                at += NLMSG_ALIGN(header.nlmsg_len);
            }
        }
        EXPECT_TRUE(found.contains(gyre::if_nametoindex("lo")));
    });
}

// ---- AF_PACKET ---------------------------------------------------------------------------------

TEST(AddressFamilies, PacketIsAnInterfaceAProtocolAndAHardwareAddress) {
    const address a = address::packet({.interface = 2,
                                       .protocol = ETH_P_ARP,
                                       .packet_type = PACKET_OTHERHOST,
                                       .hardware_type = ARPHRD_ETHER,
                                       .hardware_address = mac});
    const auto raw = raw_of<sockaddr_ll>(a);
    EXPECT_EQ(raw.sll_family, AF_PACKET);
    EXPECT_EQ(raw.sll_protocol, htons(ETH_P_ARP));
    EXPECT_EQ(raw.sll_ifindex, 2);
    EXPECT_EQ(raw.sll_hatype, ARPHRD_ETHER);
    EXPECT_EQ(raw.sll_pkttype, PACKET_OTHERHOST);
    EXPECT_EQ(raw.sll_halen, 6);
    EXPECT_EQ(std::memcmp(raw.sll_addr, mac.data(), mac.size()), 0);
    const gyre::packet_parts parts = a.as_packet();
    EXPECT_EQ(parts.interface, 2U);
    EXPECT_EQ(parts.protocol, ETH_P_ARP);
    EXPECT_EQ(parts.packet_type, PACKET_OTHERHOST);
    EXPECT_EQ(parts.hardware_type, ARPHRD_ETHER);
    EXPECT_TRUE(std::ranges::equal(parts.hardware_address, mac));
    EXPECT_EQ(address::packet(parts), a);
    EXPECT_EQ(parts, address::packet(parts).as_packet());
    EXPECT_NE(parts, gyre::packet_parts());
}

TEST(AddressFamilies, AHardwareAddressHoldsUpTo8Bytes) {
    const std::array<std::byte, 9> nine{};
    const address a = address::packet({.hardware_address = std::span(nine).first(8)});
    EXPECT_EQ(a.as_packet().hardware_address.size(), 8U);
    EXPECT_EQ(address::parse(a.to_string()), a);
    EXPECT_EQ(thrown_by([&] { address::packet({.hardware_address = nine}); }),
              "invalid: a hardware address of 9 bytes is longer than 8: Invalid argument");
    EXPECT_EQ(error_of("packet:0/0/1:2"),
              "\"packet:0/0/1:2\": the hardware address is not written as in 02:fc:00:00:00:01");
    for (const char* text : {"packet:0/0/0", "packet:0/0/00:", "packet:0/0/00:1", "packet:0/0/0g",
                             "packet:0/0/00-11", "packet:0/0/:00",
                             "packet:0/0/00:00:00:00:00:00:00:"
                             "00:00"})
        EXPECT_EQ(code_of(text), std::errc::invalid_argument) << text;
    EXPECT_EQ(address::parse("packet:0/0//1/2"),
              address::packet({.packet_type = 1, .hardware_type = 2}));
}

TEST(AddressFamilies, APacketAddressIsTheSameInEachLengthThatTheKernelGives) {
    sockaddr_ll raw{};
    raw.sll_family = AF_PACKET;
    raw.sll_ifindex = 1;
    raw.sll_halen = 6;
    std::memcpy(raw.sll_addr, mac.data(), mac.size());
    const address a = address::packet({.interface = 1, .hardware_address = mac});
    EXPECT_EQ(from_raw(raw, offsetof(sockaddr_ll, sll_addr) + 6), a) << "getsockname";
    raw.sll_addr[7] = 9;
    EXPECT_EQ(from_raw(raw), a) << "recvfrom; the rest may be anything";
    std::array<std::byte, 32> infiniband{};
    std::memcpy(infiniband.data(), &raw, sizeof raw);
    infiniband[offsetof(sockaddr_ll, sll_halen)] = std::byte{20};
    const address longer(reinterpret_cast<const sockaddr*>(infiniband.data()), 32);
    EXPECT_EQ(longer.as_packet().hardware_address.size(), 20U);
    EXPECT_EQ(longer.size(), 32U);
    EXPECT_TRUE(address(longer.data(), 31).is_generic()) << "cut off";
}

class Packet : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Packet);

TEST_P(Packet, OverTheLoopbackInterfaceTellsItsSendersHardwareAddress) {
    constexpr std::uint16_t protocol = 0x88b5; // for local experiments, IEEE 802
    gyre::socket s = open_or_skip(AF_PACKET, SOCK_DGRAM);
    if (!s)
        return;
    const std::uint32_t interface = gyre::if_nametoindex("lo");
    s.bind(address::packet({.interface = interface, .protocol = protocol}));
    const std::array<std::byte, 6> zero{};
    EXPECT_EQ(s.getsockname(), address::packet({.interface = interface,
                                                .protocol = protocol,
                                                .hardware_type = ARPHRD_LOOPBACK,
                                                .hardware_address = zero}));
    const std::string mine = "gyre packet test " + std::to_string(::getpid());
    const address to =
        address::packet({.interface = interface, .protocol = protocol, .hardware_address = zero});
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await s.sendto(mine, to), mine.size());
        for (;;) { // others may run the same test
            std::array<char, 256> memory{};
            auto [n, from, flags] = co_await s.recvfrom(memory);
            const gyre::packet_parts parts = from.as_packet();
            if (std::string_view(memory.data(), n) != mine || parts.packet_type == PACKET_OUTGOING)
                continue;
            EXPECT_EQ(parts.interface, interface);
            EXPECT_EQ(parts.protocol, protocol);
            EXPECT_EQ(parts.packet_type, PACKET_HOST);
            EXPECT_EQ(parts.hardware_type, ARPHRD_LOOPBACK);
            EXPECT_TRUE(std::ranges::equal(parts.hardware_address, zero));
            EXPECT_EQ(address::parse(from.to_string()), from);
            co_return;
        }
    });
}

// ---- AF_VSOCK ----------------------------------------------------------------------------------

TEST(AddressFamilies, VsockIsACidAndAPort) {
    const address a = address::vsock(VMADDR_CID_HOST, 0xfffffffe);
    const auto raw = raw_of<sockaddr_vm>(a);
    EXPECT_EQ(raw.svm_family, AF_VSOCK);
    EXPECT_EQ(raw.svm_cid, static_cast<unsigned>(VMADDR_CID_HOST));
    EXPECT_EQ(raw.svm_port, 0xfffffffe);
    EXPECT_EQ(raw.svm_flags, 0);
    EXPECT_EQ(a.as_vsock(), (gyre::vsock_parts{2, 0xfffffffe}));
    EXPECT_EQ(address::parse("vsock:4294967295:4294967295"),
              address::vsock(VMADDR_CID_ANY, VMADDR_PORT_ANY));
}

TEST(AddressFamilies, AVsockSocketIsBoundToAPortThatTheKernelPicks) {
    gyre::socket s;
    try {
        s = gyre::socket::open(AF_VSOCK, SOCK_STREAM);
    } catch (const gyre::error& e) {
        GTEST_SKIP() << "vsock cannot be had: " << e.what();
    }
    s.bind(address::vsock(VMADDR_CID_ANY, VMADDR_PORT_ANY));
    const address at = s.getsockname();
    EXPECT_TRUE(at.is_vsock());
    EXPECT_EQ(at.as_vsock().cid, VMADDR_CID_ANY);
    EXPECT_NE(at.as_vsock().port, VMADDR_PORT_ANY);
    EXPECT_EQ(address::parse(at.to_string()), at);
    EXPECT_NO_THROW(s.listen());
}

// ---- AF_TIPC -----------------------------------------------------------------------------------

TEST(AddressFamilies, TipcIsANameSequenceANameOrAnId) {
    const address seq = address::tipc(tipc_kind::nameseq, 18888, 1, 9, TIPC_NODE_SCOPE);
    auto raw = raw_of<sockaddr_tipc>(seq);
    EXPECT_EQ(raw.family, AF_TIPC);
    EXPECT_EQ(raw.addrtype, TIPC_ADDR_NAMESEQ);
    EXPECT_EQ(raw.scope, TIPC_NODE_SCOPE);
    EXPECT_EQ(raw.addr.nameseq.type, 18888U);
    EXPECT_EQ(raw.addr.nameseq.lower, 1U);
    EXPECT_EQ(raw.addr.nameseq.upper, 9U);
    EXPECT_EQ(seq.as_tipc(), (gyre::tipc_parts{tipc_kind::nameseq, 18888, 1, 9, 3}));
    const address name = address::tipc(tipc_kind::name, 18888, 17);
    raw = raw_of<sockaddr_tipc>(name);
    EXPECT_EQ(raw.addrtype, TIPC_ADDR_NAME);
    EXPECT_EQ(raw.scope, TIPC_CLUSTER_SCOPE);
    EXPECT_EQ(raw.addr.name.name.type, 18888U);
    EXPECT_EQ(raw.addr.name.name.instance, 17U);
    EXPECT_EQ(raw.addr.name.domain, 0U);
    EXPECT_EQ(name.as_tipc(), (gyre::tipc_parts{tipc_kind::name, 18888, 17, 0, 2}));
    const address id = address::tipc(tipc_kind::id, 0x01001001, 77, 0, 0);
    raw = raw_of<sockaddr_tipc>(id);
    EXPECT_EQ(raw.addrtype, TIPC_ADDR_ID);
    EXPECT_EQ(raw.scope, 0);
    EXPECT_EQ(raw.addr.id.node, 0x01001001U);
    EXPECT_EQ(raw.addr.id.ref, 77U);
    EXPECT_EQ(id.as_tipc(), (gyre::tipc_parts{tipc_kind::id, 0x01001001, 77, 0, 0}));
    EXPECT_EQ(id.to_string(), "tipc:id:16781313/77@0");
}

TEST(AddressFamilies, ATipcAddressThatTheKernelWouldNotTakeIsRefused) {
    EXPECT_EQ(thrown_by([] { address::tipc(tipc_kind::nameseq, 1, 9, 8); }),
              "invalid: the TIPC name sequence 9..8 begins beyond its end: Invalid argument");
    EXPECT_EQ(thrown_by([] { address::tipc(tipc_kind::name, 1, 2, 0, 4); }),
              "invalid: TIPC scope 4 is not in -3..3 (2: cluster, 3: node; negative: withdraw): "
              "Invalid argument");
    EXPECT_EQ(thrown_by([] { address::tipc(static_cast<tipc_kind>(9), 1, 2); }),
              "invalid: TIPC address type 9 is not nameseq (1), name (2) or id (3): "
              "Invalid argument");
    EXPECT_NE(thrown_by([] { address::tipc(tipc_kind::id, 1, 2, 3); }), "nothing");
    EXPECT_EQ(code_of("tipc:name:1/2@9"), std::errc::invalid_argument);
    EXPECT_EQ(code_of("tipc:name:1/2@"), std::errc::invalid_argument);
    EXPECT_EQ(address::parse("tipc:name:1/2@-3").as_tipc().scope, -3) << "to withdraw";
    sockaddr_tipc raw{};
    raw.family = AF_TIPC;
    raw.addrtype = 9;
    EXPECT_TRUE(from_raw(raw).is_generic());
    EXPECT_EQ(from_raw(raw).to_string(), "(AF_TIPC, 16 bytes)");
}

TEST(AddressFamilies, WhatTheKernelDoesNotReadOfATipcIdDoesNotCount) {
    sockaddr_tipc raw{};
    raw.family = AF_TIPC;
    raw.addrtype = TIPC_ADDR_ID;
    raw.scope = TIPC_CLUSTER_SCOPE;
    raw.addr.nameseq = {17, 18888, 99}; // where ref, node and nothing lie
    EXPECT_EQ(from_raw(raw), address::tipc(tipc_kind::id, 18888, 17));
}

// ---- AF_CAN ------------------------------------------------------------------------------------

/// A sockaddr_can of which only so many bytes count.
sockaddr_can can_of(const address& a, std::size_t size) {
    EXPECT_EQ(a.size(), size);
    sockaddr_can raw{};
    const void* const bytes = a.data();
    std::memcpy(&raw, bytes, std::min<std::size_t>(sizeof raw, a.size()));
    EXPECT_EQ(raw.can_family, AF_CAN);
    EXPECT_EQ(raw.can_ifindex, 5);
    return raw;
}

TEST(AddressFamilies, CanIsAnInterfaceAndForIsotpTwoIdentifiers) {
    const address plain = address::can(5);
    can_of(plain, 8);
    EXPECT_EQ(plain.as_can(), (gyre::can_parts{.kind = can_kind::raw, .interface = 5}));
    const address isotp = address::can_isotp(5, 0x7ff, 0x1fffffffU | CAN_EFF_FLAG);
    const sockaddr_can raw = can_of(isotp, 16);
    EXPECT_EQ(raw.can_addr.tp.rx_id, 0x7ffU);
    EXPECT_EQ(raw.can_addr.tp.tx_id, 0x9fffffffU);
    EXPECT_EQ(isotp.as_can(),
              (gyre::can_parts{
                  .kind = can_kind::isotp, .interface = 5, .rx_id = 0x7ff, .tx_id = 0x9fffffff}));
}

TEST(AddressFamilies, CanForJ1939IsANameAPgnAndAnAddress) {
    const address a = address::can_j1939(5, 0xfedcba9876543210, J1939_NO_PGN, J1939_NO_ADDR);
    const sockaddr_can raw = can_of(a, 24);
    EXPECT_EQ(raw.can_addr.j1939.name, 0xfedcba9876543210);
    EXPECT_EQ(raw.can_addr.j1939.pgn, static_cast<unsigned>(J1939_NO_PGN));
    EXPECT_EQ(raw.can_addr.j1939.addr, 0xff);
    EXPECT_EQ(a.as_can(), (gyre::can_parts{.kind = can_kind::j1939,
                                           .interface = 5,
                                           .name = 0xfedcba9876543210,
                                           .pgn = 0x40000,
                                           .addr = 0xff}));
    sockaddr_can padded = raw;
    reinterpret_cast<unsigned char*>(&padded)[23] = 7;
    EXPECT_EQ(from_raw(padded, 24), a);
}

TEST(AddressFamilies, CanIdentifiersThatDoNotFitAreRefused) {
    EXPECT_EQ(thrown_by([] { address::can_isotp(1, 0x800, 0); }),
              "invalid: CAN identifier 0x800 has neither 11 bits nor 29 bits and CAN_EFF_FLAG "
              "(0x80000000): Invalid argument");
    EXPECT_EQ(thrown_by([] { address::can_isotp(1, 0, 0xa0000000); }).substr(0, 37),
              "invalid: CAN identifier 0xa0000000 ha");
    EXPECT_EQ(thrown_by([] { address::can_j1939(1, 0, 0x40001, 0); }),
              "invalid: PGN 0x40001 is not in 0..0x3ffff, nor J1939_NO_PGN (0x40000): "
              "Invalid argument");
    EXPECT_EQ(error_of("can-isotp:1/0x800/0").substr(0, 40),
              "\"can-isotp:1/0x800/0\": CAN identifier 0x");
    EXPECT_EQ(error_of("can-j1939:1/0/0/256"),
              "\"can-j1939:1/0/0/256\": addr 256 is not in 0..255");
}

// ---- AF_ALG ------------------------------------------------------------------------------------

TEST(AddressFamilies, AlgIsATypeANameAndTwoMasks) {
    const address a = address::alg("skcipher", "cbc(aes)", 1, 0x80000000);
    const auto raw = raw_of<sockaddr_alg>(a);
    EXPECT_EQ(raw.salg_family, AF_ALG);
    EXPECT_STREQ(reinterpret_cast<const char*>(raw.salg_type), "skcipher");
    EXPECT_STREQ(reinterpret_cast<const char*>(raw.salg_name), "cbc(aes)");
    EXPECT_EQ(raw.salg_feat, 1U);
    EXPECT_EQ(raw.salg_mask, 0x80000000);
    EXPECT_EQ(a.as_alg(), (gyre::alg_parts{"skcipher", "cbc(aes)", 1, 0x80000000}));
}

TEST(AddressFamilies, AnAlgTypeHolds13BytesAndANameHolds63) {
    const std::string type(13, 't');
    const std::string name(63, 'n');
    const address a = address::alg(type, name);
    EXPECT_EQ(a.as_alg(), (gyre::alg_parts{type, name}));
    EXPECT_EQ(thrown_by([&] { address::alg(type + 't', name); }),
              "too long: the type of the algorithm has 14 bytes, more than the 13 that an AF_ALG "
              "address holds: File name too long");
    EXPECT_EQ(thrown_by([&] { address::alg(type, name + 'n'); }),
              "too long: the name of the algorithm has 64 bytes, more than the 63 that an AF_ALG "
              "address holds: File name too long");
    EXPECT_EQ(code_of("alg:hash/" + name + 'n'), std::errc::filename_too_long);
    EXPECT_EQ(thrown_by([] {
                  address::alg("hash", "sha\0"
                                       "256"s);
              }),
              "invalid: the name of the algorithm holds a NUL byte, which would cut it short: "
              "Invalid argument");
    EXPECT_EQ(code_of("alg:ha\\x00sh/sha256"), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([] { address::alg("", "sha256"); }),
              "invalid: the type of the algorithm is empty: Invalid argument");
}

TEST(AddressFamilies, EveryByteOfAnAlgNameSurvivesItsText) {
    std::string bytes;
    for (int byte = 1; byte < 256; ++byte)
        bytes += static_cast<char>(byte);
    for (std::size_t at = 0; at < bytes.size(); at += 60) {
        const address a = address::alg("hash", bytes.substr(at, 60));
        EXPECT_EQ(address::parse(a.to_string()), a) << a.to_string();
    }
    EXPECT_EQ(address::alg("hash", "a/b\\").to_string(), "alg:hash/a\\x2fb\\x5c");
}

TEST(AddressFamilies, AnAlgAddressKeepsALongNameThatCameAsBytes) {
    std::array<char, 128> raw{};
    raw[0] = AF_ALG;
    std::memcpy(&raw[2], "hash", 5);
    std::memset(&raw[24], 'n', 104);
    const address a(reinterpret_cast<const sockaddr*>(raw.data()), raw.size());
    EXPECT_EQ(a.as_alg().name, std::string(103, 'n')) << "the kernel makes the last one a NUL";
    EXPECT_EQ(a.size(), 128U);
    raw[24 + 10] = '\0';
    EXPECT_EQ(address(reinterpret_cast<const sockaddr*>(raw.data()), raw.size()),
              address::alg("hash", std::string(10, 'n')));
}

// ---- The rest ----------------------------------------------------------------------------------

TEST(AddressFamilies, AFamilyThatGyreDoesNotKnowIsItsNumberAndBytes) {
    const std::array bytes{std::byte{1}, std::byte{2}, std::byte{0}};
    const address a = address::generic(AF_X25, bytes);
    EXPECT_EQ(a.family(), AF_X25);
    EXPECT_EQ(a.size(), 5U);
    EXPECT_TRUE(a.is_generic());
    EXPECT_TRUE(std::ranges::equal(a.bytes(), bytes));
    EXPECT_EQ(a.to_string(), "(AF_X25, 5 bytes)");
    EXPECT_EQ(address::generic(99, {}).to_string(), "(family 99, 2 bytes)");
    EXPECT_EQ(address::generic(a.family(), a.bytes()), a);
    for (const address& known : all_kinds())
        EXPECT_EQ(address::generic(known.family(), known.bytes()), known) << known.to_string();
    EXPECT_TRUE(address().bytes().empty());
}

TEST(AddressFamilies, TheFamilyIsANumberOf16BitsAndTheBytesBehindItAreUpTo126) {
    const std::array<std::byte, 127> bytes{};
    EXPECT_EQ(address::generic(AF_X25, std::span(bytes).first(126)).size(), 128U);
    EXPECT_EQ(thrown_by([&] { address::generic(AF_X25, bytes); }),
              "invalid: an address of 127 bytes behind its family is larger than 126: "
              "Invalid argument");
    EXPECT_EQ(thrown_by([] { address::generic(65536, {}); }),
              "invalid: address family 65536 is not in 0..65535: Invalid argument");
    EXPECT_EQ(thrown_by([] { address::generic(-1, {}); }),
              "invalid: address family -1 is not in 0..65535: Invalid argument");
}

} // namespace
