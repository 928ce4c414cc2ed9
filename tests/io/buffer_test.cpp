#include <gyre/io/buffer.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

using gyre::buffer;
using gyre::const_buffer;

template <class T>
constexpr bool fills = std::is_constructible_v<buffer, T>;
template <class T>
constexpr bool sends = std::is_constructible_v<const_buffer, T>;

std::string_view text_of(const_buffer b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}

// ---- What they are made from -------------------------------------------------------------------

TEST(Buffer, IsMadeFromEveryContiguousRangeOfBytes) {
    EXPECT_TRUE((fills<std::array<std::byte, 4>&>));
    EXPECT_TRUE(fills<std::vector<char>&>);
    EXPECT_TRUE(fills<std::vector<std::uint8_t>&>);
    EXPECT_TRUE(fills<std::vector<signed char>&>);
    EXPECT_TRUE(fills<std::string&>);
    EXPECT_TRUE(fills<std::span<std::byte>>);
    EXPECT_TRUE(fills<const std::span<std::byte>&>) << "the span is const, its bytes are not";
    EXPECT_TRUE(fills<char(&)[4]>);
    EXPECT_TRUE(fills<unsigned char(&)[4]>);
}

TEST(Buffer, IsNotMadeFromWhatCannotBeFilled) {
    EXPECT_FALSE(fills<const std::vector<char>&>);
    EXPECT_FALSE((fills<const std::array<std::byte, 4>&>));
    EXPECT_FALSE(fills<std::span<const std::byte>>);
    EXPECT_FALSE(fills<std::string_view>);
    EXPECT_FALSE(fills<const char(&)[4]>);
}

TEST(Buffer, NeitherIsMadeFromWhatIsNoRangeOfBytes) {
    EXPECT_FALSE(fills<std::vector<int>&>);
    EXPECT_FALSE(fills<std::list<char>&>);
    EXPECT_FALSE(fills<std::vector<bool>&>);
    EXPECT_FALSE(fills<char*>);
    EXPECT_FALSE((fills<std::array<std::string, 1>&>));
    EXPECT_FALSE(sends<std::vector<int>&>);
    EXPECT_FALSE(sends<std::list<char>&>);
    EXPECT_FALSE(sends<const char*>) << "how long would that be?";
    EXPECT_FALSE(sends<std::wstring&>);
}

TEST(Buffer, WhatIsSentMayBeConstant) {
    EXPECT_TRUE(sends<const std::vector<char>&>);
    EXPECT_TRUE(sends<std::vector<char>&>);
    EXPECT_TRUE(sends<std::string_view>);
    EXPECT_TRUE(sends<std::span<const std::byte>>);
    EXPECT_TRUE(sends<std::span<std::byte>>);
    EXPECT_TRUE((sends<const std::array<std::uint8_t, 3>&>));
}

TEST(Buffer, CostsNoException) {
    EXPECT_TRUE((std::is_nothrow_constructible_v<buffer, std::string&>));
    EXPECT_TRUE((std::is_nothrow_constructible_v<const_buffer, const std::string&>));
    EXPECT_TRUE((std::is_nothrow_constructible_v<const_buffer, const char(&)[5]>));
    EXPECT_TRUE(std::is_trivially_destructible_v<buffer>);
    EXPECT_TRUE(std::is_trivially_copyable_v<const_buffer>);
}

// ---- What they are -----------------------------------------------------------------------------

TEST(Buffer, IsTheMemoryOfItsRange) {
    std::vector<char> v(7);
    EXPECT_EQ(static_cast<void*>(buffer(v).data()), v.data());
    EXPECT_EQ(buffer(v).size(), 7U);
    EXPECT_EQ(static_cast<const void*>(const_buffer(v).data()), v.data());
    EXPECT_EQ(const_buffer(v).size(), 7U);
    const std::span<char> part = std::span(v).subspan(2, 3);
    EXPECT_EQ(static_cast<void*>(buffer(part).data()), &v[2]);
    EXPECT_EQ(buffer(part).size(), 3U);
}

TEST(Buffer, OfAStringIsItsCharactersWithoutTheNulBehindThem) {
    std::string s = "abc";
    EXPECT_EQ(buffer(s).size(), 3U);
    EXPECT_EQ(text_of(s), "abc");
    EXPECT_EQ(text_of(std::string_view(s).substr(1)), "bc");
}

TEST(Buffer, OfAnEmptyRangeIsEmpty) {
    std::vector<char> none;
    EXPECT_EQ(buffer(none).size(), 0U);
    EXPECT_EQ(const_buffer(none).size(), 0U);
    EXPECT_EQ(const_buffer(std::string_view()).size(), 0U);
    EXPECT_EQ(const_buffer("").size(), 0U);
}

TEST(Buffer, OfAPointerAndASizeIsThat) {
    int number = 0;
    EXPECT_EQ(static_cast<void*>(buffer(&number, sizeof number).data()), &number);
    EXPECT_EQ(buffer(&number, sizeof number).size(), sizeof number);
    EXPECT_EQ(static_cast<const void*>(const_buffer(&number, 2).data()), &number);
    EXPECT_EQ(const_buffer(&number, 2).size(), 2U);
    EXPECT_EQ(buffer(nullptr, 0).size(), 0U);
}

TEST(Buffer, OfALiteralIsItsTextWithoutTheNulThatEndsIt) {
    EXPECT_EQ(text_of("abc"), "abc");
    EXPECT_EQ(text_of("a\0b").size(), 3U) << "a NUL within is text";
    EXPECT_EQ(text_of("abc\0").size(), 4U);
}

TEST(Buffer, OfALiteralOfUtf8IsItsTextAsWell) {
    EXPECT_EQ(text_of(u8"\u00e9"), "\xc3\xa9");
    EXPECT_EQ(text_of(u8"").size(), 0U);
}

TEST(Buffer, OfAnArrayIsAllOfIt) {
    char text[4] = {'a', 'b', 'c', 0};
    EXPECT_EQ(const_buffer(text).size(), 4U) << "filled by hand, its NUL is data";
    EXPECT_EQ(buffer(text).size(), 4U);
    const unsigned char bytes[3] = {1, 2, 0};
    EXPECT_EQ(const_buffer(bytes).size(), 3U);
    const std::byte raw[2] = {};
    EXPECT_EQ(const_buffer(raw).size(), 2U);
}

TEST(Buffer, OfAConstantArrayThatNoNulEndsIsAllOfIt) {
    static constexpr char magic[4] = {'G', 'Y', 'R', 'E'};
    EXPECT_EQ(text_of(magic), "GYRE");
}

} // namespace
