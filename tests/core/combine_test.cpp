#include "../support/fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/combine.hpp>
#include <gyre/core/future.hpp>

#include <coroutine>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>

namespace {

using namespace gyre_test;

class Combine : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Combine);
class Timeout : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Timeout);
class Shielded : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Shielded);
class AsResult : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(AsResult);

template <class T>
gyre::task<T> after_turns(int turns, T value) {
    for (; turns > 0; --turns)
        co_await gyre::yield();
    co_return value;
}

gyre::task<> turns(int n) {
    for (; n > 0; --n)
        co_await gyre::yield();
}

gyre::task<int> fail(std::string why, int after = 0) {
    co_await turns(after);
    throw std::runtime_error(why);
}

/// Waits to be cancelled, then goes on for a few turns.
gyre::task<int> wait_for_cancel(int& cancelled) {
    bool told = false;
    try {
        co_await gyre::sleep_for(24h);
    } catch (const gyre::error& e) {
        told = e.code() == gyre::errc::cancelled;
    }
    co_await turns(5);
    cancelled += told;
    throw gyre::error(gyre::errc::cancelled, "wait_for_cancel");
}

/// Waits to be cancelled, and then ends well.
gyre::task<int> outlast(int value) {
    co_await gyre::as_result(gyre::sleep_for(24h));
    co_return value;
}

template <class T>
gyre::task<T> never() {
    co_await gyre::sleep_for(24h);
    co_return T();
}

gyre::task<int&> never_a_reference() {
    co_await gyre::sleep_for(24h);
    throw std::logic_error("slept for a day");
}

/// How awaiting `a` ended.
template <class Awaitable>
gyre::task<std::string> ending(Awaitable a) {
    try {
        co_await std::move(a);
    } catch (const gyre::timeout_error&) {
        co_return "timeout";
    } catch (const gyre::error& e) {
        co_return e.code() == gyre::errc::cancelled ? "cancelled" : e.what();
    } catch (const std::exception& e) {
        co_return e.what();
    }
    co_return "well";
}

// ---- all ---------------------------------------------------------------------------------------

TEST_P(Combine, AllGivesEveryResultInTheOrderOfItsArguments) {
    run([]() -> gyre::task<> {
        auto [a, b, c] = co_await gyre::all(after_turns(3, 1), after_turns(1, std::string("two")),
                                            after_turns(2, std::make_unique<int>(3)));
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, "two");
        EXPECT_EQ(*c, 3);
    });
}

TEST_P(Combine, AllOfOnePairOrTupleIsThatOneWhole) {
    run([]() -> gyre::task<> {
        auto [p] = co_await gyre::all(after_turns(1, std::pair(1, 2)));
        EXPECT_EQ(p, std::pair(1, 2));
        auto [t] = co_await gyre::all(after_turns(1, std::tuple(1, 2)));
        EXPECT_EQ(t, std::tuple(1, 2));
    });
}

gyre::task<int&> pick(int& value) {
    co_await gyre::yield();
    co_return value;
}

TEST_P(Combine, ReferencesStayReferences) {
    run([]() -> gyre::task<> {
        int x = 1;
        int y = 2;
        auto [a, b] = co_await gyre::all(pick(x), pick(y));
        EXPECT_EQ(&a, &x);
        EXPECT_EQ(&b, &y);
        int& winner = co_await gyre::race(pick(x), never_a_reference());
        EXPECT_EQ(&winner, &x);
        auto either = co_await gyre::race(never<std::string>(), pick(y));
        static_assert(std::is_same_v<decltype(either), std::variant<std::string, int*>>);
        EXPECT_EQ(std::get<1>(either), &y);
        EXPECT_EQ(&co_await gyre::with_timeout(20s, pick(x)), &x);
        EXPECT_EQ(&co_await gyre::loop::current()->start(pick(x)), &x);
        const std::expected<int*, std::error_code> r = co_await gyre::as_result(pick(y));
        EXPECT_EQ(r, &y);
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(pick(x));
            co_return;
        });
        const auto body = [&](gyre::task_group&) -> gyre::task<int&> { return pick(x); };
        EXPECT_EQ(&co_await gyre::with_group(body), &x);
    });
    int x = 1;
    gyre::loop loop(options());
    EXPECT_EQ(&loop.run(pick(x)), &x);
}

TEST_P(Combine, AllGivesMonostateForVoid) {
    run([]() -> gyre::task<> {
        auto r = co_await gyre::all(turns(2), after_turns(0, 5), gyre::sleep_for(1us));
        static_assert(std::is_same_v<decltype(r), std::tuple<std::monostate, int, std::monostate>>);
        EXPECT_EQ(std::get<1>(r), 5);
    });
}

TEST_P(Combine, AllOfOneIsThatOne) {
    run([]() -> gyre::task<> {
        auto [n] = co_await gyre::all(after_turns(1, 5));
        EXPECT_EQ(n, 5);
    });
}

/// An awaitable that fails when it is moved to where it would run.
struct immovable {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const noexcept { return 1; }

    explicit immovable(int good_moves) noexcept : moves_left(good_moves) {}
    immovable(immovable&& other) : moves_left(other.moves_left - 1) {
        if (moves_left < 0)
            throw std::runtime_error("immovable");
    }
    int moves_left;
};

TEST_P(Combine, AFailureToStartOneOfThemIsThrownWhereTheyAreAwaited) {
    run([]() -> gyre::task<> {
        const auto all = [](int moves) -> gyre::task<> {
            co_await gyre::all(turns(1), immovable(moves), turns(2));
        };
        const auto race = [](int moves) -> gyre::task<> {
            co_await gyre::race(turns(1), immovable(moves), turns(2));
        };
        std::string how;
        for (int moves = 1; how != "well"; ++moves) {
            CO_ASSERT_TRUE(moves < 20);
            how = co_await ending(all(moves));
            EXPECT_TRUE(how == "well" || how == "immovable") << how;
        }
        for (int moves = 1; moves < 20; ++moves) {
            how = co_await ending(race(moves));
            EXPECT_TRUE(how == "well" || how == "immovable") << how;
        }
        EXPECT_EQ(how, "well");
    });
}

TEST_P(Combine, AllRunsItsArgumentsAtTheSameTime) {
    run([]() -> gyre::task<> {
        int turn = 0;
        const auto take_turns = [](int& now, int first) -> gyre::task<> {
            for (int i = 0; i < 5; ++i) {
                EXPECT_EQ(now % 2, first);
                ++now;
                co_await gyre::yield();
            }
        };
        co_await gyre::all(take_turns(turn, 0), take_turns(turn, 1));
        EXPECT_EQ(turn, 10);
    });
}

TEST_P(Combine, TheFirstFailureOfAllCancelsAndAwaitsTheOthersAndIsThrown) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        EXPECT_EQ(co_await ending(gyre::all(wait_for_cancel(cancelled), fail("second", 2),
                                            fail("first", 1), wait_for_cancel(cancelled))),
                  "first");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(Combine, CancellingAllCancelsItsArguments) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        gyre::future<std::string> f = gyre::loop::current()->start(
            ending(gyre::all(wait_for_cancel(cancelled), wait_for_cancel(cancelled))));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(Combine, AllKeepsItsResultsWhenTheCancellationComesTooLate) {
    run([]() -> gyre::task<> {
        auto f = gyre::loop::current()->start(gyre::all(outlast(1), outlast(2)));
        co_await next_turn();
        f.cancel();
        auto [a, b] = co_await f;
        EXPECT_EQ(a + b, 3);
    });
}

// ---- race --------------------------------------------------------------------------------------

TEST_P(Combine, RaceGivesTheFirstResultAndCancelsAndAwaitsTheLoser) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const int winner = co_await gyre::race(wait_for_cancel(cancelled), after_turns(3, 7),
                                               wait_for_cancel(cancelled));
        EXPECT_EQ(winner, 7);
        EXPECT_EQ(cancelled, 2) << "race returned before the losers had ended";
    });
}

TEST_P(Combine, RaceGivesTheFirstResultAlsoWhenAnotherEndsWellAfterIt) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::race(outlast(1), after_turns(1, 2)), 2);
        EXPECT_EQ(co_await gyre::race(after_turns(1, 2), outlast(1)), 2);
        EXPECT_EQ(co_await gyre::race(outlast(1), outlast(3), after_turns(1, 2)), 2);
    });
}

TEST_P(Combine, RaceOfDifferentTypesGivesAVariant) {
    run([]() -> gyre::task<> {
        auto r = co_await gyre::race(never<int>(), after_turns(1, std::string("won")));
        static_assert(std::is_same_v<decltype(r), std::variant<int, std::string>>);
        EXPECT_EQ(r.index(), 1U);
        EXPECT_EQ(std::get<1>(r), "won");
    });
}

TEST_P(Combine, RaceTellsWhichOfSeveralOfOneTypeAmongOthersWon) {
    run([]() -> gyre::task<> {
        auto r = co_await gyre::race(never<int>(), never<std::string>(), after_turns(1, 2));
        EXPECT_EQ(r.index(), 2U);
        EXPECT_EQ(std::get<2>(r), 2);
    });
}

TEST_P(Combine, RaceGivesMonostateForVoid) {
    run([]() -> gyre::task<> {
        auto r = co_await gyre::race(gyre::sleep_for(24h), after_turns(1, 4));
        static_assert(std::is_same_v<decltype(r), std::variant<std::monostate, int>>);
        EXPECT_EQ(r.index(), 1U);
        auto both = co_await gyre::race(gyre::sleep_for(24h), turns(1));
        static_assert(std::is_same_v<decltype(both), std::monostate>);
    });
}

TEST_P(Combine, RaceMovesWhatOnlyMoves) {
    run([]() -> gyre::task<> {
        const auto p = co_await gyre::race(never<std::unique_ptr<int>>(),
                                           after_turns(1, std::make_unique<int>(2)));
        EXPECT_EQ(*p, 2);
    });
}

TEST_P(Combine, AFailureThatEndsARaceIsThrown) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        EXPECT_EQ(co_await ending(gyre::race(wait_for_cancel(cancelled), fail("fell", 1))), "fell");
        EXPECT_EQ(cancelled, 1);
    });
}

TEST_P(Combine, AResultOfARaceCountsMoreThanTheFailureBeforeIt) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::race(fail("fell", 1), outlast(3)), 3);
        EXPECT_EQ(co_await gyre::race(outlast(3), fail("fell", 1)), 3);
    });
}

TEST_P(Combine, AFailureOfALoserDoesNotMatter) {
    run([]() -> gyre::task<> {
        const auto fail_when_cancelled = []() -> gyre::task<int> {
            co_await gyre::as_result(gyre::sleep_for(24h));
            throw std::runtime_error("loser");
        };
        EXPECT_EQ(co_await gyre::race(fail_when_cancelled(), after_turns(1, 6)), 6);
    });
}

TEST_P(Combine, CancellingARaceCancelsAll) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        gyre::future<std::string> f = gyre::loop::current()->start(
            ending(gyre::race(wait_for_cancel(cancelled), wait_for_cancel(cancelled))));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(Combine, RaceOfOneIsThatOne) {
    run([]() -> gyre::task<> { EXPECT_EQ(co_await gyre::race(after_turns(1, 6)), 6); });
}

TEST_P(Combine, RacesAndAllsNest) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        auto [a, b] = co_await gyre::all(
            gyre::race(wait_for_cancel(cancelled), after_turns(2, 1)),
            gyre::race(after_turns(4, 2),
                       gyre::race(wait_for_cancel(cancelled), wait_for_cancel(cancelled))));
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, 2);
        EXPECT_EQ(cancelled, 3);
    });
}

TEST_P(Combine, MayStandInStartAndInSpawn) {
    run([]() -> gyre::task<> {
        gyre::loop& here = *gyre::loop::current();
        EXPECT_EQ(co_await here.start(gyre::race(never<int>(), after_turns(1, 2))), 2);
        auto [a, b] = co_await here.start(gyre::all(after_turns(1, 1), after_turns(1, 2)));
        EXPECT_EQ(a + b, 3);
        EXPECT_EQ(co_await here.start(gyre::with_timeout(20s, after_turns(1, 4))), 4);
        const auto r = co_await here.start(gyre::as_result(gyre::sleep_for(1us)));
        EXPECT_TRUE(r.has_value());
    });
}

TEST_P(Combine, FuturesMayTakePart) {
    run([]() -> gyre::task<> {
        gyre::loop& here = *gyre::loop::current();
        gyre::future<int> never = here.start(outlast(1));
        const auto wait = [&]() -> gyre::task<int> { co_return co_await never; };
        EXPECT_EQ(co_await gyre::race(wait(), here.start(after_turns(1, 2))), 2);
        EXPECT_FALSE(never.ready()) << "losing a race cancels the wait, not the computation";
    });
}

// ---- with_timeout and with_deadline ------------------------------------------------------------

TEST_P(Timeout, WhatEndsInTimeGivesItsResult) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::with_timeout(20s, after_turns(3, 5)), 5);
        EXPECT_EQ(co_await gyre::with_deadline(gyre::clock::now() + 20s, after_turns(3, 6)), 6);
        co_await gyre::with_timeout(20s, turns(1));
        EXPECT_EQ(*co_await gyre::with_timeout(20s, after_turns(1, std::make_unique<int>(7))), 7);
    });
}

TEST_P(Timeout, WhatDoesNotIsCancelledAndAwaitedAndThrowsTimeoutError) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto start = gyre::clock::now();
        EXPECT_EQ(co_await ending(gyre::with_timeout(3ms, wait_for_cancel(cancelled))), "timeout");
        EXPECT_GE(gyre::clock::now() - start, 3ms);
        EXPECT_EQ(cancelled, 1);
        const auto deadline = gyre::clock::now() + 3ms;
        EXPECT_EQ(co_await ending(gyre::with_deadline(deadline, wait_for_cancel(cancelled))),
                  "timeout");
        EXPECT_GE(gyre::clock::now(), deadline);
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(Timeout, ItsErrorIsNotTheCancellationThatItCaused) {
    run([]() -> gyre::task<> {
        const auto r = co_await gyre::as_result(gyre::with_timeout(1ms, gyre::sleep_for(24h)));
        CO_ASSERT_TRUE(!r);
        EXPECT_EQ(r.error(), gyre::errc::timed_out);
    });
}

TEST_P(Timeout, WhatEndsWellInSpiteOfItCounts) {
    run([]() -> gyre::task<> { EXPECT_EQ(co_await gyre::with_timeout(1ms, outlast(8)), 8); });
}

TEST_P(Timeout, AFailureIsThrownAsItIs) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await ending(gyre::with_timeout(20s, fail("own", 1))), "own");
        const auto fail_when_cancelled = []() -> gyre::task<> {
            co_await gyre::as_result(gyre::sleep_for(24h));
            throw std::runtime_error("while ending");
        };
        EXPECT_EQ(co_await ending(gyre::with_timeout(1ms, fail_when_cancelled())), "while ending");
    });
}

TEST_P(Timeout, ZeroOrLessAllowsWhatNeedsNoWait) {
    run([]() -> gyre::task<> {
        for (const auto d : {0s, -1s, std::chrono::seconds::min()}) {
            EXPECT_EQ(co_await gyre::with_timeout(d, after_turns(0, 5)), 5);
            int cancelled = 0;
            EXPECT_EQ(co_await ending(gyre::with_timeout(d, wait_for_cancel(cancelled))),
                      "timeout");
            EXPECT_EQ(cancelled, 1);
        }
        const auto past = gyre::clock::now() - 1h;
        EXPECT_EQ(co_await gyre::with_deadline(past, after_turns(0, 5)), 5);
        EXPECT_EQ(co_await ending(gyre::with_deadline(past, gyre::sleep_for(24h))), "timeout");
        EXPECT_EQ(
            co_await ending(gyre::with_deadline(gyre::clock::time_point(), gyre::sleep_for(24h))),
            "timeout");
    });
}

TEST_P(Timeout, BeyondTheEndOfTimeIsNone) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::with_timeout(std::chrono::hours::max(), after_turns(2, 5)), 5);
        EXPECT_EQ(co_await gyre::with_timeout(
                      std::chrono::duration<double>(std::numeric_limits<double>::infinity()),
                      after_turns(2, 5)),
                  5);
        EXPECT_EQ(co_await gyre::with_deadline(gyre::clock::time_point::max(), after_turns(2, 5)),
                  5);
    });
}

TEST_P(Timeout, OfNestedOnesTheShorterFires) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(
            co_await ending(gyre::with_timeout(20s, gyre::with_timeout(1ms, gyre::sleep_for(24h)))),
            "timeout");
        EXPECT_EQ(
            co_await ending(gyre::with_timeout(1ms, gyre::with_timeout(20s, gyre::sleep_for(24h)))),
            "timeout");
        // The inner one is cancelled by the outer one: for it that is no deadline of its own.
        const auto inner = []() -> gyre::task<std::string> {
            co_return co_await ending(gyre::with_timeout(20s, gyre::sleep_for(24h)));
        };
        EXPECT_EQ(co_await gyre::with_timeout(1ms, inner()), "cancelled");
    });
}

TEST_P(Timeout, InACancelledTaskThrowsCancelled) {
    run([]() -> gyre::task<> {
        gyre::future<std::string> f =
            gyre::loop::current()->start(ending(gyre::with_timeout(20s, gyre::sleep_for(24h))));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
    });
}

TEST_P(Timeout, AResultThatRacesWithTheDeadlineIsEitherOrAndNeverLost) {
    run([]() -> gyre::task<> {
        for (int i = 0; i < 300; ++i) {
            int got = 0;
            const auto sleep_and_set = [](int& to) -> gyre::task<int> {
                co_await gyre::sleep_for(70us);
                co_return to = 4;
            };
            int result = 0;
            bool timed_out = false;
            try {
                result = co_await gyre::with_timeout(70us, sleep_and_set(got));
            } catch (const gyre::timeout_error&) {
                timed_out = true;
            }
            EXPECT_EQ(got, result) << "a result was lost";
            EXPECT_NE(timed_out, result == 4);
        }
    });
}

TEST_P(Timeout, ManyAtOnceAllFire) {
    run([]() -> gyre::task<> {
        constexpr int count = 10'000;
        int fired = 0;
        const auto wait = [](int& n) -> gyre::task<> {
            try {
                co_await gyre::with_timeout(1ms, gyre::sleep_for(24h));
            } catch (const gyre::timeout_error&) {
                ++n;
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (int i = 0; i < count; ++i)
                g.spawn(wait(fired));
            co_return;
        });
        EXPECT_EQ(fired, count);
    });
}

TEST_P(Timeout, MayBeMadeEarlierThanItIsAwaited) {
    run([]() -> gyre::task<> {
        auto limited = gyre::with_timeout(10ms, gyre::sleep_for(1ms));
        co_await gyre::sleep_for(12ms); // its time begins with the await
        co_await std::move(limited);
    });
}

// ---- shielded ----------------------------------------------------------------------------------

/// Starts `a` behind a shield that counts, and lets it run until it waits.
template <class Awaitable>
gyre::task<std::string> behind_a_shield(Awaitable a, int& told) {
    co_return co_await ending(gyre::shielded(std::move(a), [&] { ++told; }));
}

TEST_P(Shielded, WithoutACancelItIsWhatItShields) {
    run([]() -> gyre::task<> {
        int told = 0;
        int x = 1;
        const auto tell = [&] { ++told; };
        EXPECT_EQ(co_await gyre::shielded(after_turns(2, 5), tell), 5);
        EXPECT_EQ(*co_await gyre::shielded(after_turns(1, std::make_unique<int>(7)), tell), 7);
        EXPECT_EQ(&co_await gyre::shielded(pick(x), tell), &x);
        co_await gyre::shielded(gyre::sleep_for(1us), tell);
        EXPECT_EQ(co_await behind_a_shield(fail("own", 1), told), "own");
        EXPECT_EQ(told, 0);
    });
}

TEST_P(Shielded, TheFirstCancelIsToldAtOnceAndDoesNotReachTheChild) {
    run([]() -> gyre::task<> {
        int told = 0;
        bool go = false;
        const auto wait = [](const bool& until) -> gyre::task<> {
            while (!until)
                co_await gyre::sleep_for(1us);
        };
        gyre::future<std::string> f = gyre::loop::current()->start(behind_a_shield(wait(go), told));
        co_await next_turn();
        f.cancel();
        co_await next_turn();
        EXPECT_EQ(told, 1);
        EXPECT_FALSE(f.ready());
        go = true;
        EXPECT_EQ(co_await f, "well");
        EXPECT_EQ(told, 1);
    });
}

TEST_P(Shielded, TheSecondCancelReachesTheChild) {
    run([]() -> gyre::task<> {
        int told = 0;
        int cancelled = 0;
        gyre::future<std::string> f =
            gyre::loop::current()->start(behind_a_shield(wait_for_cancel(cancelled), told));
        co_await next_turn();
        f.cancel();
        co_await next_turn();
        EXPECT_EQ(cancelled, 0);
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(told, 1);
        EXPECT_EQ(cancelled, 1);
    });
}

TEST_P(Shielded, InACancelledChainIsToldAtOnceAndRunsTheChildWhole) {
    run([]() -> gyre::task<> {
        int told = 0;
        const auto late = [](int& n) -> gyre::task<std::string> {
            co_await gyre::as_result(gyre::sleep_for(24h));
            const std::string how = co_await behind_a_shield(gyre::sleep_for(1ms), n);
            co_return how + ", then " + co_await ending(gyre::sleep_for(24h));
        };
        gyre::future<std::string> f = gyre::loop::current()->start(late(told));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "well, then cancelled");
        EXPECT_EQ(told, 1);
    });
}

TEST_P(Shielded, WhatItCallsMayEndTheChild) {
    run([]() -> gyre::task<> {
        gyre::task_group* inside = nullptr;
        const auto child = [&]() -> gyre::task<int> {
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                inside = &g;
                g.spawn(never<int>());
                co_return;
            });
            co_return 6;
        };
        const auto whole = [&]() -> gyre::task<int> {
            co_return co_await gyre::shielded(child(), [&] { inside->cancel(); });
        };
        gyre::future<int> f = gyre::loop::current()->start(whole());
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, 6);
    });
}

TEST_P(Shielded, OthersOfItsRaceWaitForIt) {
    run([]() -> gyre::task<> {
        int told = 0;
        bool ended = false;
        const auto slow = [](bool& done) -> gyre::task<int> {
            co_await gyre::sleep_for(2ms);
            done = true;
            co_return 1;
        };
        const auto shield = [&] { ++told; };
        EXPECT_EQ(co_await gyre::race(after_turns(1, 2), gyre::shielded(slow(ended), shield)), 2);
        EXPECT_TRUE(ended);
        EXPECT_EQ(told, 1);
        // A deadline cancels, too; what ends well in spite of it counts.
        EXPECT_EQ(co_await gyre::with_timeout(1ms, gyre::shielded(slow(ended), shield)), 1);
        EXPECT_EQ(told, 2);
    });
}

TEST_P(Shielded, TheEndOfTheLoopEndsItAll) {
    int told = 0;
    int cancelled = 0;
    {
        gyre::loop loop(options());
        const auto f = loop.start(behind_a_shield(wait_for_cancel(cancelled), told));
        loop.run(turns(3));
    }
    EXPECT_EQ(told, 1);
    EXPECT_EQ(cancelled, 1);
}

TEST_P(Shielded, WhatRefusesToEndIsDestroyedWithTheLoop) {
    int told = 0;
    const auto whole = std::make_shared<int>(0);
    {
        gyre::loop loop(options());
        const auto refuse = [](std::shared_ptr<int>) -> gyre::task<> {
            for (;;)
                co_await gyre::as_result(gyre::sleep_for(24h));
        };
        const auto f = loop.start(behind_a_shield(refuse(whole), told));
        loop.run(turns(3));
        EXPECT_EQ(whole.use_count(), 2);
    }
    EXPECT_EQ(told, 1);
    EXPECT_EQ(whole.use_count(), 1);
}

// ---- as_result ---------------------------------------------------------------------------------

TEST_P(AsResult, OfAnOperationHoldsItsResultOrItsError) {
    run([]() -> gyre::task<> {
        std::expected<void, std::error_code> r = co_await gyre::as_result(gyre::sleep_for(1us));
        EXPECT_TRUE(r.has_value());
        const auto wait = []() -> gyre::task<std::error_code> {
            const auto slept = co_await gyre::as_result(gyre::sleep_for(24h));
            co_return slept ? std::error_code() : slept.error();
        };
        gyre::future<std::error_code> f = gyre::loop::current()->start(wait());
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, gyre::errc::cancelled);
    });
}

TEST_P(AsResult, OfATaskHoldsItsResultOrTheCodeOfItsSystemError) {
    run([]() -> gyre::task<> {
        std::expected<int, std::error_code> r = co_await gyre::as_result(after_turns(1, 5));
        EXPECT_EQ(r, 5);
        const auto refused = []() -> gyre::task<int> {
            throw std::system_error(std::make_error_code(std::errc::connection_refused));
            co_return 0;
        };
        r = co_await gyre::as_result(refused());
        CO_ASSERT_TRUE(!r);
        EXPECT_EQ(r.error(), std::errc::connection_refused);
        const std::expected<void, std::error_code> nothing = co_await gyre::as_result(turns(1));
        EXPECT_TRUE(nothing.has_value());
    });
}

TEST_P(AsResult, OfATaskLetsOtherExceptionsThrough) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await ending(gyre::as_result(fail("no system error"))), "no system error");
    });
}

TEST_P(AsResult, OfWhatOnlyMovesMovesIt) {
    run([]() -> gyre::task<> {
        auto r = co_await gyre::as_result(after_turns(1, std::make_unique<int>(3)));
        CO_ASSERT_TRUE(r);
        EXPECT_EQ(**r, 3);
    });
}

TEST_P(AsResult, WrapsCombinationsAndFutures) {
    run([]() -> gyre::task<> {
        const auto r = co_await gyre::as_result(gyre::race(after_turns(1, 5), never<int>()));
        EXPECT_EQ(r, 5);
        gyre::future<int> f = gyre::loop::current()->start(outlast(0));
        const auto late = co_await gyre::as_result(gyre::with_timeout(1ms, std::move(f)));
        CO_ASSERT_TRUE(!late);
        EXPECT_EQ(late.error(), gyre::errc::timed_out);
        const auto twice = co_await gyre::as_result(gyre::as_result(after_turns(1, 5)));
        CO_ASSERT_TRUE(twice);
        EXPECT_EQ(*twice, 5);
    });
}

} // namespace
