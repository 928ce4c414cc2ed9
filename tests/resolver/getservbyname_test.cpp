#include "../support/sockets.hpp"
#include "../support/test_source.hpp"

#include <gyre/resolver/getservbyname.hpp>

#include <string>

namespace {

using namespace gyre_test;

class GetServByName : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(GetServByName);

TEST_P(GetServByName, FindsServicesByNameAliasAndPort) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::getservbyname("http"), 80);
        EXPECT_EQ(co_await gyre::getservbyname("www", "tcp"), 80);
        EXPECT_EQ(co_await gyre::getservbyport(80), "http");
        EXPECT_EQ(co_await gyre::getservbyport(514, "tcp"), "shell");
        EXPECT_EQ(co_await gyre::getservbyport(514, "udp"), "syslog");
    });
}

TEST_P(GetServByName, FindsProtocolsByNameAndAlias) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::getprotobyname("tcp"), IPPROTO_TCP);
        EXPECT_EQ(co_await gyre::getprotobyname("TCP"), IPPROTO_TCP);
        EXPECT_EQ(co_await gyre::getprotobyname("IPv6-ICMP"), IPPROTO_ICMPV6);
    });
}

/// "" when looking up fails with errc::not_found and these words, else how it ended.
template <class T>
gyre::task<std::string> is_not_found(gyre::task<T> look_up, std::string words) {
    try {
        co_await std::move(look_up);
    } catch (const gyre::error& e) {
        co_return e.code() == gyre::errc::not_found&& e.what() == words + ": Not found" ? ""
                                                                                        : e.what();
    }
    co_return "found";
}

TEST_P(GetServByName, WhatIsNotThereIsNotFoundAndSaysWhat) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await is_not_found(gyre::getservbyname("nosuch"), "getservbyname nosuch"), "");
        EXPECT_EQ(
            co_await is_not_found(gyre::getservbyname("http", "sctp"), "getservbyname http/sctp"),
            "");
        EXPECT_EQ(co_await is_not_found(gyre::getservbyname("HTTP"), "getservbyname HTTP"), "");
        EXPECT_EQ(co_await is_not_found(gyre::getservbyport(0), "getservbyport 0"), "");
        EXPECT_EQ(
            co_await is_not_found(gyre::getservbyport(65535, "tcp"), "getservbyport 65535/tcp"),
            "");
        EXPECT_EQ(co_await is_not_found(gyre::getprotobyname("6"), "getprotobyname 6"), "");
        EXPECT_EQ(co_await is_not_found(gyre::getprotobyname(""), "getprotobyname "), "");
    });
}

TEST_P(GetServByName, APortThatIsNoneIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        for (const int port : std::initializer_list<int>{-1, 65536, 70000})
            EXPECT_EQ(co_await outcome(gyre::getservbyport(port)), std::errc::invalid_argument);
    });
}

TEST_P(GetServByName, ANulInANameIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        const std::string nul("tcp\0x", 5);
        EXPECT_EQ(co_await outcome(gyre::getservbyname(nul)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::getservbyname("http", nul)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::getservbyport(80, nul)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::getprotobyname(nul)), std::errc::invalid_argument);
    });
}

} // namespace
