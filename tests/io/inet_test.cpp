#include <gyre/io/inet.hpp>

#include <gyre/core/error.hpp>
#include <gyre/io/address.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace {

using namespace std::string_literals;

template <class... Bytes>
std::vector<std::byte> bytes(Bytes... values) {
    return {static_cast<std::byte>(values)...};
}

/// What `f()` throws: "" when nothing.
template <class F>
std::string error_of(F f) {
    try {
        f();
    } catch (const gyre::error& e) {
        return e.what();
    }
    return "";
}

std::vector<std::byte> aton(std::string_view text) {
    const auto packed = gyre::inet_aton(text);
    return {packed.begin(), packed.end()};
}

// ---- inet_aton ---------------------------------------------------------------------------------

TEST(InetAton, TakesOneToFourNumbersTheLastOfWhichFillsWhatIsLeft) {
    EXPECT_EQ(aton("1.2.3.4"), bytes(1, 2, 3, 4));
    EXPECT_EQ(aton("1"), bytes(0, 0, 0, 1));
    EXPECT_EQ(aton("1.2"), bytes(1, 0, 0, 2));
    EXPECT_EQ(aton("1.2.3"), bytes(1, 2, 0, 3));
    EXPECT_EQ(aton("1.16777215"), bytes(1, 255, 255, 255));
    EXPECT_EQ(aton("1.2.65535"), bytes(1, 2, 255, 255));
    EXPECT_EQ(aton("4294967295"), bytes(255, 255, 255, 255));
    EXPECT_EQ(gyre::address::ipv4(gyre::inet_aton("127.1"), 7), gyre::address::loopback_ipv4(7));
}

TEST(InetAton, TakesOctalAndHexadecimalNumbers) {
    EXPECT_EQ(aton("0177.0.0.1"), bytes(127, 0, 0, 1));
    EXPECT_EQ(aton("0x7f000001"), bytes(127, 0, 0, 1));
    EXPECT_EQ(aton("0x7F.1"), bytes(127, 0, 0, 1));
    EXPECT_EQ(aton("037777777777"), bytes(255, 255, 255, 255));
}

TEST(InetAton, DoesNotLookAtWhatFollowsBehindWhiteSpace) {
    for (const char* text : {"1.2.3.4 ", "1.2.3.4 x", "1.2.3.4\n", "1.2.3.4\tx.y"})
        EXPECT_EQ(aton(text), bytes(1, 2, 3, 4)) << text;
}

TEST(InetAton, RefusesEverythingElseAndSaysWhat) {
    for (const std::string& text :
         {""s, " 1.2.3.4"s, "1.2.3.4x"s, "08.1.1.1"s, "1..2"s, "1.2.3.4."s, "1.2.3.4.5"s, "256.1"s,
          "1.2.65536"s, "1.16777216"s, "4294967296"s, "1.2.3.4\0"s, "\0"s, "x"s, "-1"s, "::1"s})
        EXPECT_NE(error_of([&] { gyre::inet_aton(text); }), "") << text;
    EXPECT_EQ(error_of([] { gyre::inet_aton("256.1"); }),
              "inet_aton: \"256.1\" is not one to four numbers with dots between them, such as "
              "127.0.0.1: Invalid argument");
    const std::string long_error =
        error_of([] { gyre::inet_aton(std::string(1'000'000, '\x1b')); });
    EXPECT_LT(long_error.size(), 1000U);
    EXPECT_EQ(long_error.find('\x1b'), std::string::npos);
}

// ---- inet_ntoa, inet_pton, inet_ntop -----------------------------------------------------------

TEST(InetNtoa, WritesFourBytesAndRefusesAnyOtherNumberOfThem) {
    EXPECT_EQ(gyre::inet_ntoa(bytes(127, 0, 0, 1)), "127.0.0.1");
    EXPECT_EQ(gyre::inet_ntoa(gyre::inet_aton("255.255.255.255")), "255.255.255.255");
    EXPECT_EQ(error_of([] { gyre::inet_ntoa(bytes(1, 2, 3)); }),
              "inet_ntoa: 3 bytes (expected 4): Invalid argument");
    EXPECT_NE(error_of([] { gyre::inet_ntoa({}); }), "");
}

TEST(InetPton, IsStrict) {
    EXPECT_EQ(gyre::inet_pton(AF_INET, "1.2.3.4"), bytes(1, 2, 3, 4));
    EXPECT_EQ(gyre::inet_pton(AF_INET6, "::1"),
              bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_EQ(gyre::inet_pton(AF_INET6, "1:2:3:4:5:6:7::"),
              bytes(0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0));
    EXPECT_EQ(gyre::inet_pton(AF_INET6, "::ffff:1.2.3.4"),
              bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4));
    for (const std::string& text : {""s, "1"s, "127.1"s, "01.2.3.4"s, "1.2.3.4 "s, " 1.2.3.4"s,
                                    "0x1.2.3.4"s, "1.2.3.256"s, "1.2.3.4\0"s, "::1"s})
        EXPECT_NE(error_of([&] { gyre::inet_pton(AF_INET, text); }), "") << text;
    for (const std::string& text : {""s, ":"s, "::1%lo"s, "[::1]"s, "1.2.3.4"s, "::1\0"s, "::1 "s,
                                    "12345::"s, "1:2:3:4:5:6:7:8:9"s, "::1::"s})
        EXPECT_NE(error_of([&] { gyre::inet_pton(AF_INET6, text); }), "") << text;
    EXPECT_EQ(error_of([] { gyre::inet_pton(AF_INET, "127.1"); }),
              "inet_pton: \"127.1\" is not an IPv4 address in full, such as 127.0.0.1: "
              "Invalid argument");
    EXPECT_EQ(error_of([] { gyre::inet_pton(AF_INET6, "::1%lo"); }),
              "inet_pton: \"::1%lo\" is not an IPv6 address without a scope, such as ::1: "
              "Invalid argument");
}

TEST(InetNtop, WritesTheShortestForm) {
    EXPECT_EQ(gyre::inet_ntop(AF_INET, bytes(1, 2, 3, 4)), "1.2.3.4");
    for (const char* text : {"::", "::1", "fe80::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4",
                             "1:0:2:3:4:5:6:7", "2001:db8::1:0:0:1"})
        EXPECT_EQ(gyre::inet_ntop(AF_INET6, gyre::inet_pton(AF_INET6, text)), text);
    EXPECT_EQ(error_of([] { gyre::inet_ntop(AF_INET6, bytes(1, 2, 3, 4)); }),
              "inet_ntop: 4 bytes (expected 16 for AF_INET6): Invalid argument");
    EXPECT_EQ(error_of([] { gyre::inet_ntop(AF_INET, {}); }),
              "inet_ntop: 0 bytes (expected 4 for AF_INET): Invalid argument");
}

TEST(InetPton, OnlyTheTwoFamiliesOfIpHaveAForm) {
    const std::string words = ": the family is AF_UNIX (expected AF_INET or AF_INET6): "
                              "Address family not supported by protocol";
    EXPECT_EQ(error_of([] { gyre::inet_pton(AF_UNIX, "x"); }), "inet_pton" + words);
    EXPECT_EQ(error_of([] { gyre::inet_ntop(AF_UNIX, bytes(1)); }), "inet_ntop" + words);
}

// ---- htons and its kin -------------------------------------------------------------------------

static_assert(gyre::htons(std::uint16_t{0x1234}) ==
              (std::endian::native == std::endian::little ? 0x3412 : 0x1234));
static_assert(gyre::ntohs(gyre::htons(std::uint16_t{7000})) == 7000);
static_assert(gyre::htonl(0x01020304U) ==
              (std::endian::native == std::endian::little ? 0x04030201U : 0x01020304U));
static_assert(gyre::ntohl(gyre::htonl(INADDR_LOOPBACK)) == INADDR_LOOPBACK);
static_assert(gyre::htons(std::uint8_t{1}) == gyre::htons(std::uint16_t{1}));

template <class T>
concept goes_into_htons = requires(T t) {
    gyre::htons(t);
    gyre::ntohs(t);
};
template <class T>
concept goes_into_htonl = requires(T t) {
    gyre::htonl(t);
    gyre::ntohl(t);
};
static_assert(goes_into_htons<std::uint16_t> && goes_into_htons<std::uint8_t>);
static_assert(!goes_into_htons<int> && !goes_into_htons<short> && !goes_into_htons<bool>);
static_assert(!goes_into_htons<std::uint32_t> && !goes_into_htons<double>);
static_assert(goes_into_htonl<std::uint32_t> && goes_into_htonl<std::uint16_t>);
static_assert(!goes_into_htonl<int> && !goes_into_htonl<long> && !goes_into_htonl<std::uint64_t>);

TEST(Htons, IsNoMacroAndTheSystemsFunctionStays) {
#if defined(htons) || defined(htonl) || defined(ntohs) || defined(ntohl)
    FAIL();
#endif
    EXPECT_EQ(::htons(7000), gyre::htons(std::uint16_t{7000}));
    EXPECT_EQ(::htonl(7000), gyre::htonl(7000U));
}

TEST(Htons, CanBeCalledUnqualifiedBesideTheSystemsOwn) {
    using namespace gyre;
    EXPECT_EQ(htons(std::uint16_t{7000}), ::htons(7000));
    EXPECT_EQ(ntohl(7000U), ::ntohl(7000));
}

} // namespace
