#pragma once

#include <gyre/core/timing_wheel.hpp>

#include <cstdint>

namespace gyre::detail {

/// What a piece of work is told.
enum class event : std::uint8_t {
    run,    ///< its turn in the ready queue has come
    cancel, ///< whoever waits for it wants it to end soon; the end itself comes later
    expire, ///< its timer fired
    done,   ///< (to the owner of a computation) the computation has ended
    forget, ///< the loop ends: it has let go of this, and resumes nobody any more
};

/// The node of everything that the loop runs: an operation that completed, a task about to start,
/// a posted callable. It lies inside its owner; the loop never allocates for it.
struct work {
    using function = void (*)(work&, event) noexcept;

    explicit work(function f) noexcept : notify(f) {}
    work(const work&) = delete;
    work& operator=(const work&) = delete;

    work* next; ///< set by the queue
    function notify;
};

/// Work with a place on the timing wheel.
struct timer : work, timing_node {
    using work::work;
};

/// First in, first out, intrusive.
class work_queue {
public:
    bool empty() const noexcept { return head_ == nullptr; }

    void push(work& w) noexcept {
        w.next = nullptr;
        *tail_ = &w;
        tail_ = &w.next;
    }

    /// Counted one by one.
    unsigned size() const noexcept {
        unsigned n = 0;
        for (const work* w = head_; w != nullptr; w = w->next)
            ++n;
        return n;
    }

    work& front() noexcept { return *head_; }

    /// The queue must not be empty.
    work& pop() noexcept {
        work& w = *head_;
        head_ = w.next;
        if (head_ == nullptr)
            tail_ = &head_;
        return w;
    }

    /// Takes `w` out wherever it stands, in linear time; for the rare case of a destroyed waiter.
    void remove(work& w) noexcept {
        for (work** link = &head_; *link != nullptr; link = &(*link)->next) {
            if (*link != &w)
                continue;
            *link = w.next;
            if (w.next == nullptr)
                tail_ = link;
            return;
        }
    }

    work_queue() = default;
    work_queue(const work_queue&) = delete;
    work_queue& operator=(const work_queue&) = delete;

private:
    work* head_ = nullptr;
    work** tail_ = &head_;
};

} // namespace gyre::detail
