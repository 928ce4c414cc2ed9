#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/resolver/create_datagram_endpoint.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <array>
#include <fstream>
#include <string>
#include <unistd.h>

namespace {

using namespace gyre_test;

class CreateDatagramEndpoint : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(CreateDatagramEndpoint);

/// That what `from` sends to `to`, or to whom it is connected, arrives; the sender.
gyre::task<gyre::address> carry(gyre::socket& from, gyre::socket& to, const gyre::address& where) {
    co_await from.sendto("datagram", where);
    std::array<std::byte, 32> memory;
    const gyre::datagram d = co_await to.recvfrom(memory);
    EXPECT_EQ(text_of(std::span(memory).first(d.count)), "datagram");
    co_return d.from;
}

std::error_code not_connected(const gyre::socket& s) {
    return thrown_by([&] { s.getpeername(); });
}

TEST_P(CreateDatagramEndpoint, TheLocalAddressIsBound) {
    run([]() -> gyre::task<> {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            gyre::socket s = co_await gyre::create_datagram_endpoint({.local_host = host});
            EXPECT_EQ(s.type(), SOCK_DGRAM);
            EXPECT_EQ(s.getsockname().host(), host);
            EXPECT_NE(s.getsockname().port(), 0);
            EXPECT_EQ(not_connected(s), std::errc::not_connected);
            gyre::socket client = gyre::socket::open(s.family(), SOCK_DGRAM);
            co_await carry(client, s, s.getsockname());
        }
    });
}

TEST_P(CreateDatagramEndpoint, TheRemoteAddressIsConnected) {
    run([]() -> gyre::task<> {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            gyre::socket server = co_await gyre::create_datagram_endpoint({.local_host = host});
            const std::uint16_t port = server.getsockname().port();
            gyre::socket client =
                co_await gyre::create_datagram_endpoint({.remote_host = host, .remote_port = port});
            EXPECT_EQ(client.getpeername(), server.getsockname());
            EXPECT_EQ(co_await carry(client, server, {}), client.getsockname());
        }
    });
}

TEST_P(CreateDatagramEndpoint, BothMayBeGiven) {
    run([]() -> gyre::task<> {
        gyre::socket server = co_await gyre::create_datagram_endpoint({.local_host = "127.0.0.1"});
        gyre::socket client =
            co_await gyre::create_datagram_endpoint({.local_host = "127.0.0.7",
                                                     .remote_host = "127.0.0.1",
                                                     .remote_port = server.getsockname().port()});
        EXPECT_EQ(client.getsockname().host(), "127.0.0.7");
        EXPECT_EQ(co_await carry(client, server, {}), client.getsockname());
    });
}

TEST_P(CreateDatagramEndpoint, WithoutALocalHostItIsBoundToEveryAddress) {
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_datagram_endpoint({});
        EXPECT_EQ(s.getsockname().host(), "0.0.0.0");
        s = co_await gyre::create_datagram_endpoint({.family = AF_INET6});
        EXPECT_EQ(s.getsockname().host(), "::");
    });
}

TEST_P(CreateDatagramEndpoint, DualstackHearsIPv4AndElseIPv6DoesNot) {
    run([]() -> gyre::task<> {
        gyre::socket both =
            co_await gyre::create_datagram_endpoint({.local_host = "::", .dualstack = true});
        gyre::socket client = gyre::socket::open(AF_INET, SOCK_DGRAM);
        const auto at = gyre::address::loopback_ipv4(both.getsockname().port());
        EXPECT_EQ((co_await carry(client, both, at)).host(), "::ffff:127.0.0.1");
        gyre::socket six = co_await gyre::create_datagram_endpoint({.local_host = "::"});
        EXPECT_TRUE(six.get(gyre::option::v6_only));
    });
}

TEST_P(CreateDatagramEndpoint, NamesAreLookedUpAndTheirFamiliesMatched) {
    let_name_be("local.test", {"::1", "127.0.0.3"});
    let_name_be("remote.test", {"127.0.0.2", "::1"});
    let_name_be("four.test", {"127.0.0.2"});
    let_name_be("six.test", {"::1"});
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_datagram_endpoint(
            {.local_host = "local.test", .remote_host = "remote.test", .remote_port = 9});
        EXPECT_EQ(s.getsockname().host(), "127.0.0.3");
        EXPECT_EQ(s.getpeername(), gyre::address::parse("127.0.0.2:9"));
        s = co_await gyre::create_datagram_endpoint({.local_host = "local.test",
                                                     .remote_host = "remote.test",
                                                     .remote_port = 9,
                                                     .family = AF_INET6});
        EXPECT_EQ(s.getsockname().host(), "::1");
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(
                      {.local_host = "six.test", .remote_host = "four.test", .remote_port = 9})),
                  std::errc::invalid_argument);
    });
}

TEST_P(CreateDatagramEndpoint, AnAddressThatCannotBeBoundGivesWayToTheNext) {
    let_name_be("two.test", {"198.51.100.7", "127.0.0.2"});
    let_name_be("foreign.test", {"198.51.100.7"});
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_datagram_endpoint({.local_host = "two.test"});
        EXPECT_EQ(s.getsockname().host(), "127.0.0.2");
        std::string said;
        try {
            co_await gyre::create_datagram_endpoint({.local_host = "foreign.test"});
        } catch (const gyre::error& e) {
            said = e.what();
        }
        EXPECT_EQ(said, "bind to 198.51.100.7:0: Cannot assign requested address");
    });
}

TEST_P(CreateDatagramEndpoint, AnUnknownNameIsAnErrorOfTheLookUp) {
    let_name_fail("unknown.test", EAI_NONAME);
    run([]() -> gyre::task<> {
        const std::error_code unknown(EAI_NONAME, gyre::address_info_category());
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint({.local_host = "unknown.test"})),
                  unknown);
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(
                      {.remote_host = "unknown.test", .remote_port = 9})),
                  unknown);
    });
}

TEST_P(CreateDatagramEndpoint, ARemotePortWithoutAHostIsInvalid) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint({.remote_port = 9})),
                  std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(gyre::address())),
                  std::errc::invalid_argument);
    });
}

TEST_P(CreateDatagramEndpoint, AHeldNameCanBeGivenUp) {
    const std::string slow = fresh_name();
    const held_name held(slow);
    run([&]() -> gyre::task<> {
        gyre::datagram_options o{.local_host = slow};
        EXPECT_EQ(co_await outcome(gyre::with_timeout(2ms, gyre::create_datagram_endpoint(o))),
                  gyre::errc::timed_out);
        auto f = gyre::loop::current()->start(gyre::create_datagram_endpoint(o));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled);
    });
}

TEST_P(CreateDatagramEndpoint, ReusePortLetsOthersShareThePort) {
    run([]() -> gyre::task<> {
        gyre::socket one = co_await gyre::create_datagram_endpoint(
            {.local_host = "127.0.0.1", .reuse_port = true});
        const std::uint16_t port = one.getsockname().port();
        gyre::socket two = co_await gyre::create_datagram_endpoint(
            {.local_host = "127.0.0.1", .local_port = port, .reuse_port = true});
        EXPECT_EQ(two.getsockname(), one.getsockname());
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(
                      {.local_host = "127.0.0.1", .local_port = port})),
                  std::errc::address_in_use);
    });
}

TEST_P(CreateDatagramEndpoint, WithBroadcastItIsBoundAndNotConnected) {
    run([]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_datagram_endpoint(
            {.remote_host = "<broadcast>", .remote_port = 9, .broadcast = true});
        EXPECT_TRUE(s.get(gyre::option::broadcast));
        EXPECT_EQ(not_connected(s), std::errc::not_connected);
        EXPECT_NE(s.getsockname().port(), 0);
        gyre::socket server = co_await gyre::create_datagram_endpoint();
        const auto all = gyre::address::from_ip("127.255.255.255", server.getsockname().port());
        co_await carry(s, server, all.value());
    });
}

TEST_P(CreateDatagramEndpoint, ItIsPreparedBeforeItIsBound) {
    run([]() -> gyre::task<> {
        gyre::datagram_options o{.local_host = "127.0.0.1"};
        o.prepare = [](gyre::socket& s) {
            EXPECT_EQ(s.getsockname().port(), 0);
            s.set(gyre::option::receive_buffer, 65536);
        };
        gyre::socket s = co_await gyre::create_datagram_endpoint(o);
        EXPECT_EQ(s.get(gyre::option::receive_buffer), 2 * 65536);
    });
}

TEST_P(CreateDatagramEndpoint, AddressesOfUnixMayBeGiven) {
    run([]() -> gyre::task<> {
        const std::string path = "/tmp/gyre-datagram-" + std::to_string(getpid());
        const auto at = gyre::address::unix_path(path);
        gyre::socket server = co_await gyre::create_datagram_endpoint(at);
        gyre::socket client =
            co_await gyre::create_datagram_endpoint(gyre::address::unix_unnamed(), at);
        const gyre::address from = co_await carry(client, server, {});
        EXPECT_EQ(from, client.getsockname());
        co_await carry(server, client, from);
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(at)), std::errc::address_in_use);
        unlink(path.c_str());
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(gyre::address(), at)),
                  std::errc::no_such_file_or_directory);
    });
}

TEST_P(CreateDatagramEndpoint, AStaleUnixPathIsReplacedAndNothingElse) {
    run([]() -> gyre::task<> {
        const std::string path = "/tmp/gyre-stale-" + std::to_string(getpid());
        const auto at = gyre::address::unix_path(path);
        for (int i = 0; i < 2; ++i) {
            gyre::socket server = co_await gyre::create_datagram_endpoint(at);
            EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(at)),
                      std::errc::address_in_use);
            gyre::socket client =
                co_await gyre::create_datagram_endpoint(gyre::address::unix_unnamed(), at);
            co_await carry(client, server, {});
        }
        unlink(path.c_str());
        std::ofstream(path) << "a file";
        EXPECT_EQ(co_await outcome(gyre::create_datagram_endpoint(at)), std::errc::address_in_use);
        unlink(path.c_str());
    });
}

} // namespace
