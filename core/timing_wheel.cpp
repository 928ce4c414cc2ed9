#include <gyre/core/timing_wheel.hpp>

namespace gyre {

namespace {

std::uint64_t ticks_before(std::int64_t now) noexcept { // rounded down: never early
    return static_cast<std::uint64_t>(std::max<std::int64_t>(now, 0)) >> timing_wheel::tick_shift;
}

std::int64_t nanoseconds(std::uint64_t ticks) noexcept { // INT64_MAX rounds up to one too many
    constexpr auto last = static_cast<std::uint64_t>(timing_wheel::never);
    return static_cast<std::int64_t>(std::min(ticks << timing_wheel::tick_shift, last));
}

} // namespace

timing_wheel::timing_wheel(std::int64_t now) noexcept : current_(ticks_before(now)) {
    clear(expired_);
    for (timing_node& head : heads_)
        clear(head);
}

// disarm() knows neither wheel nor slot and leaves bits behind; they are dropped here when met. No
// stale bit is ever passed by: current_ only moves to the first slot, or short of it.
timing_wheel::slot timing_wheel::first() noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        while (const std::uint64_t bits = occupied_[level]) {
            const auto digit = static_cast<unsigned>(std::countr_zero(bits));
            timing_node& head = heads_[level * slots + digit];
            if (!is_empty(head)) {
                const unsigned shift = level * digit_bits;
                const std::uint64_t above = current_ >> (shift + digit_bits);
                return {&head, (above * slots + digit) << shift, level};
            }
            occupied_[level] = bits & (bits - 1);
        }
    }
    return {};
}

void timing_wheel::advance(std::int64_t now) noexcept {
    const std::uint64_t target = std::max(ticks_before(now), current_);
    for (slot next = first(); next.head && next.start <= target; next = first()) {
        timing_node& head = *next.head;
        timing_node& from = *head.next;
        timing_node& to = *head.previous;
        clear(head); // its bit is stale from here on
        current_ = next.start;
        if (next.level == 0) { // a single tick: the whole list has expired
            from.previous = expired_.previous;
            to.next = &expired_;
            expired_.previous->next = &from;
            expired_.previous = &to;
            continue;
        }
        for (timing_node* node = &from; node != &head;) { // in the slot of current_: goes lower
            timing_node* following = node->next;
            place(*node);
            node = following;
        }
    }
    current_ = target;
}

std::int64_t timing_wheel::next_expiry() noexcept {
    if (!is_empty(expired_))
        return nanoseconds(current_);
    const slot next = first();
    return next.head ? nanoseconds(next.start) : never;
}

bool timing_wheel::empty() noexcept {
    return any() == nullptr;
}

timing_node* timing_wheel::any() noexcept {
    if (!is_empty(expired_))
        return expired_.next;
    const slot next = first();
    return next.head ? next.head->next : nullptr;
}

} // namespace gyre
