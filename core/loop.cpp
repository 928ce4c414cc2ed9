#include <gyre/core/backend.hpp>
#include <gyre/core/lease_pool.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/operation.hpp>
#include <gyre/core/progress.hpp>

#include <algorithm>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace gyre {

using detail::descriptor;
using detail::event;
using detail::operation;
using detail::timing;
using phase = detail::operation::phase;

namespace detail {
constinit thread_local context foreign_context;
constinit thread_local trampoline current_trampoline;
constinit thread_local unsigned inline_budget = 0;

std::shared_ptr<inbox> current_inbox() noexcept {
    loop* here = loop::current();
    return here != nullptr ? here->shared_inbox() : nullptr;
}
} // namespace detail

constinit thread_local loop* loop::current_ = nullptr;

namespace {

// How many pieces of work run, and how many operations of one of them may end without waiting,
// before the kernel and the others are looked at again.
constexpr unsigned work_budget = 1024;
constexpr unsigned inline_budget_max = 64;

constexpr std::int64_t retry_delay_min = 1'000'000;
constexpr std::int64_t retry_delay_max = 64'000'000;

// A computation that keeps refusing to end is given this many turns when its loop is destroyed.
constexpr unsigned farewell_turns = 1'000;
constexpr std::int64_t farewell_wait = 1'000'000;

// For how long a loop looks for more posts after it ran some; a pause takes some 10 to 40 ns.
constexpr unsigned pauses_before_sleep = 512;
constexpr unsigned pauses_between_looks = 8;
constexpr unsigned flood = 16; // posts at once
constexpr unsigned pauses_in_flood = 256;

std::int64_t read_clock() noexcept {
    return clock::now().time_since_epoch().count();
}

} // namespace

loop::retry_timer::retry_timer(loop& l) noexcept
    : timer([](detail::work& w, event e) noexcept {
          if (e == event::expire)
              static_cast<retry_timer&>(w).owner.retry_all();
      }),
      owner(l) {}

loop::loop(loop_options options)
    : options_(options), kind_(options.backend), now_(read_clock()), wheel_(now_), retry_(*this),
      retry_delay_(retry_delay_min) {
    detail::require(current_ == nullptr, "a thread has one loop at a time");
    timing_wheel::clear(fresh_);
    kernel_ = detail::make_backend(*this, kind_);
    inbox_ = std::make_shared<detail::inbox>(*kernel_);
    usual_ = inbox_.get();
    current_ = this;
    detail::set_current_submitter(kernel_.get());
    detail::inline_budget = inline_budget_max;
}

void loop::end() noexcept {
    detail::require(current_ == this, "a loop is destroyed on the thread that made it");
    ending_ = true;
    inbox_->drain();
    for (unsigned n = 0; !roots_.empty() && n < farewell_turns; ++n) {
        roots_.cancel();
        turn(true);
    }
    while (!roots_.empty()) {
        detail::promise_base& p = *roots_.first();
        roots_.remove(p);
        ready_.remove(p); // where it has not begun
        p.handle().destroy();
    }
    inbox_->close();
    forget_all();
}

loop::~loop() {
    end();
    detail::set_current_submitter(nullptr);
    kernel_.reset();
    if (embed_fd_ >= 0)
        ::close(embed_fd_);
    if (alarm_fd_ >= 0)
        ::close(alarm_fd_);
    current_ = nullptr;
}

// Lets go of posted callables, which are destroyed without having run, and of what coroutines that
// are not gyre's wait for: their frames may go when there is no loop any more. Again and again, for
// the destructors of callables may do anything.
void loop::forget_all() noexcept {
    const auto tell = [](detail::work& w) { w.notify(w, event::forget); };
    for (bool any = true; any;) {
        any = false;
        kernel_->end();
        for (; !ready_.empty(); any = true)
            tell(ready_.pop());
        for (; !retries_.empty(); any = true)
            tell(retries_.pop());
        for (;; any = true) { // sleeps, and the deadlines of with_timeout
            timing_node* node = timing_wheel::is_empty(fresh_) ? wheel_.any() : fresh_.next;
            if (node == nullptr)
                break;
            timing_wheel::disarm(*node);
            tell(static_cast<detail::timer&>(*node));
        }
    }
}

// ---- Running ----------------------------------------------------------------------------------

void loop::run() {
    while (!take_stop())
        turn(true);
}

bool loop::run_until(detail::future_base& f) {
    std::shared_ptr<detail::future_waiter> news;
    if (f.home() != inbox_) { // it has to wake this loop
        news = std::make_shared<detail::future_waiter>();
        news->home = inbox_;
        if (!f.add(news))
            return true;
    }
    bool ready = f.ready();
    for (; !ready && !take_stop(); ready = f.ready())
        turn(true);
    if (news != nullptr)
        f.remove(news);
    return ready;
}

bool loop::poll() {
    const bool did = turn(false);
    // Submits what the work asked for; what this completes is for the next poll().
    kernel_->wait(0);
    settle_deadlines(); // a retry may have been put off
    if (embed_fd_ >= 0)
        update_alarm();
    return did;
}

void loop::stop() noexcept {
    // Seeing stop_, the loop's thread may end it before the nudge.
    const std::shared_ptr<detail::inbox> inbox = inbox_;
    stop_.store(true, std::memory_order_release);
    inbox->nudge();
}

bool loop::take_stop() noexcept {
    return stop_.load(std::memory_order_relaxed) &&
           stop_.exchange(false, std::memory_order_acquire);
}

bool loop::turn(bool may_wait) noexcept {
    detail::require(current_ == this, "a loop runs on the thread that made it");
    set_in_turn(true);
    // Running comes last: then the caller looks whether what it waits for has happened.
    wait(may_wait && ready_.empty());
    now_ = read_clock();
    posts_ = inbox_->drain();
    bool did = posts_ != 0;
    did |= expire();
    did |= run_ready();
    settle_deadlines();
    set_in_turn(false);
    return did;
}

void loop::set_in_turn(bool in_turn) noexcept {
    in_turn_ = in_turn;
    usual_ = in_turn || embed_fd_ < 0 ? static_cast<const void*>(inbox_.get()) : &embed_fd_;
}

bool loop::run_ready() noexcept {
    detail::trampoline& t = detail::current_trampoline;
    t.running = true;
    unsigned n = 0;
    // At the end of the loop, what begins in a turn is for the next one: so each of the farewell
    // turns is one chance for everyone, whoever refuses.
    const unsigned budget = ending_ ? ready_.size() : work_budget;
    for (; n < budget && !ready_.empty(); ++n) {
        detail::work& w = ready_.pop();
        detail::inline_budget = inline_budget_max;
        w.notify(w, event::run);
        while (t.next)
            std::exchange(t.next, {}).resume();
    }
    t.running = false;
    return n != 0;
}

// Durations begin at the end of the turn that asked for them: with one reading of the clock for
// all of them, none ends early. An operation that ended within its turn never met the wheel.
void loop::settle_deadlines() noexcept {
    if (timing_wheel::is_empty(fresh_))
        return;
    now_ = read_clock();
    wheel_.arm_all(fresh_, now_);
}

bool loop::expire() noexcept {
    wheel_.advance(now_);
    bool any = false;
    while (timing_node* node = wheel_.pop()) {
        auto& t = static_cast<detail::timer&>(*node);
        t.notify(t, event::expire);
        any = true;
    }
    return any;
}

// Where a post came, others often follow at once. To fall asleep between them would cost both
// threads more than to look again for a while. Each look takes what is looked at away from the one
// who posts: so in a flood there are few.
bool loop::more_posts() const noexcept {
    const unsigned pauses = posts_ >= flood ? pauses_in_flood : pauses_between_looks;
    for (unsigned n = 0; n < pauses_before_sleep; n += pauses) {
        for (unsigned i = 0; i < pauses; ++i)
            detail::brief_lock::pause();
        if (inbox_->pending())
            return true;
    }
    return false;
}

void loop::wait(bool may_wait) noexcept {
    if (!may_wait || (posts_ != 0 && more_posts())) {
        kernel_->wait(0);
        return;
    }
    if (options_.busy_poll.count() > 0) {
        const std::int64_t until =
            read_clock() + std::chrono::nanoseconds(options_.busy_poll).count();
        const std::int64_t next = std::min(until, wheel_.next_expiry());
        do {
            if (inbox_->pending()) // before the kernel is asked, which takes longer
                return;
            kernel_->wait(0);
            if (!ready_.empty())
                return;
        } while (read_clock() < next);
    }
    const std::int64_t next = wheel_.next_expiry();
    std::int64_t timeout = detail::forever;
    if (next != timing_wheel::never)
        timeout = std::max<std::int64_t>(next - read_clock(), 0);
    if (ending_) // for completions of cancels, not for what will never come
        timeout = std::min(timeout, farewell_wait);
    if (timeout > 0 && !inbox_->prepare_sleep())
        timeout = 0;
    kernel_->wait(timeout);
}

void loop::arm_relative(detail::timer& t) noexcept {
    touch();
    timing_wheel::disarm(t);
    timing_wheel::append(fresh_, t);
}

// ---- Computations -----------------------------------------------------------------------------

namespace {

void root_event(detail::work& w, event e) noexcept {
    auto& p = static_cast<detail::promise_base&>(w);
    if (e == event::run)
        p.handle().resume();
    else if (e == event::done)
        static_cast<loop*>(p.owner)->end_root(p);
}

} // namespace

void loop::begin_root(detail::promise_base& p) noexcept {
    p.ctx = &p.own;
    p.owner = this;
    p.notify = &root_event;
    roots_.insert(p);
    ready(p);
}

void loop::end_root(detail::promise_base& p) noexcept {
    roots_.remove(p);
    p.handle().destroy();
}

// ---- Operations -------------------------------------------------------------------------------

/// Returns false, as its caller does.
bool loop::start_deadline(operation& op) noexcept {
    if (op.when == timing::relative)
        arm_relative(op);
    else if (op.when == timing::absolute)
        arm_absolute(op);
    return false;
}

bool loop::begin_other(operation& op) noexcept {
    return begun(op, current_->kernel_->attempt_now(op));
}

void loop::go_on_other(operation& op) noexcept {
    gone_on(op, current_->kernel_->attempt_now(op));
}

bool loop::begin_waiting(operation& op, int why) noexcept {
    if (current_->wait_for(op, why)) [[likely]]
        return current_->suspend(op);
    op.state = phase::idle; // the kernel would not watch the descriptor: it has not begun
    return true;
}

bool loop::wait_for(operation& op, int why) noexcept {
    if (why == detail::backend::would_retry) {
        retry_later(op);
        return true;
    }
    if (why == detail::backend::would_yield) {
        op.state = phase::readied;
        ready_.push(op);
        return true;
    }
    if (why == detail::backend::would_hold) {
        op.state = phase::sleeping;
        return true;
    }
    op.state = phase::waiting;
    return kernel_->wait_for(op);
}

/// After another attempt has failed.
void loop::wait_on(operation& op, int why) noexcept {
    if (op.reason != errc{}) // it had its last chance
        current_->finish(op, detail::encode(op.reason));
    else if (!current_->wait_for(op, why))
        current_->finish(op, op.result);
}

bool loop::end_busy(operation& op) noexcept {
    op.result = detail::encode(errc::busy);
    return true;
}

// Through the queue: what ends at once again and again cannot hold the loop.
bool loop::end_later(operation& op, int result) noexcept {
    detail::inline_budget = inline_budget_max; // what goes on now is another coroutine
    op.result = result;
    op.state = phase::completed;
    op.ctx->leaf = &op;
    if (op.target != nullptr)
        ++op.target->references;
    current_->ready_.push(op);
    return false;
}

bool loop::begin_unusual(operation& op) noexcept {
    touch();
    descriptor* d = op.target;
    const bool immediate = op.when == timing::immediate ||
                           (op.when == timing::inherit && d != nullptr && d->timeout == 0);
    if (op.ctx->cancelled && !immediate)
        return end_later(op, detail::encode(errc::cancelled));
    if (op.code == detail::opcode::sleep) {
        if (op.when == timing::relative ? op.expiry <= 0 : op.expiry <= now_)
            return end_later(op, 0);
        op.state = phase::sleeping;
        op.ctx->leaf = &op;
        return start_deadline(op);
    }
    if (d == nullptr || d->closed) {
        op.result = detail::encode(errc::closed);
        return true;
    }
    if (d->home == nullptr)
        d->home = inbox_;
    detail::require(d->home == inbox_, "a socket belongs to the loop of its first operation");
    d->take_stock();
    if (d->slot(op.code) != nullptr)
        return end_busy(op);
    if (!immediate)
        return begin_other(op);
    op.when = timing::immediate;
    if (const int r = kernel_->attempt(op); r > detail::backend::would_wait)
        op.result = r; // else attempt() has left the errno that says so
    return true;
}

/// Runs the waiter of a sleep.
void loop::wake_up(operation& op) noexcept {
    op.ctx->leaf = nullptr;
    op.state = phase::idle;
    std::coroutine_handle<>::from_address(op.waiter).resume();
}

void loop::cancel(operation& op, errc reason) noexcept {
    touch();
    // A deadline that passes ends a sleep well.
    const int result =
        op.code == detail::opcode::sleep && reason == errc::timed_out ? 0 : detail::encode(reason);
    switch (op.state) {
    case phase::idle:
    case phase::completed:
    case phase::ended: return;
    case phase::cancelling:
    case phase::uncancelled:
        if (op.reason == errc{}) // it is only to try again
            op.reason = reason;
        return;
    case phase::readied: op.reason = reason; return; // it may still succeed; see go_on
    case phase::retrying: retries_.remove(op); [[fallthrough]];
    case phase::sleeping: finish(op, result); return;
    case phase::waiting:
    case phase::unsent:
        op.reason = reason;
        kernel_->cancel(op);
        return;
    }
}

// A result that nobody takes must not leak.
void loop::drop_result(operation& op) noexcept {
    if (op.code == detail::opcode::accept && op.result >= 0)
        kernel_->close_at_once(op.result, op.target->lingers);
    else if (op.code == detail::opcode::recv_lease && op.result > 0)
        kernel_->leases().take_back(static_cast<std::uint16_t>(op.extra));
    else if (op.code == detail::opcode::recv_msg && op.result >= 0) {
        const auto& message = static_cast<const detail::message_operation&>(op);
        kernel_->close_passed(message.control, message.control_size);
    } else if (op.code == detail::opcode::recv_many) {
        const auto* batch = static_cast<const mmsghdr*>(op.data);
        for (int i = 0; i < op.result; ++i)
            kernel_->close_passed(batch[i].msg_hdr.msg_control, batch[i].msg_hdr.msg_controllen);
    }
}

void loop::forget(operation& op) noexcept {
    if (op.state == phase::completed)
        drop_result(op);
    else if (op.target != nullptr)
        detach(op);
    op.ctx->leaf = nullptr;
    op.result = detail::encode(errc::broken);
    op.state = phase::ended;
}

void loop::abandon(operation& op) noexcept {
    const bool pending = op.state != phase::completed;
    cancel(op, errc::cancelled);
    while (op.state == phase::cancelling || op.state == phase::uncancelled)
        kernel_->wait(detail::forever);
    ready_.remove(op);
    if (pending && op.state == phase::completed)
        drop_result(op); // it was faster than its cancel; the derived destructor has run before
    if (op.state == phase::readied)
        detach(op);
    op.ctx->leaf = nullptr;
    op.state = phase::ended;
}

void loop::retry_later(operation& op) noexcept {
    op.state = phase::retrying;
    retries_.push(op);
    if (!retry_.armed()) {
        retry_.expiry = retry_delay_;
        arm_relative(retry_);
    }
}

void loop::rouse(operation& op) noexcept {
    if (op.state != phase::sleeping)
        return;
    op.state = phase::readied;
    ready(op);
}

void loop::retry_soon() noexcept {
    if (retries_.empty())
        return;
    retry_.expiry = 0;
    arm_relative(retry_);
}

void loop::retry_all() noexcept {
    detail::work_queue tries;
    while (!retries_.empty())
        tries.push(retries_.pop());
    bool succeeded = false;
    retry_delay_ = std::min(2 * retry_delay_, retry_delay_max);
    while (!tries.empty()) {
        auto& op = static_cast<operation&>(tries.pop());
        const int r = kernel_->attempt_now(op);
        if (r > detail::backend::would_wait)
            finish(op, r);
        else
            wait_on(op, r);
        succeeded |= op.state != phase::retrying;
    }
    if (succeeded)
        retry_delay_ = retry_delay_min;
}

// ---- Descriptors ------------------------------------------------------------------------------

void loop::close(descriptor& d) noexcept {
    touch();
    d.closed = true;
    d.take_stock();
    for (operation* op : {d.pending[0], d.pending[1]})
        if (op != nullptr)
            cancel(*op, errc::closed);
    close_when_idle(d);
}

void loop::close_when_idle(descriptor& d) noexcept {
    if (!d.idle() || d.fd < 0)
        return;
    current_->kernel_->forget(d);
    current_->kernel_->close_at_once(std::exchange(d.fd, -1), d.lingers);
    current_->retry_soon(); // what waits for a free descriptor
}

int loop::release(descriptor& d) noexcept {
    if (!d.idle())
        return detail::encode(errc::busy);
    kernel_->forget(d);
    d.closed = true;
    d.take_stock();
    return std::exchange(d.fd, -1);
}

void loop::release_reference(descriptor& d) noexcept {
    if (--d.references != 0)
        return;
    d.~descriptor();
    detail::frame_pool::deallocate(&d, sizeof d);
}

// ---- In a foreign loop ------------------------------------------------------------------------

int loop::fileno() {
    if (embed_fd_ >= 0)
        return embed_fd_;
    const auto check = [](int result, const char* what) {
        if (result < 0)
            throw error({errno, std::system_category()}, what);
        return result;
    };
    if (alarm_fd_ < 0)
        alarm_fd_ = check(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                          "loop::fileno: timerfd_create");
    const int fd = check(epoll_create1(EPOLL_CLOEXEC), "loop::fileno: epoll_create1");
    epoll_event e{};
    e.events = EPOLLIN;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, alarm_fd_, &e) != 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, kernel_->pollable_fd(), &e) != 0) {
        const int reason = errno;
        ::close(fd);
        throw error({reason, std::system_category()}, "loop::fileno: epoll_ctl");
    }
    embed_fd_ = fd;
    settle_deadlines();
    kernel_->wait(0);
    update_alarm();
    return embed_fd_;
}

void loop::alarm_now() noexcept {
    alarm_ = 1; // long past
    const itimerspec spec{{}, {0, 1}};
    timerfd_settime(alarm_fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

// Sets the timer to the moment when poll() has something to do again.
void loop::update_alarm() noexcept {
    std::int64_t next = wheel_.next_expiry();
    if (!ready_.empty() || !inbox_->prepare_sleep())
        next = 1; // long past: at once
    if (next == alarm_ && next > now_)
        return;
    alarm_ = next;
    itimerspec spec{};
    if (next != timing_wheel::never) {
        spec.it_value.tv_sec = next / 1'000'000'000;
        spec.it_value.tv_nsec = next % 1'000'000'000;
    }
    timerfd_settime(alarm_fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

} // namespace gyre
