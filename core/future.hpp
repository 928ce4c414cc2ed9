#pragma once

#include <gyre/core/assert.hpp>
#include <gyre/core/clock.hpp>
#include <gyre/core/inbox.hpp>
#include <gyre/core/task.hpp>

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

namespace gyre {

class loop;

template <class T = void>
class future;

namespace detail {

template <class A>
decltype(auto) awaiter_of(A&& a) {
    if constexpr (requires { std::forward<A>(a).operator co_await(); })
        return std::forward<A>(a).operator co_await();
    else
        return std::forward<A>(a);
}

/// What co_await gives for an awaitable that is moved into place.
template <class A>
using await_result_t = decltype(awaiter_of(std::declval<A>()).await_resume());

/// What stands for a result among others: std::monostate for void.
template <class T>
using given_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// How a result is kept: that, and a reference as a pointer.
template <class T>
using storable_t =
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, given_t<T>>;

/// Gives a result that was kept.
template <class T>
given_t<T> give(storable_t<T>& kept) {
    if constexpr (std::is_reference_v<T>)
        return *kept;
    else
        return std::move(kept);
}

/// A coroutine that waits for a future, seen from the future. The coroutine may go before the news
/// reaches its loop, and the loop before the coroutine: so it is shared by all three.
struct future_waiter {
    std::shared_ptr<future_waiter> next;
    std::shared_ptr<inbox> home; ///< of the awaiting loop
    work* awaiting = nullptr;    ///< read and written on that loop's thread only
};

/// What future and computation share. Result and failure are written before `ready_`, under the
/// mutex, and only read after it.
class future_base {
public:
    explicit future_base(std::shared_ptr<inbox> home) noexcept : home_(std::move(home)) {}
    virtual ~future_base() = default;

    bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
    void wait() noexcept;
    bool wait_until(clock::time_point t) noexcept;
    void cancel(std::shared_ptr<future_base> self) noexcept;

    /// Publishes what was written into the result.
    void complete() noexcept;
    void fail(std::exception_ptr e) noexcept {
        failure = std::move(e);
        complete();
    }

    /// False when it is ready already.
    bool add(const std::shared_ptr<future_waiter>& w) noexcept;
    /// False when it is no longer in the list: the news is on its way.
    bool remove(const std::shared_ptr<future_waiter>& w) noexcept;

    promise_base* computation = nullptr; ///< its loop's thread only; nullptr once it has ended
    std::exception_ptr failure;

    const std::shared_ptr<inbox>& home() const noexcept { return home_; }

private:
    std::shared_ptr<inbox> home_;
    std::atomic<bool> ready_ = false;
    std::mutex mutex_;
    std::condition_variable completed_;
    std::shared_ptr<future_waiter> waiters_;
};

template <class T>
class future_state final : public future_base {
public:
    using future_base::future_base;
    std::optional<storable_t<T>> value;
    bool taken = false; ///< the thread of the future's handle only

    T take() {
        require(!taken, used_up);
        taken = true;
        if (failure)
            std::rethrow_exception(std::move(failure));
        if constexpr (!std::is_void_v<T>)
            return give<T>(*value);
    }

    static constexpr char used_up[] =
        "a future gives its result once, and is of no use after that, nor after it was moved from";
};

/// The computation's end of a future: whatever becomes of the computation, the future gets ready.
template <class T>
class fulfilment {
public:
    explicit fulfilment(std::shared_ptr<future_state<T>> s) noexcept : state(std::move(s)) {}
    fulfilment(fulfilment&&) noexcept = default;
    ~fulfilment() {
        if (!state)
            return;
        state->computation = nullptr;
        if (!state->ready())
            state->fail(std::make_exception_ptr(error(errc::broken, "future")));
    }
    std::shared_ptr<future_state<T>> state;
};

template <class T, class Awaitable>
task<> fulfil(fulfilment<T> to, Awaitable a) {
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(a);
            to.state->value.emplace();
        } else if constexpr (std::is_reference_v<T>) {
            to.state->value.emplace(std::addressof(co_await std::move(a)));
        } else {
            to.state->value.emplace(co_await std::move(a));
        }
    } catch (...) {
        to.state->failure = std::current_exception();
    }
    to.state->computation = nullptr;
    to.state->complete();
}

/// The part of `co_await future` that does not depend on its type.
class future_awaiter : public work {
public:
    future_awaiter(std::shared_ptr<future_base> s) noexcept
        : work(&on_event), state_(std::move(s)) {}
    future_awaiter(future_awaiter&&) = delete;
    ~future_awaiter();

    bool await_ready() const noexcept { return state_->ready(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return begin(awaiting, context_of(awaiting));
    }

protected:
    /// Throws errc::cancelled when the await, not the computation, was cancelled.
    void check();

private:
    bool begin(std::coroutine_handle<> awaiting, context& of);
    static void on_event(work& w, event e) noexcept;

    std::shared_ptr<future_base> state_;
    std::shared_ptr<future_waiter> waiter_; // while there is something to wait for
    std::coroutine_handle<> awaiting_;
    context* ctx_ = nullptr;
    bool cancelled_ = false;
    bool queued_ = false;
};

} // namespace detail

/// A computation that was started, and can be waited for from anywhere: the only handle of it. It
/// may move to other threads, and is for one thread at a time.
///
/// Its result is given once, by get(), co_await or then(). That uses the future up: like one that
/// was moved from, it may then only be asked whether it is valid(), assigned to, and destroyed; all
/// else is a broken contract. What only waits (wait_for, a get() on the way to its result, a
/// co_await that was cancelled) leaves it as it was.
///
/// Dropping it lets the computation run on. When the loop ends first, the future gets ready with
/// gyre::error (errc::broken): waiting never hangs. It may outlive its loop.
///
/// An lvalue is awaited in place, and is still there when the await is cancelled; all, race and
/// with_timeout take a future over. To give the wait alone a deadline, await it in a task:
///
///     const auto wait = [&]() -> gyre::task<int> { co_return co_await f; };
///     co_await gyre::with_timeout(1s, wait());
template <class T>
class [[nodiscard]] future {
public:
    using value_type = T;

    future(future&& other) noexcept = default;
    future& operator=(future&& other) noexcept = default;

    /// Whether it still has a result to give, now or later.
    bool valid() const noexcept { return state_ != nullptr && !state_->taken; }

    bool ready() const noexcept { return state().ready(); }

    /// Waits, blocking the thread, then gives the result or rethrows the failure. On the thread of
    /// the loop that has to produce the result this would never end, and is a broken contract:
    /// co_await it there.
    T get() {
        state().wait();
        return state().take();
    }

    /// Waits at most this long; whether it is ready.
    template <class Rep, class Period>
    bool wait_for(std::chrono::duration<Rep, Period> d) const {
        const std::int64_t ns = detail::ceil_nanoseconds(d);
        const std::int64_t now = clock::now().time_since_epoch().count();
        return wait_until(
            clock::time_point(std::chrono::nanoseconds(detail::add_saturated(now, ns))));
    }
    bool wait_until(clock::time_point t) const { return state().wait_until(t); }

    /// Asks the computation to end; it ends with errc::cancelled, or with what it had achieved.
    void cancel() noexcept { state().cancel(state_); }

    /// Runs `f(result)` on the computation's loop once the result is there, and gives a future of
    /// what `f` returns. A failure skips `f` and goes on to that future. Uses this future up.
    template <class F>
    auto then(F f) &&;
    template <class F>
    auto then(F f) & {
        return std::move(*this).then(std::move(f));
    }

    /// Waits without blocking, in a coroutine of any loop. Cancelling the wait leaves the
    /// computation running, and the result to be had.
    auto operator co_await() noexcept {
        (void)state();
        return awaiter{state_};
    }

    explicit future(std::shared_ptr<detail::future_state<T>> state) noexcept
        : state_(std::move(state)) {}

private:
    friend class loop;

    detail::future_state<T>& state() const noexcept {
        detail::require(valid(), detail::future_state<T>::used_up);
        return *state_;
    }

    struct awaiter : detail::future_awaiter {
        explicit awaiter(std::shared_ptr<detail::future_state<T>> s) noexcept
            : future_awaiter(s), typed(std::move(s)) {}
        T await_resume() {
            this->check();
            return typed->take();
        }
        std::shared_ptr<detail::future_state<T>> typed;
    };

    std::shared_ptr<detail::future_state<T>> state_;
};

namespace detail {

/// A computation on its way to its loop. When it never gets there, its frame goes with this.
class unstarted {
public:
    explicit unstarted(task<> t) noexcept : task_(std::move(t)) {}
    /// On the loop's thread. From then on `f` can cancel it.
    void begin(future_base& f) noexcept;

private:
    task<> task_;
};

/// Starts an awaitable on the loop of `home`, from any thread.
template <class Awaitable>
auto start_on(const std::shared_ptr<inbox>& home, Awaitable a) {
    using T = await_result_t<Awaitable>;
    auto state = std::make_shared<future_state<T>>(home);
    home->post([state, first = unstarted(fulfil<T>(fulfilment<T>(state), std::move(a)))]() mutable {
        first.begin(*state);
    });
    return future<T>(std::move(state));
}

template <class T, class F>
auto chain(future<T> f, F g) -> task<typename decltype([] {
    if constexpr (std::is_void_v<T>)
        return std::type_identity<std::invoke_result_t<F>>{};
    else
        return std::type_identity<std::invoke_result_t<F, T>>{};
}())::type> {
    if constexpr (std::is_void_v<T>) {
        co_await std::move(f);
        co_return std::move(g)();
    } else {
        co_return std::move(g)(co_await std::move(f));
    }
}

} // namespace detail

template <class T>
template <class F>
auto future<T>::then(F f) && {
    std::shared_ptr<detail::inbox> home = state().home();
    return detail::start_on(home, detail::chain(std::move(*this), std::move(f)));
}

} // namespace gyre
