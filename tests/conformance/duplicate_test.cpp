#include "../support/sockets.hpp"

#include <gyre/io/socket.hpp>

#include <array>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

using namespace gyre_test;

gyre::task<> expect_connected(gyre::socket& a, gyre::socket& b) {
    std::array<std::byte, 8> memory;
    co_await a.send("ping");
    EXPECT_EQ(text_of(std::span(memory).first(co_await b.recv(memory))), "ping");
    co_await b.send("back");
    EXPECT_EQ(text_of(std::span(memory).first(co_await a.recv(memory))), "back");
}

// ---- Duplicates --------------------------------------------------------------------------------

class Duplicate : public on_each_stream {};

TEST_P(Duplicate, IsTheSameSocketAndIsClosedByItself) {
    auto [a, b] = make_pair(kind());
    a.settimeout(17s);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
        gyre::socket other = a.dup();
        EXPECT_NE(other.fileno(), a.fileno());
        EXPECT_EQ(other.family(), a.family());
        EXPECT_EQ(other.type(), a.type());
        EXPECT_EQ(other.proto(), a.proto());
        EXPECT_EQ(other.gettimeout(), 17s);
        EXPECT_FALSE(other.get_inheritable());
        a.close();
        EXPECT_EQ(co_await outcome(b.recv(memory).within(1ms)), gyre::errc::timed_out) << "no end";
        co_await expect_connected(other, b);
        other.close();
        EXPECT_EQ(co_await b.recv(memory), 0U);
    });
}

TEST_P(Duplicate, ShutdownIsForBoth) {
    auto [a, b] = make_pair(kind());
    gyre::socket other = a.dup();
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        other.shutdown(SHUT_WR);
        EXPECT_EQ(co_await b.recv(memory), 0U);
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::broken_pipe);
    });
}

TEST_P(Duplicate, BothMayWaitAtTheSameTime) {
    auto [a, b] = make_pair(kind());
    gyre::socket other = a.dup();
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> one;
        std::array<std::byte, 8> two;
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            b.close();
        };
        auto [m, n, nothing] = co_await gyre::all(a.recv(one), other.recv(two), close());
        EXPECT_EQ(m, 0U);
        EXPECT_EQ(n, 0U);
    });
}

TEST_P(Duplicate, OfAClosedSocketIsAnError) {
    gyre::socket s = make_client(kind());
    s.close();
    EXPECT_EQ(thrown_by([&] { s.dup(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { (void)s.get_inheritable(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.set_inheritable(true); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { (void)s.bytes_readable(); }), gyre::errc::closed);
}

TEST_P(Duplicate, FromfdLeavesTheOtherOneOpen) {
    auto [a, b] = make_pair(kind());
    const int fd = a.detach();
    run([&]() -> gyre::task<> {
        {
            gyre::socket mine = gyre::fromfd(fd, family_of(kind()), SOCK_STREAM);
            EXPECT_NE(mine.fileno(), fd);
            EXPECT_EQ(mine.gettimeout(), std::nullopt);
            co_await expect_connected(mine, b);
        }
        EXPECT_GE(fcntl(fd, F_GETFD), 0) << "still open";
        gyre::socket again = gyre::socket::adopt(fd);
        co_await expect_connected(again, b);
    });
}

TEST_P(Duplicate, FromfdWithNonblockDoesNotWait) {
    auto [a, b] = make_pair(kind());
    gyre::socket mine = gyre::fromfd(a.fileno(), family_of(kind()), SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_EQ(mine.gettimeout(), 0s);
    EXPECT_EQ(mine.type(), SOCK_STREAM);
}

TEST_P(Duplicate, FromfdOfSomethingElseSaysWhatItIs) {
    auto [a, b] = make_pair(kind());
    EXPECT_EQ(thrown_by([&] { gyre::fromfd(a.fileno(), AF_NETLINK, SOCK_STREAM); }),
              std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::fromfd(a.fileno(), family_of(kind()), SOCK_DGRAM); }),
              std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { gyre::fromfd(-1, AF_INET, SOCK_STREAM); }),
              std::errc::bad_file_descriptor);
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(thrown_by([&] { gyre::fromfd(file, AF_INET, SOCK_STREAM); }),
              std::errc::not_a_socket);
    gyre::close(file);
}

TEST_P(Duplicate, IsInheritedWhenAskedTo) {
    auto [a, b] = make_pair(kind());
    EXPECT_FALSE(a.get_inheritable());
    a.set_inheritable(true);
    EXPECT_TRUE(a.get_inheritable());
    EXPECT_EQ(fcntl(a.fileno(), F_GETFD), 0);
    a.set_inheritable(false);
    EXPECT_FALSE(a.get_inheritable());
    EXPECT_EQ(fcntl(a.fileno(), F_GETFD), FD_CLOEXEC);
}

GYRE_OVER_EACH_STREAM(Duplicate);

// ---- Plain descriptors -------------------------------------------------------------------------

class Descriptor : public on_each_backend<> {};

TEST_P(Descriptor, CloseClosesAnything) {
    run([&]() -> gyre::task<> {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        const int copy = gyre::dup(ends[0]);
        EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
        for (const int fd : {ends[0], ends[1], copy}) {
            gyre::close(fd);
            EXPECT_EQ(fcntl(fd, F_GETFD), -1);
            EXPECT_EQ(thrown_by([&] { gyre::close(fd); }), std::errc::bad_file_descriptor);
            EXPECT_EQ(thrown_by([&] { gyre::dup(fd); }), std::errc::bad_file_descriptor);
        }
        co_return;
    });
}

TEST_P(Descriptor, CloseDoesNotWaitForALingeringSocketAndAllIsSent) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    a.set(gyre::option::linger, an_hour);
    run([&]() -> gyre::task<> {
        co_await expect_an_end_without_waiting(a, b, [&] { gyre::close(a.detach()); });
    });
}

// SO_LINGER that was set on one descriptor, and the other closed last.
TEST_P(Descriptor, ADuplicateOfALingeringSocketDoesNotWaitEither) {
    for (const bool by_fromfd : {false, true}) {
        auto [a, b] = make_narrow_pair(stream_kind::tcp);
        gyre::socket other = by_fromfd ? gyre::fromfd(a.fileno(), AF_INET, SOCK_STREAM) : a.dup();
        a.set(gyre::option::linger, an_hour);
        ::close(a.detach()); // around the library: the option stays
        run([&]() -> gyre::task<> {
            EXPECT_EQ(other.get(gyre::option::linger).l_linger, an_hour.l_linger);
            co_await expect_an_end_without_waiting(other, b, [&] { other.close(); });
        });
    }
}

// ---- Pairs -------------------------------------------------------------------------------------

TEST_P(Descriptor, PairsOfEveryKindAreConnected) {
    for (const auto& [family, type] : {std::pair{AF_UNIX, SOCK_STREAM},
                                       {AF_UNIX, SOCK_DGRAM},
                                       {AF_UNIX, SOCK_SEQPACKET},
                                       {AF_INET, SOCK_STREAM},
                                       {AF_INET6, SOCK_STREAM},
                                       {AF_INET, SOCK_DGRAM},
                                       {AF_INET6, SOCK_DGRAM}}) {
        SCOPED_TRACE(std::to_string(family) + " " + std::to_string(type));
        run([&]() -> gyre::task<> {
            auto [a, b] = gyre::socketpair(family, type);
            EXPECT_EQ(a.family(), family);
            EXPECT_EQ(b.type(), type);
            EXPECT_EQ(b.gettimeout(), std::nullopt);
            EXPECT_FALSE(a.get_inheritable());
            EXPECT_FALSE(b.get_inheritable());
            if (family != AF_UNIX) {
                EXPECT_EQ(a.getsockname(), b.getpeername());
                EXPECT_EQ(b.getsockname(), a.getpeername());
            }
            co_await expect_connected(a, b);
        });
    }
}

TEST_P(Descriptor, PairsMayBeNonblocking) {
    for (const int family : {AF_UNIX, AF_INET, AF_INET6}) {
        auto [a, b] = gyre::socketpair(family, SOCK_STREAM | SOCK_NONBLOCK);
        EXPECT_EQ(a.gettimeout(), 0s);
        EXPECT_EQ(b.gettimeout(), 0s);
        EXPECT_EQ(a.type(), SOCK_STREAM);
    }
}

TEST_P(Descriptor, PairsThatTheKernelDoesNotHaveAreAnError) {
    EXPECT_TRUE(thrown_by([] { gyre::socketpair(AF_INET, SOCK_SEQPACKET); }));
    EXPECT_TRUE(thrown_by([] { gyre::socketpair(AF_INET, SOCK_STREAM, IPPROTO_UDP); }));
    EXPECT_EQ(thrown_by([] { gyre::socketpair(AF_NETLINK, SOCK_RAW); }),
              std::errc::operation_not_supported);
}

// ---- ioctl -------------------------------------------------------------------------------------

TEST_P(Descriptor, BytesReadableAreThoseOfAStreamAndOfTheNextDatagram) {
    auto [a, b] = make_pair(stream_kind::tcp);
    EXPECT_EQ(a.bytes_readable(), 0U);
    push(b, "one");
    push(b, "two");
    ASSERT_TRUE(wait_readable(a));
    run([&]() -> gyre::task<> {
        while (a.bytes_readable() < 6)
            co_await next_turn();
        EXPECT_EQ(a.bytes_readable(), 6U);
    });
    auto [c, d] = gyre::socketpair(AF_INET, SOCK_DGRAM);
    push(d, "one");
    push(d, "three");
    ASSERT_TRUE(wait_readable(c));
    EXPECT_EQ(c.bytes_readable(), 3U);
    EXPECT_EQ(thrown_by([] { (void)make_listener(stream_kind::tcp).bytes_readable(); }),
              std::errc::invalid_argument);
}

TEST_P(Descriptor, BytesUnsentAreThoseThatThePeerHasNotGot) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    EXPECT_EQ(a.bytes_unsent(), 0U);
    fill(a);
    EXPECT_GT(a.bytes_unsent(), 0U);
    run([&]() -> gyre::task<> {
        while (a.bytes_unsent() > 0) {
            drain(b);
            co_await next_turn();
        }
    });
}

TEST_P(Descriptor, AtMarkTellsWhereTheUrgentByteWas) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        push(b, "ab");
        EXPECT_EQ(co_await b.send("!", MSG_OOB), 1U);
        push(b, "c");
        pollfd urgent{a.fileno(), POLLPRI, 0};
        EXPECT_EQ(poll(&urgent, 1, 5000), 1);
        EXPECT_EQ(a.bytes_readable(), 2U);
        EXPECT_FALSE(a.at_mark());
        EXPECT_EQ(co_await a.recv(memory), 2U);
        EXPECT_TRUE(a.at_mark());
        EXPECT_EQ(text_of(std::span(memory).first(co_await a.recv(memory, MSG_OOB))), "!");
        EXPECT_EQ(text_of(std::span(memory).first(co_await a.recv(memory))), "c");
        EXPECT_FALSE(a.at_mark());
    });
}

TEST_P(Descriptor, IoctlAsksForAnInterface) {
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    ::ifreq request{};
    std::string("lo").copy(request.ifr_name, IFNAMSIZ);
    EXPECT_EQ(s.ioctl(SIOCGIFINDEX, request), 0);
    EXPECT_EQ(static_cast<unsigned>(request.ifr_ifindex), if_nametoindex("lo"));
    EXPECT_EQ(s.ioctl(SIOCGIFFLAGS, request), 0);
    EXPECT_NE(request.ifr_flags & IFF_LOOPBACK, 0);
    request.ifr_name[0] = '?';
    EXPECT_EQ(thrown_by([&] { s.ioctl(SIOCGIFMTU, request); }), std::errc::no_such_device);
}

GYRE_ON_EACH_BACKEND(Descriptor);

} // namespace
