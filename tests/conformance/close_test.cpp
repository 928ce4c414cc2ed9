#include "../support/pending.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace gyre_test;

// ---- Every operation ---------------------------------------------------------------------------

class Close : public on_each_operation {
protected:
    /// Has the operation pending, does `f`, and gives how the operation ended.
    template <class F>
    std::error_code ended_by(F f) {
        std::error_code code;
        run([&]() -> gyre::task<> {
            const auto then = [&]() -> gyre::task<> {
                co_await next_turn();
                f();
            };
            auto [c, nothing] = co_await gyre::all(op->wait(), then());
            code = c;
        });
        return code;
    }
};

TEST_P(Close, EndsItWithClosed) {
    EXPECT_EQ(ended_by([&] { op->subject.close(); }), gyre::errc::closed);
}

TEST_P(Close, BeforeTheKernelHasSeenItEndsItWithClosed) {
    run([&]() -> gyre::task<> {
        const auto then = [&]() -> gyre::task<> {
            op->subject.close();
            co_return;
        };
        auto [code, nothing] = co_await gyre::all(op->wait(), then());
        EXPECT_EQ(code, gyre::errc::closed);
    });
}

TEST_P(Close, ByTheDestructorEndsItWithClosed) {
    EXPECT_EQ(ended_by([&] { gyre::socket gone = std::move(op->subject); }), gyre::errc::closed);
}

TEST_P(Close, ByAssigningAnotherSocketEndsItWithClosed) {
    EXPECT_EQ(ended_by([&] { op->subject = gyre::socket(); }), gyre::errc::closed);
}

TEST_P(Close, MovingTheSocketMeanwhileDoesNotEndIt) {
    if (op->slow())
        GTEST_SKIP() << "a connect over TCP would wait a second for its SYN to be repeated";
    gyre::socket elsewhere;
    const std::error_code code = ended_by([&] {
        elsewhere = std::move(op->subject);
        op->subject = std::move(elsewhere);
        op->go_on();
    });
    EXPECT_EQ(code, std::error_code());
}

// L7
TEST_P(Close, DetachIsRefusedWhileItIsPending) {
    std::error_code refused;
    EXPECT_EQ(ended_by([&] {
                  refused = thrown_by([&] { op->subject.detach(); });
                  op->subject.close();
              }),
              gyre::errc::closed);
    EXPECT_EQ(refused, gyre::errc::busy);
}

TEST_P(Close, ASecondOneOfTheSameDirectionIsBusyAndTheFirstUnaffected) {
    if (op->slow())
        GTEST_SKIP() << "a connect over TCP would wait a second for its SYN to be repeated";
    run([&]() -> gyre::task<> {
        const auto then = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(co_await op->wait(), gyre::errc::busy);
            EXPECT_EQ(co_await op->wait({manner::within, 1s}), gyre::errc::busy);
            EXPECT_EQ(co_await op->wait({manner::nonblocking}), gyre::errc::busy);
            op->go_on();
        };
        auto [code, nothing] = co_await gyre::all(op->wait(), then());
        EXPECT_EQ(code, std::error_code());
        op->check_success();
    });
}

TEST_P(Close, AfterItEveryOneIsClosed) {
    op->subject.close();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await op->wait(), gyre::errc::closed);
        EXPECT_EQ(co_await op->wait({manner::within, 1s}), gyre::errc::closed);
        EXPECT_EQ(co_await op->wait({manner::nonblocking}), gyre::errc::closed);
    });
}

GYRE_WITH_EACH_OPERATION(Close);

// ---- Closing as such ---------------------------------------------------------------------------

class Closing : public on_each_stream {};

TEST_P(Closing, TwiceIsFine) {
    auto [a, b] = make_pair(kind());
    a.close();
    EXPECT_FALSE(a);
    EXPECT_EQ(a.fileno(), -1);
    a.close();
    gyre::socket().close();
}

TEST_P(Closing, WithAPendingReceiveThePeerSeesTheEnd) {
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> mine;
        std::array<std::byte, 4> theirs;
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            a.close();
        };
        auto [receiver, peer, nothing] =
            co_await gyre::all(outcome(a.recv(mine)), b.recv(theirs), close());
        EXPECT_EQ(receiver, gyre::errc::closed);
        EXPECT_EQ(peer, 0U);
    });
}

TEST_P(Closing, EndsBothDirectionsAtOnce) {
    auto [a, b] = make_narrow_pair(kind());
    fill(a);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            a.close();
        };
        auto [reader, writer, nothing] =
            co_await gyre::all(outcome(a.recv(memory)), outcome(a.send("x")), close());
        EXPECT_EQ(reader, gyre::errc::closed);
        EXPECT_EQ(writer, gyre::errc::closed);
    });
}

TEST_P(Closing, FreesTheNumberAndANewSocketOfThatNumberGetsNoStaleEvent) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 20; ++round) {
            auto [a, b] = make_pair(kind());
            std::array<std::byte, 4> memory;
            const int number = a.fileno();
            EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
            push(b, "old"); // an event of the old socket, that nobody looks at
            a.close();
            b.close();
            auto [c, d] = make_pair(kind());
            gyre::socket& same = c.fileno() == number ? c : d;
            EXPECT_EQ(co_await outcome(same.recv(memory).within(1ms)), gyre::errc::timed_out);
        }
    });
}

TEST_P(Closing, CallsThatDoNotWaitSayClosed) {
    gyre::socket s = make_client(kind());
    s.close();
    EXPECT_EQ(thrown_by([&] { s.getsockname(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.getpeername(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.listen(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.shutdown(SHUT_WR); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.bind(gyre::address::loopback_ipv4(0)); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { s.settimeout(1s); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { (void)s.gettimeout(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { (void)s.get(gyre::option::no_delay); }), gyre::errc::closed);
    EXPECT_EQ(s.detach(), -1);
}

TEST_P(Closing, AMovedFromSocketIsClosed) {
    auto [a, b] = make_pair(kind());
    gyre::socket other = std::move(a);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory)), gyre::errc::closed);
        push(b, "x");
        EXPECT_EQ(co_await other.recv(memory), 1U);
    });
}

// S7: CPython gives 0 bytes.
TEST_P(Closing, ReceivingNothingFromAClosedSocketIsAnError) {
    auto [a, b] = make_pair(kind());
    a.close();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(gyre::buffer(nullptr, 0))), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(a.send("")), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(a.sendall("")), gyre::errc::closed);
    });
}

// L6
TEST_P(Closing, ADuplicateKeepsTheConnection) {
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
        gyre::socket other = gyre::socket::adopt(fcntl(a.fileno(), F_DUPFD_CLOEXEC, 0));
        a.close();
        EXPECT_EQ(co_await outcome(b.recv(memory).within(1ms)), gyre::errc::timed_out) << "no end";
        push(b, "still");
        EXPECT_EQ(co_await other.recv(memory), 5U);
        other.shutdown(SHUT_RDWR);
        EXPECT_EQ(co_await b.recv(memory), 0U);
    });
}

TEST_P(Closing, DetachGivesAnOpenDescriptorThatCanBeAdoptedAgain) {
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
        const int fd = a.detach();
        EXPECT_GE(fd, 0);
        EXPECT_FALSE(a);
        EXPECT_EQ(a.detach(), -1);
        gyre::socket again = gyre::socket::adopt(fd);
        EXPECT_EQ(again.family(), family_of(kind()));
        EXPECT_EQ(again.type(), SOCK_STREAM);
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "again");
        };
        auto [n, nothing] = co_await gyre::all(again.recv(memory), write());
        EXPECT_EQ(n, 5U);
    });
}

// L8: that another part of the program closes our descriptor is its bug; it must not become a hang.
TEST_P(Closing, AnotherPartOfTheProgramIsSurvived) {
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        ::close(a.fileno());
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory)), std::errc::bad_file_descriptor);
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::bad_file_descriptor);
        a.close();
    });
}

// L9
TEST_P(Closing, EveryDescriptorIsClosedOnExec) {
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        gyre::socket client = make_client(kind());
        co_await client.connect(listener.getsockname());
        auto [peer, from] = co_await listener.accept();
        auto [left, right] = gyre::socketpair();
        const std::vector<int> mine = opened_by_this_test();
        EXPECT_GE(mine.size(), 6U) << "five sockets, and what the loop has";
        for (const int fd : mine)
            EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC) << fd;
    });
}

// G7
class Lingering : public on_each_stream {};

TEST_P(Lingering, CloseDoesNotHoldTheLoopAndAllIsSent) {
    auto [a, b] = make_narrow_pair(kind());
    a.set(gyre::option::linger, an_hour);
    run([&]() -> gyre::task<> {
        co_await expect_an_end_without_waiting(a, b, [&] { a.close(); });
    });
}

TEST_P(Lingering, CloseOfASocketThatTheLoopKnowsDoesNotHoldIt) {
    auto [a, b] = make_narrow_pair(kind());
    a.set(gyre::option::linger, an_hour);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
        co_await expect_an_end_without_waiting(a, b, [&] { a.close(); });
    });
}

TEST_P(Lingering, AnAcceptedSocketHasItFromItsListener) {
    gyre::socket listener = make_listener(kind());
    listener.set(gyre::option::linger, an_hour);
    listener.set(gyre::option::send_buffer, 4096);
    gyre::socket client = make_client(kind());
    client.set(gyre::option::receive_buffer, 4096);
    run([&]() -> gyre::task<> {
        co_await client.connect(listener.getsockname());
        auto [peer, from] = co_await listener.accept();
        EXPECT_EQ(peer.get(gyre::option::linger).l_linger, an_hour.l_linger);
        gyre::socket& accepted = peer;
        co_await expect_an_end_without_waiting(accepted, client, [&] { accepted.close(); });
    });
}

TEST_P(Lingering, AnAdoptedSocketMayHaveIt) {
    auto [a, b] = make_narrow_pair(kind());
    a.set(gyre::option::linger, an_hour);
    gyre::socket again = gyre::socket::adopt(a.detach());
    run([&]() -> gyre::task<> {
        co_await expect_an_end_without_waiting(again, b, [&] { again.close(); });
    });
}

TEST_P(Lingering, WithoutATimeCloseStillResets) {
    auto [a, b] = make_pair(kind());
    a.set(gyre::option::linger, an_hour);
    a.set(gyre::option::linger, {1, 0});
    run([&]() -> gyre::task<> {
        a.close();
        std::array<std::byte, 4> memory;
        EXPECT_EQ(co_await outcome(b.recv(memory)), std::errc::connection_reset);
    });
}

GYRE_OVER(tcp, Lingering, gyre_test::stream_kind::tcp);
GYRE_OVER(tcp6, Lingering, gyre_test::stream_kind::tcp6);

GYRE_OVER_EACH_STREAM(Closing);

} // namespace
