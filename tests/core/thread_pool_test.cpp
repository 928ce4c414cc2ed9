#include <gyre/core/thread_pool.hpp>

#include <gtest/gtest.h>

#include <future>
#include <memory>

namespace {

/// Runs a call to its end on the pool.
void run(gyre::detail::thread_pool& pool) {
    std::promise<void> ran;
    pool.post([&] { ran.set_value(); });
    ran.get_future().get();
}

TEST(ThreadPool, AJobDoesNotWaitForOneBeforeItWhenMoreThreadsMayStart) {
    for (int i = 0; i < 50; ++i) {
        gyre::detail::thread_pool pool(2);
        run(pool); // now, or soon, a thread is idle
        auto second = std::make_shared<std::promise<void>>();
        std::promise<bool> first;
        pool.post([&, waits = second->get_future().share()] {
            first.set_value(waits.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
        });
        pool.post([second] { second->set_value(); });
        ASSERT_TRUE(first.get_future().get()) << "the second waited for the first";
    }
}

TEST(ThreadPool, RunsJobsInTheirOrderWhenItHasOneThread) {
    gyre::detail::thread_pool pool(1);
    int last = 0;
    bool ordered = true;
    for (int i = 1; i <= 1000; ++i)
        pool.post([&, i] {
            ordered = ordered && last == i - 1;
            last = i;
        });
    run(pool);
    EXPECT_EQ(last, 1000);
    EXPECT_TRUE(ordered);
}

} // namespace
