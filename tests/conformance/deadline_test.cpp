#include "../support/pending.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace {

using namespace gyre_test;

// ---- Every operation ---------------------------------------------------------------------------

constexpr auto short_time = 3ms;

/// TCP connect has begun, and says so; all others have not.
bool would_wait(std::error_code code) {
    return code == std::errc::operation_would_block || code == std::errc::operation_in_progress;
}

class Deadline : public on_each_operation {
protected:
    void expect_timeout(manner m) {
        run([&]() -> gyre::task<> {
            const auto start = gyre::clock::now();
            EXPECT_EQ(co_await op->wait(m), gyre::errc::timed_out);
            EXPECT_GE(gyre::clock::now() - start, short_time) << "early";
        });
    }
};

TEST_P(Deadline, WithinEndsItWithTimedOutAndNotEarly) {
    expect_timeout({manner::within, short_time});
}

TEST_P(Deadline, UntilEndsItWithTimedOutAndNotEarly) {
    expect_timeout({manner::until, short_time});
}

TEST_P(Deadline, TheTimeoutOfTheSocketEndsItWithTimedOut) {
    op->subject.settimeout(short_time);
    expect_timeout({});
}

TEST_P(Deadline, WithTimeoutThrowsTimeoutError) {
    run([&]() -> gyre::task<> {
        bool thrown = false;
        try {
            co_await gyre::with_timeout(short_time, op->perform());
        } catch (const gyre::timeout_error& e) {
            thrown = e.code() == gyre::errc::timed_out;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST_P(Deadline, OneInThePastEndsItInTheNextTurn) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await op->wait({manner::within, -1s}), gyre::errc::timed_out);
    });
}

TEST_P(Deadline, NonblockingSaysWouldBlockAtOnce) {
    run([&]() -> gyre::task<> {
        EXPECT_TRUE(would_wait(co_await op->wait({manner::nonblocking})));
    });
}

TEST_P(Deadline, ATimeoutOfZeroMeansWouldBlockNotTimedOut) {
    op->subject.settimeout(0s);
    run([&]() -> gyre::task<> { EXPECT_TRUE(would_wait(co_await op->wait())); });
}

TEST_P(Deadline, ItsOwnDeadlineOverridesThatOfTheSocket) {
    op->subject.settimeout(1h);
    expect_timeout({manner::within, short_time});
}

TEST_P(Deadline, WithoutDeadlineOverridesTheTimeoutOfTheSocket) {
    op->subject.settimeout(short_time);
    run([&]() -> gyre::task<> {
        const auto code =
            co_await gyre::with_timeout(4 * short_time, op->wait({manner::without_deadline}));
        EXPECT_EQ(code, gyre::errc::cancelled) << "ended by with_timeout, not by the socket's";
    });
}

TEST_P(Deadline, OneFarAwayDoesNotKeepItFromSucceeding) {
    run([&]() -> gyre::task<> {
        auto [code, nothing] =
            co_await gyre::all(op->wait({manner::within, 1h}), [&]() -> gyre::task<> {
                co_await next_turn();
                op->go_on();
            }());
        EXPECT_EQ(code, std::error_code());
        if (!code)
            op->check_success();
    });
}

GYRE_WITH_EACH_OPERATION(Deadline);

// ---- Deadlines as such -------------------------------------------------------------------------

class Timeouts : public on_each_backend<> {};

TEST_P(Timeouts, NegativeAndNotANumberAreRefusedAndChangeNothing) {
    gyre::socket s = gyre::socket::open();
    s.settimeout(3s);
    EXPECT_EQ(thrown_by([&] { s.settimeout(-1ns); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] {
                  s.settimeout(
                      std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()));
              }),
              std::errc::invalid_argument);
    EXPECT_EQ(s.gettimeout(), 3s);
}

TEST_P(Timeouts, BlockingIsATimeoutToo) {
    gyre::socket s = gyre::socket::open();
    EXPECT_EQ(s.gettimeout(), std::nullopt);
    EXPECT_TRUE(s.getblocking());
    s.setblocking(false);
    EXPECT_EQ(s.gettimeout(), 0s);
    EXPECT_FALSE(s.getblocking());
    s.setblocking(true);
    EXPECT_EQ(s.gettimeout(), std::nullopt);
    EXPECT_EQ(gyre::socket::open(AF_INET, SOCK_STREAM | SOCK_NONBLOCK).gettimeout(), 0s);
}

TEST_P(Timeouts, TheSmallestRoundsUpAndExpires) {
    auto [a, b] = make_pair(stream_kind::tcp);
    a.settimeout(std::chrono::duration<double>(1e-10));
    EXPECT_EQ(a.gettimeout(), 1ns);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        EXPECT_EQ(co_await outcome(a.recv(memory)), gyre::errc::timed_out);
    });
}

TEST_P(Timeouts, TheLongestIsForEver) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        constexpr auto longest = std::chrono::duration<double>(1e300);
        EXPECT_EQ(co_await gyre::with_timeout(1ms, outcome(a.recv(memory).within(longest))),
                  gyre::errc::cancelled);
        EXPECT_EQ(co_await gyre::with_timeout(
                      1ms, outcome(a.recv(memory).until(gyre::clock::time_point::max()))),
                  gyre::errc::cancelled);
    });
}

// T11: CPython waits the whole timeout here.
TEST_P(Timeouts, TheFlagDontWaitMeansWouldBlockWhateverTheTimeout) {
    auto [a, b] = make_pair(stream_kind::tcp);
    a.settimeout(1h);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        EXPECT_EQ(co_await gyre::with_timeout(1s, outcome(a.recv(memory, MSG_DONTWAIT))),
                  std::errc::operation_would_block);
    });
}

TEST_P(Timeouts, AnAcceptedSocketGetsTheDefaultNotThatOfItsListener) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    listener.settimeout(5s);
    run([&]() -> gyre::task<> {
        for (const bool with_default : {false, true}) {
            if (with_default)
                gyre::setdefaulttimeout(3s);
            gyre::socket client = gyre::socket::open();
            co_await client.connect(listener.getsockname());
            auto [peer, from] = co_await listener.accept();
            EXPECT_EQ(peer.gettimeout(),
                      with_default ? std::optional<std::chrono::nanoseconds>(3s) : std::nullopt);
        }
    });
    gyre::setdefaulttimeout(std::nullopt);
}

TEST_P(Timeouts, ADefaultThatIsNegativeIsRefused) {
    EXPECT_EQ(thrown_by([] { gyre::setdefaulttimeout(-1s); }), std::errc::invalid_argument);
    EXPECT_EQ(gyre::getdefaulttimeout(), std::nullopt);
}

// T6
TEST_P(Timeouts, OneDeadlineCoversAWholeSendallToASlowReader) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(4 << 20);
        const auto start = gyre::clock::now();
        bool done = false;
        std::size_t received = 0;
        const auto trickle = [&]() -> gyre::task<> {
            std::array<std::byte, 1024> memory;
            while (!done) {
                received += co_await b.recv(memory);
                co_await gyre::sleep_for(1ms);
            }
        };
        const auto writer = [&]() -> gyre::task<> {
            std::size_t gone = 0;
            try {
                co_await a.sendall(bytes).within(60ms);
                ADD_FAILURE() << "went through";
            } catch (const gyre::timeout_error& e) {
                gone = e.transferred();
            }
            EXPECT_GE(gyre::clock::now() - start, 60ms);
            EXPECT_GE(gone, received);
            EXPECT_GT(gone, 0U);
            EXPECT_LT(gone, bytes.size());
            done = true;
            a.close();
        };
        co_await gyre::all(trickle(), writer());
    });
}

// T7: what was there when the deadline passed is delivered, whichever the loop saw first.
TEST_P(Timeouts, DataThatArrivedBeforeTheDeadlineIsDelivered) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        bool in_time = false;
        // On a busy machine the deadline may pass before anything was sent: then once more.
        for (auto limit = 5ms; !in_time; limit *= 2) {
            const auto deadline = gyre::clock::now() + limit;
            const auto reader = [&]() -> gyre::task<std::error_code> {
                co_return co_await outcome(a.recv(memory).until(deadline));
            };
            const auto writer = [&]() -> gyre::task<> {
                co_await next_turn();
                push(b, "in time");
                EXPECT_TRUE(wait_readable(a));
                in_time = gyre::clock::now() < deadline;
                // The loop looks up only after the deadline: then it sees both at the same time.
                while (gyre::clock::now() < deadline) {
                }
            };
            auto [code, nothing] = co_await gyre::all(reader(), writer());
            if (in_time)
                EXPECT_EQ(code, std::error_code());
            else if (code)
                drain(a);
        }
        EXPECT_EQ(text_of(std::span(memory).first(7)), "in time");
    });
}

// Deadlines that pass while data arrives, many times: each byte is seen, in order.
TEST_P(Timeouts, RacingWithArrivalLosesNoByte) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 2000;
        const auto writer = [&]() -> gyre::task<> {
            for (unsigned i = 0; i < total; ++i) {
                const auto byte = static_cast<char>(i % 251);
                co_await b.sendall(gyre::const_buffer(&byte, 1));
                if (i % 3 == 0)
                    co_await next_turn();
            }
            b.shutdown(SHUT_WR);
        };
        const auto reader = [&]() -> gyre::task<> {
            unsigned seen = 0;
            std::array<std::byte, 3> memory;
            for (unsigned i = 0;; ++i) {
                auto n = co_await gyre::as_result(
                    a.recv(memory).within(std::chrono::microseconds(i % 100)));
                if (!n) {
                    EXPECT_EQ(n.error(), gyre::errc::timed_out);
                    continue;
                }
                if (*n == 0)
                    break;
                for (std::size_t k = 0; k < *n; ++k, ++seen)
                    CO_ASSERT_TRUE(memory[k] == static_cast<std::byte>(seen % 251));
            }
            EXPECT_EQ(seen, total);
        };
        co_await gyre::all(reader(), writer());
    });
}

// T12
TEST_P(Timeouts, AHundredThousandAreArmedAndDisarmed) {
    auto [a, b] = make_pair(stream_kind::unix_stream);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        const auto reader = [&]() -> gyre::task<> {
            for (int i = 0; i < 50'000; ++i) {
                CO_ASSERT_TRUE(co_await a.recv(memory).within(1h) == 1);
                co_await a.send("x").within(1h);
            }
        };
        const auto writer = [&]() -> gyre::task<> {
            for (int i = 0; i < 50'000; ++i) {
                co_await b.send("y").within(1h);
                std::array<std::byte, 8> own;
                CO_ASSERT_TRUE(co_await b.recv(own).within(1h) == 1);
            }
        };
        co_await gyre::all(reader(), writer());
    });
}

TEST_P(Timeouts, TenThousandSleepsEndTogether) {
    run([&]() -> gyre::task<> {
        unsigned ended = 0;
        const auto start = gyre::clock::now();
        const auto when = start + 100ms;
        const auto sleeper = [&]() -> gyre::task<> {
            co_await gyre::sleep_until(when);
            EXPECT_GE(gyre::clock::now(), when);
            ++ended;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (int i = 0; i < 10'000; ++i)
                g.spawn(sleeper());
            co_return;
        });
        EXPECT_EQ(ended, 10'000U);
    });
}

// More than the queues of io_uring hold: 1024 to submit, 8192 completions.
TEST_P(Timeouts, ThoseOfNineThousandPendingReceivesAllFireInOneTurn) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit before = limit;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const auto count = std::min<std::size_t>(9'000, (limit.rlim_cur - 100) / 2);
    {
        std::vector<pair_of_sockets> pairs;
        for (std::size_t i = 0; i < count; ++i)
            pairs.push_back(make_unix_pair(SOCK_STREAM));
        run([&]() -> gyre::task<> {
            std::size_t timed_out = 0;
            gyre::clock::time_point when = gyre::clock::now() + 700ms;
            const auto receiver = [&](gyre::socket& s) -> gyre::task<> {
                std::array<std::byte, 16> memory;
                auto n = co_await gyre::as_result(s.recv(memory).until(when));
                timed_out += !n && n.error() == gyre::errc::timed_out;
                EXPECT_GE(gyre::clock::now(), when);
            };
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                for (pair_of_sockets& p : pairs)
                    g.spawn(receiver(p.a));
                co_return;
            });
            EXPECT_EQ(timed_out, count);
            // Nothing is left behind: the sockets can be used again.
            for (pair_of_sockets& p : pairs) {
                push(p.b, "x");
                std::array<std::byte, 16> memory;
                CO_ASSERT_TRUE(co_await p.a.recv(memory) == 1);
            }
        });
    }
    setrlimit(RLIMIT_NOFILE, &before);
}

TEST_P(Timeouts, SleepsEndInTheOrderOfTheirTimes) {
    run([&]() -> gyre::task<> {
        std::vector<int> order;
        const auto sleeper = [&](int n) -> gyre::task<> {
            co_await gyre::sleep_for(n * 2ms);
            order.push_back(n);
        };
        co_await gyre::all(sleeper(3), sleeper(1), sleeper(4), sleeper(2));
        EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
    });
}

TEST_P(Timeouts, OfNestedOnesTheShorterThrowsAtItsOwnPlace) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        // On a busy machine both may have passed when the loop looks up: then once more.
        bool both_at_once = true;
        for (auto longer = 20ms; both_at_once; longer *= 2) {
            std::string trace;
            const auto until = gyre::clock::now() + longer;
            const auto inner = [&]() -> gyre::task<> {
                try {
                    co_await gyre::with_timeout(2ms, a.recv(memory).within(1h));
                } catch (const gyre::timeout_error&) {
                    trace += "inner ";
                } catch (const gyre::error&) {
                    trace += "cancelled ";
                }
                both_at_once = gyre::clock::now() >= until;
                co_await a.recv(memory);
            };
            try {
                co_await gyre::with_deadline(until, inner());
            } catch (const gyre::timeout_error&) {
                trace += "outer";
            }
            EXPECT_TRUE(both_at_once || trace == "inner outer") << trace;
        }
    });
}

GYRE_ON_EACH_BACKEND(Timeouts);

} // namespace
