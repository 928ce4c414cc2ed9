#include "../support/fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/future.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

using namespace gyre_test;

class TaskGroup : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(TaskGroup);

gyre::task<> append(std::string& log, std::string what) {
    co_await next_turn();
    log += what;
}

gyre::task<> fail(std::string why) {
    throw std::runtime_error(why);
    co_return;
}

gyre::task<> fail_later(std::string why) {
    co_await next_turn();
    throw std::runtime_error(why);
}

/// Waits to be cancelled, and counts that. `turns` later it ends: what awaits it must wait for
/// that.
gyre::task<> wait_for_cancel(int& cancelled, int turns = 0) {
    bool told = false;
    try {
        co_await gyre::sleep_for(24h);
    } catch (const gyre::error& e) {
        told = e.code() == gyre::errc::cancelled;
    }
    for (; turns > 0; --turns)
        co_await gyre::yield();
    cancelled += told;
    if (told)
        throw gyre::error(gyre::errc::cancelled, "wait_for_cancel");
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

gyre::task<> next_turn_in_a_task() {
    co_await next_turn();
}

// ---- Ends well ---------------------------------------------------------------------------------

TEST_P(TaskGroup, WaitsForItsChildren) {
    run([]() -> gyre::task<> {
        std::string log;
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(append(log, "a"));
            g.spawn(append(log, "b"));
            log += "body";
            co_return;
        });
        EXPECT_EQ(log, "bodyab");
    });
}

TEST_P(TaskGroup, WithoutChildrenEndsWithItsBody) {
    run([]() -> gyre::task<> {
        bool ran = false;
        co_await gyre::with_group([&](gyre::task_group&) -> gyre::task<> {
            ran = true;
            co_return;
        });
        EXPECT_TRUE(ran);
    });
}

TEST_P(TaskGroup, GivesWhatTheBodyReturns) {
    run([]() -> gyre::task<> {
        std::string log;
        const auto p =
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<std::unique_ptr<int>> {
                g.spawn(append(log, "child"));
                co_return std::make_unique<int>(4);
            });
        EXPECT_EQ(*p, 4);
        EXPECT_EQ(log, "child") << "the children were not waited for";
    });
}

TEST_P(TaskGroup, DropsWhatChildrenReturn) {
    run([]() -> gyre::task<> {
        const auto give = []() -> gyre::task<std::string> { co_return "dropped"; };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(give());
            co_return;
        });
    });
}

TEST_P(TaskGroup, ChildrenStartInTheOrderOfTheirSpawnAndNotInSpawn) {
    run([]() -> gyre::task<> {
        std::string log;
        const auto say = [](std::string& l, char c) -> gyre::task<> {
            l += c;
            co_return;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (char c = 'a'; c < 'e'; ++c)
                g.spawn(say(log, c));
            log += '.';
            co_return;
        });
        EXPECT_EQ(log, ".abcd");
    });
}

TEST_P(TaskGroup, SizeCountsTheChildrenThatHaveNotEndedWithoutTheBody) {
    run([]() -> gyre::task<> {
        std::string log;
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            EXPECT_EQ(g.size(), 0U);
            g.spawn(append(log, "a"));
            g.spawn(append(log, "b"));
            EXPECT_EQ(g.size(), 2U);
            while (log.size() < 2)
                co_await next_turn();
            EXPECT_EQ(g.size(), 0U);
        });
    });
}

TEST_P(TaskGroup, AChildMaySpawnSiblingsAfterTheBodyHasReturned) {
    run([]() -> gyre::task<> {
        std::string log;
        const auto spawn_more = [](gyre::task_group& g, std::string& l) -> gyre::task<> {
            co_await next_turn();
            g.spawn(append(l, "grandchild"));
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(spawn_more(g, log));
            co_return;
        });
        EXPECT_EQ(log, "grandchild");
    });
}

// What else runs on the loop may hold the group, too, and spawn between its last child's end and
// the turn of with_group itself.
TEST_P(TaskGroup, AChildSpawnedInTheLastMomentIsWaitedFor) {
    run([]() -> gyre::task<> {
        std::string log;
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            gyre::loop::current()->post([&] { g.spawn(append(log, "late")); });
            co_return;
        });
        EXPECT_EQ(log, "late");
    });
}

TEST_P(TaskGroup, MayHaveTenThousandChildren) {
    run([]() -> gyre::task<> {
        int ended = 0;
        const auto count = [](int& n) -> gyre::task<> {
            co_await next_turn();
            ++n;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (int i = 0; i < 10'000; ++i)
                g.spawn(count(ended));
            co_return;
        });
        EXPECT_EQ(ended, 10'000);
    });
}

TEST_P(TaskGroup, ItsBodyMayBeANamedLambdaWithCapturesByValue) {
    run([]() -> gyre::task<> {
        const std::string text = "kept";
        const auto body = [text](gyre::task_group&) -> gyre::task<std::string> { co_return text; };
        EXPECT_EQ(co_await gyre::with_group(body), "kept");
        EXPECT_EQ(co_await gyre::with_group(body), "kept");
    });
}

TEST_P(TaskGroup, MayBeStartedRacedAndPassedOnBeforeItRuns) {
    run([]() -> gyre::task<> {
        std::string log;
        const auto body = [&](gyre::task_group& g) -> gyre::task<int> {
            g.spawn(append(log, "a"));
            co_return 3;
        };
        EXPECT_EQ(co_await gyre::loop::current()->start(gyre::with_group(body)), 3);
        auto [x, y] = co_await gyre::all(gyre::with_group(body), gyre::with_group(body));
        EXPECT_EQ(x + y, 6);
        EXPECT_EQ(log, "aaa");
    });
}

class TaskGroupDeathTest : public TaskGroup {
protected:
    void SetUp() override {
        TaskGroup::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(TaskGroupDeathTest);

TEST_P(TaskGroupDeathTest, SpawningATaskThatIsGoneOrHasRunIsABrokenContract) {
    constexpr char once[] = "gyre contract broken: a task is started once";
    const auto spawn = [](gyre::task<> t) -> gyre::task<> {
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(std::move(t));
            co_return;
        });
    };
    const auto spawn_moved_from = [&](gyre::loop_options o) {
        gyre::loop loop(o);
        gyre::task<> t = next_turn_in_a_task();
        const gyre::task<> other = std::move(t);
        loop.run(spawn(std::move(t)));
    };
    const auto spawn_again = [&](gyre::loop_options o) {
        gyre::loop loop(o);
        const auto await_and_spawn = [&]() -> gyre::task<> {
            gyre::task<> t = next_turn_in_a_task();
            co_await t;
            co_await spawn(std::move(t));
        };
        loop.run(await_and_spawn());
    };
    EXPECT_DEATH(spawn_moved_from(options()), once);
    EXPECT_DEATH(spawn_again(options()), once);
}

// ---- Ends badly --------------------------------------------------------------------------------

TEST_P(TaskGroup, AnExceptionOfTheBodyCancelsAndAwaitsTheChildren) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled, 5));
            g.spawn(wait_for_cancel(cancelled));
            co_await next_turn();
            throw std::runtime_error("body");
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "body");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(TaskGroup, AnExceptionOfAChildCancelsItsSiblingsAndTheBody) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled, 5));
            g.spawn(fail_later("child"));
            co_await wait_for_cancel(cancelled);
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "child");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(TaskGroup, TheFirstExceptionIsThrownAndLaterOnesAreDropped) {
    run([]() -> gyre::task<> {
        const auto fail_when_cancelled = [](std::string why) -> gyre::task<> {
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error&) {
                throw std::runtime_error(why);
            }
        };
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(fail_when_cancelled("second"));
            g.spawn(fail_later("first"));
            g.spawn(fail_when_cancelled("third"));
            co_await fail_when_cancelled("body");
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "first");
    });
}

TEST_P(TaskGroup, AChildThatFailsAfterTheBodyReturnedIsThrown) {
    run([]() -> gyre::task<> {
        const auto body = [&](gyre::task_group& g) -> gyre::task<int> {
            g.spawn(fail_later("child"));
            co_return 1;
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "child");
    });
}

TEST_P(TaskGroup, AChildThatFailsBeforeItWaitsIsThrown) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(fail("at once"));
            co_await wait_for_cancel(cancelled);
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "at once");
        EXPECT_EQ(cancelled, 1);
    });
}

TEST_P(TaskGroup, AChildThatEndsWithACancellationOfItsOwnIsAFailure) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto await_cancelled = []() -> gyre::task<> {
            gyre::future<> f = gyre::loop::current()->start(gyre::sleep_for(24h));
            f.cancel();
            co_await f;
        };
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(await_cancelled());
            co_await wait_for_cancel(cancelled);
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "cancelled");
        EXPECT_EQ(cancelled, 1);
    });
}

// ---- Cancelled from outside --------------------------------------------------------------------

TEST_P(TaskGroup, CancellingTheAwaitingTaskCancelsBodyAndChildrenAndThrows) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled, 5));
            g.spawn(wait_for_cancel(cancelled));
            co_await wait_for_cancel(cancelled, 3);
        };
        gyre::future<std::string> f = gyre::loop::current()->start(ending(gyre::with_group(body)));
        co_await next_turn();
        EXPECT_FALSE(f.ready());
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 3);
    });
}

// Otherwise with_timeout, and everyone who asked for the cancellation, would take half of the work
// for all of it.
TEST_P(TaskGroup, ThatWasCutShortFromOutsideThrowsAlsoWhenItsBodyHadReturned) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled));
            co_return;
        };
        gyre::future<std::string> f = gyre::loop::current()->start(ending(gyre::with_group(body)));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 1);
        EXPECT_EQ(co_await ending(gyre::with_timeout(1ms, gyre::with_group(body))), "timeout");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(TaskGroup, ItsResultCountsWhenNothingHeededTheCancellation) {
    run([]() -> gyre::task<> {
        const auto ignore = []() -> gyre::task<int> {
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error&) {
            }
            co_return 6;
        };
        const auto body = [&](gyre::task_group& g) -> gyre::task<int> {
            g.spawn(ignore());
            co_return co_await ignore();
        };
        gyre::future<int> f = gyre::loop::current()->start(gyre::with_group(body));
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, 6);
    });
}

TEST_P(TaskGroup, InATaskThatIsCancelledAlreadyIsCancelledAtOnce) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto outer = [&]() -> gyre::task<std::string> {
            co_await gyre::as_result(gyre::sleep_for(24h));
            const auto body = [&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(wait_for_cancel(cancelled));
                co_await wait_for_cancel(cancelled);
            };
            co_return co_await ending(gyre::with_group(body));
        };
        gyre::future<std::string> f = gyre::loop::current()->start(outer());
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 2);
    });
}

// ---- Cancelled from inside ---------------------------------------------------------------------

TEST_P(TaskGroup, ItsOwnCancelEndsBodyAndChildrenAndIsNoError) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto cancel_soon = [](gyre::task_group& g) -> gyre::task<> {
            co_await next_turn();
            g.cancel();
        };
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled, 4));
            g.spawn(cancel_soon(g));
            co_await wait_for_cancel(cancelled);
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "well");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(TaskGroup, TheBodyMayCancelItAndStillReturnAValue) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<int> {
            g.spawn(wait_for_cancel(cancelled));
            co_await next_turn();
            g.cancel();
            co_return 9;
        };
        EXPECT_EQ(co_await gyre::with_group(body), 9);
        EXPECT_EQ(cancelled, 1);
    });
}

TEST_P(TaskGroup, AChildSpawnedAfterCancelIsAskedAtOnce) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.cancel();
            g.spawn(wait_for_cancel(cancelled));
            g.spawn(wait_for_cancel(cancelled, 2));
            co_return;
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "well");
        EXPECT_EQ(cancelled, 2);
    });
}

TEST_P(TaskGroup, AFailureAfterCancelIsThrown) {
    run([]() -> gyre::task<> {
        const auto body = [&](gyre::task_group& g) -> gyre::task<> {
            g.cancel();
            g.spawn(fail("real"));
            co_return;
        };
        EXPECT_EQ(co_await ending(gyre::with_group(body)), "real");
    });
}

// ---- Nested ------------------------------------------------------------------------------------

gyre::task<> nest(int depth, int width, int& cancelled) {
    if (depth == 0) {
        co_await wait_for_cancel(cancelled, 1);
        co_return;
    }
    co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
        for (int i = 0; i < width; ++i)
            g.spawn(nest(depth - 1, width, cancelled));
        co_await wait_for_cancel(cancelled);
    });
}

TEST_P(TaskGroup, CancellationReachesTheBottomOfNestedGroups) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        gyre::future<std::string> f = gyre::loop::current()->start(ending(nest(3, 3, cancelled)));
        co_await next_turn();
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await f, "cancelled");
        EXPECT_EQ(cancelled, 27 + 9 + 3 + 1);
    });
}

TEST_P(TaskGroup, AFailureInAnInnerGroupEndsTheOuterOne) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        const auto inner = [&]() -> gyre::task<> {
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(wait_for_cancel(cancelled));
                g.spawn(fail_later("inner"));
                co_return;
            });
        };
        const auto outer = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(wait_for_cancel(cancelled));
            g.spawn(inner());
            co_await wait_for_cancel(cancelled);
        };
        EXPECT_EQ(co_await ending(gyre::with_group(outer)), "inner");
        EXPECT_EQ(cancelled, 3);
    });
}

TEST_P(TaskGroup, CancellingAnInnerGroupLeavesTheOuterOneAlone) {
    run([]() -> gyre::task<> {
        int cancelled = 0;
        std::string log;
        const auto outer = [&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(append(log, "sibling"));
            co_await gyre::with_group([&](gyre::task_group& inner) -> gyre::task<> {
                inner.spawn(wait_for_cancel(cancelled));
                inner.cancel();
                co_return;
            });
            co_await next_turn();
            log += "body";
        };
        EXPECT_EQ(co_await ending(gyre::with_group(outer)), "well");
        EXPECT_NE(log.find("sibling"), log.npos);
        EXPECT_NE(log.find("body"), log.npos);
        EXPECT_EQ(cancelled, 1);
    });
}

TEST_P(TaskGroup, DestroyedWithItsLoopItsChildrenEndBeforeWhatTheyReferTo) {
    int cancelled = 0;
    bool left = false;
    {
        gyre::loop loop(options());
        const auto serve = [](int& c, bool& l) -> gyre::task<> {
            struct note {
                bool& flag;
                int& count;
                ~note() { flag = count == 2; }
            } outer_frame{l, c};
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(wait_for_cancel(c, 3));
                co_await wait_for_cancel(c);
            });
        };
        (void)loop.start(serve(cancelled, left));
        loop.poll();
        loop.poll();
    }
    EXPECT_EQ(cancelled, 2);
    EXPECT_TRUE(left);
}

} // namespace
