#include <gyre/core/error.hpp>
#include <gyre/io/socket.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace {

using namespace std::string_literals;

/// What opening such a socket throws; "" when nothing.
std::string error_of_opening(int family, int type, int protocol = 0) {
    try {
        gyre::socket::open(family, type, protocol);
    } catch (const gyre::error& e) {
        return e.what();
    }
    return "";
}

TEST(SocketNames, AFamilyThatTheKernelLacksIsNamedInWords) {
    const struct {
        int family;
        int type;
        std::string words;
    } kinds[] = {{AF_TIPC, SOCK_STREAM, "family AF_TIPC, type SOCK_STREAM"},
                 {AF_CAN, SOCK_RAW, "family AF_CAN, type SOCK_RAW"},
                 {AF_ALG, SOCK_SEQPACKET, "family AF_ALG, type SOCK_SEQPACKET"},
                 {AF_RDS, SOCK_SEQPACKET, "family AF_RDS, type SOCK_SEQPACKET"},
                 {AF_QIPCRTR, SOCK_DGRAM, "family AF_QIPCRTR, type SOCK_DGRAM"}};
    for (const auto& [family, type, words] : kinds) {
        const std::string error = error_of_opening(family, type);
        if (error.empty())
            std::printf("this kernel has %s: not tested\n", words.c_str());
        else
            EXPECT_TRUE(error.starts_with("open a socket of " + words + ", protocol 0: ")) << error;
    }
}

TEST(SocketNames, AFamilyAndATypeWithoutANameAreNumbers) {
    EXPECT_EQ(error_of_opening(12345, SOCK_DGRAM | SOCK_NONBLOCK, 3),
              "open a socket of family 12345, type SOCK_DGRAM, protocol 3: "
              "Address family not supported by protocol");
    EXPECT_EQ(error_of_opening(AF_INET, 9),
              "open a socket of family AF_INET, type 9, protocol 0: Socket type not supported");
}

TEST(SocketNames, APairIsNamedToo) {
    try {
        gyre::socketpair(AF_NETLINK, SOCK_RAW);
        FAIL();
    } catch (const gyre::error& e) {
        EXPECT_EQ(e.what(), "open a pair of sockets of family AF_NETLINK, type SOCK_RAW, "
                            "protocol 0: Operation not supported"s);
    }
}

} // namespace
