// What a look-up costs: of a numeric host, of a cached name, and of "localhost", which the C
// library finds in /etc/hosts, with many under way at the same time.
#include <gyre/core/run.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/resolver.hpp>

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

namespace {

constexpr gyre::address_info_hints streams{.type = SOCK_STREAM};

/// Runs a benchmark that is a coroutine, on a loop of this thread.
template <gyre::task<> (*Body)(benchmark::State&)>
void on_loop(benchmark::State& state) {
    gyre::run(Body(state));
}

gyre::task<> numeric(benchmark::State& state) {
    for (auto _ : state)
        benchmark::DoNotOptimize(co_await gyre::getaddrinfo("127.0.0.1", "80", streams));
}
BENCHMARK(on_loop<numeric>)->Name("getaddrinfo_numeric");

gyre::task<> numeric_ipv6(benchmark::State& state) {
    for (auto _ : state)
        benchmark::DoNotOptimize(co_await gyre::getaddrinfo("2001:db8::1", "80", streams));
}
BENCHMARK(on_loop<numeric_ipv6>)->Name("getaddrinfo_numeric_ipv6");

gyre::task<> numeric_name(benchmark::State& state) {
    const gyre::address at = gyre::address::loopback_ipv4(80);
    for (auto _ : state)
        benchmark::DoNotOptimize(co_await gyre::getnameinfo(at, NI_NUMERICHOST | NI_NUMERICSERV));
}
BENCHMARK(on_loop<numeric_name>)->Name("getnameinfo_numeric");

struct constant_source : gyre::name_source {
    answer<std::vector<gyre::address_info>> getaddrinfo(const std::string&, const std::string&,
                                                        const gyre::address_info_hints&) override {
        return std::vector{gyre::address_info{AF_INET, SOCK_STREAM, IPPROTO_TCP, "",
                                              gyre::address::loopback_ipv4(80)}};
    }
};

gyre::task<> cached(benchmark::State& state) {
    gyre::resolver_options options;
    options.cache.entries = 1000;
    options.cache.positive = std::chrono::hours(1);
    options.source = std::make_shared<constant_source>();
    gyre::resolver names(options);
    for (auto _ : state)
        benchmark::DoNotOptimize(co_await names.getaddrinfo("www.example.org", "80", streams));
}
BENCHMARK(on_loop<cached>)->Name("getaddrinfo_cached");

gyre::task<> look_up(gyre::resolver& names, std::string service) {
    benchmark::DoNotOptimize(co_await names.getaddrinfo("localhost", service, streams));
}

/// Each asks for another port, so that no two are the same look-up.
gyre::task<> many(benchmark::State& state, std::shared_ptr<gyre::name_source> source) {
    gyre::resolver_options options;
    options.source = std::move(source);
    options.threads = static_cast<unsigned>(state.range(1));
    gyre::resolver names(options);
    const auto batch = state.range(0);
    while (state.KeepRunningBatch(batch))
        co_await gyre::with_group([&](gyre::task_group& group) -> gyre::task<> {
            for (std::int64_t i = 1; i <= batch; ++i)
                group.spawn(look_up(names, std::to_string(i)));
            co_return;
        });
}
gyre::task<> localhost(benchmark::State& state) {
    return many(state, nullptr);
}
/// What the resolver adds to what its source takes.
gyre::task<> handed_over(benchmark::State& state) {
    return many(state, std::make_shared<constant_source>());
}
BENCHMARK(on_loop<localhost>)
    ->Name("getaddrinfo_localhost")
    ->ArgNames({"at_once", "threads"})
    ->Args({1, 16})
    ->Args({1000, 2})
    ->Args({1000, 16})
    ->UseRealTime();
BENCHMARK(on_loop<handed_over>)
    ->Name("getaddrinfo_handed_over")
    ->ArgNames({"at_once", "threads"})
    ->Args({1, 16})
    ->Args({1000, 2})
    ->Args({1000, 16})
    ->UseRealTime();

/// The same without gyre, one after another.
void localhost_blocking(benchmark::State& state) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    for (auto _ : state) {
        addrinfo* list = nullptr;
        if (::getaddrinfo("localhost", "80", &hints, &list) != 0)
            state.SkipWithError("localhost is unknown");
        else
            ::freeaddrinfo(list);
    }
}
BENCHMARK(localhost_blocking);

} // namespace
