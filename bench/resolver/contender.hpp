#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

/// What the contenders of compare_resolvers have in common. Each keeps `in_flight` look-ups under
/// way (the next begins where one has ended) as its users would, until the time is up, and asks for
/// the same: addresses of any family for TCP.

namespace resolver_bench {

struct scenario {
    const char* host;
    bool distinct; ///< each look-up is for another port, so that none can share its answer
    unsigned in_flight;
};

class race {
public:
    race(const scenario& s, std::chrono::nanoseconds duration)
        : scenario_(s), end_(std::chrono::steady_clock::now() + duration) {}

    const char* host() const { return scenario_.host; }
    unsigned in_flight() const { return scenario_.in_flight; }

    /// For the next look-up.
    std::string service() {
        port_ = port_ % 60000 + 1;
        return scenario_.distinct ? std::to_string(port_) : "80";
    }

    /// A look-up has ended with so many addresses; whether there is to be another.
    bool go_on(std::size_t found) {
        ++(found > 0 ? found_ : failed_);
        // The clock would be a good part of a look-up that needs no thread.
        if ((found_ + failed_) % 16 == 0)
            over_ = over_ || std::chrono::steady_clock::now() >= end_;
        return !over_;
    }

    std::uint64_t found() const { return found_; }
    std::uint64_t failed() const { return failed_; }

private:
    scenario scenario_;
    std::chrono::steady_clock::time_point end_;
    unsigned port_ = 0;
    std::uint64_t found_ = 0;
    std::uint64_t failed_ = 0;
    bool over_ = false;
};

void by_gyre(race& r);
void by_gyre_with_cache(race& r);
void by_c_library(race& r); ///< inline: one after another, on this thread
void by_asio(race& r);      ///< with callbacks
void by_asio_coroutines(race& r);
void by_libuv(race& r);

} // namespace resolver_bench
