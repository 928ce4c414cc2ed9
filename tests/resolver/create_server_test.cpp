#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace {

using namespace gyre_test;

class CreateServer : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(CreateServer);

/// Whether a client gets through to the listener, and whom that sees.
gyre::task<std::string> peer_through(gyre::socket& listener, gyre::address to) {
    gyre::socket client = co_await gyre::create_connection(to, {.timeout = 10s});
    auto [peer, from] = co_await listener.accept().within(10s);
    push(client, "hello");
    std::array<std::byte, 8> memory;
    const std::size_t n = co_await peer.recv(memory);
    co_return n == 5 ? from.host() : "nothing";
}

/// How it failed, in words; "" when it did not.
gyre::task<std::string> words(gyre::task<gyre::socket> t) {
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

TEST_P(CreateServer, ListensOnTheFirstAddressOfAName) {
    let_name_be("here.test", {"127.0.0.2", "127.0.0.1"});
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server({.host = "here.test"});
        EXPECT_EQ(s.getsockname().host(), "127.0.0.2");
        gyre::socket l = co_await gyre::create_server({.host = "localhost"});
        const std::string host = l.getsockname().host();
        EXPECT_TRUE(host == "127.0.0.1" || host == "::1") << host;
    });
}

TEST_P(CreateServer, WithoutAHostListensOnEveryAddress) {
    run([]() -> gyre::task<> {
        gyre::socket four = co_await gyre::create_server(gyre::server_options{});
        EXPECT_EQ(four.getsockname().host(), "0.0.0.0");
        gyre::socket both = co_await gyre::create_server({.dualstack = true});
        EXPECT_EQ(both.getsockname().host(), "::");
        const std::uint16_t port = four.getsockname().port();
        EXPECT_EQ(co_await peer_through(four, gyre::address::loopback_ipv4(port)), "127.0.0.1");
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

TEST_P(CreateServer, AUnixPathMustNotExistYet) {
    std::string folder = (std::filesystem::temp_directory_path() / "gyre.XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    const gyre::address at = gyre::address::unix_path(folder + "/socket");
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server(at);
        EXPECT_EQ(co_await peer_through(s, at), "");
        EXPECT_EQ(co_await outcome(gyre::create_server(at)), std::errc::address_in_use);
        const std::string said = co_await words(gyre::create_server(at));
        EXPECT_NE(said.find(at.to_string()), said.npos) << said;
        s.close();
        EXPECT_EQ(co_await outcome(gyre::create_server(at)), std::errc::address_in_use)
            << "closing leaves the path";
    });
    std::filesystem::remove_all(folder);
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
