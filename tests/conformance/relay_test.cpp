#include "../support/refuse.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/io/relay.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <sys/syscall.h>

namespace {

using namespace gyre_test;

constexpr std::size_t megabyte = std::size_t{1} << 20;

/// Two connections with the relay between them: left.a - left.b, relay, right.a - right.b.
struct line {
    explicit line(stream_kind kind, bool narrow = false)
        : left(narrow ? make_narrow_pair(kind) : make_pair(kind)),
          right(narrow ? make_narrow_pair(kind) : make_pair(kind)) {}
    auto relay() { return gyre::relay(left.b, right.a); }
    gyre::socket& one() { return left.a; }
    gyre::socket& other() { return right.b; }
    pair_of_sockets left;
    pair_of_sockets right;
};

gyre::task<> send_and_end(gyre::socket& s, std::span<const std::byte> bytes) {
    co_await s.sendall(bytes);
    s.shutdown(SHUT_WR);
}

gyre::task<> expect_all(gyre::socket& s, std::span<const std::byte> expected, bool slow = false) {
    std::vector<std::byte> part(slow ? 3000 : 65536);
    std::size_t size = 0;
    std::uint64_t so_far = hash({});
    while (const std::size_t n = co_await s.recv(part)) {
        so_far = hash(std::span(part).first(n), so_far);
        size += n;
        if (slow)
            co_await next_turn();
    }
    EXPECT_EQ(size, expected.size());
    EXPECT_EQ(so_far, hash(expected));
}

class Relay : public on_each_stream {
protected:
    /// Both directions at once, byte for byte.
    void both_ways(line l, std::size_t there, std::size_t back, bool slow = false) {
        const std::vector<std::byte> first = pattern(there, 1);
        const std::vector<std::byte> second = pattern(back, 2);
        run([&]() -> gyre::task<> {
            auto [result, a, b, c, d] = co_await gyre::all(
                l.relay(), send_and_end(l.one(), first), send_and_end(l.other(), second),
                expect_all(l.one(), second, slow), expect_all(l.other(), first, slow));
            EXPECT_EQ(result.from_first, first.size());
            EXPECT_EQ(result.from_second, second.size());
        });
    }
    /// How it ends when `f` happens in the middle.
    template <class F>
    std::error_code ended_by(line& l, F f) {
        std::error_code code;
        run([&]() -> gyre::task<> {
            const auto then = [&]() -> gyre::task<> {
                co_await l.one().sendall("hello");
                std::array<std::byte, 5> memory;
                co_await l.other().recv_exactly(memory);
                f();
            };
            auto [c, nothing] = co_await gyre::all(outcome(l.relay()), then());
            code = c;
        });
        return code;
    }
};

TEST_P(Relay, CopiesBothWaysAtOnceByteForByte) {
    both_ways(line(kind()), 5 * megabyte + 11, 3 * megabyte + 7);
}

TEST_P(Relay, CopiesThroughSmallBuffersToSlowReaders) {
    both_ways(line(kind(), true), megabyte / 2 + 11, megabyte / 2 + 7, true);
}

TEST_P(Relay, NothingAtAllIsCopiedToo) {
    both_ways(line(kind()), 0, 0);
    both_ways(line(kind()), 0, 100'000);
}

TEST_P(Relay, TheEndOfOneDirectionIsPassedOnAndTheOtherGoesOn) {
    line l(kind());
    run([&]() -> gyre::task<> {
        const auto talk = [&]() -> gyre::task<> {
            std::array<std::byte, 16> memory;
            co_await l.one().sendall("question");
            l.one().shutdown(SHUT_WR);
            co_await l.other().recv_exactly(std::span(memory).first(8));
            EXPECT_EQ(co_await l.other().recv(memory), 0);
            for (int i = 0; i < 3; ++i) { // long after that end
                co_await l.other().sendall("answer");
                co_await l.one().recv_exactly(std::span(memory).first(6));
                EXPECT_EQ(text_of(std::span(memory).first(6)), "answer");
            }
            l.other().close();
            EXPECT_EQ(co_await l.one().recv(memory), 0);
        };
        auto [result, nothing] = co_await gyre::all(l.relay(), talk());
        EXPECT_EQ(result.from_first, 8);
        EXPECT_EQ(result.from_second, 18);
    });
}

TEST_P(Relay, AnIdleConnectionHasNoPipe) {
    line l(kind());
    run([&]() -> gyre::task<> {
        const std::size_t before = opened_by_this_test().size();
        const auto look = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(opened_by_this_test().size(), before);
            l.one().close();
            l.other().close();
        };
        co_await gyre::all(l.relay(), look());
    });
}

TEST_P(Relay, AResetOfOneEndEndsTheWhole) {
    if (!over_tcp())
        GTEST_SKIP() << "there is no reset";
    line l(kind());
    EXPECT_EQ(ended_by(l,
                       [&] {
                           reset_when_closed(l.other());
                           l.other().close();
                       }),
              std::errc::connection_reset);
}

TEST_P(Relay, ClosingASocketEndsItWithClosed) {
    line l(kind());
    EXPECT_EQ(ended_by(l, [&] { l.left.b.close(); }), gyre::errc::closed);
}

TEST_P(Relay, TheTimeoutOfASocketEndsIt) {
    line l(kind());
    l.right.a.settimeout(10ms);
    EXPECT_EQ(ended_by(l, [] {}), gyre::errc::timed_out);
}

TEST_P(Relay, ASenderThatIsNotReadTimesOut) {
    line l(kind(), true);
    l.right.a.settimeout(20ms);
    const std::vector<std::byte> bytes = pattern(4 * megabyte);
    run([&]() -> gyre::task<> {
        const auto feed = [&]() -> gyre::task<> {
            // The other end speaks at times, so that only writing to it takes too long.
            co_await gyre::as_result(l.one().sendall(bytes));
        };
        const auto speak = [&]() -> gyre::task<> {
            for (;;) {
                co_await l.other().sendall("x");
                co_await gyre::sleep_for(1ms);
            }
        };
        const auto relay = [&]() -> gyre::task<> {
            try {
                co_await l.relay();
                ADD_FAILURE() << "it has ended well";
            } catch (const gyre::timeout_error& e) {
                EXPECT_GT(e.transferred(), 0);
            }
        };
        co_await gyre::race(relay(), gyre::all(feed(), speak()));
    });
}

TEST_P(Relay, CanBeCancelledWhileItWaits) {
    line l(kind());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::with_timeout(10ms, l.relay())), gyre::errc::timed_out);
        EXPECT_TRUE(l.left.b); // and the sockets stay good
        co_await l.left.b.sendall("x");
    });
}

TEST_P(Relay, CanBeCancelledInAFlood) {
    line l(kind());
    const std::vector<std::byte> bytes = pattern(megabyte);
    run([&]() -> gyre::task<> {
        const auto flood = [&]() -> gyre::task<> {
            for (;;)
                co_await l.one().sendall(bytes);
        };
        const auto drain = [&]() -> gyre::task<> {
            std::vector<std::byte> part(65536);
            while (co_await l.other().recv(part) > 0) {
            }
        };
        const auto relay = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await outcome(gyre::with_timeout(20ms, l.relay())), gyre::errc::timed_out);
        };
        co_await gyre::race(relay(), flood(), drain());
    });
}

TEST_P(Relay, UrgentDataDoesNotMakeItSpin) {
    if (!over_tcp())
        GTEST_SKIP() << "only TCP is sure to have it";
    line l(kind());
    run([&]() -> gyre::task<> {
        const auto talk = [&]() -> gyre::task<> {
            std::array<std::byte, 8> memory;
            co_await l.one().sendall("a");
            co_await l.other().recv_exactly(std::span(memory).first(1));
            co_await l.one().send("!", MSG_OOB);
            co_await gyre::sleep_for(5ms);
            co_await l.one().sendall("b");
            co_await l.other().recv_exactly(std::span(memory).first(1));
            EXPECT_EQ(text_of(std::span(memory).first(1)), "b");
            l.one().close();
            l.other().close();
        };
        co_await gyre::all(l.relay(), talk());
    });
}

std::atomic<int> sigpipes;

TEST_P(Relay, ToAPeerThatIsGoneIsAnErrorAndNoSignal) {
    struct sigaction before{};
    struct sigaction counts{};
    counts.sa_handler = [](int) { ++sigpipes; };
    sigaction(SIGPIPE, &counts, &before);
    sigpipes = 0;
    {
        line l(kind(), true);
        const std::vector<std::byte> bytes = pattern(megabyte);
        run([&]() -> gyre::task<> {
            const auto close = [&]() -> gyre::task<> {
                std::array<std::byte, 5> memory;
                co_await l.other().recv_exactly(memory);
                l.other().close(); // with data unread
            };
            const auto relay = [&]() -> gyre::task<> {
                const std::error_code code = co_await outcome(l.relay());
                EXPECT_TRUE(code == std::errc::broken_pipe || code == std::errc::connection_reset)
                    << code.message();
            };
            co_await gyre::race(gyre::all(relay(), close()), [&]() -> gyre::task<> {
                co_await gyre::as_result(l.one().sendall(bytes));
                co_await gyre::sleep_for(patience);
            }());
        });
    }
    EXPECT_EQ(sigpipes, 0);
    sigaction(SIGPIPE, &before, nullptr);
}

TEST_P(Relay, LeavesTheSocketsOpen) {
    line l(kind());
    run([&]() -> gyre::task<> {
        l.one().close();
        l.other().shutdown(SHUT_WR);
        co_await l.relay();
        EXPECT_TRUE(l.left.b);
        EXPECT_TRUE(l.right.a);
    });
}

GYRE_OVER_EACH_STREAM(Relay);

class RelayElsewhere : public on_each_backend<> {};

TEST_P(RelayElsewhere, WhatIsNoStreamOrNotConnectedIsRefused) {
    pair_of_sockets udp = make_udp_pair();
    pair_of_sockets stream = make_pair(stream_kind::tcp);
    gyre::socket lonely = make_client(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::relay(stream.a, udp.a)),
                  std::errc::operation_not_supported);
        EXPECT_EQ(co_await outcome(gyre::relay(lonely, stream.a)), std::errc::not_connected);
        gyre::socket closed;
        EXPECT_EQ(co_await outcome(gyre::relay(closed, stream.a)), gyre::errc::closed);
    });
}

TEST_P(RelayElsewhere, JoinsDifferentFamilies) {
    pair_of_sockets left = make_pair(stream_kind::tcp6);
    pair_of_sockets right = make_pair(stream_kind::unix_stream);
    const std::vector<std::byte> bytes = pattern(2 * megabyte);
    run([&]() -> gyre::task<> {
        co_await gyre::all(gyre::relay(left.b, right.a), send_and_end(left.a, bytes),
                           send_and_end(right.b, bytes), expect_all(left.a, bytes),
                           expect_all(right.b, bytes));
    });
}

// ---- Copying -----------------------------------------------------------------------------------

/// In a process of its own: relays after a system call has been refused to it.
std::string relay_refused(gyre::backend_kind backend, long number, int code, bool only_from_pipes) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    const std::vector<std::byte> first = pattern(megabyte + 3, 1);
    const std::vector<std::byte> second = pattern(megabyte / 2, 2);
    std::vector<line> lines;
    for (const stream_kind kind : {stream_kind::tcp, stream_kind::unix_stream})
        for (const bool narrow : {false, true})
            lines.emplace_back(kind, narrow);
    int last = 0; // of the sockets: the pipes will have higher numbers
    for (const int fd : {lines.back().left.a.fileno(), lines.back().left.b.fileno(),
                         lines.back().right.a.fileno(), lines.back().right.b.fileno()})
        last = std::max(last, fd);
    if (!refuse(number, code, only_from_pipes ? static_cast<std::uint32_t>(last) + 1 : 0))
        return {};
    const auto test = [&]() -> gyre::task<> {
        for (line& each : lines) {
            auto [result, a, b, c, d] = co_await gyre::all(
                each.relay(), send_and_end(each.one(), first), send_and_end(each.other(), second),
                expect_all(each.one(), second), expect_all(each.other(), first));
            EXPECT_EQ(result.from_first, first.size());
            EXPECT_EQ(result.from_second, second.size());
        }
    };
    loop.run(gyre::with_timeout(20s, test()));
    return testing::Test::HasFailure() ? "not all has arrived" : "";
}

TEST_P(RelayElsewhere, WithoutDescriptorsForPipesItCopies) {
    EXPECT_EQ(in_child(
                  [](gyre::backend_kind backend) {
                      return relay_refused(backend, SYS_pipe2, EMFILE, false);
                  },
                  GetParam()),
              "");
}

TEST_P(RelayElsewhere, WhereTheKernelDoesNotSpliceFromASocketItCopies) {
    EXPECT_EQ(in_child(
                  [](gyre::backend_kind backend) {
                      return relay_refused(backend, SYS_splice, EINVAL, false);
                  },
                  GetParam()),
              "");
}

TEST_P(RelayElsewhere, WhereTheKernelDoesNotSpliceToASocketItCopiesWhatIsInThePipe) {
    EXPECT_EQ(in_child(
                  [](gyre::backend_kind backend) {
                      return relay_refused(backend, SYS_splice, EINVAL, true);
                  },
                  GetParam()),
              "");
}

GYRE_ON_EACH_BACKEND(RelayElsewhere);

} // namespace
