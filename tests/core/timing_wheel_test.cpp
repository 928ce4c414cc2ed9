#include <gyre/core/timing_wheel.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

namespace {

using gyre::timing_node;
using gyre::timing_wheel;

constexpr std::int64_t tick = std::int64_t{1} << timing_wheel::tick_shift;
constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t year = 365 * 24 * 3600 * second;

std::vector<timing_node*> expired_at(timing_wheel& wheel, std::int64_t now) {
    std::vector<timing_node*> nodes;
    wheel.advance(now);
    while (timing_node* node = wheel.pop())
        nodes.push_back(node);
    return nodes;
}

using nodes = std::vector<timing_node*>;

TEST(TimingWheel, ANewOneIsEmptyAndWantsNoWakeUp) {
    timing_wheel wheel(123 * second);
    EXPECT_TRUE(wheel.empty());
    EXPECT_EQ(wheel.next_expiry(), timing_wheel::never);
    EXPECT_EQ(expired_at(wheel, 124 * second), nodes{});
}

TEST(TimingWheel, ANodeIsNeverEarlyAndLateByLessThanATick) {
    for (const std::int64_t start : {0 * second, tick - 1, 7 * second + 12345, 3 * year}) {
        for (std::int64_t delay = 1; delay < 40 * year; delay = delay * 3 + 1) {
            timing_wheel wheel(start);
            timing_node node;
            const std::int64_t expiry = start + delay;
            wheel.arm(node, expiry);
            EXPECT_EQ(expired_at(wheel, expiry - 1), nodes{}) << start << '+' << delay;
            const std::int64_t rounded = (expiry + tick - 1) / tick * tick;
            EXPECT_EQ(expired_at(wheel, rounded - 1), nodes{}) << start << '+' << delay;
            EXPECT_EQ(expired_at(wheel, rounded), nodes{&node}) << start << '+' << delay;
            EXPECT_FALSE(node.armed());
            EXPECT_EQ(node.expiry, expiry);
        }
    }
}

TEST(TimingWheel, AnyFindsEveryNodeAlsoOneThatHasExpired) {
    timing_wheel wheel(0);
    std::deque<timing_node> armed(8);
    for (std::size_t i = 0; i < armed.size(); ++i)
        wheel.arm(armed[i], tick << (6 * i));
    wheel.advance(70 * tick);
    for (std::size_t n = armed.size(); n > 0; --n) {
        timing_node* node = wheel.any();
        ASSERT_NE(node, nullptr) << n;
        EXPECT_TRUE(node->armed());
        timing_wheel::disarm(*node);
    }
    EXPECT_EQ(wheel.any(), nullptr);
}

TEST(TimingWheel, AnExpiryOnATickExpiresAtThatTick) {
    timing_wheel wheel(0);
    timing_node node;
    wheel.arm(node, 64 * tick);
    EXPECT_EQ(expired_at(wheel, 64 * tick - 1), nodes{});
    EXPECT_EQ(expired_at(wheel, 64 * tick), nodes{&node});
}

TEST(TimingWheel, ThePastExpiresOnTheNextAdvanceEvenAtTheSameTime) {
    timing_wheel wheel(5 * second);
    timing_node negative, past, present;
    wheel.arm(past, 4 * second);
    wheel.arm(negative, -second);
    wheel.arm(present, 5 * second / tick * tick);
    EXPECT_LE(wheel.next_expiry(), 5 * second);
    EXPECT_EQ(expired_at(wheel, 5 * second), (nodes{&past, &negative, &present}));
    wheel.arm(past, 0);
    EXPECT_EQ(expired_at(wheel, 0), nodes{&past}) << "the clock does not run backwards";
}

TEST(TimingWheel, NodesComeOutInOrderOfTheirTicksAndThenOfArming) {
    timing_wheel wheel(0);
    timing_node a, b, c, d, e;
    wheel.arm(a, 90 * second);
    wheel.arm(b, 2 * tick);
    wheel.arm(c, 2 * tick - 5); // an earlier expiry, the same tick
    wheel.arm(d, tick);
    EXPECT_EQ(expired_at(wheel, second), (nodes{&d, &b, &c}));
    wheel.arm(e, 90 * second); // armed later and nearer: comes after a
    EXPECT_EQ(expired_at(wheel, 100 * second), (nodes{&a, &e}));
}

TEST(TimingWheel, ADisarmedNodeNeitherExpiresNorCausesAWakeUp) {
    timing_wheel wheel(0);
    timing_node node;
    for (const std::int64_t expiry : {tick / 9, tick, 100 * tick, second, year, 100 * year}) {
        wheel.arm(node, expiry);
        EXPECT_FALSE(wheel.empty());
        EXPECT_TRUE(node.armed());
        timing_wheel::disarm(node);
        EXPECT_FALSE(node.armed());
        EXPECT_EQ(wheel.next_expiry(), timing_wheel::never);
        EXPECT_TRUE(wheel.empty());
    }
    EXPECT_EQ(expired_at(wheel, 200 * year), nodes{});
}

TEST(TimingWheel, DisarmingIsHarmlessOnANodeThatIsNotArmed) {
    timing_node node;
    timing_wheel::disarm(node);
    timing_wheel::disarm(node);
    EXPECT_FALSE(node.armed());
}

TEST(TimingWheel, ArmingAnArmedNodeMovesIt) {
    timing_wheel wheel(0);
    timing_node node;
    wheel.arm(node, second);
    wheel.arm(node, 2 * second);
    EXPECT_EQ(expired_at(wheel, 2 * second - 1), nodes{});
    EXPECT_EQ(expired_at(wheel, 2 * second + tick), nodes{&node});
}

TEST(TimingWheel, TenThousandNodesExpireInOneAdvanceInOrder) {
    timing_wheel wheel(0);
    std::vector<timing_node> all(10'000);
    for (timing_node& node : all)
        wheel.arm(node, 30 * second);
    const nodes expired = expired_at(wheel, 31 * second);
    ASSERT_EQ(expired.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
        EXPECT_EQ(expired[i], &all[i]);
}

TEST(TimingWheel, AHandlerMayDisarmAndRearmWhatExpiredWithIt) {
    timing_wheel wheel(0);
    timing_node a, b, c, d;
    for (timing_node* node : {&a, &b, &c, &d})
        wheel.arm(*node, second);
    wheel.advance(2 * second);
    EXPECT_EQ(wheel.pop(), &a);
    EXPECT_LE(wheel.next_expiry(), 2 * second) << "there is more to pop";
    EXPECT_FALSE(wheel.empty());
    timing_wheel::disarm(b);
    wheel.arm(c, 3 * second);
    EXPECT_EQ(wheel.pop(), &d);
    EXPECT_EQ(wheel.pop(), nullptr);
    EXPECT_EQ(expired_at(wheel, 4 * second), nodes{&c});
    EXPECT_TRUE(wheel.empty());
}

TEST(TimingWheel, AHandlerThatRearmsForNowWaitsForTheNextAdvance) {
    timing_wheel wheel(0);
    timing_node node;
    wheel.arm(node, second);
    wheel.advance(second + tick);
    for (int turn = 0; turn < 3; ++turn) {
        EXPECT_EQ(wheel.pop(), &node);
        wheel.arm(node, 0);
        EXPECT_EQ(wheel.pop(), nullptr);
        EXPECT_LE(wheel.next_expiry(), second + tick);
        wheel.advance(second + tick);
    }
}

TEST(TimingWheel, WhatIsCollectedAndNotPoppedStaysInFront) {
    timing_wheel wheel(0);
    timing_node a, b, c;
    wheel.arm(a, second);
    wheel.arm(b, second);
    wheel.arm(c, 2 * second);
    wheel.advance(second + tick);
    EXPECT_EQ(expired_at(wheel, 3 * second), (nodes{&a, &b, &c}));
}

TEST(TimingWheel, TheLargestExpiryNeverComes) {
    timing_wheel wheel(second);
    timing_node node, late;
    wheel.arm(node, timing_wheel::never);
    wheel.arm(late, timing_wheel::never - tick);
    EXPECT_FALSE(wheel.empty());
    EXPECT_EQ(expired_at(wheel, timing_wheel::never), nodes{&late});
    EXPECT_EQ(wheel.next_expiry(), timing_wheel::never);
    EXPECT_TRUE(node.armed());
    timing_wheel::disarm(node);
    EXPECT_TRUE(wheel.empty());
}

TEST(TimingWheel, SleepingUntilNextExpiryReachesEachNodeOnTimeInFewWakeUps) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 2000; ++round) {
        std::int64_t now = static_cast<std::int64_t>(random() >> (2 + random() % 60));
        timing_wheel wheel(now);
        timing_node node;
        wheel.arm(node, now + static_cast<std::int64_t>(random() >> (2 + random() % 60)));
        const std::int64_t rounded = (node.expiry + tick - 1) / tick * tick;
        int wake_ups = 0;
        for (wheel.advance(now); node.armed() && wake_ups <= 8; ++wake_ups) {
            const std::int64_t next = wheel.next_expiry();
            ASSERT_TRUE(next > now || node.expiry <= now);
            ASSERT_LE(next, std::max(rounded, now));
            wheel.advance(now = std::max(now, next));
            if (wheel.pop()) {
                ASSERT_GE(now, node.expiry);
            }
        }
        EXPECT_FALSE(node.armed());
        EXPECT_LE(wake_ups, 8);
    }
}

// The wheel as anyone would write it at first: sorted by tick, equal ones in order of arming.
class model {
public:
    explicit model(std::int64_t now) : current_(now / tick) {}

    void arm(int id, std::int64_t expiry) {
        disarm(id);
        const std::int64_t due = expiry > 0 ? (expiry - 1) / tick + 1 : 0; // rounded up
        pending_.emplace(std::max(due, current_), id);
    }
    void disarm(int id) {
        std::erase_if(pending_, [id](const auto& entry) { return entry.second == id; });
        std::erase(expired_, id);
    }
    void advance(std::int64_t now) {
        current_ = now / tick;
        const auto end = pending_.upper_bound(current_);
        for (auto entry = pending_.begin(); entry != end; entry = pending_.erase(entry))
            expired_.push_back(entry->second);
    }
    int pop() {
        if (expired_.empty())
            return -1;
        const int id = expired_.front();
        expired_.pop_front();
        return id;
    }
    bool empty() const { return pending_.empty() && expired_.empty(); }
    // In nanoseconds; the latest time that next_expiry() may name.
    std::int64_t next() const {
        if (!expired_.empty())
            return current_ * tick;
        if (pending_.empty() || pending_.begin()->first > timing_wheel::never / tick)
            return timing_wheel::never;
        return pending_.begin()->first * tick;
    }

private:
    std::int64_t current_;
    std::multimap<std::int64_t, int> pending_;
    std::deque<int> expired_;
};

class Seeded : public testing::TestWithParam<unsigned> {};

TEST_P(Seeded, TheWheelDoesWhatASortedMapDoes) {
    constexpr int count = 60;
    std::mt19937_64 random(GetParam());
    // From 1 to 2^limit ns, each magnitude as likely: up to 4 ms, 18 minutes, 36 years.
    const unsigned limits[] = {22, 40, 60};
    const unsigned limit = limits[GetParam() % 3];
    const auto stretch = [&] {
        return static_cast<std::int64_t>(random() >> (64 - limit + random() % limit));
    };
    std::int64_t now = stretch();
    timing_wheel wheel(now);
    model expected(now);
    std::vector<timing_node> all(count);
    const auto arm = [&] {
        const auto id = static_cast<std::size_t>(random() % count);
        // Mostly the future; the past; the time of another node, so that ticks are shared; the end.
        std::int64_t expiry = now;
        switch (random() % 8) {
        case 0: expiry -= std::min(stretch(), now); break;
        case 1: expiry = all[random() % count].expiry; break;
        case 2: expiry = timing_wheel::never - static_cast<std::int64_t>(random() % 3); break;
        case 3: expiry = (now / tick + static_cast<std::int64_t>(random() % 200)) * tick; break;
        default: expiry += stretch();
        }
        wheel.arm(all[id], expiry);
        expected.arm(static_cast<int>(id), expiry);
    };
    const auto disarm = [&] {
        const auto id = static_cast<std::size_t>(random() % count);
        timing_wheel::disarm(all[id]);
        expected.disarm(static_cast<int>(id));
    };
    const auto check = [&] {
        ASSERT_EQ(wheel.empty(), expected.empty());
        const std::int64_t next = wheel.next_expiry();
        ASSERT_LE(next, expected.next());
        if (expected.empty()) {
            ASSERT_EQ(next, timing_wheel::never);
        } else if (expected.next() > now + tick) {
            ASSERT_GT(next, now) << "a wake-up for nothing";
        }
    };
    for (int step = 0; step < 3000; ++step) {
        for (auto n = random() % 4; n > 0; --n)
            arm();
        for (auto n = random() % 3; n > 0; --n)
            disarm();
        check();
        if (now > (std::int64_t{1} << 62)) // begin again before the end of time
            return;
        switch (random() % 4) {
        case 0: break; // no time has passed
        case 1: now = std::clamp(wheel.next_expiry(), now, now + (std::int64_t{1} << limit)); break;
        case 2: now += stretch() / 16; break;
        default: now += stretch();
        }
        wheel.advance(now);
        expected.advance(now);
        check();
        if (random() % 8 == 0)
            continue; // leave what was collected for the next turn
        for (;;) {
            timing_node* node = wheel.pop();
            const int id = expected.pop();
            ASSERT_EQ(node ? node - all.data() : -1, id) << "at step " << step;
            if (!node)
                break;
            ASSERT_FALSE(node->armed());
            ASSERT_LE(node->expiry, now);
            if (random() % 4 == 0)
                arm();
            if (random() % 4 == 0)
                disarm();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(TimingWheel, Seeded, testing::Range(1U, 61U));

} // namespace
