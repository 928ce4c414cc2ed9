#include "../support/pending.hpp"

#include <csignal>
#include <sys/time.h>

// G1. Signals interrupt system calls, and here a thousand of them a second do, by a handler without
// SA_RESTART: operations neither fail of them, nor end early or late.

namespace {

using namespace gyre_test;

volatile std::sig_atomic_t interruptions = 0;

class SignalStorm : public on_each_operation {
protected:
    void SetUp() override {
        on_each_operation::SetUp();
        if (IsSkipped())
            return;
        struct sigaction action{};
        action.sa_handler = [](int) { interruptions = interruptions + 1; };
        sigaction(SIGALRM, &action, &before_);
        const itimerval every_millisecond{{0, 1000}, {0, 1000}};
        setitimer(ITIMER_REAL, &every_millisecond, nullptr);
    }
    void TearDown() override {
        const itimerval never{};
        setitimer(ITIMER_REAL, &never, nullptr);
        if (!IsSkipped())
            sigaction(SIGALRM, &before_, nullptr);
        on_each_operation::TearDown();
    }

    /// So many interruptions later.
    static gyre::task<> stormy(int count) {
        const int start = interruptions;
        while (interruptions - start < count)
            co_await gyre::sleep_for(1ms);
    }

private:
    struct sigaction before_{};
};

TEST_P(SignalStorm, LeavesAnOperationWaitingAndThenItSucceeds) {
    if (op->slow())
        GTEST_SKIP() << "a connect over TCP would wait a second for its SYN to be repeated";
    run([&]() -> gyre::task<> {
        const auto then_go_on = [&]() -> gyre::task<> {
            co_await stormy(5);
            op->go_on();
        };
        auto [code, nothing] = co_await gyre::all(op->wait(), then_go_on());
        EXPECT_EQ(code, std::error_code());
        op->check_success();
    });
}

TEST_P(SignalStorm, NeitherShortensNorLosesADeadline) {
    run([&]() -> gyre::task<> {
        constexpr auto limit = 10ms;
        const auto start = gyre::clock::now();
        EXPECT_EQ(co_await op->wait({manner::within, limit}), gyre::errc::timed_out);
        EXPECT_GE(gyre::clock::now() - start, limit) << "early";
        EXPECT_LT(gyre::clock::now() - start, patience) << "late";
    });
}

GYRE_WITH_EACH_OPERATION(SignalStorm);

} // namespace
