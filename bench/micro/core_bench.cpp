// What the loop itself costs, without a network: the goals 19 and 20 of the project, and what a
// deadline adds to an operation that has to wait. Times are for one piece of work each; where work
// comes in batches, the kernel is looked at once a batch, as in a server under load.
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/run.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/io/socket.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <chrono>
#include <sched.h>
#include <span>
#include <thread>

namespace {

using namespace std::chrono_literals;

constexpr benchmark::IterationCount batch = 1024;

/// Runs a benchmark that is a coroutine, on a loop of this thread.
template <gyre::task<> (*Body)(benchmark::State&)>
void on_loop(benchmark::State& state) {
    gyre::run(Body(state));
}

gyre::task<> empty() {
    co_return;
}

/// Keeps the threads of a benchmark with two of them on processors of their own. The kernel wakes
/// one where the other runs, and when both then poll it may leave them there for a second.
class apart {
public:
    explicit apart(gyre::loop_thread& other) {
        sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t mine = before_;
        cpu_set_t its = before_;
        for (unsigned i = 0; i < CPU_SETSIZE && CPU_COUNT(&before_) > 1; ++i) {
            if (!CPU_ISSET(i, &before_))
                continue;
            CPU_ZERO(&its);
            CPU_SET(i, &its);
            CPU_CLR(i, &mine);
            break;
        }
        sched_setaffinity(0, sizeof mine, &mine);
        other.start(move_to(its)).get();
    }
    ~apart() { sched_setaffinity(0, sizeof before_, &before_); }
    apart(const apart&) = delete;
    apart& operator=(const apart&) = delete;

private:
    static gyre::task<> move_to(cpu_set_t set) {
        sched_setaffinity(0, sizeof set, &set);
        co_return;
    }
    cpu_set_t before_;
};

// ---- Posting --------------------------------------------------------------------------------

gyre::task<> post(benchmark::State& state) {
    gyre::loop& here = *gyre::loop::current();
    std::uint64_t ran = 0;
    while (state.KeepRunningBatch(batch)) {
        for (benchmark::IterationCount i = 0; i < batch; ++i)
            here.post([&ran] { ++ran; });
        co_await gyre::yield();
    }
    if (ran != static_cast<std::uint64_t>(state.iterations()))
        state.SkipWithError("posts were lost");
}
BENCHMARK(on_loop<post>)->Name("post_same_thread");

// Two threads: this one posts as fast as it can, the loop's runs what comes. From the first post to
// the last run, so that the slower of the two counts.
void post_flood(benchmark::State& state) {
    constexpr benchmark::IterationCount flood = 65536;
    gyre::loop_thread consumer;
    const apart processors(consumer);
    std::uint64_t ran = 0; // the loop's thread alone writes it; get() orders reading after that
    while (state.KeepRunningBatch(flood)) {
        for (benchmark::IterationCount i = 0; i < flood; ++i)
            consumer.post([&ran] { ++ran; });
        consumer.start(empty()).get();
    }
    if (ran != static_cast<std::uint64_t>(state.iterations()))
        state.SkipWithError("posts were lost");
}
BENCHMARK(post_flood)->UseRealTime()->Name("post_from_another_thread_flood");

// One post that finds the loop asleep: the caller's share, which is a system call.
void post_to_a_sleeper(benchmark::State& state) {
    gyre::loop_thread consumer;
    const apart processors(consumer);
    std::atomic<bool> ran = false;
    for (auto _ : state) {
        consumer.post([&ran] { ran.store(true, std::memory_order_release); });
        state.PauseTiming();
        while (!ran.exchange(false, std::memory_order_acquire))
            std::this_thread::yield();
        std::this_thread::sleep_for(50us); // for the loop to fall asleep
        state.ResumeTiming();
    }
}
BENCHMARK(post_to_a_sleeper)->UseRealTime()->Iterations(2000);

// ---- Coroutines -----------------------------------------------------------------------------

gyre::task<> spawn(benchmark::State& state) {
    co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
        const benchmark::IterationCount children = state.range(0);
        while (state.KeepRunningBatch(children)) {
            for (benchmark::IterationCount i = 0; i < children; ++i)
                g.spawn(empty());
            co_await gyre::yield();
        }
    });
}
// So many at a time: their frames fit into the first cache, or do not.
BENCHMARK(on_loop<spawn>)
    ->Name("spawn_and_finish_empty_task")
    ->ArgName("at_a_time")
    ->Arg(64)
    ->Arg(1024);

gyre::task<> group_of_one(benchmark::State& state) {
    for (auto _ : state)
        co_await gyre::with_group([](gyre::task_group& g) -> gyre::task<> {
            g.spawn(empty());
            co_return;
        });
}
BENCHMARK(on_loop<group_of_one>)->Name("with_group_of_one_child");

gyre::task<> await_task(benchmark::State& state) {
    for (auto _ : state)
        co_await empty();
}
BENCHMARK(on_loop<await_task>)->Name("co_await_empty_task");

gyre::task<> await_yield(benchmark::State& state) {
    for (auto _ : state)
        co_await gyre::yield();
}
BENCHMARK(on_loop<await_yield>)->Name("co_await_yield");

gyre::task<> await_no_sleep(benchmark::State& state) {
    for (auto _ : state)
        co_await gyre::sleep_for(0s);
}
BENCHMARK(on_loop<await_no_sleep>)->Name("co_await_sleep_for_0");

// ---- Futures --------------------------------------------------------------------------------

// A task is started on another thread's loop, and its result waited for. The argument is how many
// microseconds that loop keeps looking before it sleeps.
void future_between_threads(benchmark::State& state) {
    gyre::loop_thread network({.busy_poll = std::chrono::microseconds(state.range(0))});
    const apart processors(network);
    for (auto _ : state)
        network.start(empty()).get();
}
BENCHMARK(future_between_threads)->UseRealTime()->ArgName("busy_poll_us")->Arg(0)->Arg(100);

// The same, without the thread falling asleep that waits: what is left is the library's share.
void future_between_threads_polled(benchmark::State& state) {
    gyre::loop_thread network({.busy_poll = 1ms});
    const apart processors(network);
    for (auto _ : state) {
        auto f = network.start(empty());
        while (!f.ready()) {
        }
        f.get();
    }
}
BENCHMARK(future_between_threads_polled)->UseRealTime();

// Both loops' threads wait without blocking.
gyre::task<> await_future(benchmark::State& state) {
    gyre::loop_thread network({.busy_poll = 1ms});
    const apart processors(network);
    for (auto _ : state)
        co_await network.start(empty());
}
void future_awaited_on_a_loop(benchmark::State& state) {
    gyre::run(await_future(state), {.busy_poll = 1ms});
}
BENCHMARK(future_awaited_on_a_loop)->UseRealTime();

// ---- Deadlines ------------------------------------------------------------------------------

// A byte goes to and fro between two coroutines of one loop, so that every recv has to wait: two
// sends and two receives an iteration. To be compared with one another; most of it is the kernel.
enum class deadlines : int { none, each, by_default };

gyre::task<> reflect(gyre::socket peer, deadlines d) {
    std::array<char, 64> buffer{};
    if (d == deadlines::by_default)
        peer.settimeout(30s);
    for (;;) {
        const std::size_t n = d == deadlines::each ? co_await peer.recv(buffer).within(30s)
                                                   : co_await peer.recv(buffer);
        if (n == 0)
            co_return;
        co_await peer.sendall(std::span(buffer).first(n));
    }
}

gyre::task<> ping_pong(benchmark::State& state, deadlines d) {
    auto [here, there] = gyre::socketpair();
    if (d == deadlines::by_default)
        here.settimeout(30s);
    co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
        g.spawn(reflect(std::move(there), d));
        std::array<char, 64> buffer{};
        for (auto _ : state) {
            co_await here.sendall("x");
            if (d == deadlines::each)
                co_await here.recv(buffer).within(30s);
            else
                co_await here.recv(buffer);
        }
        here.close();
    });
}

void socket_pair(benchmark::State& state, gyre::backend_kind backend, deadlines d) {
    gyre::run(ping_pong(state, d), {.backend = backend});
}
using enum gyre::backend_kind;
BENCHMARK_CAPTURE(socket_pair, epoll_no_deadline, epoll, deadlines::none);
BENCHMARK_CAPTURE(socket_pair, epoll_deadline_each, epoll, deadlines::each);
BENCHMARK_CAPTURE(socket_pair, epoll_deadline_by_default, epoll, deadlines::by_default);
BENCHMARK_CAPTURE(socket_pair, io_uring_no_deadline, io_uring, deadlines::none);
BENCHMARK_CAPTURE(socket_pair, io_uring_deadline_each, io_uring, deadlines::each);
BENCHMARK_CAPTURE(socket_pair, io_uring_deadline_by_default, io_uring, deadlines::by_default);

} // namespace

BENCHMARK_MAIN();
