#include "../support/sockets.hpp"
#include "../support/test_source.hpp"

#include <gyre/io/interface.hpp>
#include <gyre/resolver/getnameinfo.hpp>

#include <string>

namespace {

using namespace gyre_test;

class GetNameInfo : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(GetNameInfo);

constexpr int numeric = NI_NUMERICHOST | NI_NUMERICSERV;

TEST_P(GetNameInfo, NumericIsAnsweredWithoutAsking) {
    run([]() -> gyre::task<> {
        test_names names;
        for (const std::string text : {"127.0.0.1:80", "[::1]:0", "[2001:db8::1]:65535"}) {
            const gyre::address a = gyre::address::parse(text);
            const auto [host, service] = co_await names->getnameinfo(a, numeric);
            EXPECT_EQ(host, a.host());
            EXPECT_EQ(service, std::to_string(a.port()));
        }
        EXPECT_EQ(names.source->asked(), 0);
    });
}

TEST_P(GetNameInfo, WritesAScopeByName) {
    run([]() -> gyre::task<> {
        const gyre::address a = gyre::address::parse("[fe80::1%lo]:80");
        const auto [host, service] = co_await gyre::getnameinfo(a, numeric);
        EXPECT_EQ(host, "fe80::1%lo");
    });
}

TEST_P(GetNameInfo, FindsNames) {
    run([]() -> gyre::task<> {
        const auto [host, service] = co_await gyre::getnameinfo(gyre::address::loopback_ipv4(80));
        EXPECT_EQ(host, "localhost");
        EXPECT_EQ(service, "http");
        const auto half =
            co_await gyre::getnameinfo(gyre::address::loopback_ipv4(80), NI_NUMERICHOST);
        EXPECT_EQ(half, (gyre::name_info{"127.0.0.1", "http"}));
    });
}

TEST_P(GetNameInfo, PicksTheNamesOfDatagramsWhereAsked) {
    run([]() -> gyre::task<> {
        const gyre::address a = gyre::address::loopback_ipv4(514);
        EXPECT_EQ((co_await gyre::getnameinfo(a, NI_NUMERICHOST)).service, "shell");
        EXPECT_EQ((co_await gyre::getnameinfo(a, NI_NUMERICHOST | NI_DGRAM)).service, "syslog");
    });
}

TEST_P(GetNameInfo, OtherFamiliesAndFlagsThatAreNoneFail) {
    run([]() -> gyre::task<> {
        const auto eai = [](int n) { return std::error_code(n, gyre::address_info_category()); };
        for (const int flags : std::initializer_list<int>{0, numeric}) {
            EXPECT_EQ(co_await outcome(gyre::getnameinfo(gyre::address(), flags)), eai(EAI_FAMILY));
            EXPECT_EQ(co_await outcome(gyre::getnameinfo(gyre::address::netlink(), flags)),
                      eai(EAI_FAMILY));
            EXPECT_EQ(co_await outcome(
                          gyre::getnameinfo(gyre::address::loopback_ipv4(80), flags | 1 << 20)),
                      eai(EAI_BADFLAGS));
        }
    });
}

TEST_P(GetNameInfo, SaysWhatWasLookedUp) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->fail("192.0.2.1:80", {EAI_AGAIN, gyre::address_info_category()});
        std::string said;
        const gyre::address a = gyre::address::parse("192.0.2.1:80");
        try {
            co_await names->getnameinfo(a);
        } catch (const gyre::address_info_error& e) {
            said = e.what();
        }
        EXPECT_EQ(said,
                  std::string("look up the name of 192.0.2.1:80: ") + gai_strerror(EAI_AGAIN));
    });
}

} // namespace
