#pragma once

#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>

// How an operation begins and goes on: templates, so that a backend makes them one piece of code
// with its own steps. What every message passes through is short and calls nothing but the kernel;
// what happens less often is behind a tail call, so that it costs not even the saving of a
// register.
//
// A Kernel has, beside what every backend has, its own inline
//
//     bool must_wait(op)     an attempt cannot succeed now
//     bool is_plain(op)      one of the few kinds that attempt_plain knows
//     int attempt_plain(op)  one attempt
//     bool rearm(op)         wait_for() of an operation that must wait

namespace gyre {

/// The bookkeeping of an operation that waits; returns false, as begin does of such.
inline bool loop::suspend(detail::operation& op) noexcept {
    detail::descriptor& d = *op.target;
    d.slot(op.code) = &op;
    op.ctx->leaf = &op;
    ++d.references;
    if (op.when != detail::timing::inherit)
        return start_deadline(op);
    if (d.timeout >= 0) {
        op.expiry = d.timeout;
        timing_wheel::append(fresh_, op);
    }
    return false;
}

/// Takes an operation on a descriptor out of everything that could still end it.
inline void loop::detach(detail::operation& op) noexcept {
    timing_wheel::disarm(op);
    detail::descriptor& d = *op.target;
    d.slot(op.code) = nullptr;
    if (d.closed) [[unlikely]]
        close_when_idle(d);
}

/// The end of an operation; its waiter runs when its turn in the queue comes.
inline void loop::finish(detail::operation& op, int result) noexcept {
    if (op.target != nullptr)
        detach(op);
    else
        timing_wheel::disarm(op);
    op.result = result;
    op.state = detail::operation::phase::completed;
    ready_.push(op);
}

/// Runs the waiter. The operation gives up its reference to the descriptor, unless that is the
/// last: then it keeps it until it is destroyed, since its error tells of the descriptor.
inline void loop::resume(detail::operation& op) noexcept {
    op.ctx->leaf = nullptr;
    op.state = detail::operation::phase::idle;
    if (--op.target->references == 0) [[unlikely]] {
        op.target->references = 1;
        op.state = detail::operation::phase::ended;
    }
    std::coroutine_handle<>::from_address(op.waiter).resume();
}

/// Begins `op`; true when it has ended at once, its result in it.
template <class Kernel>
[[gnu::always_inline]] inline bool loop::begin(Kernel& kernel, detail::operation& op) noexcept {
    detail::descriptor* d = op.target;
    if (d == nullptr || d->usual != usual_ || op.ctx->cancelled ||
        op.when == detail::timing::immediate) [[unlikely]]
        return begin_unusual(op);
    if (d->slot(op.code) != nullptr) [[unlikely]]
        return end_busy(op);
    if (kernel.must_wait(op)) {
        op.state = detail::operation::phase::waiting;
        if (!kernel.rearm(op)) [[unlikely]]
            return true;
        return suspend(op);
    }
    if (!kernel.is_plain(op))
        return begin_other(op);
    return begun(op, kernel.attempt_plain(op));
}

/// The rest of it, after an attempt.
inline bool loop::begun(detail::operation& op, int result) noexcept {
    if (result <= detail::backend::would_wait) [[unlikely]]
        return begin_waiting(op, result);
    op.result = result;
    if (--detail::inline_budget == 0) [[unlikely]]
        return end_later(op, result);
    return true;
}

/// What `op` waited for may have happened: its turn in the queue has come.
template <class Kernel>
[[gnu::always_inline]] inline void loop::go_on(Kernel& kernel, detail::operation& op) noexcept {
    if (!kernel.is_plain(op))
        return go_on_other(op);
    gone_on(op, kernel.attempt_plain(op));
}

inline void loop::gone_on(detail::operation& op, int result) noexcept {
    if (result <= detail::backend::would_wait) [[unlikely]]
        return wait_on(op, result);
    op.result = result;
    detach(op);
    resume(op);
}

} // namespace gyre
