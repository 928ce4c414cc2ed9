#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace gyre {

// One deadline. It lives inside what has the deadline (an operation in a coroutine frame), so that
// arming allocates nothing. The owner keeps it in place while it is armed and disarms it before it
// dies. (The pointers are apart so that g++ does not merge their stores: the disarm that follows
// would wait for the merged one; 4 ns instead of 7 for the pair.)
struct timing_node {
    timing_node* previous = nullptr; // nullptr: not armed, and the others mean nothing
    std::int64_t expiry; // nanoseconds on the clock of the wheel, exactly as given to arm()
    timing_node* next;

    bool armed() const noexcept { return previous != nullptr; }
};

// The deadlines of one loop: a hierarchical timing wheel (Varghese and Lauck, 1987).
//
// Pure data: it reads no clock and makes no system call. Times are nanoseconds, non-negative, on
// whatever clock the caller passes to every function alike, which must not run backwards.
//
// Promises:
//  - never early: a node expires at the first advance(now) with now >= its expiry, rounded up to a
//    tick of 65.536 us, and so is late by less than one tick;
//  - nodes come out in the order of their ticks, within a tick in the order they were armed; what
//    is armed for the past counts as armed for the present;
//  - arm and disarm take constant time, whatever else is pending; advance() takes time for what
//    expires or cascades, none for the time that passed.
// A deadline of INT64_MAX never expires. Nothing here throws or allocates. Not for sharing between
// threads. The wheel stays where it is, and outlives what is armed on it.
//
// Use, once a turn of the loop:
//
//     wheel.advance(now);
//     while (timing_node* node = wheel.pop())
//         ...                      // may arm and disarm any node, this one too
//     sleep until wheel.next_expiry()
class timing_wheel {
public:
    static constexpr int tick_shift = 16; // a tick is 2^16 ns
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    explicit timing_wheel(std::int64_t now) noexcept;
    timing_wheel(const timing_wheel&) = delete;
    timing_wheel& operator=(const timing_wheel&) = delete;

    // Lets the node expire at `expiry`; a node that is armed already moves. What lies in the past
    // expires at the next advance(), not in the pop() loop that is running: a handler that arms
    // itself for "now" again and again cannot hold the loop.
    void arm(timing_node& node, std::int64_t expiry) noexcept {
        disarm(node);
        node.expiry = expiry;
        place(node);
    }

    // Arms every node of a circular list, whose head stays behind empty. What the nodes have as
    // expiry are durations, which begin at `now`; sums beyond the clock mean never.
    void arm_all(timing_node& head, std::int64_t now) noexcept {
        for (timing_node* node = head.next; node != &head;) {
            timing_node* following = node->next;
            if (__builtin_add_overflow(now, node->expiry, &node->expiry))
                node->expiry = never;
            place(*node);
            node = following;
        }
        clear(head);
    }

    // Puts a node that is not armed into such a list.
    static void append(timing_node& head, timing_node& node) noexcept {
        node.previous = head.previous;
        node.next = &head;
        head.previous->next = &node;
        head.previous = &node;
    }
    static bool is_empty(const timing_node& head) noexcept { return head.next == &head; }
    static void clear(timing_node& head) noexcept { head.previous = head.next = &head; }

    // Forgets the node, also one that advance() has found and pop() not yet returned. Harmless on
    // a node that is not armed.
    static void disarm(timing_node& node) noexcept {
        if (!node.previous)
            return;
        node.previous->next = node.next;
        node.next->previous = node.previous;
        node.previous = nullptr;
    }

    // Brings the wheel to `now` (an earlier time than the last counts as the last) and collects
    // what has expired for pop().
    void advance(std::int64_t now) noexcept;

    // The next of the collected nodes, disarmed, or nullptr when there is none left.
    timing_node* pop() noexcept {
        timing_node* node = expired_.next;
        if (node == &expired_)
            return nullptr;
        disarm(*node);
        return node;
    }

    // When to call advance() next: never later than the first node expires, but maybe earlier, when
    // far nodes have to be sorted more finely (at most 7 times in the life of a node). `never`
    // without a node. Not later than the last advance() while pop() has something to return.
    std::int64_t next_expiry() noexcept;

    // Whether no node is armed.
    bool empty() noexcept;

    // Some armed node, in no particular order, or nullptr without one: to empty the wheel.
    timing_node* any() noexcept;

private:
    // A time is counted in ticks and read as 8 digits of 6 bits: 48 bits, and int64 in nanoseconds
    // needs 47 and a carry. A node lies on the level of the highest digit in which its tick differs
    // from current_, in the slot of that digit. So everything on a level comes before everything on
    // the levels above, and within a level the slots are in order without wrapping round: the first
    // set bit of the first level that has one is the next event.
    static constexpr unsigned digit_bits = 6;
    static constexpr unsigned slots = 1U << digit_bits;
    static constexpr unsigned levels = 8;

    struct slot {
        timing_node* head = nullptr; // nullptr: no slot is occupied
        std::uint64_t start = 0;     // the first tick of the slot
        unsigned level = 0;
    };

    void place(timing_node& node) noexcept {
        constexpr std::uint64_t round_up = (std::uint64_t{1} << tick_shift) - 1;
        const auto expiry = static_cast<std::uint64_t>(std::max<std::int64_t>(node.expiry, 0));
        const std::uint64_t tick = std::max((expiry + round_up) >> tick_shift, current_);
        const std::uint64_t differing = (tick ^ current_) | 1; // 0 has no highest bit
        const unsigned level = static_cast<unsigned>(63 - std::countl_zero(differing)) / digit_bits;
        const unsigned digit = (tick >> (level * digit_bits)) % slots;
        occupied_[level] |= std::uint64_t{1} << digit;
        append(heads_[level * slots + digit], node);
    }

    slot first() noexcept;

    std::uint64_t current_;                         // the tick of the last advance()
    std::array<std::uint64_t, levels> occupied_{};  // a bit per slot; set on an empty one: stale
    timing_node expired_;                           // the head of a circular list, as are all of
    std::array<timing_node, levels * slots> heads_; // these: unlinking knows no ends
};

} // namespace gyre
