#include "../support/fixture.hpp"
#include "../support/threads_left.hpp"

#include <gyre/core/run.hpp>

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace {

using namespace gyre_test;

class Run : public on_each_backend<> {
protected:
    gyre::run_options on(unsigned threads) const { return {.threads = threads, .loop = options()}; }
};
GYRE_ON_EACH_BACKEND(Run);

TEST_P(Run, MakesALoopForEachThread) {
    std::atomic<int> ran = 0;
    std::atomic<int> loops = 0;
    std::barrier all_here(3);
    gyre::run(on(3), [&]() -> gyre::task<> {
        ++ran;
        loops += gyre::loop::current()->backend() == backend();
        all_here.arrive_and_wait();
        co_return;
    });
    EXPECT_EQ(ran, 3);
    EXPECT_EQ(loops, 3);
}

TEST_P(Run, WithZeroThreadsMakesOneForEachProcessor) {
    std::atomic<unsigned> ran = 0;
    gyre::run(on(0), [&]() -> gyre::task<> {
        ++ran;
        co_return;
    });
    EXPECT_GE(ran, 1U);
    EXPECT_LE(ran, std::thread::hardware_concurrency());
}

TEST_P(Run, TheFirstFailureCancelsTheOthersAndIsThrown) {
    std::atomic<int> number = 0;
    std::atomic<int> cancelled = 0;
    std::string what;
    try {
        gyre::run(on(3), [&]() -> gyre::task<> {
            if (++number == 2) {
                co_await next_turn();
                throw std::runtime_error("second");
            }
            try {
                co_await gyre::sleep_for(24h);
            } catch (const gyre::error& e) {
                cancelled += e.code() == gyre::errc::cancelled;
                throw;
            }
        });
    } catch (const std::runtime_error& e) {
        what = e.what();
    }
    EXPECT_EQ(what, "second");
    EXPECT_EQ(cancelled, 2);
}

TEST_P(Run, AFactoryThatThrowsIsAFailure) {
    EXPECT_THROW(gyre::run(on(2), []() -> gyre::task<> { throw std::runtime_error("none"); }),
                 std::runtime_error);
}

// Where nothing is to be waited for, so that the first has ended before the others begin, perhaps.
TEST_P(Run, CallsTheFactoryOnceOnEachThread) {
    std::mutex mutex;
    std::multiset<std::thread::id> called;
    std::multiset<std::thread::id> ran;
    const auto note = [&](std::multiset<std::thread::id>& where) {
        std::lock_guard lock(mutex);
        where.insert(std::this_thread::get_id());
    };
    const auto work = [&]() -> gyre::task<> {
        note(ran);
        co_return;
    };
    std::barrier all_here(4);
    gyre::run(on(4), [&] {
        note(called);
        all_here.arrive_and_wait();
        return work();
    });
    EXPECT_EQ(called.size(), 4U);
    EXPECT_EQ(std::set(called.begin(), called.end()).size(), 4U);
    EXPECT_EQ(called.count(std::this_thread::get_id()), 1U) << "this thread is one of them";
    EXPECT_EQ(ran, called);
}

TEST_P(Run, WithOneThreadStartsNone) {
    std::thread::id where;
    gyre::run(on(1), [&]() -> gyre::task<> {
        co_await next_turn();
        where = std::this_thread::get_id();
    });
    EXPECT_EQ(where, std::this_thread::get_id());
}

TEST_P(Run, LeavesThisThreadWithoutALoop) {
    const auto nothing = []() -> gyre::task<> { co_return; };
    gyre::run(nothing(), options());
    EXPECT_EQ(gyre::loop::current(), nullptr);
    gyre::run(on(2), nothing);
    EXPECT_EQ(gyre::loop::current(), nullptr);
}

TEST_P(Run, ReturnsWhenAllHaveEndedNotTheFirst) {
    std::atomic<int> number = 0;
    std::atomic<int> ended = 0;
    gyre::run(on(3), [&]() -> gyre::task<> {
        co_await gyre::sleep_for(std::chrono::milliseconds(++number));
        ++ended;
    });
    EXPECT_EQ(ended, 3);
}

TEST_P(Run, OfATaskGivesItsResult) {
    const auto give = []() -> gyre::task<std::unique_ptr<int>> {
        co_await next_turn();
        co_return std::make_unique<int>(4);
    };
    EXPECT_EQ(*gyre::run(give(), options()), 4);
    const auto fail = []() -> gyre::task<int> {
        co_await next_turn();
        throw std::runtime_error("no");
    };
    EXPECT_THROW(gyre::run(fail(), options()), std::runtime_error);
}

TEST_P(Run, OnlyTheFirstOfSeveralFailuresIsThrown) {
    std::barrier all_here(3);
    std::atomic<int> number = 0;
    std::string what;
    try {
        gyre::run(on(3), [&]() -> gyre::task<> {
            const int n = ++number;
            all_here.arrive_and_wait();
            if (n != 1) {
                try {
                    co_await gyre::sleep_for(24h);
                } catch (const gyre::error&) {
                }
                throw std::runtime_error("later");
            }
            throw std::runtime_error("first");
        });
    } catch (const std::runtime_error& e) {
        what = e.what();
    }
    EXPECT_EQ(what, "first");
}

TEST_P(Run, AFailureIsThrownAlsoWhenTheOthersEndedWell) {
    std::atomic<int> number = 0;
    std::atomic<int> well = 0;
    EXPECT_THROW(gyre::run(on(3),
                           [&]() -> gyre::task<> {
                               if (++number != 3) {
                                   ++well;
                                   co_return;
                               }
                               while (well != 2)
                                   co_await gyre::yield();
                               throw std::runtime_error("no");
                           }),
                 std::runtime_error);
}

TEST_P(Run, AThreadThatCannotBeStartedIsAFailureThatEndsTheOthers) {
    std::atomic<int> cancelled = 0;
    const auto serve = [&]() -> gyre::task<> {
        try {
            co_await gyre::sleep_for(24h);
        } catch (const gyre::error& e) {
            cancelled += e.code() == gyre::errc::cancelled;
            throw;
        }
    };
    std::error_code code;
    {
        const threads_left only(2);
        try {
            gyre::run(on(5), serve);
        } catch (const std::system_error& e) {
            code = e.code();
        }
    }
    EXPECT_EQ(code, std::errc::resource_unavailable_try_again);
    EXPECT_LE(cancelled, 3);
}

class RunDeathTest : public Run {
protected:
    void SetUp() override {
        Run::SetUp();
        testing::FLAGS_gtest_death_test_style = "threadsafe";
    }
};
GYRE_ON_EACH_BACKEND(RunDeathTest);

TEST_P(RunDeathTest, StopEndsItWithBrokenAsItEndsALoop) {
    const auto stop = [&](unsigned threads) {
        alarm(20);
        std::error_code code;
        try {
            gyre::run(on(threads), []() -> gyre::task<> {
                gyre::loop::current()->stop();
                co_await gyre::sleep_for(24h);
            });
        } catch (const gyre::error& e) {
            code = e.code();
        }
        std::exit(code == gyre::errc::broken ? 0 : 1);
    };
    EXPECT_EXIT(stop(1), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(stop(2), testing::ExitedWithCode(0), "");
}

} // namespace
