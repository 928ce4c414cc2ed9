#include "../support/error_of.hpp"

#include <gyre/io/interface.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace {

using namespace gyre_test;
using namespace std::string_literals;

TEST(Interface, TheLoopbackInterfaceIsFoundByNameAndByIndex) {
    const std::uint32_t index = gyre::if_nametoindex("lo");
    EXPECT_GT(index, 0U);
    EXPECT_EQ(gyre::if_indextoname(index), "lo");
    const auto all = gyre::if_nameindex();
    EXPECT_EQ(std::ranges::count(all, gyre::interface_name{index, "lo"}), 1);
}

TEST(Interface, EachThatIsListedIsFoundByNameAndByIndex) {
    const auto all = gyre::if_nameindex();
    EXPECT_FALSE(all.empty());
    for (const auto& [index, name] : all) {
        EXPECT_EQ(gyre::if_nametoindex(name), index);
        EXPECT_EQ(gyre::if_indextoname(index), name);
    }
}

TEST(Interface, ANameOfNoneIsNoSuchDevice) {
    const auto [what, code] = error_of([] { gyre::if_nametoindex("nosuchif"); });
    EXPECT_EQ(what, "look up the interface \"nosuchif\": No such device");
    EXPECT_EQ(code, std::errc::no_such_device);
    for (const char* name : {"", "lo:1", "lo/", "%lo", " lo"})
        EXPECT_EQ(error_of([&] { gyre::if_nametoindex(name); }).second, std::errc::no_such_device)
            << name;
}

TEST(Interface, ANameThatCannotBeOneIsRefusedAndNotCutShort) {
    const auto too_long = error_of([] { gyre::if_nametoindex("lo23456789012345"); });
    EXPECT_EQ(too_long.second, std::errc::filename_too_long);
    EXPECT_EQ(too_long.first, "look up the interface \"lo23456789012345\", a name of 16 bytes "
                              "(expected at most 15): File name too long");
    EXPECT_EQ(error_of([] { gyre::if_nametoindex("lo2345678901234"); }).second,
              std::errc::no_such_device);
    const auto nul = error_of([] { gyre::if_nametoindex("lo\0x"s); });
    EXPECT_EQ(nul.second, std::errc::invalid_argument);
    EXPECT_EQ(nul.first,
              "look up the interface \"lo\\x00x\", a name with a NUL byte: Invalid argument");
}

TEST(Interface, AnIndexOfNoneIsNoSuchDeviceOrAddress) {
    EXPECT_EQ(error_of([] { gyre::if_indextoname(0); }).second,
              std::errc::no_such_device_or_address);
    const auto [what, code] = error_of([] { gyre::if_indextoname(2147483647); });
    EXPECT_EQ(what, "look up the name of interface 2147483647: No such device or address");
    EXPECT_EQ(code, std::errc::no_such_device_or_address);
}

} // namespace
