#include "../support/pending.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <string>
#include <variant>

namespace {

using namespace gyre_test;

// ---- Every operation ---------------------------------------------------------------------------

class Cancel : public on_each_operation {};

TEST_P(Cancel, LosingARaceEndsItWithCancelled) {
    run([&]() -> gyre::task<> {
        std::error_code loser;
        const auto wait = [&]() -> gyre::task<> { loser = co_await op->wait(); };
        const auto winner = [&]() -> gyre::task<> { co_await next_turn(); };
        co_await gyre::race(wait(), winner());
        EXPECT_EQ(loser, gyre::errc::cancelled);
    });
}

TEST_P(Cancel, BeforeItBeganEndsItWithCancelled) {
    run([&]() -> gyre::task<> {
        std::error_code code;
        const auto wait = [&]() -> gyre::task<> { code = co_await op->wait(); };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.cancel();
            g.spawn(wait());
            co_return;
        });
        EXPECT_EQ(code, gyre::errc::cancelled);
    });
}

TEST_P(Cancel, OfItsGroupEndsItWithCancelled) {
    run([&]() -> gyre::task<> {
        std::error_code code;
        const auto wait = [&]() -> gyre::task<> { code = co_await op->wait(); };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait());
            co_await next_turn();
            g.cancel();
        });
        EXPECT_EQ(code, gyre::errc::cancelled);
    });
}

TEST_P(Cancel, OfItsFutureThrowsCancelled) {
    gyre::loop loop(options());
    gyre::future<> f = loop.start(op->perform());
    run_on(loop, []() -> gyre::task<> { co_await next_turn(); });
    EXPECT_FALSE(f.ready());
    f.cancel();
    run_on(loop, [&]() -> gyre::task<> {
        std::error_code code;
        try {
            co_await f;
        } catch (const gyre::error& e) {
            code = e.code();
        }
        EXPECT_EQ(code, gyre::errc::cancelled);
    });
}

TEST_P(Cancel, OfItsFutureFromAnotherThreadThrowsCancelled) {
    gyre::loop_thread network(options());
    gyre::future<> f = network.start(op->perform());
    EXPECT_FALSE(f.wait_for(1ms));
    f.cancel();
    ASSERT_TRUE(f.wait_for(patience));
    EXPECT_EQ(thrown_by([&] { f.get(); }), gyre::errc::cancelled);
}

TEST_P(Cancel, LeavesTheSocketAsItWas) {
    if (op->subject.type() == SOCK_STREAM && GetParam().name.starts_with("connect"))
        GTEST_SKIP() << "a connect that was cancelled leaves the socket of no use";
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::with_timeout(1ms, op->wait()), gyre::errc::cancelled);
        op->go_on();
        EXPECT_EQ(co_await op->wait(), std::error_code());
        op->check_success();
    });
}

// Whether the cancel or the news comes first, there is one end, and after success the data is
// right.
TEST_P(Cancel, RacingWithSuccessHasOneEnd) {
    run([&]() -> gyre::task<> {
        std::error_code code;
        const auto wait = [&]() -> gyre::task<> { code = co_await op->wait(); };
        const auto winner = [&]() -> gyre::task<> {
            co_await next_turn();
            op->go_on();
        };
        co_await gyre::race(wait(), winner());
        if (code != gyre::errc::cancelled) {
            EXPECT_EQ(code, std::error_code());
            op->check_success();
        }
    });
}

GYRE_WITH_EACH_OPERATION(Cancel);

// ---- Cancelling as such ------------------------------------------------------------------------

class Cancellation : public on_each_backend<> {};

// S17, test_sock_client_racing of asyncio.
TEST_P(Cancellation, OfReceivesLosesNoByte) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 500;
        unsigned seen = 0;
        std::array<std::byte, 16> memory;
        for (unsigned sent = 0; seen < total;) {
            std::expected<std::size_t, std::error_code> n;
            const auto read = [&]() -> gyre::task<> {
                n = co_await gyre::as_result(a.recv(memory));
            };
            const auto write = [&]() -> gyre::task<> {
                if (sent % 2 == 0)
                    co_await next_turn();
                const auto byte = static_cast<char>(sent % 251);
                if (sent < total && ++sent > 0)
                    push(b, {&byte, 1});
            };
            co_await gyre::race(read(), write());
            if (!n) {
                EXPECT_EQ(n.error(), gyre::errc::cancelled);
                continue;
            }
            for (std::size_t i = 0; i < *n; ++i, ++seen)
                CO_ASSERT_TRUE(memory[i] == static_cast<std::byte>(seen % 251));
        }
    });
}

// A6
TEST_P(Cancellation, OfAcceptsLosesNoConnection) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 100;
        unsigned accepted = 0;
        std::vector<gyre::socket> clients;
        while (accepted < total) {
            const auto accept = [&]() -> gyre::task<> {
                auto [peer, from] = co_await listener.accept();
                ++accepted;
            };
            const auto connect = [&]() -> gyre::task<> {
                if (clients.size() % 2 == 0)
                    co_await next_turn();
                if (clients.size() < total) {
                    clients.push_back(gyre::socket::open());
                    co_await clients.back().connect(to);
                }
            };
            co_await gyre::race(accept(), connect());
        }
        EXPECT_EQ(co_await outcome(listener.accept().nonblocking()),
                  std::errc::operation_would_block);
    });
}

// S18
TEST_P(Cancellation, OfABlockedSendallTellsWhereTheNextOneGoesOn) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(1 << 20);
        std::size_t gone = 0;
        const auto send = [&]() -> gyre::task<> {
            try {
                co_await a.sendall(bytes);
            } catch (const gyre::error& e) {
                EXPECT_EQ(e.code(), gyre::errc::cancelled);
                gone = e.transferred();
            }
        };
        const auto a_few_turns = [&]() -> gyre::task<> {
            for (int i = 0; i < 3; ++i)
                co_await next_turn();
        };
        co_await gyre::race(send(), a_few_turns());
        EXPECT_GT(gone, 0U);
        CO_ASSERT_TRUE(gone < bytes.size());
        const auto rest = [&]() -> gyre::task<> {
            co_await a.sendall(std::span(bytes).subspan(gone));
            a.shutdown(SHUT_WR);
        };
        std::uint64_t received = hash({});
        std::size_t count = 0;
        const auto read = [&]() -> gyre::task<> {
            std::vector<std::byte> memory(65536);
            while (const std::size_t n = co_await b.recv(memory)) {
                received = hash(std::span(memory).first(n), received);
                count += n;
            }
        };
        co_await gyre::all(rest(), read());
        EXPECT_EQ(count, bytes.size());
        EXPECT_EQ(received, hash(bytes));
    });
}

TEST_P(Cancellation, ReachesThroughTasksGroupsAndCombinations) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        unsigned ends = 0;
        const auto leaf = [&](gyre::socket& s) -> gyre::task<> {
            EXPECT_EQ(co_await outcome(s.recv(memory)), gyre::errc::cancelled);
            ++ends;
        };
        const auto sleeper = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await outcome(gyre::sleep_for(1h)), gyre::errc::cancelled);
            ++ends;
        };
        const auto tree = [&]() -> gyre::task<> {
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(leaf(a));
                co_await gyre::all(leaf(b), gyre::with_timeout(1h, sleeper()),
                                   gyre::race(sleeper(), sleeper()));
            });
        };
        try {
            co_await gyre::with_timeout(2ms, tree());
        } catch (const gyre::timeout_error&) {
        }
        EXPECT_EQ(ends, 5U);
    });
}

TEST_P(Cancellation, StaysSetForEveryLaterOperation) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        unsigned ends = 0;
        const auto stubborn = [&]() -> gyre::task<> {
            for (int i = 0; i < 100; ++i)
                ends += co_await outcome(a.recv(memory)) == gyre::errc::cancelled;
            co_await gyre::sleep_for(1h);
        };
        bool timed_out = false;
        try {
            co_await gyre::with_timeout(1ms, stubborn());
        } catch (const gyre::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
        EXPECT_EQ(ends, 100U);
        push(b, "left");
        EXPECT_EQ(co_await a.recv(memory), 4U) << "the socket itself is not cancelled";
    });
}

TEST_P(Cancellation, OfAnAwaitedFutureLeavesItsComputationRunning) {
    gyre::loop loop(options());
    run_on(loop, [&]() -> gyre::task<> {
        bool go_on = false;
        const auto work = [&]() -> gyre::task<int> {
            while (!go_on)
                co_await next_turn();
            co_return 42;
        };
        gyre::future<int> f = loop.start(work());
        std::error_code code;
        const auto wait = [&]() -> gyre::task<> {
            try {
                co_await f;
            } catch (const gyre::error& e) {
                code = e.code();
            }
        };
        co_await gyre::with_timeout(1ms, wait());
        EXPECT_EQ(code, gyre::errc::cancelled);
        EXPECT_FALSE(f.ready());
        go_on = true;
        EXPECT_EQ(co_await f, 42);
    });
}

TEST_P(Cancellation, OfAFutureThatIsReadyChangesNothing) {
    gyre::loop loop(options());
    run_on(loop, [&]() -> gyre::task<> {
        const auto work = []() -> gyre::task<int> { co_return 42; };
        gyre::future<int> f = loop.start(work());
        while (!f.ready())
            co_await next_turn();
        f.cancel();
        co_await next_turn();
        EXPECT_EQ(co_await f, 42);
    });
}

// ---- Race, all ---------------------------------------------------------------------------------

TEST_P(Cancellation, ARaceGivesWhatTheFirstToEndGave) {
    run([&]() -> gyre::task<> {
        const auto after = [](std::chrono::milliseconds d, int n) -> gyre::task<int> {
            co_await gyre::as_result(gyre::sleep_for(d));
            co_return n;
        };
        EXPECT_EQ(co_await gyre::race(after(1ms, 1), after(1h, 2)), 1);
        EXPECT_EQ(co_await gyre::race(after(1h, 1), after(1ms, 2)), 2)
            << "the loser ended well, too, but after its cancellation";
        EXPECT_EQ(co_await gyre::race(after(1h, 1), after(1h, 2), after(0ms, 3)), 3);
    });
}

TEST_P(Cancellation, ARaceOfDifferentTypesGivesAVariant) {
    run([&]() -> gyre::task<> {
        const auto number = []() -> gyre::task<int> {
            co_await gyre::sleep_for(1h);
            co_return 1;
        };
        const auto text = []() -> gyre::task<std::string> {
            co_await gyre::sleep_for(1ms);
            co_return "won";
        };
        const std::variant<int, std::string> winner = co_await gyre::race(number(), text());
        EXPECT_EQ(winner, (std::variant<int, std::string>("won")));
    });
}

TEST_P(Cancellation, ARaceThatIsLostByAFailureThrowsIt) {
    run([&]() -> gyre::task<> {
        unsigned ended = 0;
        const auto fails = []() -> gyre::task<> {
            co_await gyre::sleep_for(1ms);
            throw gyre::error(std::make_error_code(std::errc::io_error), "race");
        };
        const auto waits = [&]() -> gyre::task<> {
            struct at_end {
                unsigned& n;
                ~at_end() { ++n; }
            } e{ended};
            co_await gyre::sleep_for(1h);
        };
        std::error_code code;
        try {
            co_await gyre::race(waits(), fails(), waits());
        } catch (const gyre::error& e) {
            code = e.code();
        }
        EXPECT_EQ(code, std::errc::io_error);
        EXPECT_EQ(ended, 2U) << "the losers are awaited";
    });
}

TEST_P(Cancellation, AllThrowsTheFirstFailureAfterTheOthersHaveEnded) {
    run([&]() -> gyre::task<> {
        bool other_ended = false;
        const auto fails = [](std::chrono::milliseconds d, std::errc e) -> gyre::task<int> {
            co_await gyre::sleep_for(d);
            throw gyre::error(std::make_error_code(e), "all");
        };
        const auto waits = [&]() -> gyre::task<int> {
            const auto r = co_await gyre::as_result(gyre::sleep_for(1h));
            co_await gyre::yield();
            other_ended = true;
            co_return r ? 1 : 2;
        };
        std::error_code code;
        try {
            co_await gyre::all(waits(), fails(1ms, std::errc::io_error),
                               fails(1h, std::errc::no_link));
        } catch (const gyre::error& e) {
            code = e.code();
        }
        EXPECT_EQ(code, std::errc::io_error);
        EXPECT_TRUE(other_ended);
    });
}

GYRE_ON_EACH_BACKEND(Cancellation);

} // namespace
