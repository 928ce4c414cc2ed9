#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/loop_thread.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace gyre_test;

class GetAddrInfo : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(GetAddrInfo);

gyre::task<std::vector<gyre::address_info>> streams(std::string host, std::string service,
                                                    int family = AF_UNSPEC, int flags = 0) {
    const gyre::address_info_hints hints{.family = family, .type = SOCK_STREAM, .flags = flags};
    co_return co_await gyre::getaddrinfo(host, service, hints);
}

std::vector<std::string> texts(const std::vector<gyre::address_info>& found) {
    std::vector<std::string> all;
    for (const gyre::address_info& i : found)
        all.push_back(i.address.to_string());
    return all;
}

/// "" when looking up fails with this EAI_* and says these words, else how it ended.
gyre::task<std::string> fails(std::string host, std::string service, int eai, std::string words) {
    try {
        co_await streams(host, service);
    } catch (const gyre::address_info_error& e) {
        const std::string what = e.what();
        if (e.code() == std::error_code(eai, gyre::address_info_category()) &&
            what.find(words) != std::string::npos)
            co_return "";
        co_return what;
    }
    co_return "found";
}

// ---- What it finds -----------------------------------------------------------------------------

TEST_P(GetAddrInfo, FindsNumericAddresses) {
    run([]() -> gyre::task<> {
        const auto four = co_await streams("127.0.0.1", "80");
        EXPECT_EQ(texts(four), std::vector<std::string>{"127.0.0.1:80"});
        const auto six = co_await streams("::1", "443");
        EXPECT_EQ(texts(six), std::vector<std::string>{"[::1]:443"});
    });
}

TEST_P(GetAddrInfo, FindsLocalhost) {
    run([]() -> gyre::task<> {
        const auto found = texts(co_await streams("localhost", "7"));
        EXPECT_FALSE(found.empty());
        for (const std::string& a : found)
            EXPECT_TRUE(a == "127.0.0.1:7" || a == "[::1]:7") << a;
    });
}

TEST_P(GetAddrInfo, FindsAllAddressesInTheirOrder) {
    let_name_be("many.test", {"192.0.2.1", "2001:db8::1", "192.0.2.2"});
    run([]() -> gyre::task<> {
        const auto found = texts(co_await streams("many.test", "80"));
        EXPECT_EQ(found,
                  (std::vector<std::string>{"192.0.2.1:80", "[2001:db8::1]:80", "192.0.2.2:80"}));
    });
}

TEST_P(GetAddrInfo, GivesWhatOpenAndConnectTake) {
    run([]() -> gyre::task<> {
        for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
            const gyre::address_info_hints hints{.family = AF_INET6, .type = type};
            const auto found = co_await gyre::getaddrinfo("::1", "80", hints);
            CO_ASSERT_TRUE(found.size() == 1);
            EXPECT_EQ(found[0].family, AF_INET6);
            EXPECT_EQ(found[0].type, type);
            EXPECT_EQ(found[0].protocol, type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP);
            const gyre::socket s =
                gyre::socket::open(found[0].family, found[0].type, found[0].protocol);
            EXPECT_GE(s.fileno(), 0);
        }
    });
}

TEST_P(GetAddrInfo, WithoutHintsGivesEachTypeOfSocket) {
    run([]() -> gyre::task<> {
        const auto found = co_await gyre::getaddrinfo("127.0.0.1", "80");
        const auto has = [&](int type) {
            return std::ranges::any_of(found, [=](const auto& i) { return i.type == type; });
        };
        EXPECT_TRUE(has(SOCK_STREAM));
        EXPECT_TRUE(has(SOCK_DGRAM));
    });
}

TEST_P(GetAddrInfo, HeedsTheFamily) {
    let_name_be("both.test", {"2001:db8::1", "192.0.2.1"});
    run([]() -> gyre::task<> {
        const auto four = co_await streams("both.test", "80", AF_INET);
        EXPECT_EQ(texts(four), std::vector<std::string>{"192.0.2.1:80"});
        const auto six = co_await streams("both.test", "80", AF_INET6);
        EXPECT_EQ(texts(six), std::vector<std::string>{"[2001:db8::1]:80"});
    });
}

TEST_P(GetAddrInfo, WithoutAHostIsThisHostAndToBindToEveryAddress) {
    run([]() -> gyre::task<> {
        const auto own = co_await streams("", "80", AF_INET);
        EXPECT_EQ(texts(own), std::vector<std::string>{"127.0.0.1:80"});
        const auto any = co_await streams("", "80", AF_INET, AI_PASSIVE);
        EXPECT_EQ(texts(any), std::vector<std::string>{"0.0.0.0:80"});
    });
}

TEST_P(GetAddrInfo, WithoutAServiceIsPortZero) {
    run([]() -> gyre::task<> {
        const auto found = co_await streams("127.0.0.1", "");
        EXPECT_EQ(texts(found), std::vector<std::string>{"127.0.0.1:0"});
    });
}

TEST_P(GetAddrInfo, GivesTheCanonicalNameWhereItIsAskedFor) {
    run([]() -> gyre::task<> {
        const auto plain = co_await streams("127.0.0.1", "80");
        EXPECT_EQ(plain.at(0).canonical_name, "");
        const auto named = co_await streams("127.0.0.1", "80", AF_UNSPEC, AI_CANONNAME);
        EXPECT_EQ(named.at(0).canonical_name, "127.0.0.1");
    });
}

TEST_P(GetAddrInfo, KeepsACopyOfItsArguments) {
    run([]() -> gyre::task<> {
        std::string host = "127.0.0.1";
        std::string service = "80";
        const gyre::address_info_hints hints{.type = SOCK_STREAM};
        auto look_up = gyre::getaddrinfo(host, service, hints);
        host.assign("255.255.255.255");
        service.assign("99");
        const auto found = co_await std::move(look_up);
        EXPECT_EQ(texts(found), std::vector<std::string>{"127.0.0.1:80"});
    });
}

// ---- What it does not find ---------------------------------------------------------------------

TEST_P(GetAddrInfo, OfAnUnknownNameThrowsItsCodeAndSaysWhich) {
    let_name_fail("nobody.test", EAI_NONAME);
    let_name_fail("later.test", EAI_AGAIN);
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await fails("nobody.test", "80", EAI_NONAME, "nobody.test"), "");
        EXPECT_EQ(co_await fails("later.test", "80", EAI_AGAIN, "later.test"), "");
    });
}

TEST_P(GetAddrInfo, OfAnUnknownServiceThrowsAndSaysWhich) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await fails("127.0.0.1", "no-such-service", EAI_SERVICE, "no-such-service"),
                  "");
    });
}

TEST_P(GetAddrInfo, OfANameThatCannotBeOneThrows) {
    const std::string label(64, 'a'); // RFC 1035 allows 63
    run([&]() -> gyre::task<> {
        bool thrown = false;
        try {
            co_await streams(label + ".test", "80");
        } catch (const gyre::address_info_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST_P(GetAddrInfo, OfNothingThrows) {
    run([]() -> gyre::task<> { EXPECT_EQ(co_await fails("", "", EAI_NONAME, "look up"), ""); });
}

TEST_P(GetAddrInfo, ANulInANameIsAnInvalidArgumentAndNotItsEnd) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(streams(std::string("127.0.0.1\0.test", 15), "80")),
                  std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(streams("127.0.0.1", std::string("80\0", 3))),
                  std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(streams(std::string("\0", 1), "80")),
                  std::errc::invalid_argument);
    });
}

TEST(AddressInfoCategory, SpeaksAsGaiStrerrorDoes) {
    const std::error_code code(EAI_NONAME, gyre::address_info_category());
    EXPECT_EQ(code.message(), gai_strerror(EAI_NONAME));
    EXPECT_STREQ(code.category().name(), "getaddrinfo");
    const gyre::address_info_error e(EAI_AGAIN, "look up x");
    EXPECT_EQ(e.what(), std::string("look up x: ") + gai_strerror(EAI_AGAIN));
}

// ---- While it looks ----------------------------------------------------------------------------

TEST_P(GetAddrInfo, TheLoopGoesOnMeanwhile) {
    std::optional<held_name> held("slow.test");
    run([&]() -> gyre::task<> {
        auto f = gyre::loop::current()->start(streams("slow.test", "80"));
        co_await next_turn();
        held->await_lookups(1);
        for (int i = 0; i < 100; ++i)
            co_await gyre::yield();
        EXPECT_FALSE(f.ready());
        held.reset();
        const auto found = co_await f;
        EXPECT_EQ(texts(found), std::vector<std::string>{"127.0.0.1:80"});
    });
}

TEST_P(GetAddrInfo, CancellingItEndsTheAwaitAtOnce) {
    const held_name held("slow.test");
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, streams("slow.test", "80"))),
                  gyre::errc::timed_out);
        auto f = gyre::loop::current()->start(streams("slow.test", "80"));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled);
    });
}

TEST_P(GetAddrInfo, TheLoopMayEndMeanwhile) {
    const held_name held("slow.test");
    std::optional<gyre::future<std::vector<gyre::address_info>>> f;
    {
        gyre::loop_thread network(options());
        f = network.start(streams("slow.test", "80"));
        held.await_lookups(1);
    }
    EXPECT_EQ(thrown_by([&] { f->get(); }), gyre::errc::cancelled);
}

TEST_P(GetAddrInfo, ManyAtOnceAreAllAnswered) {
    run([]() -> gyre::task<> {
        int answered = 0;
        const auto ask = [](int i, int& n) -> gyre::task<> {
            const std::string host = "127.0.0." + std::to_string(i);
            const auto found = texts(co_await streams(host, "80"));
            n += found == std::vector<std::string>{host + ":80"} ? 1 : 0;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (int i = 1; i <= 100; ++i)
                g.spawn(ask(i, answered));
            co_return;
        });
        EXPECT_EQ(answered, 100);
    });
}

TEST_P(GetAddrInfo, OneThatIsSlowDoesNotHoldUpTheOthers) {
    const held_name held("slow.test");
    run([&]() -> gyre::task<> {
        auto slow = gyre::loop::current()->start(streams("slow.test", "80"));
        co_await next_turn();
        held.await_lookups(1);
        const auto found = co_await streams("127.0.0.1", "80");
        EXPECT_EQ(found.size(), 1U);
        EXPECT_FALSE(slow.ready());
        slow.cancel();
    });
}

} // namespace
