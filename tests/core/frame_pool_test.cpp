#include "../support/counting_allocator.hpp"

#include <gyre/core/frame_pool.hpp>
#include <gyre/core/loop.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using gyre::detail::frame_pool;

// Both ends of one class.
constexpr std::size_t largest_of_class = 5 * frame_pool::granule + frame_pool::granule / 2;
constexpr std::size_t smallest_of_class = largest_of_class - frame_pool::granule + 1;

void give_back(void* memory, std::size_t size) {
    frame_pool::deallocate(memory, size);
}

#ifdef GYRE_SANITIZED
constexpr bool pools = false;
#else
constexpr bool pools = true;
#endif

/// What holds for the pool; a build with a sanitizer sees each block come and go by itself.
class FramePool : public testing::Test {
protected:
    void SetUp() override {
        if (!pools)
            GTEST_SKIP() << "with a sanitizer, blocks are not kept";
    }
    /// Calls of operator new since the last time.
    std::size_t allocations() {
        return gyre_test::allocations - std::exchange(before_, gyre_test::allocations);
    }

private:
    std::size_t before_ = gyre_test::allocations;
};

// ---- In every build ----------------------------------------------------------------------------

TEST(FramePoolMemory, IsAsLargeAsWasAskedForAndAligned) {
    const frame_pool pool;
    for (int round = 0; round < 2; ++round)
        for (const std::size_t size :
             {1UL, 31UL, 32UL, 33UL, 64UL, 8191UL, 8192UL, 8193UL, 1UL << 20}) {
            void* m = frame_pool::allocate(size);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m) % alignof(std::max_align_t), 0U);
            std::memset(m, 0xa5, size);
            give_back(m, size);
        }
}

TEST(FramePoolMemory, OfNothingCanBeHadAndGivenBack) {
    const frame_pool pool;
    void* a = frame_pool::allocate(0);
    void* b = frame_pool::allocate(0);
    EXPECT_NE(a, nullptr);
    EXPECT_NE(a, b);
    give_back(a, 0);
    give_back(b, 0);
}

TEST(FramePoolMemory, CanBeHadWithoutAPool) {
    void* m = frame_pool::allocate(100);
    std::memset(m, 0, 100);
    give_back(m, 100);
}

TEST(FramePoolMemory, OutlivesThePoolThatItIsFrom) {
    void* m = nullptr;
    {
        const frame_pool pool;
        m = frame_pool::allocate(100);
    }
    std::memset(m, 0, 100);
    give_back(m, 100);
}

TEST(FramePoolMemory, MayBeGivenBackOnAnotherThread) {
    const frame_pool pool;
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i)
        blocks.push_back(frame_pool::allocate(smallest_of_class));
    std::thread([&] { // which has no pool
        for (std::size_t i = 0; i < 50; ++i)
            give_back(blocks[i], smallest_of_class);
    })
        .join();
    std::thread([&] {
        const frame_pool other;
        for (std::size_t i = 50; i < 100; ++i)
            give_back(blocks[i], smallest_of_class);
        void* m = frame_pool::allocate(largest_of_class); // one of those, whole
        std::memset(m, 0, largest_of_class);
        give_back(m, largest_of_class);
    }).join();
}

TEST(FramePoolMemory, ThatWasHadWithoutAPoolIsWholeWhenAPoolGivesItOutAgain) {
    void* m = frame_pool::allocate(smallest_of_class);
    const frame_pool pool;
    give_back(m, smallest_of_class);
    void* again = frame_pool::allocate(largest_of_class);
    std::memset(again, 0, largest_of_class);
    give_back(again, largest_of_class);
}

// ---- What it keeps -----------------------------------------------------------------------------

TEST_F(FramePool, GivesTheBlockOutAgainThatCameBackLast) {
    const frame_pool pool;
    void* a = frame_pool::allocate(100);
    void* b = frame_pool::allocate(100);
    give_back(a, 100);
    give_back(b, 100);
    EXPECT_EQ(frame_pool::allocate(100), b);
    EXPECT_EQ(frame_pool::allocate(100), a);
    give_back(a, 100);
    give_back(b, 100);
}

TEST_F(FramePool, InASteadyStateNothingIsAllocated) {
    const frame_pool pool;
    const auto use = [] {
        for (std::size_t size = 1; size <= frame_pool::largest; size += 7)
            give_back(frame_pool::allocate(size), size);
    };
    use();
    allocations();
    use();
    use();
    EXPECT_EQ(allocations(), 0U);
}

TEST_F(FramePool, SizesOfOneClassShareTheirBlocksAndOthersDoNot) {
    const frame_pool pool;
    void* m = frame_pool::allocate(smallest_of_class);
    give_back(m, smallest_of_class);
    EXPECT_EQ(frame_pool::allocate(largest_of_class), m);
    give_back(m, largest_of_class);
    void* larger = frame_pool::allocate(largest_of_class + 1);
    void* smaller = frame_pool::allocate(smallest_of_class - 1);
    EXPECT_NE(larger, m);
    EXPECT_NE(smaller, m);
    give_back(larger, largest_of_class + 1);
    give_back(smaller, smallest_of_class - 1);
}

TEST_F(FramePool, LargeBlocksAreNotKept) {
    const frame_pool pool;
    allocations();
    for (int i = 0; i < 5; ++i)
        give_back(frame_pool::allocate(frame_pool::largest + 1), frame_pool::largest + 1);
    EXPECT_EQ(allocations(), 5U);
}

TEST_F(FramePool, KeepsNoMoreThanItsMaximum) {
    const frame_pool pool;
    constexpr std::size_t fit =
        (frame_pool::cached_bytes_max + frame_pool::largest - 1) / frame_pool::largest;
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < fit + 100; ++i)
        blocks.push_back(frame_pool::allocate(frame_pool::largest));
    for (void* m : blocks)
        give_back(m, frame_pool::largest);
    allocations();
    for (void*& m : blocks)
        m = frame_pool::allocate(frame_pool::largest);
    EXPECT_EQ(allocations(), 100U);
    for (void* m : blocks)
        give_back(m, frame_pool::largest);
}

TEST_F(FramePool, IsThatOfItsThreadAlone) {
    const frame_pool pool;
    void* m = frame_pool::allocate(100);
    give_back(m, 100);
    std::thread([m] {
        void* other = frame_pool::allocate(100);
        EXPECT_NE(other, m);
        give_back(other, 100);
    }).join();
    EXPECT_EQ(frame_pool::allocate(100), m);
    give_back(m, 100);
}

TEST_F(FramePool, WithoutOneNothingIsKept) {
    allocations();
    for (int i = 0; i < 5; ++i)
        give_back(frame_pool::allocate(100), 100);
    EXPECT_EQ(allocations(), 5U);
}

TEST_F(FramePool, EveryLoopHasOneAndTakesItWithIt) {
    {
        gyre::loop loop;
        void* m = frame_pool::allocate(104);
        give_back(m, 104);
        EXPECT_EQ(frame_pool::allocate(104), m);
        give_back(m, 104);
    }
    allocations();
    for (int i = 0; i < 5; ++i)
        give_back(frame_pool::allocate(104), 104);
    EXPECT_EQ(allocations(), 5U);
}

} // namespace
