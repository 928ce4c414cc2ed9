#include <gyre/core/future.hpp>
#include <gyre/core/loop.hpp>

namespace gyre::detail {

void future_base::wait() noexcept {
    if (ready())
        return;
    require(current_inbox() != home_,
            "future::get() on the loop that computes the result would wait for ever; co_await it");
    std::unique_lock lock(mutex_);
    completed_.wait(lock, [this] { return ready(); });
}

bool future_base::wait_until(clock::time_point t) noexcept {
    if (ready())
        return true;
    require(current_inbox() != home_,
            "future::wait_for() on the loop that computes the result; co_await with_timeout there");
    std::unique_lock lock(mutex_);
    return completed_.wait_until(lock, t, [this] { return ready(); });
}

void future_base::cancel(std::shared_ptr<future_base> self) noexcept {
    home_->post([f = std::move(self)]() noexcept {
        if (f->computation != nullptr)
            f->computation->own.cancel();
    });
}

void future_base::complete() noexcept {
    std::shared_ptr<future_waiter> list;
    {
        std::lock_guard lock(mutex_);
        ready_.store(true, std::memory_order_release);
        list = std::move(waiters_);
        completed_.notify_all();
    }
    while (list != nullptr) {
        const std::shared_ptr<future_waiter> w = std::exchange(list, std::move(list->next));
        w->home->post([w]() noexcept {
            if (w->awaiting != nullptr)
                w->awaiting->notify(*w->awaiting, event::done);
        });
    }
}

bool future_base::add(const std::shared_ptr<future_waiter>& w) noexcept {
    std::lock_guard lock(mutex_);
    if (ready())
        return false;
    w->next = std::exchange(waiters_, w);
    return true;
}

bool future_base::remove(const std::shared_ptr<future_waiter>& w) noexcept {
    std::lock_guard lock(mutex_);
    for (std::shared_ptr<future_waiter>* link = &waiters_; *link != nullptr; link = &(*link)->next)
        if (*link == w) {
            *link = std::move(w->next);
            return true;
        }
    return false;
}

void unstarted::begin(future_base& f) noexcept {
    promise_base& p = task_.release().promise();
    f.computation = &p;
    loop::current()->begin_root(p);
}

bool future_awaiter::begin(std::coroutine_handle<> awaiting, context& of) {
    awaiting_ = awaiting;
    ctx_ = &of;
    if (of.cancelled) {
        cancelled_ = queued_ = true;
        loop::current()->ready(*this);
        return true;
    }
    auto w = std::make_shared<future_waiter>();
    w->home = current_inbox();
    require(w->home != nullptr, "a future is awaited in a coroutine that runs on a loop");
    w->awaiting = this;
    if (!state_->add(w))
        return false;
    waiter_ = std::move(w);
    of.leaf = this;
    return true;
}

void future_awaiter::on_event(work& w, event e) noexcept {
    auto& self = static_cast<future_awaiter&>(w);
    switch (e) {
    case event::run: // queued after a cancel, or right on from `done`
        self.queued_ = false;
        self.ctx_->leaf = nullptr;
        self.awaiting_.resume();
        return;
    case event::done: // the news
        self.waiter_ = nullptr;
        self.queued_ = true;
        loop::current()->ready(self);
        return;
    case event::cancel:
        if (self.queued_ || !self.state_->remove(self.waiter_))
            return;
        self.waiter_ = nullptr;
        self.cancelled_ = self.queued_ = true;
        loop::current()->ready(self);
        return;
    case event::forget: self.queued_ = false; return;
    case event::expire: return;
    }
}

future_awaiter::~future_awaiter() {
    if (queued_)
        loop::current()->unready(*this);
    if (waiter_ != nullptr && !state_->remove(waiter_))
        waiter_->awaiting = nullptr; // the news is on its way, or did not find the loop any more
}

void future_awaiter::check() {
    if (cancelled_)
        throw error(errc::cancelled, "await future");
}

} // namespace gyre::detail
