#include "../support/fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/future.hpp>
#include <gyre/core/loop_thread.hpp>

#include <atomic>
#include <barrier>
#include <coroutine>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <vector>

namespace {

using namespace gyre_test;

class Future : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Future);

gyre::task<int> value(int n) {
    co_return n;
}
gyre::task<int> value_later(int n) {
    co_await next_turn();
    co_return n;
}
gyre::task<> fail(std::string why) {
    throw std::runtime_error(why);
    co_return;
}
gyre::task<int> forever() {
    co_await gyre::sleep_for(24h);
    co_return 0;
}

/// Says whether it has run, and whether it was cancelled.
gyre::task<> watched(std::atomic<bool>& began, std::atomic<bool>& cancelled) {
    try {
        began = true;
        co_await gyre::sleep_for(24h);
    } catch (const gyre::error& e) {
        cancelled = e.code() == gyre::errc::cancelled;
        throw;
    }
}

/// How waiting for `f` ended: no error, or which.
template <class T>
std::error_code code_of(gyre::future<T>& f) {
    try {
        (void)f.get();
    } catch (const std::system_error& e) {
        return e.code();
    }
    return {};
}

gyre::task<bool> ended_well(gyre::future<>& f) {
    try {
        co_await f;
    } catch (const std::runtime_error&) {
        co_return false;
    }
    co_return true;
}

// ---- From other threads ------------------------------------------------------------------------

TEST_P(Future, GetGivesTheResultOfATask) {
    gyre::loop_thread network(options());
    EXPECT_EQ(network.start(value(5)).get(), 5);
    EXPECT_EQ(network.start(value_later(6)).get(), 6);
}

TEST_P(Future, GetGivesTheResultOfAnOperation) {
    gyre::loop_thread network(options());
    const auto start = gyre::clock::now();
    network.start(gyre::sleep_for(2ms)).get();
    EXPECT_GE(gyre::clock::now() - start, 2ms);
    EXPECT_TRUE(network.start(gyre::as_result(gyre::sleep_for(0s))).get().has_value());
}

TEST_P(Future, GetRethrowsTheFailure) {
    gyre::loop_thread network(options());
    std::string what;
    try {
        network.start(fail("no luck")).get();
    } catch (const std::runtime_error& e) {
        what = e.what();
    }
    EXPECT_EQ(what, "no luck");
}

TEST_P(Future, MayHoldWhatOnlyMoves) {
    gyre::loop_thread network(options());
    const auto make = [](int n) -> gyre::task<std::unique_ptr<int>> {
        co_return std::make_unique<int>(n);
    };
    EXPECT_EQ(*network.start(make(3)).get(), 3);
}

TEST_P(Future, WaitForSaysWhetherItIsReady) {
    gyre::loop_thread network(options());
    gyre::future<int> never = network.start(forever());
    EXPECT_FALSE(never.wait_for(2ms));
    EXPECT_FALSE(never.wait_for(0s));
    EXPECT_FALSE(never.wait_for(-1s));
    EXPECT_FALSE(never.wait_until(gyre::clock::now() - 1h));
    EXPECT_FALSE(never.ready());
    gyre::future<int> soon = network.start(value_later(1));
    EXPECT_TRUE(soon.wait_for(20s));
    EXPECT_TRUE(soon.ready());
    EXPECT_TRUE(soon.wait_for(0s));
    EXPECT_TRUE(soon.wait_for(std::chrono::hours::max()));
}

TEST_P(Future, WaitForDoesNotReturnEarly) {
    gyre::loop_thread network(options());
    gyre::future<int> never = network.start(forever());
    const auto start = gyre::clock::now();
    never.wait_for(3ms);
    EXPECT_GE(gyre::clock::now() - start, 3ms);
}

TEST_P(Future, WaitForACenturyAndMoreWaits) {
    gyre::loop_thread network(options());
    gyre::future<int> soon = network.start(value_later(2));
    EXPECT_TRUE(soon.wait_for(std::chrono::years(1000)));
    EXPECT_EQ(soon.get(), 2);
}

TEST_P(Future, MovesToTheThreadThatWaitsForIt) {
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(value_later(7));
    int got = 0;
    std::thread([&got, own = std::move(f)]() mutable { got = own.get(); }).join();
    EXPECT_EQ(got, 7);
    EXPECT_FALSE(f.valid());
    f = network.start(value(8));
    EXPECT_TRUE(f.valid());
    EXPECT_EQ(f.get(), 8);
}

TEST_P(Future, IsUsedUpByItsResultOrFailureAndByThen) {
    static_assert(!std::is_copy_constructible_v<gyre::future<int>>);
    static_assert(!std::is_copy_assignable_v<gyre::future<int>>);
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(value(1));
    EXPECT_TRUE(f.wait_for(20s));
    EXPECT_TRUE(f.valid());
    EXPECT_EQ(f.get(), 1);
    EXPECT_FALSE(f.valid());
    gyre::future<> failed = network.start(fail("once"));
    EXPECT_THROW(failed.get(), std::runtime_error);
    EXPECT_FALSE(failed.valid());
    gyre::future<int> first = network.start(value(2));
    gyre::future<int> second = first.then([](int n) { return n + 1; });
    EXPECT_FALSE(first.valid());
    EXPECT_EQ(second.get(), 3);
}

TEST_P(Future, OfAReferenceGivesThatObject) {
    gyre::loop_thread network(options());
    int object = 1;
    const auto pick = [](int& n) -> gyre::task<int&> { co_return n; };
    gyre::future<int&> f = network.start(pick(object));
    EXPECT_EQ(&f.get(), &object);
    gyre::future<int&> same = network.start(pick(object)).then([](int& n) -> int& { return n; });
    EXPECT_EQ(&same.get(), &object);
}

// ---- Cancelling and dropping -------------------------------------------------------------------

TEST_P(Future, CancelFromAnotherThreadEndsTheComputationWithCancelled) {
    gyre::loop_thread network(options());
    std::atomic<bool> began = false;
    std::atomic<bool> cancelled = false;
    gyre::future<> f = network.start(watched(began, cancelled));
    f.cancel();
    EXPECT_EQ(code_of(f), gyre::errc::cancelled);
    EXPECT_TRUE(cancelled);
}

TEST_P(Future, CancelTakesWhatTheComputationHadAchieved) {
    gyre::loop_thread network(options());
    const auto stubborn = []() -> gyre::task<int> {
        try {
            co_await gyre::sleep_for(24h);
        } catch (const gyre::error&) {
        }
        co_return 11;
    };
    gyre::future<int> f = network.start(stubborn());
    f.cancel();
    EXPECT_EQ(f.get(), 11);
}

TEST_P(Future, CancellingAReadyOneChangesNothing) {
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(value(1));
    EXPECT_TRUE(f.wait_for(20s));
    f.cancel();
    f.cancel();
    EXPECT_EQ(network.start(value(2)).get(), 2);
    EXPECT_EQ(f.get(), 1);
}

TEST_P(Future, DroppedItsComputationRunsOn) {
    gyre::loop_thread network(options());
    std::atomic<bool> done = false;
    const auto work = [](std::atomic<bool>& flag) -> gyre::task<> {
        co_await next_turn();
        flag = true;
        flag.notify_one();
    };
    {
        const gyre::future<> dropped = network.start(work(done));
    }
    done.wait(false);
    EXPECT_TRUE(done);
}

TEST_P(Future, DroppedItsFailureIsDropped) {
    gyre::loop_thread network(options());
    {
        const gyre::future<> dropped = network.start(fail("unheard"));
    }
    EXPECT_EQ(network.start(value(2)).get(), 2);
}

// ---- The end of the loop -----------------------------------------------------------------------

TEST_P(Future, WhoseLoopEndsIsReadyWithCancelled) {
    std::optional<gyre::future<int>> f;
    {
        gyre::loop_thread network(options());
        f = network.start(forever());
    }
    EXPECT_TRUE(f->ready());
    EXPECT_EQ(code_of(*f), gyre::errc::cancelled);
}

TEST_P(Future, WhoseComputationNeverBeganIsReadyWithBroken) {
    std::optional<gyre::future<int>> f;
    {
        gyre::loop loop(options());
        const auto start_another_at_the_end = [](auto& other) -> gyre::task<> {
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error&) {
                other = gyre::loop::current()->start(value(1));
            }
        };
        (void)loop.start(start_another_at_the_end(f));
        loop.poll();
    }
    ASSERT_TRUE(f.has_value());
    EXPECT_TRUE(f->ready());
    EXPECT_EQ(code_of(*f), gyre::errc::broken);
}

TEST_P(Future, WaitersAreReleasedWhenTheLoopEnds) {
    std::optional<gyre::loop_thread> network(options());
    gyre::future<int> f = network->start(forever());
    std::jthread waiter(
        [own = std::move(f)]() mutable { EXPECT_EQ(code_of(own), gyre::errc::cancelled); });
    network.reset();
}

TEST_P(Future, CanBeCancelledWaitedForAndDroppedAfterItsLoop) {
    std::optional<gyre::future<int>> done;
    std::optional<gyre::future<int>> ended;
    {
        gyre::loop_thread network(options());
        done = network.start(value(3));
        EXPECT_TRUE(done->wait_for(20s));
        ended = network.start(forever());
    }
    done->cancel();
    ended->cancel();
    EXPECT_EQ(done->get(), 3);
    EXPECT_TRUE(ended->wait_for(0s));
}

TEST_P(Future, ThenOnALoopThatHasEndedIsBroken) {
    std::optional<gyre::future<int>> f;
    {
        gyre::loop_thread network(options());
        f = network.start(value(3));
        EXPECT_TRUE(f->wait_for(20s));
    }
    bool ran = false;
    gyre::future<> next = std::move(*f).then([&ran](int) { ran = true; });
    EXPECT_EQ(code_of(next), gyre::errc::broken);
    EXPECT_FALSE(ran);
}

TEST_P(Future, OfALoopThatNeverRanIsBroken) {
    std::optional<gyre::future<int>> f;
    std::thread([&] {
        gyre::loop loop(options());
        f = loop.start(value(3));
    }).join();
    EXPECT_TRUE(f->ready());
    const std::error_code code = code_of(*f);
    EXPECT_TRUE(!code || code == gyre::errc::broken) << code.message();
}

// ---- then --------------------------------------------------------------------------------------

TEST_P(Future, ThenGivesAFutureOfWhatTheFunctionReturns) {
    gyre::loop_thread network(options());
    gyre::future<std::string> f =
        network.start(value(4)).then([](int n) { return std::to_string(n); });
    EXPECT_EQ(f.get(), "4");
}

TEST_P(Future, ThenRunsOnTheLoopOfTheComputation) {
    gyre::loop_thread network(options());
    gyre::loop* const own = &network.loop();
    EXPECT_EQ(network.start(value(4)).then([](int) { return gyre::loop::current(); }).get(), own);
    gyre::future<int> ready = network.start(value(4));
    EXPECT_TRUE(ready.wait_for(20s));
    EXPECT_EQ(ready.then([](int) { return gyre::loop::current(); }).get(), own);
}

TEST_P(Future, ThenChains) {
    gyre::loop_thread network(options());
    int seen = 0;
    gyre::future<> f = network.start(value_later(4))
                           .then([](int n) { return n + 1; })
                           .then([](int n) { return std::make_unique<int>(n); })
                           .then([&seen](std::unique_ptr<int> n) { seen = *n; })
                           .then([&seen] { seen *= 2; });
    f.get();
    EXPECT_EQ(seen, 10);
}

TEST_P(Future, AFailureSkipsThenAndGoesOn) {
    gyre::loop_thread network(options());
    bool ran = false;
    gyre::future<int> f = network.start(fail("early")).then([&ran] {
        ran = true;
        return 1;
    });
    EXPECT_THROW(f.get(), std::runtime_error);
    EXPECT_FALSE(ran);
}

TEST_P(Future, WhatThenThrowsIsTheFailureOfItsFuture) {
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(value(1)).then([](int n) -> int {
        if (n == 1)
            throw std::out_of_range("one");
        return n;
    });
    EXPECT_THROW(f.get(), std::out_of_range);
}

TEST_P(Future, ThenMayHoldWhatOnlyMoves) {
    gyre::loop_thread network(options());
    auto kept = std::make_unique<int>(30);
    gyre::future<int> f =
        network.start(value(4)).then([kept = std::move(kept)](int n) { return n + *kept; });
    EXPECT_EQ(f.get(), 34);
}

// ---- In coroutines -----------------------------------------------------------------------------

TEST_P(Future, CanBeAwaitedOnItsOwnLoop) {
    run([]() -> gyre::task<> {
        gyre::future<int> f = gyre::loop::current()->start(value_later(5));
        EXPECT_EQ(co_await f, 5);
        bool failed = false;
        try {
            co_await gyre::loop::current()->start(fail("x"));
        } catch (const std::runtime_error&) {
            failed = true;
        }
        EXPECT_TRUE(failed);
    });
}

TEST_P(Future, AReadyOneIsAwaitedWithoutATurn) {
    run([]() -> gyre::task<> {
        gyre::future<int> f = gyre::loop::current()->start(value(5));
        while (!f.ready())
            co_await next_turn();
        const auto before = gyre::loop::current()->now();
        EXPECT_EQ(co_await f, 5);
        EXPECT_EQ(gyre::loop::current()->now(), before);
    });
}

TEST_P(Future, CanBeAwaitedOnAnotherLoop) {
    gyre::loop_thread network(options());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await network.start(value_later(5)), 5);
        for (int i = 0; i < 200; ++i)
            EXPECT_EQ(co_await network.start(value(i)), i);
        std::error_code code;
        gyre::future<int> f = network.start(forever());
        f.cancel();
        try {
            co_await f;
        } catch (const gyre::error& e) {
            code = e.code();
        }
        EXPECT_EQ(code, gyre::errc::cancelled);
    });
}

TEST_P(Future, WhoseLoopEndsReleasesThoseWhoAwaitIt) {
    std::optional<gyre::loop_thread> network(options());
    run([&]() -> gyre::task<> {
        gyre::future<int> f = network->start(forever());
        gyre::loop::current()->post([&] { network.reset(); });
        const auto r = co_await gyre::as_result(std::move(f));
        CO_ASSERT_TRUE(!r);
        EXPECT_EQ(r.error(), gyre::errc::cancelled);
    });
}

TEST_P(Future, CancellingTheAwaitLeavesTheComputationRunning) {
    gyre::loop_thread network(options());
    std::atomic<bool> go_on = false;
    const auto wait = [](std::atomic<bool>& flag) -> gyre::task<int> {
        while (!flag)
            co_await gyre::sleep_for(100us);
        co_return 8;
    };
    run([&]() -> gyre::task<> {
        gyre::future<int> f = network.start(wait(go_on));
        bool timed_out = false;
        try {
            const auto wait_here = [&]() -> gyre::task<int> { co_return co_await f; };
            co_await gyre::with_timeout(1ms, wait_here());
        } catch (const gyre::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
        EXPECT_FALSE(f.ready());
        go_on = true;
        EXPECT_EQ(co_await f, 8);
    });
}

TEST_P(Future, AwaitingInACancelledTaskEndsAtOnce) {
    run([]() -> gyre::task<> {
        gyre::loop& here = *gyre::loop::current();
        gyre::future<int> never = here.start(forever());
        const auto await_twice = [](gyre::future<int>& f) -> gyre::task<int> {
            int cancelled = 0;
            for (int i = 0; i < 2; ++i) {
                try {
                    co_await f;
                } catch (const gyre::error& e) {
                    cancelled += e.code() == gyre::errc::cancelled;
                }
            }
            co_return cancelled;
        };
        gyre::future<int> waiting = here.start(await_twice(never));
        co_await next_turn();
        waiting.cancel();
        EXPECT_EQ(co_await waiting, 2);
        EXPECT_FALSE(never.ready());
    });
}

TEST_P(Future, IsUsedUpByAnAwaitThatGaveItsResultAndByNoOther) {
    run([]() -> gyre::task<> {
        gyre::future<int> f = gyre::loop::current()->start(value_later(5));
        const auto wait = [&]() -> gyre::task<int> { co_return co_await f; };
        gyre::future<int> waiting = gyre::loop::current()->start(wait());
        co_await gyre::yield();
        waiting.cancel();
        const auto cancelled = co_await gyre::as_result(std::move(waiting));
        EXPECT_TRUE(!cancelled && cancelled.error() == gyre::errc::cancelled);
        EXPECT_TRUE(f.valid());
        EXPECT_EQ(co_await f, 5);
        EXPECT_FALSE(f.valid());
        gyre::future<> failed = gyre::loop::current()->start(fail("x"));
        EXPECT_FALSE((co_await ended_well(failed)));
        EXPECT_FALSE(failed.valid());
    });
}

/// A coroutine that is not gyre's, and whose owner destroys it.
struct owned {
    struct promise_type {
        owned get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

TEST_P(Future, ACoroutineMayBeDestroyedWhileTheNewsForItIsOnItsWay) {
    gyre::loop_thread network(options());
    gyre::loop loop(options());
    const auto wait_for_flag = [](std::atomic<bool>& flag) -> gyre::task<> {
        while (!flag)
            co_await gyre::sleep_for(1us);
    };
    const auto wait = [](gyre::future<>& f, int& awaited) -> owned {
        co_await f;
        ++awaited;
    };
    int awaited = 0;
    for (int i = 0; i < 100; ++i) {
        std::atomic<bool> go_on = false;
        gyre::future<> f = network.start(wait_for_flag(go_on));
        const owned waiting = wait(f, awaited);
        go_on = true;
        if (i % 2 != 0)
            f.wait_for(20s);
        while (i % 4 == 3 && !waiting.handle.done())
            loop.poll();
        waiting.handle.destroy();
        if (f.valid())
            f.wait_for(20s);
    }
    while (loop.poll()) {
    }
    EXPECT_EQ(awaited, 25);
}

// ---- Contracts ---------------------------------------------------------------------------------

class FutureDeathTest : public Future {
protected:
    void SetUp() override {
        Future::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(FutureDeathTest);

TEST_P(FutureDeathTest, GetOnTheLoopOfTheComputationIsABrokenContract) {
    const auto get_here = [](gyre::loop_options o) {
        gyre::loop loop(o);
        gyre::future<int> f = loop.start(forever());
        (void)f.get();
    };
    EXPECT_DEATH(get_here(options()), "gyre contract broken: future::get");
}

TEST_P(FutureDeathTest, UsingOneThatIsUsedUpIsABrokenContract) {
    constexpr char once[] = "gyre contract broken: a future gives its result once";
    const auto used_up = [](gyre::loop_options o, auto use) {
        gyre::loop_thread network(o);
        gyre::future<int> f = network.start(value(1));
        (void)f.get();
        use(f);
    };
    const auto moved_from = [](gyre::loop_options o, auto use) {
        gyre::loop_thread network(o);
        gyre::future<int> f = network.start(value(1));
        const gyre::future<int> other = std::move(f);
        use(f);
    };
    const auto get = [](auto& f) { (void)f.get(); };
    const auto ready = [](auto& f) { (void)f.ready(); };
    const auto cancel = [](auto& f) { f.cancel(); };
    const auto wait = [](auto& f) { f.wait_for(1s); };
    const auto then = [](auto& f) { (void)f.then([](int) {}); };
    EXPECT_DEATH(used_up(options(), get), once);
    EXPECT_DEATH(used_up(options(), ready), once);
    EXPECT_DEATH(used_up(options(), cancel), once);
    EXPECT_DEATH(moved_from(options(), get), once);
    EXPECT_DEATH(moved_from(options(), wait), once);
    EXPECT_DEATH(moved_from(options(), then), once);
}

TEST_P(FutureDeathTest, AwaitingOneTwiceIsABrokenContract) {
    const auto await_twice = [](gyre::loop_options o) {
        gyre::loop loop(o);
        const auto twice = []() -> gyre::task<> {
            gyre::future<int> f = gyre::loop::current()->start(value(1));
            co_await f;
            co_await f;
        };
        loop.run(twice());
    };
    EXPECT_DEATH(await_twice(options()), "gyre contract broken: a future gives its result once");
}

TEST_P(FutureDeathTest, WaitForOnTheLoopOfTheComputationIsABrokenContract) {
    const auto wait_here = [](gyre::loop_options o) {
        gyre::loop loop(o);
        gyre::future<int> f = loop.start(forever());
        f.wait_for(1ms);
    };
    EXPECT_DEATH(wait_here(options()), "gyre contract broken: future::wait_for");
}

// In a process of its own, whose watchdog does not wait for as long as that of the tests.
TEST_P(FutureDeathTest, WhoseComputationRefusesToEndIsReadyWithBroken) {
    const auto refuse = []() -> gyre::task<> {
        for (;;) {
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error&) {
            }
        }
    };
    const auto end_the_loop = [&](gyre::loop_options o) {
        alarm(20);
        std::optional<gyre::future<>> f;
        {
            gyre::loop loop(o);
            f = loop.start(refuse());
            loop.poll();
        }
        std::exit(f->ready() && code_of(*f) == gyre::errc::broken ? 0 : 1);
    };
    EXPECT_EXIT(end_the_loop(options()), testing::ExitedWithCode(0), "");
}

TEST_P(Future, GetOfAReadyOneIsFineOnItsOwnLoop) {
    run([]() -> gyre::task<> {
        gyre::future<int> f = gyre::loop::current()->start(value(5));
        while (!f.ready())
            co_await next_turn();
        EXPECT_TRUE(f.wait_for(1s));
        EXPECT_EQ(f.get(), 5);
    });
}

// ---- Many threads, for ThreadSanitizer ---------------------------------------------------------

TEST_P(Future, ManyThreadsStartGetCancelAndDropAtOnce) {
    constexpr int threads = 4;
    constexpr int rounds = 300;
    gyre::loop_thread network(options());
    std::atomic<int> results = 0;
    std::atomic<int> cancelled = 0;
    std::barrier together(threads);
    {
        std::vector<std::jthread> crew;
        for (int t = 0; t < threads; ++t)
            crew.emplace_back([&] {
                together.arrive_and_wait();
                for (int i = 0; i < rounds; ++i) {
                    gyre::future<int> a = network.start(value_later(1));
                    gyre::future<int> b = network.start(forever());
                    gyre::future<int> c = network.start(value(1)).then([](int n) { return n; });
                    {
                        const gyre::future<int> dropped = network.start(value_later(1));
                    }
                    gyre::future<int> d = network.start(value_later(1));
                    d.cancel(); // may come too late
                    b.cancel();
                    results += a.get() + c.get();
                    cancelled += code_of(b) == gyre::errc::cancelled;
                    d.wait_for(20s);
                }
            });
    }
    EXPECT_EQ(results, 2 * threads * rounds);
    EXPECT_EQ(cancelled, threads * rounds);
}

TEST_P(Future, LoopsAwaitTheFuturesOfEachOther) {
    gyre::loop_thread a(options());
    gyre::loop_thread b(options());
    const auto ask = [](gyre::loop_thread& other) -> gyre::task<int> {
        int sum = 0;
        for (int i = 0; i < 300; ++i) {
            sum += co_await other.start(value_later(1));
            try { // an await that ends in the same moment as what it waits for
                co_await gyre::with_timeout(1ns, other.start(value(1)));
            } catch (const gyre::timeout_error&) {
            }
        }
        co_return sum;
    };
    gyre::future<int> one = a.start(ask(b));
    gyre::future<int> two = b.start(ask(a));
    EXPECT_EQ(one.get(), 300);
    EXPECT_EQ(two.get(), 300);
}

TEST_P(Future, LoopsMayEndWhileOthersStartAndWait) {
    for (int i = 0; i < 30; ++i) {
        std::optional<gyre::loop_thread> network(options());
        gyre::loop& loop = network->loop();
        std::atomic<bool> over = false;
        std::barrier together(2);
        std::jthread user([&] {
            together.arrive_and_wait();
            std::vector<gyre::future<int>> started;
            for (int n = 0; n < 100; ++n)
                started.push_back(loop.start(n % 2 != 0 ? value_later(1) : forever()));
            over = true;
            over.notify_one();
            for (auto& f : started) {
                const std::error_code code = code_of(f);
                EXPECT_TRUE(!code || code == gyre::errc::cancelled || code == gyre::errc::broken);
            }
        });
        together.arrive_and_wait();
        over.wait(false); // start() may not be called on a loop that is gone
        network.reset();
    }
}

} // namespace
