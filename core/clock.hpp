#pragma once

#include <gyre/core/error.hpp>

#include <chrono>
#include <cstdint>
#include <limits>

namespace gyre {

/// Deadlines are points on the monotonic clock (clock_gettime(2), CLOCK_MONOTONIC).
using clock = std::chrono::steady_clock;

namespace detail {

constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();

/// Any duration in nanoseconds, rounded up: 1e-10 s is 1 ns, never 0. What lies beyond int64 (292
/// years) saturates. A NaN is refused with std::errc::invalid_argument.
template <class Rep, class Period>
std::int64_t ceil_nanoseconds(std::chrono::duration<Rep, Period> d) {
    if constexpr (std::chrono::treat_as_floating_point_v<Rep>) {
        if (d.count() != d.count())
            throw error(std::make_error_code(std::errc::invalid_argument),
                        "duration is not a number");
    }
    using wide = std::chrono::duration<long double, std::nano>;
    constexpr auto limit = static_cast<long double>(forever);
    if constexpr (std::is_integral_v<Rep> && std::ratio_less_equal_v<std::nano, Period>) {
        // Exact, and a constant for the compiler where the duration is one.
        using ratio = std::ratio_divide<Period, std::nano>;
        static_assert(ratio::den == 1 || ratio::num > 0);
        std::int64_t count = 0;
        if (ratio::den == 1 && !__builtin_mul_overflow(d.count(), std::int64_t{ratio::num}, &count))
            return count;
    }
    const long double ns = std::chrono::duration_cast<wide>(d).count();
    if (ns >= limit)
        return forever;
    if (ns <= -limit)
        return -forever;
    const auto floor = static_cast<std::int64_t>(ns);
    return floor + (static_cast<long double>(floor) < ns ? 1 : 0);
}

constexpr std::int64_t add_saturated(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? forever : 0) : sum;
}

} // namespace detail
} // namespace gyre
