// How many names a second: gyre beside Asio, libuv and the C library, in one process, taking turns.
// The figures are of use on a machine that does nothing else.

#include "../tool/machine.hpp"
#include "contender.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace resolver_bench;

struct contender {
    const char* name;
    void (*run)(race&);
};

// Asio is the yardstick, where it is there.
constexpr contender contenders[] = {
#if defined(GYRE_BENCH_ASIO)
    {"Asio", by_asio},
    {"Asio, coroutines", by_asio_coroutines},
#endif
#if defined(GYRE_BENCH_LIBUV)
    {"libuv", by_libuv},
#endif
    {"gyre", by_gyre},
    {"gyre, with a cache", by_gyre_with_cache},
    {"C library, inline", by_c_library},
};

struct options {
    double seconds = 0.5;
    unsigned rounds = 5;
    unsigned in_flight = 64;
    int core = -1;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Look-ups a second.
double measure(const contender& c, const scenario& s, double seconds) {
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    race r(s, std::chrono::nanoseconds(std::llround(seconds * 1e9)));
    c.run(r);
    const std::chrono::duration<double> took = clock::now() - begin;
    if (r.failed() > 0)
        throw std::runtime_error(std::string(c.name) + " did not find " + s.host + ", " +
                                 std::to_string(r.failed()) + " times");
    return static_cast<double>(r.found()) / took.count();
}

void compare(const scenario& s, const options& o) {
    std::vector<std::vector<double>> rates(std::size(contenders));
    for (unsigned round = 0; round < o.rounds; ++round)
        for (std::size_t i = 0; i < rates.size(); ++i)
            rates[i].push_back(measure(contenders[i], s, o.seconds));
    std::printf("\n%s, %s, %u in flight\n  %-20s %10s %10s %10s %8s %9s\n", s.host,
                s.distinct ? "a port each" : "the same port", s.in_flight, "look-ups/s", "median",
                "min", "max", "us each", ("to " + std::string(contenders[0].name)).c_str());
    for (std::size_t i = 0; i < rates.size(); ++i) {
        // Each round against the same round of the yardstick: what slows both down cancels out.
        std::vector<double> ratios;
        for (std::size_t round = 0; round < o.rounds; ++round)
            ratios.push_back(rates[i][round] / rates[0][round]);
        const auto [min, max] = std::ranges::minmax(rates[i]);
        const double middle = median(rates[i]);
        std::printf("  %-20s %10.0f %10.0f %10.0f %8.2f %9.2fx\n", contenders[i].name, middle, min,
                    max, 1e6 / middle, median(ratios));
    }
}

} // namespace

int main(int argc, char** argv) try {
    CLI::App app("Look-ups by gyre, Asio, libuv and the C library, in rounds.");
    options o;
    app.add_option("--seconds", o.seconds, "of each measurement")
        ->check(CLI::Range(0.001, 60.0))
        ->capture_default_str();
    app.add_option("--rounds", o.rounds)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--in-flight", o.in_flight, "look-ups at a time, beside one at a time")
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    app.add_option("--core", o.core,
                   "processor for all threads (default: wherever the kernel likes, and it may put "
                   "the two ends of a look-up on one processor or on two)")
        ->check(CLI::Range(0, 1023));
    CLI11_PARSE(app, argc, argv);
    tool::pin_to(o.core);
    std::printf("%s; %u rounds of %g s\n", tool::describe_machine().c_str(), o.rounds, o.seconds);
    for (const unsigned in_flight : {1U, o.in_flight})
        for (const char* host : {"127.0.0.1", "localhost"})
            for (const bool distinct : {false, true})
                compare({host, distinct, in_flight}, o);
} catch (const std::exception& e) {
    std::fprintf(stderr, "compare_resolvers: %s\n", e.what());
    return 1;
}
