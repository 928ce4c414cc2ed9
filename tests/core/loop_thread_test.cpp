#include "../support/refuse.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/loop_thread.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <sys/syscall.h>
#include <thread>
#include <vector>

namespace {

using namespace gyre_test;

class LoopThread : public on_each_backend<> {
protected:
    static std::error_code code_of_future(gyre::future<>& f) {
        return thrown_by([&] { f.get(); });
    }
};
GYRE_ON_EACH_BACKEND(LoopThread);

gyre::task<std::thread::id> which_thread() {
    co_return std::this_thread::get_id();
}

gyre::task<int> give(int n) {
    co_return n;
}

TEST_P(LoopThread, RunsItsLoopOnAThreadOfItsOwn) {
    gyre::loop_thread network(options());
    const std::thread::id id = network.start(which_thread()).get();
    EXPECT_NE(id, std::this_thread::get_id());
    EXPECT_EQ(network.start(which_thread()).get(), id);
    EXPECT_EQ(gyre::loop::current(), nullptr) << "this thread has none of it";
    EXPECT_EQ(network.loop().backend(), backend());
}

TEST_P(LoopThread, GivesResultsAndFailuresToTheThreadsThatAsk) {
    gyre::loop_thread network(options());
    EXPECT_EQ(network.start(give(3)).get(), 3);
    const auto fail = []() -> gyre::task<int> {
        co_await next_turn();
        throw std::runtime_error("no");
    };
    gyre::future<int> f = network.start(fail());
    EXPECT_THROW(f.get(), std::runtime_error);
}

TEST_P(LoopThread, StartTakesOperationsToo) {
    gyre::loop_thread network(options());
    auto [a, b] = make_pair(stream_kind::tcp);
    std::array<std::byte, 8> memory;
    gyre::future<std::size_t> f = network.start(a.recv(memory).within(patience));
    push(b, "data");
    EXPECT_EQ(f.get(), 4U);
}

TEST_P(LoopThread, PostRunsOnItInOrder) {
    gyre::loop_thread network(options());
    std::vector<int> order;
    for (int i = 0; i < 100; ++i)
        network.post([&order, p = std::make_unique<int>(i)] { order.push_back(*p); });
    network.start(next_turn()).get();
    EXPECT_EQ(order.size(), 100U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_P(LoopThread, ManyThreadsMayUseItAtOnce) {
    gyre::loop_thread network(options());
    std::atomic<int> sum = 0;
    {
        std::vector<std::jthread> users;
        for (int t = 0; t < 4; ++t)
            users.emplace_back([&] {
                for (int i = 0; i < 200; ++i)
                    sum += network.start(give(1)).get();
            });
    }
    EXPECT_EQ(sum, 800);
}

TEST_P(LoopThread, SeveralMayLiveOnDifferentThreads) {
    gyre::loop_thread one(options());
    gyre::loop_thread two(options());
    EXPECT_NE(one.start(which_thread()).get(), two.start(which_thread()).get());
    const auto ask = [](gyre::loop_thread& other) -> gyre::task<int> {
        co_return co_await other.start(give(7));
    };
    EXPECT_EQ(one.start(ask(two)).get(), 7);
}

TEST_P(LoopThread, BlocksAllSignalsAndLeavesThoseOfItsMakerAlone) {
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    gyre::loop_thread network(options());
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    const auto blocked = []() -> gyre::task<bool> {
        sigset_t set;
        pthread_sigmask(SIG_SETMASK, nullptr, &set);
        co_return sigismember(&set, SIGINT) == 1 && sigismember(&set, SIGUSR1) == 1;
    };
    EXPECT_TRUE(network.start(blocked()).get());
    for (int number = 1; number < SIGRTMIN; ++number)
        EXPECT_EQ(sigismember(&before, number), sigismember(&after, number)) << number;
}

// ---- The end -----------------------------------------------------------------------------------

TEST_P(LoopThread, ItsEndCancelsWhatRunsAndWaitsForIt) {
    bool tidy = false;
    const auto wait = [](bool& flag) -> gyre::task<> {
        const std::error_code code = co_await outcome(gyre::sleep_for(24h));
        co_await gyre::yield();
        flag = code == gyre::errc::cancelled;
        gyre::detail::throw_error(code, "wait");
    };
    std::optional<gyre::future<>> f;
    {
        gyre::loop_thread network(options());
        f = network.start(wait(tidy));
        network.start(next_turn()).get();
    }
    EXPECT_TRUE(tidy);
    ASSERT_TRUE(f->ready());
    EXPECT_EQ(code_of_future(*f), gyre::errc::cancelled);
}

TEST_P(LoopThread, ItsEndLeavesNoFutureWaiting) {
    for (int i = 0; i < 50; ++i) {
        std::optional<gyre::future<>> f;
        {
            gyre::loop_thread network(options());
            f = network.start(gyre::sleep_for(24h));
        }
        ASSERT_TRUE(f->ready());
        const std::error_code code = code_of_future(*f);
        EXPECT_TRUE(code == gyre::errc::cancelled || code == gyre::errc::broken) << code;
    }
}

TEST_P(LoopThread, MayEndOnAnotherThreadThanTheOneThatMadeIt) {
    auto network = std::make_unique<gyre::loop_thread>(options());
    EXPECT_EQ(network->start(give(2)).get(), 2);
    std::thread([n = std::move(network)]() mutable { n.reset(); }).join();
}

TEST_P(LoopThread, MayEndRightAfterItBegan) {
    for (int i = 0; i < 50; ++i)
        gyre::loop_thread network(options());
}

// Stopping its loop is the end of what runs on it; but the loop stays good for all that other
// threads may do with it, as long as the owner lives.
TEST_P(LoopThread, StoppedItEndsWhatRunsAndRefusesWhatComesLater) {
    const auto posted = std::make_shared<int>();
    {
        gyre::loop_thread network(options());
        gyre::future<> waiting = network.start(gyre::sleep_for(24h));
        network.start(next_turn()).get();
        network.loop().stop();
        EXPECT_EQ(code_of_future(waiting), gyre::errc::cancelled);
        for (int i = 0; i < 3; ++i) {
            network.post([posted] {});
            gyre::future<int> late = network.start(give(3));
            network.loop().stop();
            EXPECT_TRUE(late.wait_for(patience)) << "it hangs";
        }
    }
    EXPECT_EQ(posted.use_count(), 1) << "neither run nor destroyed";
}

TEST_P(LoopThread, StoppedFromWithinItEndsAsWell) {
    gyre::loop_thread network(options());
    const auto stop = []() -> gyre::task<> {
        gyre::loop::current()->stop();
        co_return;
    };
    network.start(stop()).get();
}

// ---- Without a loop ----------------------------------------------------------------------------

TEST_P(LoopThread, ThrowsWhatTheLoopThrowsThatItCannotHave) {
    const auto denied = [](gyre::backend_kind k) -> std::string {
        const long call = k == gyre::backend_kind::epoll ? __NR_epoll_create1 : __NR_io_uring_setup;
        if (!refuse(call, EMFILE))
            return "";
        gyre::loop_options o;
        o.backend = k;
        const std::error_code code = thrown_by([&] { gyre::loop_thread network(o); });
        return code == std::errc::too_many_files_open ? "" : code.message();
    };
    EXPECT_EQ(in_child(denied, backend()), "");
}

} // namespace
