#include <gyre/resolver/interleave.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

/// "461" are an IPv4, an IPv6 and an IPv4 address, each on a port that is its place in the text.
std::vector<gyre::address> addresses(const std::string& families) {
    std::vector<gyre::address> list;
    for (std::size_t i = 0; i < families.size(); ++i)
        list.push_back(families[i] == '4'
                           ? gyre::address::loopback_ipv4(static_cast<std::uint16_t>(i))
                           : gyre::address::loopback_ipv6(static_cast<std::uint16_t>(i)));
    return list;
}

/// The places that the addresses had before.
std::string interleaved(const std::string& families, unsigned first) {
    std::string places;
    for (const gyre::address& a : gyre::detail::interleave(addresses(families), first))
        places += static_cast<char>('0' + a.port());
    return places;
}

TEST(Interleave, TheFamiliesTakeTurnsAndEachKeepsItsOrder) {
    EXPECT_EQ(interleaved("666444", 1), "031425");
    EXPECT_EQ(interleaved("444666", 1), "031425");
    EXPECT_EQ(interleaved("644644", 1), "013245");
    EXPECT_EQ(interleaved("464646", 1), "012345");
}

TEST(Interleave, WhatOneFamilyHasMoreComesLast) {
    EXPECT_EQ(interleaved("64444", 1), "01234");
    EXPECT_EQ(interleaved("66664", 1), "04123");
}

TEST(Interleave, TheFirstFamilyBeginsWithAsManyAsAreAskedFor) {
    EXPECT_EQ(interleaved("666444", 2), "013245");
    EXPECT_EQ(interleaved("666444", 3), "012345");
    EXPECT_EQ(interleaved("444666", 2), "013245");
    EXPECT_EQ(interleaved("646464", 2), "021435");
}

TEST(Interleave, MoreThanThereAreIsAllOfThem) {
    EXPECT_EQ(interleaved("6464", 4), "0213");
    EXPECT_EQ(interleaved("6464", 4'000'000'000U), "0213");
    EXPECT_EQ(interleaved("444", 9), "012");
}

TEST(Interleave, ZeroLeavesTheOrder) {
    EXPECT_EQ(interleaved("664464", 0), "012345");
}

TEST(Interleave, NoneAndOneAreTheSameAfterwards) {
    for (const unsigned first : {0U, 1U, 2U}) {
        EXPECT_EQ(interleaved("", first), "");
        EXPECT_EQ(interleaved("6", first), "0");
    }
}

} // namespace
