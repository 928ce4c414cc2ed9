#include "../../bench/tool/content.hpp"
#include "../../bench/tool/histogram.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

namespace {

using tool::histogram;

TEST(Histogram, OneThatIsEmptySaysZero) {
    const histogram h;
    EXPECT_EQ(h.count(), 0u);
    EXPECT_EQ(h.max(), 0);
    EXPECT_EQ(h.percentile(0.5), 0);
}

TEST(Histogram, SmallValuesAreExact) {
    for (std::int64_t v = 0; v < 128; ++v) {
        histogram h;
        h.add(v);
        EXPECT_EQ(h.percentile(0), v);
        EXPECT_EQ(h.percentile(0.5), v);
        EXPECT_EQ(h.percentile(1), v);
    }
}

TEST(Histogram, EveryPercentileIsWithinHalfAPercentOfAValueThatWasAdded) {
    std::mt19937_64 random(1);
    std::vector<std::int64_t> values(100'000);
    histogram h;
    for (std::int64_t& v : values) {
        // From 1 ns to an hour, as often in each power of ten.
        v = std::llround(std::pow(10, std::uniform_real_distribution(0.0, 12.5)(random)));
        h.add(v);
    }
    std::ranges::sort(values);
    EXPECT_EQ(h.count(), values.size());
    EXPECT_EQ(h.max(), values.back());
    for (const double share : {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
        const auto rank = std::llround(std::ceil(share * static_cast<double>(values.size())));
        const auto exact = static_cast<double>(values[static_cast<std::size_t>(rank) - 1]);
        EXPECT_NEAR(static_cast<double>(h.percentile(share)), exact, exact * 0.005 + 0.5) << share;
    }
}

// Where one power of two ends and the next one begins, with buckets twice as wide.
TEST(Histogram, NeighboursOfPowersOfTwoStayInOrder) {
    for (int bits = 1; bits < 41; ++bits) {
        const std::int64_t power = std::int64_t{1} << bits;
        std::int64_t before = 0;
        for (const std::int64_t v : {power - 1, power, power + power / 64}) {
            histogram h;
            h.add(v);
            h.add(std::int64_t{1} << 41); // else the maximum would correct the answer
            const std::int64_t found = h.percentile(0.5);
            EXPECT_NEAR(static_cast<double>(found), static_cast<double>(v),
                        static_cast<double>(v) * 0.005 + 0.5);
            EXPECT_GE(found, before);
            before = found;
        }
    }
}

TEST(Histogram, NoPercentileIsBeyondTheMaximum) {
    histogram h;
    h.add(1'000'001);
    EXPECT_LE(h.percentile(0.999), 1'000'001);
}

TEST(Histogram, ValuesOutsideCountAsTheNearestInside) {
    histogram h;
    h.add(-5);
    EXPECT_EQ(h.percentile(1), 0);
    h.add(std::numeric_limits<std::int64_t>::max());
    EXPECT_EQ(h.count(), 2u);
    EXPECT_EQ(h.max(), (std::int64_t{1} << 42) - 1);
}

TEST(Histogram, MergingIsAsAddingAllToOne) {
    histogram one, other, both;
    for (std::int64_t v = 0; v < 5000; ++v) {
        (v % 3 == 0 ? one : other).add(v * 1000);
        both.add(v * 1000);
    }
    one.merge(other);
    EXPECT_EQ(one.count(), both.count());
    EXPECT_EQ(one.max(), both.max());
    for (const double share : {0.1, 0.5, 0.99})
        EXPECT_EQ(one.percentile(share), both.percentile(share));
}

TEST(Histogram, ClearForgetsEverything) {
    histogram h;
    h.add(77);
    h.clear();
    EXPECT_EQ(h.count(), 0u);
    EXPECT_EQ(h.max(), 0);
    EXPECT_EQ(h.percentile(1), 0);
}

TEST(Content, NeighbouringMessagesAndConnectionsDiffer) {
    const tool::content c(16);
    std::set<std::vector<std::byte>> seen;
    for (std::size_t connection = 0; connection < 20; ++connection)
        for (std::uint64_t number = 0; number < 20; ++number) {
            const auto message = c.message(connection, number);
            EXPECT_EQ(message.size(), 16u);
            seen.emplace(message.begin(), message.end());
        }
    EXPECT_EQ(seen.size(), 400u);
}

} // namespace
