#include "../support/fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/run.hpp>
#include <gyre/io/socket.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace gyre_test;

class Loop : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Loop);

/// A coroutine until it is cancelled; says whether it was.
gyre::task<> wait_for_cancel(bool& cancelled) {
    try {
        co_await gyre::sleep_for(24h);
    } catch (const gyre::error& e) {
        cancelled = e.code() == gyre::errc::cancelled;
        throw;
    }
}

gyre::task<int> give(int n) {
    co_return n;
}

// ---- run and stop ------------------------------------------------------------------------------

TEST_P(Loop, IsThatOfItsThreadAsLongAsItLives) {
    EXPECT_EQ(gyre::loop::current(), nullptr);
    {
        gyre::loop loop(options());
        EXPECT_EQ(gyre::loop::current(), &loop);
        EXPECT_EQ(loop.backend(), backend());
        std::thread([] { EXPECT_EQ(gyre::loop::current(), nullptr); }).join();
    }
    EXPECT_EQ(gyre::loop::current(), nullptr);
}

TEST_P(Loop, ThreadsMayHaveOneAfterAnother) {
    for (int i = 0; i < 20; ++i) {
        gyre::loop loop(options());
        EXPECT_EQ(loop.run(give(i)), i);
    }
}

TEST_P(Loop, RunEndsWithStop) {
    gyre::loop loop(options());
    loop.post([&] { loop.stop(); });
    loop.run();
}

TEST_P(Loop, AStopBeforeRunCounts) {
    gyre::loop loop(options());
    bool ran = false;
    loop.post([&] { ran = true; });
    loop.stop();
    loop.stop();
    loop.run();
    EXPECT_FALSE(ran) << "a turn ran in spite of the stop";
    loop.post([&] { loop.stop(); });
    loop.run();
    EXPECT_TRUE(ran);
}

TEST_P(Loop, StopFromAnotherThreadWakesIt) {
    gyre::loop loop(options());
    for (int i = 0; i < 50; ++i) {
        std::jthread other([&] { loop.stop(); });
        loop.run();
    }
}

TEST_P(Loop, RunOfATaskGivesItsResultOrThrows) {
    gyre::loop loop(options());
    EXPECT_EQ(loop.run(give(4)), 4);
    const auto fail = []() -> gyre::task<> {
        throw std::runtime_error("no");
        co_return;
    };
    EXPECT_THROW(loop.run(fail()), std::runtime_error);
    loop.run(gyre::sleep_for(1us));
}

TEST_P(Loop, RunOfATaskThrowsBrokenWhenStoppedAndTheTaskGoesOn) {
    gyre::loop loop(options());
    bool done = false;
    const auto stop_then_end = [](gyre::loop& l, bool& flag) -> gyre::task<> {
        l.stop();
        co_await next_turn();
        flag = true;
        l.stop();
    };
    std::error_code code;
    try {
        loop.run(stop_then_end(loop, done));
    } catch (const gyre::error& e) {
        code = e.code();
    }
    EXPECT_EQ(code, gyre::errc::broken);
    EXPECT_FALSE(done);
    loop.run();
    EXPECT_TRUE(done);
}

TEST_P(Loop, RunUntilEndsWhenTheFutureIsReady) {
    gyre::loop loop(options());
    gyre::future<int> f = loop.start(give(4));
    EXPECT_TRUE(loop.run_until(f));
    EXPECT_TRUE(loop.run_until(f)) << "already ready";
    EXPECT_EQ(f.get(), 4);
}

TEST_P(Loop, RunUntilIsFalseWhenStopped) {
    gyre::loop loop(options());
    gyre::future<> f = loop.start(gyre::sleep_for(24h));
    loop.post([&] { loop.stop(); });
    EXPECT_FALSE(loop.run_until(f));
    EXPECT_FALSE(f.ready());
}

TEST_P(Loop, RunUntilIsWokenByAFutureOfAnotherLoop) {
    gyre::loop_thread network(options());
    gyre::loop loop(options());
    for (int i = 0; i < 100; ++i) {
        gyre::future<> f = network.start(gyre::sleep_for(std::chrono::microseconds(i)));
        EXPECT_TRUE(loop.run_until(f));
        f.get();
    }
    gyre::future<> slow = network.start(gyre::sleep_for(24h));
    loop.post([&] { loop.stop(); });
    EXPECT_FALSE(loop.run_until(slow));
}

TEST_P(Loop, RunUntilWaitsForAFutureThatNeedsAnotherLoop) {
    gyre::loop_thread network(options());
    gyre::loop loop(options());
    gyre::future<int> f = loop.start([](gyre::loop_thread& n) -> gyre::task<int> {
        co_return co_await n.start(give(6));
    }(network));
    EXPECT_TRUE(loop.run_until(f));
    EXPECT_EQ(f.get(), 6);
}

TEST_P(Loop, PollDoesWhatCanBeDoneAndDoesNotWait) {
    gyre::loop loop(options());
    gyre::future<> slow = loop.start(gyre::sleep_for(24h));
    gyre::future<int> f = loop.start(give(4));
    EXPECT_TRUE(loop.poll());
    while (!f.ready())
        loop.poll();
    while (loop.poll()) {
    }
    EXPECT_FALSE(loop.poll());
    EXPECT_FALSE(slow.ready());
}

// ---- post --------------------------------------------------------------------------------------

TEST_P(Loop, PostsOfOneThreadRunInTheirOrder) {
    gyre::loop loop(options());
    std::vector<int> own;
    for (int i = 0; i < 3000; ++i)
        loop.post([&own, i] { own.push_back(i); });
    loop.post([&] { loop.stop(); });
    loop.run();
    EXPECT_EQ(own.size(), 3000U);
    EXPECT_TRUE(std::ranges::is_sorted(own));

    std::vector<int> others;
    std::jthread other([&] {
        for (int i = 0; i < 3000; ++i)
            loop.post([&others, i] { others.push_back(i); });
        loop.stop();
    });
    loop.run();
    other.join();
    while (loop.poll()) {
    }
    EXPECT_EQ(others.size(), 3000U);
    EXPECT_TRUE(std::ranges::is_sorted(others));
}

TEST_P(Loop, APostIsRunOnTheThreadOfTheLoopAndNotInPost) {
    gyre::loop_thread network(options());
    std::promise<gyre::loop*> where;
    network.post([&] { where.set_value(gyre::loop::current()); });
    EXPECT_EQ(where.get_future().get(), &network.loop());

    gyre::loop loop(options());
    bool ran = false;
    loop.post([&] { ran = true; });
    EXPECT_FALSE(ran);
    loop.poll();
    EXPECT_TRUE(ran);
}

TEST_P(Loop, PostsOfManyThreadsAreNotLost) {
    constexpr int threads = 4;
    constexpr int each = 5000;
    gyre::loop loop(options());
    std::array<int, threads> last{};
    int count = 0;
    bool ordered = true;
    std::barrier together(threads);
    std::vector<std::jthread> crew;
    for (int t = 0; t < threads; ++t)
        crew.emplace_back([&, t] {
            together.arrive_and_wait();
            for (int i = 1; i <= each; ++i)
                loop.post([&, t, i] {
                    int& before = last[static_cast<std::size_t>(t)];
                    ordered = ordered && before == i - 1;
                    before = i;
                    if (++count == threads * each)
                        loop.stop();
                });
        });
    loop.run();
    EXPECT_EQ(count, threads * each);
    EXPECT_TRUE(ordered);
}

TEST_P(Loop, APostAlwaysWakesASleepingLoop) {
    gyre::loop_thread network(options());
    for (int i = 0; i < 500; ++i) { // each time it is about to sleep, or does
        std::promise<void> ran;
        network.post([&] { ran.set_value(); });
        ran.get_future().get();
    }
}

TEST_P(Loop, PostTakesWhatOnlyMovesAndWhatIsLarge) {
    gyre::loop loop(options());
    int sum = 0;
    loop.post([&sum, p = std::make_unique<int>(3)] { sum += *p; });
    std::array<int, 20'000> large{};
    large.back() = 4;
    const auto post_large = [&] { loop.post([&sum, large] { sum += large.back(); }); };
    post_large();
    std::thread([&] {
        loop.post([&sum, p = std::make_unique<int>(5)] { sum += *p; });
        post_large();
    }).join();
    while (loop.poll()) {
    }
    EXPECT_EQ(sum, 16);
}

TEST_P(Loop, APostMayPostAgain) {
    gyre::loop loop(options());
    int ran = 0;
    struct again {
        gyre::loop& l;
        int& n;
        void operator()() const {
            if (++n < 5000)
                l.post(*this);
            else
                l.stop();
        }
    };
    loop.post(again{loop, ran});
    loop.run();
    EXPECT_EQ(ran, 5000);
}

/// Counts whether a callable has run and how often it was destroyed.
struct fate {
    std::atomic<int> ran = 0;
    std::atomic<int> destroyed = 0;
};
class callable {
public:
    explicit callable(fate& f) noexcept : fate_(&f) {}
    callable(callable&& other) noexcept : fate_(std::exchange(other.fate_, nullptr)) {}
    callable& operator=(callable&&) = delete;
    ~callable() {
        if (fate_ != nullptr)
            ++fate_->destroyed;
    }
    void operator()() const { ++fate_->ran; }

private:
    fate* fate_;
};

TEST_P(Loop, ACallableIsDestroyedOnceAlsoWhenItRan) {
    fate f;
    gyre::loop loop(options());
    loop.post(callable(f));
    std::thread([&] { loop.post(callable(f)); }).join();
    while (loop.poll()) {
    }
    EXPECT_EQ(f.ran, 2);
    EXPECT_EQ(f.destroyed, 2);
}

TEST_P(Loop, CallablesThatAreLeftWhenItEndsAreDestroyedOnce) {
    fate f;
    {
        gyre::loop loop(options());
        loop.post(callable(f));
        std::thread([&] { loop.post(callable(f)); }).join();
    }
    EXPECT_EQ(f.destroyed, 2);
}

TEST_P(Loop, CallablesOfItsOwnThreadThatAreLeftWhenItEndsDoNotRun) {
    fate f;
    {
        gyre::loop loop(options());
        loop.post(callable(f));
    }
    EXPECT_EQ(f.ran, 0);
    EXPECT_EQ(f.destroyed, 1);
}

TEST_P(Loop, CallablesOfOtherThreadsThatAreLeftWhenItEndsRunOrAreDestroyed) {
    fate f;
    {
        gyre::loop loop(options());
        std::thread([&] { loop.post(callable(f)); }).join();
    }
    EXPECT_LE(f.ran, 1);
    EXPECT_EQ(f.destroyed, 1);
}

// ---- In a foreign loop -------------------------------------------------------------------------

bool readable(int fd, std::chrono::milliseconds at_most = 0ms) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, static_cast<int>(at_most.count())) == 1 && (p.revents & POLLIN) != 0;
}

class Embedded : public on_each_backend<> {
protected:
    /// Polls until there is nothing to do.
    static void settle(gyre::loop& loop) {
        while (loop.poll()) {
        }
    }
};
GYRE_ON_EACH_BACKEND(Embedded);

TEST_P(Embedded, FilenoIsNotReadableWhenThereIsNothingToDo) {
    gyre::loop loop(options());
    EXPECT_FALSE(readable(loop.fileno()));
    settle(loop);
    EXPECT_FALSE(readable(loop.fileno()));
    gyre::future<> slow = loop.start(gyre::sleep_for(24h));
    settle(loop);
    EXPECT_FALSE(readable(loop.fileno()));
    EXPECT_EQ(loop.fileno(), loop.fileno());
}

TEST_P(Embedded, FilenoIsReadableForATaskThatWasStartedBeforeOrAfterTheCall) {
    gyre::loop loop(options());
    gyre::future<int> before = loop.start(give(1));
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_TRUE(before.ready());
    EXPECT_FALSE(readable(loop.fileno()));
    gyre::future<int> after = loop.start(give(1));
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_TRUE(after.ready());
    EXPECT_FALSE(readable(loop.fileno()));
}

TEST_P(Embedded, FilenoIsReadableForAPostThatWasThereBeforeTheCall) {
    gyre::loop loop(options());
    loop.post([] {});
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_FALSE(readable(loop.fileno()));
}

// As a callback of the foreign loop posts it.
TEST_P(Embedded, FilenoIsReadableForAPostOfItsOwnThread) {
    gyre::loop loop(options());
    loop.fileno();
    settle(loop);
    bool ran = false;
    loop.post([&] { ran = true; });
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_TRUE(ran);
    EXPECT_FALSE(readable(loop.fileno()));
}

TEST_P(Embedded, FilenoIsReadableForAPostOfAnotherThread) {
    gyre::loop loop(options());
    loop.fileno();
    for (int i = 0; i < 20; ++i) {
        settle(loop);
        bool ran = false;
        std::thread([&] { loop.post([&] { ran = true; }); }).join();
        EXPECT_TRUE(readable(loop.fileno()));
        EXPECT_TRUE(loop.poll());
        EXPECT_TRUE(ran);
        settle(loop);
        EXPECT_FALSE(readable(loop.fileno()));
    }
}

TEST_P(Embedded, FilenoIsReadableWhenADeadlineHasPassed) {
    gyre::loop loop(options());
    loop.fileno();
    gyre::future<> slow = loop.start(gyre::sleep_for(24h));
    gyre::future<> f = loop.start(gyre::sleep_for(5ms));
    const auto start = gyre::clock::now();
    settle(loop);
    while (!f.ready()) {
        ASSERT_TRUE(readable(loop.fileno(), 5000ms));
        loop.poll();
    }
    EXPECT_GE(gyre::clock::now() - start, 5ms);
    settle(loop);
    EXPECT_FALSE(readable(loop.fileno()));
}

TEST_P(Embedded, DeadlinesOneAfterAnotherAllWakeTheForeignLoop) {
    gyre::loop loop(options());
    loop.fileno();
    const auto tick = []() -> gyre::task<> {
        for (int i = 0; i < 20; ++i)
            co_await gyre::sleep_for(std::chrono::microseconds(i * 50));
    };
    gyre::future<> f = loop.start(tick());
    int wakes = 0;
    while (!f.ready()) {
        ASSERT_TRUE(readable(loop.fileno(), 5000ms));
        loop.poll();
        ++wakes;
    }
    EXPECT_LT(wakes, 200) << "it spins";
}

gyre::task<std::size_t> read_some(gyre::socket& s) {
    std::array<std::byte, 64> buffer;
    co_return co_await s.recv(buffer);
}

TEST_P(Embedded, FilenoIsReadableWhenASocketIs) {
    gyre::loop loop(options());
    auto [a, b] = gyre::socketpair();
    loop.fileno();
    for (int i = 0; i < 20; ++i) {
        gyre::future<std::size_t> f = loop.start(read_some(a));
        settle(loop);
        EXPECT_FALSE(readable(loop.fileno()));
        ASSERT_EQ(::write(b.fileno(), "data", 4), 4);
        while (!f.ready()) {
            ASSERT_TRUE(readable(loop.fileno(), 5000ms));
            loop.poll();
        }
        EXPECT_EQ(f.get(), 4U);
        settle(loop);
        EXPECT_FALSE(readable(loop.fileno()));
    }
}

// A callback of the foreign loop closes a socket: what waits on it has to hear of that.
TEST_P(Embedded, FilenoIsReadableWhenItsOwnThreadClosesASocketThatIsWaitedFor) {
    gyre::loop loop(options());
    auto [a, b] = gyre::socketpair();
    loop.fileno();
    gyre::future<std::size_t> f = loop.start(read_some(a));
    settle(loop);
    a.close();
    while (!f.ready()) {
        ASSERT_TRUE(readable(loop.fileno(), 1000ms));
        loop.poll();
    }
    std::error_code code;
    try {
        (void)f.get();
    } catch (const gyre::error& e) {
        code = e.code();
    }
    EXPECT_EQ(code, gyre::errc::closed);
}

TEST_P(Embedded, FilenoIsReadableForACancelAndForAStartOfAnotherThread) {
    gyre::loop loop(options());
    loop.fileno();
    bool cancelled = false;
    gyre::future<> f = loop.start(wait_for_cancel(cancelled));
    settle(loop);
    f.cancel();
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_TRUE(cancelled);
    std::optional<gyre::future<int>> other;
    std::thread([&] { other = loop.start(give(3)); }).join();
    EXPECT_TRUE(readable(loop.fileno()));
    settle(loop);
    EXPECT_EQ(other->get(), 3);
}

TEST_P(Embedded, RunAndPollMayAlternate) {
    gyre::loop loop(options());
    loop.fileno();
    EXPECT_EQ(loop.run(give(2)), 2);
    gyre::future<> f = loop.start(gyre::sleep_for(2ms));
    settle(loop);
    EXPECT_EQ(loop.run(give(3)), 3);
    while (!f.ready()) {
        ASSERT_TRUE(readable(loop.fileno(), 5000ms));
        loop.poll();
    }
    std::jthread other([&] { loop.stop(); });
    loop.run();
}

// ---- Time --------------------------------------------------------------------------------------

TEST_P(Loop, NowIsTheSameForAllThatHappensInATurn) {
    gyre::loop loop(options());
    std::array<gyre::clock::time_point, 3> seen;
    loop.post([&] {
        seen[0] = loop.now();
        while (gyre::clock::now() < seen[0] + 1ms) {
        }
    });
    loop.post([&] { seen[1] = loop.now(); });
    std::thread([&] { loop.post([&] { seen[2] = loop.now(); }); }).join();
    loop.poll();
    EXPECT_EQ(seen[0], seen[1]);
    EXPECT_EQ(seen[0], seen[2]);
    loop.poll();
    EXPECT_GT(loop.now(), seen[0]);
    EXPECT_LE(loop.now(), gyre::clock::now());
}

TEST_P(Loop, SleepsEndInTheOrderOfTheirDeadlinesAndNotEarly) {
    run([]() -> gyre::task<> {
        std::vector<int> ended;
        const auto sleep = [](std::vector<int>& to, int ms) -> gyre::task<> {
            const auto start = gyre::clock::now();
            co_await gyre::sleep_for(std::chrono::milliseconds(ms));
            EXPECT_GE(gyre::clock::now() - start, std::chrono::milliseconds(ms));
            to.push_back(ms);
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (const int ms : {9, 3, 12, 1, 6, 0, 15})
                g.spawn(sleep(ended, ms));
            co_return;
        });
        EXPECT_EQ(ended, (std::vector<int>{0, 1, 3, 6, 9, 12, 15}));
    });
}

TEST_P(Loop, ADeadlineNeverPassesEarlyHoweverLongTheTurnTook) {
    run([]() -> gyre::task<> {
        for (int i = 0; i < 200; ++i) {
            const auto duration = std::chrono::microseconds(1 + i * 7 % 300);
            if (i % 3 == 0) // a turn that has lasted for a while when the sleep begins
                for (const auto t = gyre::clock::now(); gyre::clock::now() < t + 200us;) {
                }
            const auto start = gyre::clock::now();
            if (i % 2 == 0)
                co_await gyre::sleep_for(duration);
            else
                co_await gyre::sleep_until(start + duration);
            EXPECT_GE(gyre::clock::now() - start, duration);
        }
    });
}

TEST_P(Loop, ASleepOfZeroOrLessLetsTheOthersRunFirst) {
    run([]() -> gyre::task<> {
        int others = 0;
        const auto count = [](int& n) -> gyre::task<> {
            ++n;
            co_return;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(count(others));
            co_await gyre::sleep_for(0s);
            EXPECT_EQ(others, 1);
            g.spawn(count(others));
            co_await gyre::sleep_for(-1h);
            EXPECT_EQ(others, 2);
            g.spawn(count(others));
            co_await gyre::sleep_until(gyre::clock::time_point());
            EXPECT_EQ(others, 3);
        });
    });
}

TEST_P(Loop, AYieldLetsTheOthersRunFirst) {
    run([]() -> gyre::task<> {
        std::string order;
        const auto say = [](std::string& s, char c) -> gyre::task<> {
            for (int i = 0; i < 4; ++i) {
                s += c;
                co_await gyre::yield();
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (const char c : {'a', 'b', 'c'})
                g.spawn(say(order, c));
            co_return;
        });
        EXPECT_EQ(order, "abcabcabcabc");
    });
}

TEST_P(Loop, OneThatAlwaysYieldsStarvesNeitherDeadlinesNorPostsNorSockets) {
    run([&]() -> gyre::task<> {
        bool over = false;
        const auto yield_on = [](bool& end) -> gyre::task<> {
            while (!end)
                co_await gyre::yield();
        };
        gyre::loop& here = *gyre::loop::current();
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(yield_on(over));
            co_await gyre::sleep_for(1ms);
            auto [a, b] = gyre::socketpair();
            gyre::future<std::size_t> f = here.start(read_some(a));
            co_await next_turn();
            EXPECT_EQ(::write(b.fileno(), "data", 4), 4);
            EXPECT_EQ(co_await f, 4U);
            gyre::loop_thread other(options());
            EXPECT_EQ(co_await other.start(give(5)), 5);
            over = true;
        });
    });
}

TEST_P(Loop, OneWhoseOperationsAlwaysSucceedAtOnceStarvesNobody) {
    run([]() -> gyre::task<> {
        auto [a, b] = gyre::socketpair();
        bool over = false;
        long messages = 0;
        const auto talk = [](gyre::socket& x, gyre::socket& y, bool& end, long& n) -> gyre::task<> {
            std::array<std::byte, 8> buffer{};
            while (!end) {
                co_await x.sendall(buffer);
                co_await y.recv(buffer);
                ++n;
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(talk(a, b, over, messages));
            co_await gyre::sleep_for(1ms);
            over = true;
        });
        EXPECT_GT(messages, 0);
    });
}

TEST_P(Loop, ALoopThatLooksBeforeItSleepsDoesAllTheSame) {
    gyre::loop_options o = options();
    o.busy_poll = 200us;
    gyre::loop_thread network(o);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(network.start(give(i)).get(), i);
    const auto start = gyre::clock::now();
    network.start(gyre::sleep_for(3ms)).get();
    EXPECT_GE(gyre::clock::now() - start, 3ms);
    auto [a, b] = gyre::socketpair();
    gyre::future<std::size_t> f = network.start(read_some(a));
    ASSERT_EQ(::write(b.fileno(), "data", 4), 4);
    EXPECT_EQ(f.get(), 4U);
    network
        .start([](gyre::socket s) -> gyre::task<> {
            s.close();
            co_return;
        }(std::move(a)))
        .get();
}

// ---- The end -----------------------------------------------------------------------------------

TEST_P(Loop, ItsEndCancelsWhatRuns) {
    bool cancelled = false;
    {
        gyre::loop loop(options());
        (void)loop.start(wait_for_cancel(cancelled));
        loop.poll();
    }
    EXPECT_TRUE(cancelled);
}

TEST_P(Loop, ItsEndWaitsForComputationsToTidyUp) {
    bool tidy = false;
    {
        gyre::loop loop(options());
        const auto tidy_up = [](bool& done) -> gyre::task<> {
            co_await gyre::as_result(gyre::sleep_for(24h));
            for (int i = 0; i < 100; ++i)
                co_await gyre::yield();
            done = true;
        };
        (void)loop.start(tidy_up(tidy));
        loop.poll();
    }
    EXPECT_TRUE(tidy);
}

TEST_P(Loop, ItsEndCancelsWhatWaitsForASocket) {
    std::error_code code;
    auto [a, b] = gyre::socketpair();
    {
        gyre::loop loop(options());
        const auto read = [](gyre::socket& s, std::error_code& to) -> gyre::task<> {
            std::array<std::byte, 64> buffer;
            const auto r = co_await gyre::as_result(s.recv(buffer));
            to = r ? std::error_code() : r.error();
        };
        (void)loop.start(read(a, code));
        loop.poll();
    }
    EXPECT_EQ(code, gyre::errc::cancelled);
}

// Each of these runs in a process of its own, with a watchdog that does not take all day.
class LoopDeathTest : public Loop {
protected:
    void SetUp() override {
        Loop::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(LoopDeathTest);

template <class Task>
[[noreturn]] void end_loop_with(gyre::loop_options o, Task make) {
    alarm(20);
    {
        gyre::loop loop(o);
        (void)loop.start(make());
        loop.poll();
    }
    std::exit(0);
}

TEST_P(LoopDeathTest, AComputationThatSleepsOnForEverDoesNotHangItsEnd) {
    const auto refuse = []() -> gyre::task<> {
        for (;;) {
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error&) {
            }
        }
    };
    EXPECT_EXIT(end_loop_with(options(), refuse), testing::ExitedWithCode(0), "");
}

TEST_P(LoopDeathTest, AComputationThatYieldsForEverDoesNotHangItsEnd) {
    const auto refuse = []() -> gyre::task<> {
        for (;;)
            co_await gyre::yield();
    };
    EXPECT_EXIT(end_loop_with(options(), refuse), testing::ExitedWithCode(0), "");
}

TEST_P(LoopDeathTest, AGroupThatRefusesDoesNotHangItsEnd) {
    const auto refuse = []() -> gyre::task<> {
        const auto child = []() -> gyre::task<> {
            for (;;)
                co_await gyre::as_result(gyre::sleep_for(24h));
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(child());
            co_await child();
        });
    };
    EXPECT_EXIT(end_loop_with(options(), refuse), testing::ExitedWithCode(0), "");
}

gyre::task<> rise_again() {
    bool cancelled = false;
    try {
        co_await gyre::sleep_for(24h);
    } catch (const gyre::error&) {
        cancelled = true;
    }
    if (cancelled)
        (void)gyre::loop::current()->start(rise_again());
}

TEST_P(LoopDeathTest, AComputationThatStartsItselfAgainDoesNotHangItsEnd) {
    EXPECT_EXIT(end_loop_with(options(), rise_again), testing::ExitedWithCode(0), "");
}

TEST_P(LoopDeathTest, ASecondLoopOnAThreadIsABrokenContract) {
    const auto make_two = [](gyre::loop_options o) {
        gyre::loop one(o);
        gyre::loop two(o);
    };
    EXPECT_DEATH(make_two(options()), "gyre contract broken: a thread has one loop at a time");
}

TEST_P(LoopDeathTest, RunningItOnAnotherThreadIsABrokenContract) {
    const auto run_elsewhere = [](gyre::loop_options o) {
        gyre::loop loop(o);
        std::thread([&] { loop.poll(); }).join();
    };
    EXPECT_DEATH(run_elsewhere(options()), "gyre contract broken: a loop runs on the thread");
}

TEST_P(LoopDeathTest, AnOperationAwaitedWithoutALoopIsABrokenContract) {
    const auto await_nowhere = [] {
        struct foreign {
            struct promise_type {
                foreign get_return_object() noexcept { return {}; }
                std::suspend_never initial_suspend() const noexcept { return {}; }
                std::suspend_never final_suspend() const noexcept { return {}; }
                void return_void() const noexcept {}
                void unhandled_exception() const noexcept { std::terminate(); }
            };
        };
        []() -> foreign { co_await gyre::sleep_for(1s); }();
    };
    EXPECT_DEATH(await_nowhere(), "gyre contract broken: an operation is awaited in a coroutine");
}

} // namespace
