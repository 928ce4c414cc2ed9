#include "../support/sockets.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/run.hpp>
#include <gyre/core/signal.hpp>

#include <atomic>
#include <csignal>
#include <memory>
#include <pthread.h>
#include <semaphore>
#include <unistd.h>
#include <vector>

namespace {

using namespace gyre_test;

bool is_blocked(int number) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, number) == 1;
}

void send_to_process(int number) {
    ASSERT_EQ(kill(getpid(), number), 0);
}

/// Each test finds the signals as a program does that has not touched them, and leaves them so.
class Signal : public on_each_backend<> {
protected:
    void SetUp() override {
        pthread_sigmask(SIG_SETMASK, nullptr, &before_);
        on_each_backend::SetUp();
    }
    void TearDown() override {
        on_each_backend::TearDown();
        sigset_t all;
        sigfillset(&all);
        const timespec now{};
        while (sigtimedwait(&all, nullptr, &now) > 0) {
        }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

    /// What a program does whose own threads shall not take them.
    static void block(std::initializer_list<int> numbers) {
        sigset_t set;
        sigemptyset(&set);
        for (const int n : numbers)
            sigaddset(&set, n);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
    }

private:
    sigset_t before_{};
};
GYRE_ON_EACH_BACKEND(Signal);

/// What was started on that loop before waits by now, when it is something that waits.
void settle(gyre::loop_thread& network) {
    network.start(next_turn()).get();
}

gyre::task<int> either() {
    return gyre::signal(SIGUSR1, SIGUSR2);
}

// ---- One that waits ----------------------------------------------------------------------------

TEST_P(Signal, GivesTheNumberOfTheOneThatWasSent) {
    run([]() -> gyre::task<> {
        for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN}) {
            gyre::future<int> f =
                gyre::loop::current()->start(gyre::signal(SIGTERM, SIGUSR1, SIGRTMIN + 0, SIGUSR2));
            co_await next_turn();
            EXPECT_FALSE(f.ready());
            send_to_process(number);
            EXPECT_EQ(co_await f, number);
        }
    });
}

TEST_P(Signal, ThatIsPendingAlreadyCounts) {
    block({SIGUSR1});
    send_to_process(SIGUSR1);
    run([]() -> gyre::task<> { EXPECT_EQ(co_await gyre::signal(SIGUSR1), SIGUSR1); });
}

TEST_P(Signal, SentAgainAndAgainIsSeenEachTime) {
    run([]() -> gyre::task<> {
        for (int i = 0; i < 200; ++i) {
            gyre::future<int> f = gyre::loop::current()->start(either());
            co_await next_turn();
            const int number = i % 3 == 0 ? SIGUSR1 : SIGUSR2;
            send_to_process(number);
            EXPECT_EQ(co_await f, number);
        }
    });
}

TEST_P(Signal, ThatNobodyWaitedForInBetweenIsKeptForTheNext) {
    run([]() -> gyre::task<> {
        block({SIGUSR1, SIGUSR2});
        send_to_process(SIGUSR1);
        send_to_process(SIGUSR2);
        EXPECT_EQ(co_await gyre::signal(SIGUSR2), SIGUSR2);
        EXPECT_EQ(co_await gyre::signal(SIGUSR1), SIGUSR1);
    });
}

TEST_P(Signal, WakesALoopThatSleeps) {
    block({SIGUSR1});
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(gyre::signal(SIGUSR1));
    settle(network);
    send_to_process(SIGUSR1);
    EXPECT_EQ(f.get(), SIGUSR1);
}

TEST_P(Signal, OfANumberThatIsNoneIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        for (const int number : {0, -1, 10'000}) {
            EXPECT_EQ(co_await gyre::with_timeout(patience, outcome(gyre::signal(SIGUSR1, number))),
                      std::errc::invalid_argument);
            EXPECT_FALSE(is_blocked(SIGUSR1));
        }
    });
}

// ---- Several that wait -------------------------------------------------------------------------

TEST_P(Signal, ReachesEveryTaskOfALoopThatWaits) {
    run([]() -> gyre::task<> {
        std::vector<gyre::future<int>> waiters;
        for (int i = 0; i < 10; ++i)
            waiters.push_back(gyre::loop::current()->start(gyre::signal(SIGUSR1)));
        co_await next_turn();
        send_to_process(SIGUSR1);
        for (gyre::future<int>& f : waiters)
            EXPECT_EQ(co_await f, SIGUSR1);
    });
}

TEST_P(Signal, ReachesEveryLoopThatWaits) {
    block({SIGUSR1});
    std::vector<std::unique_ptr<gyre::loop_thread>> networks;
    for (int i = 0; i < 4; ++i)
        networks.push_back(std::make_unique<gyre::loop_thread>(options()));
    for (int round = 0; round < 50; ++round) {
        std::vector<gyre::future<int>> waiters;
        for (const auto& n : networks)
            waiters.push_back(n->start(gyre::signal(SIGUSR1)));
        for (const auto& n : networks)
            settle(*n);
        send_to_process(SIGUSR1);
        for (gyre::future<int>& f : waiters) {
            ASSERT_TRUE(f.wait_for(patience)) << "round " << round;
            EXPECT_EQ(f.get(), SIGUSR1);
        }
    }
}

TEST_P(Signal, ReachesThoseWhoWaitForOthersAsWell) {
    block({SIGUSR1, SIGUSR2});
    gyre::loop_thread one(options());
    gyre::loop_thread two(options());
    gyre::future<int> first = one.start(gyre::signal(SIGUSR1));
    gyre::future<int> any = two.start(either());
    settle(one);
    settle(two);
    send_to_process(SIGUSR1);
    EXPECT_EQ(first.get(), SIGUSR1);
    EXPECT_EQ(any.get(), SIGUSR1);
}

TEST_P(Signal, LeavesThoseAloneWhoWaitForAnother) {
    block({SIGUSR1, SIGUSR2});
    gyre::loop_thread one(options());
    gyre::loop_thread two(options());
    gyre::future<int> first = one.start(gyre::signal(SIGUSR1));
    gyre::future<int> second = two.start(gyre::signal(SIGUSR2));
    gyre::future<int> third = one.start(gyre::signal(SIGUSR2));
    settle(one);
    settle(two);
    send_to_process(SIGUSR1);
    EXPECT_EQ(first.get(), SIGUSR1);
    settle(one);
    settle(two);
    EXPECT_FALSE(second.ready());
    EXPECT_FALSE(third.ready());
    send_to_process(SIGUSR2);
    EXPECT_EQ(second.get(), SIGUSR2);
    EXPECT_EQ(third.get(), SIGUSR2);
}

TEST_P(Signal, EndsEveryThreadOfARun) {
    constexpr unsigned threads = 3;
    std::atomic<unsigned> waiting = 0;
    std::atomic<int> sum = 0;
    const auto serve = [&]() -> gyre::task<> {
        // Begins after the wait for the signal has begun.
        const auto arrive = [&]() -> gyre::task<> {
            if (++waiting == threads)
                send_to_process(SIGTERM);
            co_return;
        };
        auto [number, nothing] = co_await gyre::all(gyre::signal(SIGTERM), arrive());
        sum += number;
    };
    gyre::run({.threads = threads, .loop = options()}, serve);
    EXPECT_EQ(sum, SIGTERM * static_cast<int>(threads));
}

// ---- Cancellation ------------------------------------------------------------------------------

TEST_P(Signal, TheWaitForItEndsWithCancelled) {
    gyre::loop_thread network(options());
    gyre::future<int> f = network.start(gyre::signal(SIGUSR1));
    settle(network);
    f.cancel();
    std::error_code code;
    try {
        f.get();
    } catch (const gyre::error& e) {
        code = e.code();
    }
    EXPECT_EQ(code, gyre::errc::cancelled);
}

TEST_P(Signal, TheWaitForItMayLoseARaceOrMissADeadline) {
    run([]() -> gyre::task<> {
        const auto nothing = []() -> gyre::task<int> {
            co_await next_turn();
            co_return 0;
        };
        EXPECT_EQ(co_await gyre::race(nothing(), gyre::signal(SIGUSR1)), 0);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, gyre::signal(SIGUSR1))),
                  gyre::errc::timed_out);
    });
}

TEST_P(Signal, OneThatWasCancelledTakesNothingFromTheOthers) {
    block({SIGUSR1});
    gyre::loop_thread one(options());
    gyre::loop_thread two(options());
    for (int i = 0; i < 50; ++i) {
        gyre::future<int> cancelled = one.start(gyre::signal(SIGUSR1));
        gyre::future<int> same_loop = one.start(gyre::signal(SIGUSR1));
        gyre::future<int> other_loop = two.start(gyre::signal(SIGUSR1));
        settle(one);
        settle(two);
        cancelled.cancel();
        send_to_process(SIGUSR1); // perhaps before the cancel has arrived
        ASSERT_TRUE(same_loop.wait_for(patience));
        ASSERT_TRUE(other_loop.wait_for(patience));
        EXPECT_EQ(same_loop.get(), SIGUSR1);
        EXPECT_EQ(other_loop.get(), SIGUSR1);
        try {
            EXPECT_EQ(cancelled.get(), SIGUSR1);
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), gyre::errc::cancelled);
        }
    }
}

TEST_P(Signal, TheEndOfTheLoopEndsTheWait) {
    std::error_code code;
    const auto wait = [](std::error_code& to) -> gyre::task<> {
        to = co_await outcome(gyre::signal(SIGUSR1));
    };
    {
        gyre::loop loop(options());
        (void)loop.start(wait(code));
        loop.poll();
    }
    EXPECT_EQ(code, gyre::errc::cancelled);
}

// ---- What becomes of the program's own ---------------------------------------------------------

TEST_P(Signal, IsBlockedFromTheAwaitOnAndStaysSo) {
    run([]() -> gyre::task<> {
        gyre::task<int> wait = gyre::signal(SIGUSR1);
        EXPECT_FALSE(is_blocked(SIGUSR1)) << "not awaited yet";
        gyre::future<int> f = gyre::loop::current()->start(std::move(wait));
        co_await next_turn();
        EXPECT_TRUE(is_blocked(SIGUSR1));
        EXPECT_FALSE(is_blocked(SIGUSR2)) << "nobody waits for that one";
        f.cancel();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled);
        EXPECT_TRUE(is_blocked(SIGUSR1));
    });
    EXPECT_TRUE(is_blocked(SIGUSR1));
}

/// What each signal does in this process.
std::vector<struct sigaction> actions() {
    std::vector<struct sigaction> all(static_cast<std::size_t>(SIGRTMAX));
    for (std::size_t i = 1; i < all.size(); ++i)
        sigaction(static_cast<int>(i), nullptr, &all[i]);
    return all;
}

TEST_P(Signal, NoHandlerIsInstalled) {
    const auto before = actions();
    run([&]() -> gyre::task<> {
        gyre::future<int> f = gyre::loop::current()->start(either());
        co_await next_turn();
        const auto during = actions();
        for (std::size_t i = 1; i < before.size(); ++i)
            EXPECT_EQ(before[i].sa_handler, during[i].sa_handler) << "signal " << i;
        send_to_process(SIGUSR1);
        EXPECT_EQ(co_await f, SIGUSR1);
    });
}

TEST_P(Signal, TheThreadsOfTheLibraryBlockAllAndTheirMakersNone) {
    const auto count_blocked = []() -> gyre::task<int> {
        int n = 0;
        for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGCHLD, SIGALRM, SIGRTMIN})
            n += is_blocked(number) ? 1 : 0;
        co_return n;
    };
    gyre::loop_thread network(options());
    EXPECT_EQ(network.start(count_blocked()).get(), 7);
    EXPECT_FALSE(is_blocked(SIGINT));
    EXPECT_FALSE(is_blocked(SIGTERM));
}

// A signal in the first moments of a server with several threads: each is to hear of it.
TEST_P(Signal, OfTheThreadsOfARunReachesThoseTooThatWaitLater) {
    block({SIGUSR1, SIGUSR2});
    for (int round = 0; round < 3; ++round) {
        std::atomic<bool> first = true;
        std::counting_semaphore<> one_was_told(0);
        gyre::run({.threads = 3, .loop = options()}, [&]() -> gyre::task<> {
            if (first.exchange(false)) {
                send_to_process(SIGUSR1);
                EXPECT_EQ(co_await gyre::signal(SIGUSR1), SIGUSR1);
                one_was_told.release(2);
            } else {
                one_was_told.acquire(); // only now it begins to wait
                EXPECT_EQ(co_await gyre::with_timeout(patience, either()), SIGUSR1);
            }
            EXPECT_EQ(co_await outcome(gyre::with_timeout(2ms, either())), gyre::errc::timed_out)
                << "once";
        });
    }
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::with_timeout(2ms, either())), gyre::errc::timed_out)
            << "another run";
    });
}

class SignalDeathTest : public Signal {
protected:
    void SetUp() override {
        Signal::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(SignalDeathTest);

TEST_P(SignalDeathTest, ThatNobodyWaitsForDoesWhatItDid) {
    const auto ignore = [&] {
        gyre::loop_thread network(options());
        network.start(next_turn()).get();
        gyre::task<int> never_awaited = gyre::signal(SIGTERM);
        gyre::future<int> other = network.start(gyre::signal(SIGUSR1));
        settle(network);
        send_to_process(SIGTERM);
    };
    EXPECT_EXIT(ignore(), testing::KilledBySignal(SIGTERM), "");
}

} // namespace
