#include "../support/fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/run.hpp>

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

using namespace gyre_test;

class Task : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Task);

/// Counts its live copies, and says when one is destroyed twice.
class counted {
public:
    explicit counted(int& alive) noexcept : alive_(&alive) { ++*alive_; }
    counted(const counted& other) noexcept : alive_(other.alive_) { ++*alive_; }
    counted(counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*alive_; }

private:
    int* alive_;
};

/// Writes its name into a log when it is destroyed.
struct farewell {
    std::string name;
    std::string* log;
    farewell(std::string n, std::string& l) : name(std::move(n)), log(&l) {}
    farewell(farewell&& other) noexcept
        : name(std::move(other.name)), log(std::exchange(other.log, nullptr)) {}
    farewell& operator=(farewell&&) = delete;
    ~farewell() {
        if (log != nullptr)
            *log += name + ' ';
    }
};

gyre::task<int> twice(int n) {
    co_return 2 * n;
}
gyre::task<> set(bool& flag) {
    flag = true;
    co_return;
}
gyre::task<> fail(std::string why) {
    throw std::runtime_error(why);
    co_return;
}

// ---- Results -----------------------------------------------------------------------------------

TEST_P(Task, GivesItsResult) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await twice(21), 42);
        const int sum = co_await twice(1) + co_await twice(2);
        EXPECT_EQ(sum, 6);
    });
}

TEST_P(Task, OfVoidRunsToItsEndBeforeTheAwaitReturns) {
    run([]() -> gyre::task<> {
        bool ran = false;
        co_await set(ran);
        EXPECT_TRUE(ran);
    });
}

gyre::task<int&> pick(int& value) {
    co_return value;
}

TEST_P(Task, OfAReferenceGivesThatObject) {
    run([]() -> gyre::task<> {
        int value = 1;
        int& same = co_await pick(value);
        EXPECT_EQ(&same, &value);
        co_await pick(value) = 5;
        EXPECT_EQ(value, 5);
    });
}

gyre::task<std::unique_ptr<int>> make_unique(int n) {
    co_return std::make_unique<int>(n);
}

TEST_P(Task, OfAReferenceCanBeRun) {
    int value = 1;
    EXPECT_EQ(&gyre::run(pick(value), options()), &value);
}

TEST_P(Task, MayReturnWhatOnlyMoves) {
    run([]() -> gyre::task<> {
        const std::unique_ptr<int> p = co_await make_unique(7);
        EXPECT_EQ(*p, 7);
    });
}

struct no_default {
    explicit no_default(int n) : value(n) {}
    int value;
};
gyre::task<no_default> make_without_default() {
    co_return no_default(3);
}

TEST_P(Task, MayReturnWhatHasNoDefaultConstructor) {
    run([]() -> gyre::task<> { EXPECT_EQ((co_await make_without_default()).value, 3); });
}

gyre::task<std::string> convert() {
    co_return "from a literal";
}

TEST_P(Task, ConvertsWhatItReturns) {
    run([]() -> gyre::task<> { EXPECT_EQ(co_await convert(), "from a literal"); });
}

TEST_P(Task, RunGivesTheResultOutsideOfCoroutines) {
    EXPECT_EQ(gyre::run(twice(4), options()), 8);
    EXPECT_EQ(*gyre::run(make_unique(9), options()), 9);
    EXPECT_THROW(gyre::run(fail("no"), options()), std::runtime_error);
}

// ---- Failures ----------------------------------------------------------------------------------

TEST_P(Task, RethrowsWhatWasThrownInIt) {
    run([]() -> gyre::task<> {
        std::string what;
        try {
            co_await fail("broken pipe dream");
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT_EQ(what, "broken pipe dream");
    });
}

gyre::task<> fail_later() {
    co_await next_turn();
    throw 42;
}

TEST_P(Task, RethrowsWhatWasThrownAfterAWaitAndWhateverItsType) {
    run([]() -> gyre::task<> {
        int thrown = 0;
        try {
            co_await fail_later();
        } catch (int number) {
            thrown = number;
        }
        EXPECT_EQ(thrown, 42);
    });
}

gyre::task<> through(int depth) {
    if (depth == 0)
        co_await fail("deep down");
    else
        co_await through(depth - 1);
}

TEST_P(Task, AnExceptionPassesThroughAllThatAwait) {
    run([]() -> gyre::task<> {
        std::string what;
        try {
            co_await through(100);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT_EQ(what, "deep down");
    });
}

// ---- Life --------------------------------------------------------------------------------------

gyre::task<> take(counted c, bool& ran) {
    ran = true;
    counted local = c;
    co_return;
}

TEST(TaskLife, NothingRunsBeforeItIsAwaited) {
    bool ran = false;
    {
        const gyre::task<> t = set(ran);
    }
    EXPECT_FALSE(ran);
}

TEST(TaskLife, DestroyedBeforeItRanItDestroysItsArgumentsOnce) {
    int alive = 0;
    bool ran = false;
    {
        const gyre::task<> t = take(counted(alive), ran);
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(ran);
}

TEST(TaskLife, AssigningToATaskDestroysTheOldOne) {
    int alive = 0;
    bool ran = false;
    gyre::task<> a = take(counted(alive), ran);
    gyre::task<> b = take(counted(alive), ran);
    EXPECT_EQ(alive, 2);
    a = std::move(b);
    EXPECT_EQ(alive, 1);
    gyre::task<>& same = a;
    a = std::move(same);
    EXPECT_EQ(alive, 1);
}

TEST_P(Task, DestroysArgumentsAndLocalsOnceWhenItHasRun) {
    int alive = 0;
    run([&]() -> gyre::task<> {
        bool ran = false;
        co_await take(counted(alive), ran);
        EXPECT_TRUE(ran);
        EXPECT_EQ(alive, 0);
    });
    EXPECT_EQ(alive, 0);
}

gyre::task<> take_and_fail(counted c) {
    counted local = c;
    throw std::runtime_error("no");
    co_return;
}

TEST_P(Task, DestroysArgumentsAndLocalsOnceWhenItFails) {
    int alive = 0;
    run([&]() -> gyre::task<> {
        bool failed = false;
        try {
            co_await take_and_fail(counted(alive));
        } catch (const std::runtime_error&) {
            failed = true;
        }
        EXPECT_TRUE(failed);
        EXPECT_EQ(alive, 0);
    });
    EXPECT_EQ(alive, 0);
}

gyre::task<> say_farewell([[maybe_unused]] farewell argument, std::string& log) {
    farewell first("first", log);
    farewell second("second", log);
    co_await next_turn();
    log += "end ";
}

TEST_P(Task, ItsLocalsGoInReverseOrderThenItsArgumentsThenTheAwaitReturns) {
    run([]() -> gyre::task<> {
        std::string log;
        farewell argument("argument", log);
        co_await say_farewell(std::move(argument), log);
        log += "awaited ";
        EXPECT_EQ(log, "end second first argument awaited ");
    });
}

TEST_P(Task, AnAwaitedLvalueKeepsItsFrameAsLongAsItself) {
    run([]() -> gyre::task<> {
        std::string log;
        {
            farewell argument("argument", log);
            gyre::task<> t = say_farewell(std::move(argument), log);
            co_await t;
            log += "awaited ";
        }
        EXPECT_EQ(log, "end second first awaited argument ");
    });
}

gyre::task<> wait_long(counted c) {
    counted local = c;
    co_await gyre::sleep_for(1h);
}

TEST_P(Task, DestroyedWhileItWaitsItDestroysWhatItHolds) {
    int alive = 0;
    {
        gyre::loop loop(options());
        (void)loop.start(wait_long(counted(alive)));
        while (alive < 2)
            loop.poll();
    }
    EXPECT_EQ(alive, 0);
}

TEST_P(Task, ManyThatEndAtOnceDoNotGrowTheStack) {
    run([]() -> gyre::task<> {
        int sum = 0;
        for (int i = 0; i < 100'000; ++i)
            sum += co_await twice(1);
        EXPECT_EQ(sum, 200'000);
    });
}

gyre::task<int> count_down(int n) {
    if (n == 0)
        co_return 0;
    co_return 1 + co_await count_down(n - 1);
}

TEST_P(Task, ADeepChainOfAwaitsDoesNotGrowTheStack) {
    run([]() -> gyre::task<> { EXPECT_EQ(co_await count_down(20'000), 20'000); });
}

// ---- Contracts ---------------------------------------------------------------------------------

class TaskDeathTest : public Task {
protected:
    void SetUp() override {
        Task::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(TaskDeathTest);

constexpr char awaited_once[] = "gyre contract broken: a task is awaited once";

TEST_P(TaskDeathTest, ASecondAwaitIsABrokenContract) {
    const auto await_twice = [](gyre::task<int> t) -> gyre::task<> {
        co_await t;
        co_await t;
    };
    EXPECT_DEATH(gyre::run(await_twice(twice(1)), options()), awaited_once);
}

TEST_P(TaskDeathTest, AwaitingOneThatWasMovedFromIsABrokenContract) {
    const auto await_empty = [](gyre::task<int> t) -> gyre::task<> {
        const gyre::task<int> other = std::move(t);
        co_await t;
    };
    EXPECT_DEATH(gyre::run(await_empty(twice(1)), options()), awaited_once);
}

// ---- Coroutines that are not gyre's ------------------------------------------------------------

/// One of another library: starts at once, owns itself.
struct foreign {
    struct promise_type {
        foreign get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

/// One whose owner destroys it.
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

TEST_P(Task, CanBeAwaitedByACoroutineOfAnotherLibrary) {
    gyre::loop loop(options());
    int result = 0;
    std::string what;
    const auto await_all = [](int& to, std::string& caught) -> foreign {
        to = co_await twice(4);
        co_await gyre::sleep_for(1us);
        co_await gyre::yield();
        try {
            co_await fail_later();
        } catch (int) {
            caught = "int";
        }
        to += co_await twice(1);
    };
    await_all(result, what);
    while (result != 10)
        loop.poll();
    EXPECT_EQ(what, "int");
}

TEST_P(Task, ItsFutureCanBeAwaitedByACoroutineOfAnotherLibrary) {
    gyre::loop loop(options());
    int result = 0;
    const auto await_future = [](gyre::loop& l, int& to) -> foreign {
        to = co_await l.start(twice(4));
    };
    await_future(loop, result);
    while (result == 0)
        loop.poll();
    EXPECT_EQ(result, 8);
}

gyre::task<> wait_deep(counted c, int depth) {
    if (depth > 0)
        co_await wait_deep(c, depth - 1);
    else
        co_await gyre::sleep_for(1h);
}

TEST_P(Task, DestroyingAForeignCoroutineWithdrawsWhatItWaitsFor) {
    gyre::loop loop(options());
    int alive = 0;
    const auto wait = [](int& count) -> owned { co_await wait_deep(counted(count), 3); };
    const owned o = wait(alive);
    loop.poll();
    EXPECT_GE(alive, 4);
    o.handle.destroy();
    EXPECT_EQ(alive, 0);
    loop.poll();
}

/// A coroutine can await gyre's operations from any awaitable of its own that wraps them.
struct wrapped {
    gyre::sleep_operation inner;
    bool await_ready() const noexcept { return inner.await_ready(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return inner.await_suspend(h);
    }
    int await_resume() const {
        inner.await_resume();
        return 5;
    }
};

TEST_P(Task, AwaitsAwaitablesThatAreNotGyres) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await wrapped{gyre::sleep_for(1us)}, 5);
        co_await std::suspend_never();
    });
}

} // namespace
