#pragma once

#include <gyre/core/assert.hpp>
#include <gyre/core/frame_pool.hpp>
#include <gyre/core/work.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace gyre {

template <class T = void>
class task;

namespace detail {

/// What a chain of awaits shares, so that cancelling the chain reaches the one thing that it waits
/// for at the bottom: a computation's task, the tasks that this one awaits, and so on down.
struct context {
    work* leaf = nullptr;   ///< what the chain waits for; nullptr while it runs
    bool cancelled = false; ///< stays set: from then on every operation ends with `cancelled`

    /// Asks the chain to end. It ends when the operation it waits for has ended.
    void cancel() noexcept {
        cancelled = true;
        if (leaf != nullptr)
            leaf->notify(*leaf, event::cancel);
    }
};

/// Where a coroutine that is not gyre's (and so cannot be cancelled) keeps its leaf.
extern constinit thread_local context foreign_context;

/// Builds without tail calls grow the stack at every symmetric transfer. There, the loop that
/// dispatches the work goes on with `next` when the stack has unwound to it.
struct trampoline {
    std::coroutine_handle<> next;
    bool running = false;
};
extern constinit thread_local trampoline current_trampoline;

inline std::coroutine_handle<> transfer(std::coroutine_handle<> to) noexcept {
#if !defined(__OPTIMIZE__) || defined(GYRE_SANITIZED)
    trampoline& t = current_trampoline;
    if (t.running && !t.next) {
        t.next = to;
        return std::noop_coroutine();
    }
#endif
    return to;
}

/// The part of a task's promise that does not depend on its result. A promise is also the node of
/// its computation when the task was started (by a group, a future or the loop) and not awaited.
struct promise_base : work {
    promise_base() noexcept : work(nullptr) {}
#if !defined(__OPTIMIZE__) || defined(GYRE_SANITIZED)
    ~promise_base() { // about to begin, where a coroutine that is not gyre's is destroyed at once
        if (current_trampoline.next.address() == handle().address())
            current_trampoline.next = {};
    }
#endif

    static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        frame_pool::deallocate(memory, size);
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { failure = std::current_exception(); }

    /// Awaited: go on with the awaiting coroutine. Started: tell the owner, who may destroy this.
    std::coroutine_handle<> finish() noexcept {
        if (ctx != &own)
            return transfer(continuation);
        notify(*this, event::done);
        return std::noop_coroutine();
    }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) noexcept {
            return h.promise().finish();
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }

    /// The frame of any promise that derives from this. A frame begins with two pointers and then,
    /// where the alignment of the promise is at most theirs together, the promise.
    std::coroutine_handle<> handle() noexcept {
        return std::coroutine_handle<promise_base>::from_promise(*this);
    }

    context* ctx = nullptr; ///< &own for a computation that was started
    union {
        std::coroutine_handle<> continuation; ///< awaited: who awaits
        void* owner;                          ///< started: whom `notify` is about
    };
    context own;
    promise_base* previous = nullptr; ///< started: the owner's list
    promise_base* following = nullptr;
    std::exception_ptr failure;
};

/// The computations of one owner, in no particular order.
class promise_list {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    promise_base* first() const noexcept { return first_; }

    void insert(promise_base& p) noexcept {
        p.previous = nullptr;
        p.following = first_;
        if (first_ != nullptr)
            first_->previous = &p;
        first_ = &p;
    }

    void remove(promise_base& p) noexcept {
        if (p.following != nullptr)
            p.following->previous = p.previous;
        (p.previous != nullptr ? p.previous->following : first_) = p.following;
    }

    /// Asks every computation to end. None ends before this returns: ends come from the loop.
    void cancel() noexcept {
        for (promise_base* p = first_; p != nullptr; p = p->following)
            p->own.cancel();
    }

private:
    promise_base* first_ = nullptr;
};

template <class T>
struct promise : promise_base {
    task<T> get_return_object() noexcept;

    template <class U = T>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& value) {
        result.emplace(std::forward<U>(value));
    }

    T take() {
        if (failure)
            std::rethrow_exception(std::move(failure));
        return std::move(*result);
    }

    std::optional<T> result;
};

template <class T>
struct promise<T&> : promise_base {
    task<T&> get_return_object() noexcept;
    void return_value(T& value) noexcept { result = &value; }

    T& take() {
        if (failure)
            std::rethrow_exception(std::move(failure));
        return *result;
    }

    T* result = nullptr;
};

template <>
struct promise<void> : promise_base {
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}

    void take() {
        if (failure)
            std::rethrow_exception(std::move(failure));
    }
};

/// The context of an awaiting coroutine of any type.
template <class Promise>
context& context_of(std::coroutine_handle<Promise> h) noexcept {
    if constexpr (std::is_base_of_v<promise_base, Promise>)
        return *h.promise().ctx;
    else
        return foreign_context;
}

} // namespace detail

/// A lazy coroutine: nothing runs before it is awaited or started, once.
///
///     gyre::task<int> twice(gyre::socket& s) { ... co_return 2 * n; }
///     int n = co_await twice(s);           // or group.spawn(...), loop.start(...), gyre::run(...)
///
/// It runs on the thread of the loop that awaits or starts it. Awaiting gives its result or
/// rethrows its exception. An awaited task belongs to the awaiting chain: cancelling that chain
/// reaches the operation that the task waits for, which then throws gyre::error (errc::cancelled).
/// Destroying a task that never ran destroys its arguments; destroying one that waits first
/// withdraws the operation it waits for and waits for the kernel to let go of it.
template <class T>
class [[nodiscard]] task {
public:
    using promise_type = detail::promise<T>;
    using value_type = T;

    task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    task& operator=(task&& other) noexcept {
        task old(std::exchange(frame_, std::exchange(other.frame_, {})));
        return *this;
    }
    ~task() {
        if (frame_)
            frame_.destroy();
    }

    auto operator co_await() const noexcept {
        detail::require(bool(frame_) && frame_.promise().ctx == nullptr,
                        "a task is awaited once, and not after it was moved from");
        return awaiter{frame_};
    }

    /// Gives up the frame, for what starts computations.
    std::coroutine_handle<promise_type> release() noexcept {
        detail::require(bool(frame_) && frame_.promise().ctx == nullptr,
                        "a task is started once, and not after it was awaited or moved from");
        return std::exchange(frame_, {});
    }

private:
    struct awaiter {
        std::coroutine_handle<promise_type> frame;

        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
            frame.promise().ctx = &detail::context_of(awaiting);
            frame.promise().continuation = awaiting;
            return detail::transfer(frame);
        }
        T await_resume() { return frame.promise().take(); }
    };

    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {
        static_assert(alignof(promise_type) <= 2 * sizeof(void*),
                      "task<T>: an over-aligned T cannot be returned; return it by pointer");
    }

    std::coroutine_handle<promise_type> frame_;
};

template <class T>
task<T> detail::promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
template <class T>
task<T&> detail::promise<T&>::get_return_object() noexcept {
    return task<T&>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> detail::promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

} // namespace gyre
