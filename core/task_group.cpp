#include <gyre/core/task_group.hpp>

namespace gyre {

using detail::event;
using detail::promise_base;

void task_group::adopt(promise_base& child) noexcept {
    child.ctx = &child.own;
    child.owner = this;
    child.notify = &on_child;
    child.own.cancelled = cancelled_;
    children_.insert(child);
    ++size_;
    loop* here = loop::current();
    detail::require(here != nullptr, "children are spawned in a coroutine that runs on a loop");
    here->ready(child);
}

void task_group::join(std::coroutine_handle<> awaiting, detail::context& of) noexcept {
    awaiting_ = awaiting;
    ctx_ = &of;
    of.leaf = this;
    if (of.cancelled)
        cancel();
}

void task_group::cancel() noexcept {
    cancelled_ = true;
    children_.cancel();
}

void task_group::on_child(detail::work& w, event e) noexcept {
    auto& child = static_cast<promise_base&>(w);
    if (e == event::run)
        child.handle().resume();
    else if (e == event::done)
        static_cast<task_group*>(child.owner)->child_done(child);
}

void task_group::child_done(promise_base& child) noexcept {
    children_.remove(child);
    --size_;
    if (&child == body_)
        body_ = nullptr;
    std::exception_ptr failure = std::move(child.failure);
    if (!failure && first_ == nullptr)
        first_ = &child;
    child.handle().destroy();
    if (failure) {
        // That a child heeds our cancel is what we asked for.
        if (cancelled_ && is_cancelled(failure))
            cut_short_ = true;
        else if (!failure_)
            failure_ = std::move(failure);
        if (!cancelled_)
            cancel();
    } else if (ends_ == policy::first && !cancelled_) {
        cancel();
    }
    if (size_ == 0 && !queued_) {
        queued_ = true;
        loop::current()->ready(*this);
    }
}

void task_group::on_event(detail::work& w, event e) noexcept {
    auto& group = static_cast<task_group&>(w);
    if (e == event::cancel) {
        group.cancel();
        return;
    }
    group.queued_ = false;
    if (e == event::forget)
        return;
    if (group.size_ != 0)
        return; // spawned since the last child ended
    group.ctx_->leaf = nullptr;
    group.awaiting_.resume();
}

// Only when the awaiting coroutine is destroyed while it waits: its children go with it. Where the
// loop has gone before, they are in no queue any more.
task_group::~task_group() {
    while (!children_.empty()) {
        promise_base& child = *children_.first();
        children_.remove(child);
        if (loop* here = loop::current())
            here->unready(child);
        child.handle().destroy();
    }
    if (queued_)
        loop::current()->unready(*this);
}

} // namespace gyre
