#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tool {

/// Counts durations in nanoseconds, log-linear: below 128 ns exactly, above that in buckets whose
/// width is at most 1/128 of the value, so that what percentile() gives is within 0.4 % of a value
/// that was added. Adding is a few instructions, whatever came before. From 0 to about 73 minutes;
/// what is outside counts as the nearest value inside.
class histogram {
public:
    histogram() : counts_(bucket_count) {}

    void add(std::int64_t ns) noexcept {
        const std::uint64_t v = ns < 0 ? 0 : std::min(static_cast<std::uint64_t>(ns), largest);
        ++counts_[bucket_of(v)];
        ++count_;
        max_ = std::max(max_, v);
    }

    void merge(const histogram& other) noexcept {
        for (std::size_t i = 0; i < bucket_count; ++i)
            counts_[i] += other.counts_[i];
        count_ += other.count_;
        max_ = std::max(max_, other.max_);
    }

    void clear() noexcept {
        std::ranges::fill(counts_, 0);
        count_ = 0;
        max_ = 0;
    }

    std::uint64_t count() const noexcept { return count_; }
    /// Exact; 0 when nothing was added.
    std::int64_t max() const noexcept { return static_cast<std::int64_t>(max_); }

    /// The smallest value that `share` (0 to 1) of all that was added does not exceed: 0.99 for the
    /// 99th percentile. 0 when nothing was added.
    std::int64_t percentile(double share) const noexcept {
        if (count_ == 0)
            return 0;
        const double wanted = std::clamp(share, 0.0, 1.0) * static_cast<double>(count_);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < bucket_count; ++i) {
            seen += counts_[i];
            if (seen > 0 && static_cast<double>(seen) >= wanted)
                return static_cast<std::int64_t>(std::min(middle_of(i), max_));
        }
        return max();
    }

private:
    static constexpr int linear_bits = 7; // 128 buckets for each power of two
    static constexpr int value_bits = 42;
    static constexpr std::uint64_t linear = std::uint64_t{1} << linear_bits;
    static constexpr std::uint64_t largest = (std::uint64_t{1} << value_bits) - 1;
    static constexpr std::size_t bucket_count = (value_bits - linear_bits + 1) * linear;

    // The highest bits of the value after its leading one, below the number of its power of two.
    static constexpr std::size_t bucket_of(std::uint64_t v) noexcept {
        if (v < linear)
            return v;
        const int shift = static_cast<int>(std::bit_width(v)) - (linear_bits + 1);
        return (static_cast<std::size_t>(shift) << linear_bits) + (v >> shift);
    }

    static constexpr std::uint64_t middle_of(std::size_t bucket) noexcept {
        if (bucket < linear)
            return bucket;
        const std::size_t shift = (bucket >> linear_bits) - 1;
        const std::uint64_t first = (bucket - (shift << linear_bits)) << shift;
        return first + ((std::uint64_t{1} << shift) >> 1);
    }

    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

} // namespace tool
