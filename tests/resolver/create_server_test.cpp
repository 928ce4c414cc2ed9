#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/tcp_option.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/resolver.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace gyre_test;

class CreateServer : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(CreateServer);

/// Whether a client gets through to the listener, and whom that sees.
template <class Listener> // or a socket
gyre::task<std::string> peer_through(Listener& listener, gyre::address to) {
    gyre::socket client = co_await gyre::create_connection(to, {.timeout = 10s});
    auto [peer, from] = co_await gyre::with_timeout(10s, listener.accept());
    push(client, "hello");
    std::array<std::byte, 8> memory;
    const std::size_t n = co_await peer.recv(memory);
    co_return n == 5 ? from.host() : "nothing";
}

/// How it failed, in words; "" when it did not.
gyre::task<std::string> words(gyre::task<gyre::listener> t) {
    try {
        co_await std::move(t);
    } catch (const gyre::error& e) {
        co_return e.what();
    }
    co_return "";
}

// ---- Where it listens --------------------------------------------------------------------------

TEST_P(CreateServer, ListensWhereItIsToldToOnAPortThatTheKernelPicks) {
    run([]() -> gyre::task<> {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            gyre::socket s = co_await gyre::create_server({.host = host});
            const gyre::address at = s.getsockname();
            EXPECT_EQ(at.host(), host);
            EXPECT_NE(at.port(), 0);
            EXPECT_TRUE(s.get(gyre::option::accepts));
            EXPECT_EQ(co_await peer_through(s, at), host);
        }
    });
}

std::vector<std::string> hosts_of(gyre::listener& l) {
    std::vector<std::string> hosts;
    for (const gyre::socket& s : l.sockets())
        hosts.push_back(s.getsockname().host());
    return hosts;
}

std::set<std::uint16_t> ports_of(gyre::listener& l) {
    std::set<std::uint16_t> ports;
    for (const gyre::socket& s : l.sockets())
        ports.insert(s.getsockname().port());
    return ports;
}

using hosts = std::vector<std::string>;

TEST_P(CreateServer, ListensOnEachAddressOfANameAtOnePort) {
    let_name_be("here.test", {"127.0.0.2", "::1", "127.0.0.1", "127.0.0.2"});
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "here.test"});
        EXPECT_EQ(hosts_of(l), (hosts{"127.0.0.2", "::1", "127.0.0.1"})) << "each once";
        EXPECT_EQ(ports_of(l).size(), 1U);
        EXPECT_EQ(l.getsockname(), l.sockets()[0].getsockname());
        for (gyre::socket& s : l.sockets()) {
            const gyre::address at = s.getsockname();
            EXPECT_NE(co_await peer_through(l, at), "nothing");
        }
        gyre::listener four =
            co_await gyre::create_server({.host = "here.test", .family = AF_INET});
        EXPECT_EQ(hosts_of(four), (hosts{"127.0.0.2", "127.0.0.1"}));
        gyre::listener six =
            co_await gyre::create_server({.host = "here.test", .family = AF_INET6});
        EXPECT_EQ(hosts_of(six), hosts{"::1"});
    });
}

class names_of_ours final : public gyre::name_source {
    answer<std::vector<gyre::address_info>>
    getaddrinfo(const std::string& host, const std::string&,
                const gyre::address_info_hints& hints) override {
        gyre::address_info info;
        info.family = AF_INET;
        info.type = hints.type;
        info.address = gyre::address::parse("127.0.0.3:0");
        return std::vector<gyre::address_info>(host == "ours.test" ? 1 : 0, info);
    }
};

TEST_P(CreateServer, AsksTheResolverThatItIsGiven) {
    run([]() -> gyre::task<> {
        gyre::resolver names({.source = std::make_shared<names_of_ours>()});
        gyre::listener l = co_await gyre::create_server({.host = "ours.test", .resolver = &names});
        EXPECT_EQ(hosts_of(l), hosts{"127.0.0.3"});
    });
}

TEST_P(CreateServer, WithoutAHostListensOnEveryAddressOfBothFamilies) {
    run([]() -> gyre::task<> {
        gyre::listener both = co_await gyre::create_server({});
        EXPECT_EQ(hosts_of(both), (hosts{"0.0.0.0", "::"}));
        EXPECT_EQ(ports_of(both).size(), 1U);
        const std::uint16_t port = both.getsockname().port();
        EXPECT_EQ(co_await peer_through(both, gyre::address::loopback_ipv4(port)), "127.0.0.1");
        EXPECT_EQ(co_await peer_through(both, gyre::address::loopback_ipv6(port)), "::1");
        gyre::socket four = co_await gyre::create_server({.family = AF_INET});
        EXPECT_EQ(four.getsockname().host(), "0.0.0.0");
        gyre::socket six = co_await gyre::create_server({.family = AF_INET6});
        EXPECT_TRUE(six.get(gyre::option::v6_only));
        gyre::socket one = co_await gyre::create_server({.dualstack = true});
        EXPECT_EQ(one.getsockname().host(), "::");
        EXPECT_FALSE(one.get(gyre::option::v6_only));
    });
}

TEST_P(CreateServer, LeavesOutAnAddressThatThisHostDoesNotHave) {
    let_name_be("part.test", {"203.0.113.7", "127.0.0.1", "2001:db8::7"});
    let_name_be("elsewhere.test", {"203.0.113.7", "2001:db8::7"});
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "part.test"});
        EXPECT_EQ(hosts_of(l), hosts{"127.0.0.1"});
        EXPECT_EQ(co_await outcome(gyre::create_server({.host = "elsewhere.test"})),
                  std::errc::address_not_available);
        const std::string said = co_await words(gyre::create_server({.host = "elsewhere.test"}));
        EXPECT_NE(said.find("203.0.113.7:0"), said.npos) << said;
    });
}

TEST_P(CreateServer, APortInUseAtOneOfTheAddressesClosesAllAndNamesThatOne) {
    // Addresses that no test beside this one is at: the port has to be free at the first.
    const std::string own = "127." + std::to_string(1 + getpid() / 250 % 250) + '.' +
                            std::to_string(1 + getpid() % 250) + '.';
    let_name_be("two.test", {own + '1', own + '2'});
    run([&]() -> gyre::task<> {
        const std::string first = own + '1';
        const std::string second = own + '2';
        gyre::socket other = co_await gyre::create_server({.host = second});
        const gyre::address at = other.getsockname();
        const std::string said =
            co_await words(gyre::create_server({.host = "two.test", .port = at.port()}));
        EXPECT_NE(said.find(at.to_string()), said.npos) << said;
        gyre::socket free = co_await gyre::create_server({.host = first, .port = at.port()});
    });
}

TEST_P(CreateServer, DeferAcceptAndBacklogAreThoseOfEachSocket) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.defer_accept = 1s});
        for (gyre::socket& s : l.sockets())
            EXPECT_GE(s.get(gyre::option::tcp::defer_accept), 1s);
    });
}

TEST_P(CreateServer, WhatIsNotOneSocketIsNotTakenForOne) {
    run([]() -> gyre::task<> {
        const auto take = []() -> gyre::task<> {
            gyre::socket s = co_await gyre::create_server(gyre::server_options{});
        };
        std::string said;
        try {
            co_await take();
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::invalid_argument);
            said = e.what();
        }
        EXPECT_NE(said.find("0.0.0.0:"), said.npos) << said;
        EXPECT_NE(said.find("[::]:"), said.npos) << said;
        EXPECT_EQ(thrown_by([] { gyre::socket s = gyre::listener(); }),
                  std::errc::invalid_argument);
    });
}

TEST_P(CreateServer, KeepsACopyOfTheHost) {
    run([]() -> gyre::task<> {
        std::string host = "127.0.0.2 and a text that is long enough to be on the heap";
        auto making = gyre::create_server({.host = std::string_view(host).substr(0, 9)});
        host.assign(host.size(), 'x');
        gyre::socket s = co_await std::move(making);
        EXPECT_EQ(s.getsockname().host(), "127.0.0.2");
    });
}

TEST_P(CreateServer, AtAnAddressHostAndPortOfTheOptionsDoNotCount) {
    run([]() -> gyre::task<> {
        const auto at = gyre::address::loopback_ipv4(0);
        gyre::socket s = co_await gyre::create_server(at, {.host = "no.such.test", .port = 1});
        EXPECT_EQ(s.getsockname().host(), "127.0.0.1");
        EXPECT_NE(s.getsockname().port(), 1);
    });
}

TEST_P(CreateServer, ListensAtUnixAddresses) {
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server(gyre::address::unix_unnamed());
        const gyre::address at = s.getsockname();
        EXPECT_TRUE(at.is_unix_abstract()) << at.to_string();
        EXPECT_EQ(co_await peer_through(s, at), "");
    });
}

// ---- Dual stack --------------------------------------------------------------------------------

TEST_P(CreateServer, AnIpv6AddressIsThatOfIpv6Only) {
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server({.host = "::"});
        EXPECT_TRUE(s.get(gyre::option::v6_only));
        const auto to = gyre::address::loopback_ipv6(s.getsockname().port());
        EXPECT_EQ(co_await peer_through(s, to), "::1");
    });
}

TEST_P(CreateServer, WithDualstackIpv4ComesInAsMappedAddresses) {
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server({.host = "::", .dualstack = true});
        const std::uint16_t port = s.getsockname().port();
        EXPECT_EQ(co_await peer_through(s, gyre::address::loopback_ipv4(port)), "::ffff:127.0.0.1");
        EXPECT_EQ(co_await peer_through(s, gyre::address::loopback_ipv6(port)), "::1");
    });
}

TEST_P(CreateServer, DualstackWithAnIpv4AddressIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_server({.host = "127.0.0.1", .dualstack = true})),
                  std::errc::invalid_argument);
        EXPECT_EQ(
            co_await outcome(gyre::create_server(gyre::address::any_ipv4(0), {.dualstack = true})),
            std::errc::invalid_argument);
        const std::string said =
            co_await words(gyre::create_server({.host = "127.0.0.1", .dualstack = true}));
        EXPECT_NE(said.find("127.0.0.1"), said.npos) << said;
    });
}

TEST_P(CreateServer, DualstackTakesTheIpv6AddressOfAName) {
    let_name_be("both.test", {"127.0.0.1", "::1"});
    let_name_be("four.test", {"127.0.0.1"});
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server({.host = "both.test", .dualstack = true});
        EXPECT_EQ(s.getsockname().host(), "::1");
        const std::error_code code =
            co_await outcome(gyre::create_server({.host = "four.test", .dualstack = true}));
        EXPECT_EQ(&code.category(), &gyre::address_info_category()) << code.message();
    });
}

// ---- Ports -------------------------------------------------------------------------------------

TEST_P(CreateServer, APortInUseIsAnErrorThatNamesTheAddress) {
    run([]() -> gyre::task<> {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            gyre::socket first = co_await gyre::create_server({.host = host});
            const gyre::address at = first.getsockname();
            EXPECT_EQ(co_await outcome(gyre::create_server({.host = host, .port = at.port()})),
                      std::errc::address_in_use);
            const std::string said =
                co_await words(gyre::create_server({.host = host, .port = at.port()}));
            EXPECT_NE(said.find(at.to_string()), said.npos) << said;
        }
    });
}

TEST_P(CreateServer, APortMayBeTakenAgainAtOnceThatHadConnections) {
    run([]() -> gyre::task<> {
        gyre::socket first = co_await gyre::create_server({.host = "127.0.0.1"});
        const gyre::address at = first.getsockname();
        gyre::socket client = co_await gyre::create_connection(at);
        auto [peer, from] = co_await first.accept();
        peer.close(); // this side first: its port stays in TIME_WAIT
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await client.recv(memory), 0U);
        client.close();
        first.close();
        gyre::socket again = co_await gyre::create_server(at);
        EXPECT_EQ(again.getsockname(), at);
    });
}

TEST_P(CreateServer, SeveralShareAPortOnlyWithReusePort) {
    run([]() -> gyre::task<> {
        gyre::socket one = co_await gyre::create_server({.host = "127.0.0.1", .reuse_port = true});
        const gyre::address at = one.getsockname();
        gyre::socket two = co_await gyre::create_server(at, {.reuse_port = true});
        EXPECT_EQ(two.getsockname(), at);
        EXPECT_EQ(co_await outcome(gyre::create_server(at)), std::errc::address_in_use);
    });
}

TEST_P(CreateServer, TheBacklogIsHowManyConnectionsWait) {
    run([]() -> gyre::task<> {
        gyre::socket s =
            co_await gyre::create_server(gyre::address::unix_unnamed(), {.backlog = 0});
        const gyre::address at = s.getsockname();
        gyre::socket first = co_await gyre::create_connection(at);
        gyre::socket second = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await outcome(second.connect(at).nonblocking()),
                  std::errc::operation_would_block);
    });
}

// ---- Failure -----------------------------------------------------------------------------------

TEST_P(CreateServer, AnAddressOfAnotherHostIsAnErrorThatNamesIt) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_server({.host = "203.0.113.7"})),
                  std::errc::address_not_available);
        const std::string said = co_await words(gyre::create_server({.host = "203.0.113.7"}));
        EXPECT_NE(said.find("203.0.113.7:0"), said.npos) << said;
    });
}

TEST_P(CreateServer, AnUnknownNameIsAnErrorOfTheLookUp) {
    let_name_fail("nobody.test", EAI_NONAME);
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_server({.host = "nobody.test"})),
                  std::error_code(EAI_NONAME, gyre::address_info_category()));
    });
}

TEST_P(CreateServer, ANulInTheNameIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        const std::string_view host("127.0.0.1\0.test", 15);
        EXPECT_EQ(co_await outcome(gyre::create_server({.host = host})),
                  std::errc::invalid_argument);
    });
}

TEST_P(CreateServer, CancellingItEndsTheLookUp) {
    const held_name held("slow.test");
    run([]() -> gyre::task<> {
        EXPECT_EQ(
            co_await outcome(gyre::with_timeout(5ms, gyre::create_server({.host = "slow.test"}))),
            gyre::errc::timed_out);
    });
}

} // namespace
