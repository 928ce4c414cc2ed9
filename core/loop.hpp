#pragma once

#include <gyre/core/backend_choice.hpp>
#include <gyre/core/clock.hpp>
#include <gyre/core/frame_pool.hpp>
#include <gyre/core/future.hpp>
#include <gyre/core/inbox.hpp>
#include <gyre/core/task.hpp>
#include <gyre/core/timing_wheel.hpp>
#include <gyre/core/work.hpp>

#include <atomic>
#include <chrono>
#include <memory>

namespace gyre {

namespace detail {
class backend;
struct descriptor;
class operation;
} // namespace detail

struct loop_options {
    backend_kind backend = backend_kind::automatic;

    /// Before it sleeps, a loop with nothing to do keeps looking for this long. Waking an idle core
    /// costs 15 to 30 us; this trades a processor's time for that. 0: never.
    std::chrono::microseconds busy_poll{0};

    /// Memory that `recv()` without a buffer lends: `lease_count` (a power of two up to 32768)
    /// buffers of `lease_size` bytes, made at the first use. With all of them lent, receivers wait.
    std::size_t lease_size = std::size_t{16} << 10;
    std::size_t lease_count = 256;
};

/// An event loop, for the thread that constructs it.
///
/// Everything that it runs (tasks, callbacks of futures, posted callables) runs on that thread, one
/// at a time. Only post, start, stop and the futures may be used from other threads. A thread has
/// one loop at a time; a second is a broken contract.
///
/// Destroying a loop asks what is left of its computations to end (errc::cancelled), runs until
/// they have, and waits for the kernel to let go of every buffer. A computation that refuses to end
/// is destroyed where it waits. Futures that are left get ready with errc::broken.
///
/// A coroutine of another library is its owner's, not the loop's, and may outlive it. The loop lets
/// go of whatever such a coroutine still waits for, and never resumes it; its frame may be
/// destroyed at any time after that, on any thread.
class loop {
public:
    /// Throws gyre::error: no descriptors or memory left; a backend that was asked for by name and
    /// cannot be had (the message says why); GYRE_BACKEND with an unknown name.
    explicit loop(loop_options options = {});
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    /// The loop of this thread, or nullptr.
    static loop* current() noexcept { return current_; }

    /// Runs until stop(); one that came before run() counts.
    void run();

    /// Runs until the task (or operation) has ended, and gives its result or rethrows its failure.
    /// When stop() comes first, throws gyre::error (errc::broken); the task goes on in the next
    /// run.
    template <class Awaitable>
    detail::await_result_t<Awaitable> run(Awaitable a);

    /// Runs until the future, of this loop or of another, is ready: then get() does not wait. False
    /// when stop() came first.
    template <class T>
    bool run_until(const future<T>& f) {
        return run_until(f.state());
    }

    /// One turn: does what can be done now, and returns without waiting. True when there was
    /// something. This is the call for a foreign loop that watches fileno().
    bool poll();

    /// A descriptor that is readable when poll() has something to do: I/O, a deadline, a post. It
    /// belongs to the loop. Once asked for, it costs a system call in turns that change the next
    /// deadline. Throws gyre::error when there are no descriptors left.
    int fileno();

    /// Ends run() after the present turn. From any thread.
    void stop() noexcept;

    /// Runs `f()` on the loop's thread, in the order of the posts of one thread. From any thread.
    /// `f` may be move-only. An exception that leaves it ends the process, as from a thread. A
    /// loop that is destroyed runs `f` or destroys it without having run.
    template <class F>
    void post(F f);

    /// Starts a task or an operation. From any thread. The future may be dropped: then the
    /// computation runs on by itself, and a failure of it is dropped, too.
    template <class Awaitable>
    auto start(Awaitable a) {
        return detail::start_on(inbox_, std::move(a));
    }

    /// The time at the start of this turn: cheap, and the same for all that happens in a turn.
    clock::time_point now() const noexcept {
        return clock::time_point(std::chrono::nanoseconds(now_));
    }

    /// epoll or io_uring.
    backend_kind backend() const noexcept { return kind_; }

    // What follows is for the library itself; all of it on the loop's thread.

    /// Queues `w`: its notify(run) comes in this turn or the next.
    void ready(detail::work& w) noexcept {
        ready_.push(w);
        touch();
    }
    void unready(detail::work& w) noexcept { ready_.remove(w); }
    /// The same from within a turn: what the backend's wait() found.
    void enqueue(detail::work& w) noexcept { ready_.push(w); }

    /// Starts a computation that the loop owns.
    void begin_root(detail::promise_base& p) noexcept;
    void end_root(detail::promise_base& p) noexcept;

    /// The deadline `t.expiry` begins: a duration from the end of this turn, or a point in time.
    void arm_relative(detail::timer& t) noexcept;
    void arm_absolute(detail::timer& t) noexcept { wheel_.arm(t, t.expiry); }

    /// The life of an operation: begin, then finish (by the backend, or here), then its waiter
    /// runs; in between, cancel asks for an early end. go_on: it may have what it waited for.
    template <class Kernel>
    bool begin(Kernel& kernel, detail::operation& op) noexcept;
    template <class Kernel>
    void go_on(Kernel& kernel, detail::operation& op) noexcept;
    void finish(detail::operation& op, int result) noexcept;
    static void resume(detail::operation& op) noexcept;
    static void wake_up(detail::operation& op) noexcept;
    void cancel(detail::operation& op, errc reason) noexcept;
    void abandon(detail::operation& op) noexcept;
    void forget(detail::operation& op) noexcept;
    /// Tries again after a while: 1 ms, doubling up to 64 ms while no try of any succeeds.
    void retry_later(detail::operation& op) noexcept;
    /// What other threads did for it is done: it tries again when its turn comes.
    void rouse(detail::operation& op) noexcept;
    /// Something came free that a retry may have waited for.
    void retry_soon() noexcept;
    /// Closes the descriptor when what is pending on it has ended.
    void close(detail::descriptor& d) noexcept;
    /// Takes the fd out of the loop, open; errc::busy (encoded) while an operation is pending.
    int release(detail::descriptor& d) noexcept;

    detail::backend& kernel() noexcept { return *kernel_; }
    const loop_options& options() const noexcept { return options_; }
    const std::shared_ptr<detail::inbox>& shared_inbox() const noexcept { return inbox_; }

    static void release_reference(detail::descriptor& d) noexcept;

private:
    struct retry_timer : detail::timer {
        explicit retry_timer(loop& l) noexcept;
        loop& owner;
    };

    friend class loop_thread;

    /// What the destructor does first. From then on nothing runs any more; post and start are
    /// refused.
    void end() noexcept;
    bool run_until(detail::future_base& f);
    bool turn(bool may_wait) noexcept;
    bool run_ready() noexcept;
    void settle_deadlines() noexcept;
    bool expire() noexcept;
    bool more_posts() const noexcept;
    void wait(bool may_wait) noexcept;
    bool take_stop() noexcept;
    void retry_all() noexcept;
    void update_alarm() noexcept;
    /// Lets a foreign loop know of work that began outside of poll().
    void touch() noexcept {
        if (embed_fd_ >= 0 && !in_turn_ && alarm_ != 1)
            alarm_now();
    }
    void alarm_now() noexcept;
    /// Outside of poll() in a foreign loop, every operation is to be looked at, for touch().
    void set_in_turn(bool in_turn) noexcept;
    // Behind tail calls of begin: static, so that no register has to hold the loop.
    static bool begin_other(detail::operation& op) noexcept;
    static bool begun(detail::operation& op, int result) noexcept;
    static bool begin_waiting(detail::operation& op, int why) noexcept;
    static bool end_later(detail::operation& op, int result) noexcept;
    static bool end_busy(detail::operation& op) noexcept;
    static void go_on_other(detail::operation& op) noexcept;
    static void gone_on(detail::operation& op, int result) noexcept;
    static void wait_on(detail::operation& op, int why) noexcept;
    static void close_when_idle(detail::descriptor& d) noexcept;

    bool begin_unusual(detail::operation& op) noexcept;
    bool suspend(detail::operation& op) noexcept;
    bool start_deadline(detail::operation& op) noexcept;
    bool wait_for(detail::operation& op, int why) noexcept;
    static void detach(detail::operation& op) noexcept;
    void drop_result(detail::operation& op) noexcept;
    void forget_all() noexcept;

    static constinit thread_local loop* current_;

    detail::frame_pool pool_;
    loop_options options_;
    backend_kind kind_;
    detail::work_queue ready_;
    const void* usual_ = nullptr; ///< what descriptor::usual is compared with: the inbox, or nobody
    std::int64_t now_;
    timing_wheel wheel_;
    timing_node fresh_; // deadlines of this turn, durations still
    detail::promise_list roots_;
    detail::work_queue retries_;
    retry_timer retry_;
    std::int64_t retry_delay_;
    std::unique_ptr<detail::backend> kernel_;
    std::shared_ptr<detail::inbox> inbox_;
    std::atomic<bool> stop_ = false;
    unsigned posts_ = 0; ///< of other threads, that the last turn ran
    bool in_turn_ = false;
    bool ending_ = false;
    int embed_fd_ = -1;
    int alarm_fd_ = -1;
    std::int64_t alarm_ = detail::forever;
};

namespace detail {

template <class F>
struct posted : work {
    explicit posted(F f) : work(&on_event), callable(std::move(f)) {}
    static void on_event(work& w, event e) noexcept {
        auto& self = static_cast<posted&>(w);
        F f(std::move(self.callable));
        self.~posted();
        frame_pool::deallocate(&self, sizeof self);
        if (e == event::run)
            f();
    }
    F callable;
};

} // namespace detail

template <class F>
void loop::post(F f) {
    if (current_ != this) {
        inbox_->post(std::move(f));
        return;
    }
    using node = detail::posted<F>;
    static_assert(alignof(node) <= alignof(std::max_align_t));
    ready(*new (detail::frame_pool::allocate(sizeof(node))) node(std::move(f)));
}

template <class Awaitable>
detail::await_result_t<Awaitable> loop::run(Awaitable a) {
    auto f = start(std::move(a));
    if (!run_until(f))
        throw error(errc::broken, "the loop was stopped before the task ended");
    return f.get();
}

} // namespace gyre
