// What a deadline on every recv costs: arm one, disarm it, with 100,000 others pending. The
// multimap is what a first version of an event loop uses.
#include <gyre/core/timing_wheel.hpp>

#include <benchmark/benchmark.h>

#include <map>
#include <random>
#include <vector>

namespace {

constexpr std::size_t pending = 100'000;
constexpr std::size_t schedules = 4096; // drawn beforehand: drawing costs more than the wheel

std::vector<std::int64_t> random_expiries(std::size_t count, unsigned seed) {
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<std::int64_t> expiry(1'000'000, 60'000'000'000);
    std::vector<std::int64_t> expiries(count);
    for (std::int64_t& value : expiries)
        value = expiry(random);
    return expiries;
}

void wheel_arm_disarm(benchmark::State& state, bool same_expiry) {
    gyre::timing_wheel wheel(0);
    std::vector<gyre::timing_node> others(pending);
    const auto background = random_expiries(pending, 1);
    for (std::size_t i = 0; i < pending; ++i)
        wheel.arm(others[i], background[i]);
    auto expiries = random_expiries(schedules, 2);
    if (same_expiry)
        expiries.assign(schedules, 30'000'000'000);
    gyre::timing_node node;
    std::size_t i = 0;
    for (auto _ : state) {
        wheel.arm(node, expiries[i++ % schedules]);
        benchmark::DoNotOptimize(node);
        benchmark::ClobberMemory();
        gyre::timing_wheel::disarm(node);
        benchmark::ClobberMemory();
    }
}
BENCHMARK_CAPTURE(wheel_arm_disarm, random, false);
BENCHMARK_CAPTURE(wheel_arm_disarm, always_30_s, true);

void multimap_arm_disarm(benchmark::State& state) {
    std::multimap<std::int64_t, int> map;
    for (const std::int64_t expiry : random_expiries(pending, 1))
        map.emplace(expiry, 0);
    const auto expiries = random_expiries(schedules, 2);
    std::size_t i = 0;
    for (auto _ : state) {
        const auto position = map.emplace(expiries[i++ % schedules], 0);
        benchmark::DoNotOptimize(position);
        map.erase(position);
    }
}
BENCHMARK(multimap_arm_disarm);

// What a turn of the loop adds when nothing is due.
void wheel_idle_turn(benchmark::State& state) {
    gyre::timing_wheel wheel(0);
    gyre::timing_node node;
    wheel.arm(node, 60'000'000'000);
    for (auto _ : state) {
        wheel.advance(1'000'000);
        benchmark::DoNotOptimize(wheel.pop());
        benchmark::DoNotOptimize(wheel.next_expiry());
    }
}
BENCHMARK(wheel_idle_turn);

// 100,000 nodes armed over a minute, all of them run out: cascades and expiry, per node.
void wheel_arm_and_expire(benchmark::State& state) {
    std::vector<gyre::timing_node> nodes(pending);
    const auto expiries = random_expiries(pending, 1);
    for (auto _ : state) {
        gyre::timing_wheel wheel(0);
        for (std::size_t i = 0; i < pending; ++i)
            wheel.arm(nodes[i], expiries[i]);
        while (!wheel.empty()) {
            wheel.advance(wheel.next_expiry());
            while (gyre::timing_node* node = wheel.pop())
                benchmark::DoNotOptimize(node);
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pending));
}
BENCHMARK(wheel_arm_and_expire)->Unit(benchmark::kMillisecond);

// The longest that sorting a far slot more finely holds the loop: one 17 s slot with 100,000 nodes.
void wheel_worst_cascade(benchmark::State& state) {
    std::vector<gyre::timing_node> nodes(pending);
    const auto expiries = random_expiries(pending, 1);
    constexpr std::int64_t slot = std::int64_t{1} << 34;
    for (auto _ : state) {
        state.PauseTiming();
        gyre::timing_wheel wheel(0);
        for (std::size_t i = 0; i < pending; ++i)
            wheel.arm(nodes[i], slot + expiries[i] % slot);
        state.ResumeTiming();
        wheel.advance(slot);
    }
}
BENCHMARK(wheel_worst_cascade)->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
