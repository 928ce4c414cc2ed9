#pragma once

#include <gyre/core/as_result.hpp>
#include <gyre/core/future.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/task.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace gyre {

/// Children that run at the same time, and end before the place in the code that they belong to:
/// see with_group. One thread, that of its loop.
class task_group : detail::work {
public:
    /// Starts a child in this turn of the loop or the next. What it returns is dropped; the first
    /// exception that leaves a child cancels the others, and with_group throws it.
    template <class T>
    void spawn(task<T> child) {
        adopt(child.release().promise());
    }

    /// Asks all children, and the body, to end. That they then end with errc::cancelled is no
    /// error. Children spawned later are asked at once.
    void cancel() noexcept;

    /// Children that have not ended, without the body.
    std::size_t size() const noexcept { return size_ - (body_ != nullptr ? 1 : 0); }

    // For with_group, all, race and with_timeout.

    task_group() noexcept : work(&on_event) {}
    /// Before it starts, an awaitable that is a group may move.
    task_group(task_group&& other) noexcept : work(&on_event), ends_(other.ends_) {}
    task_group& operator=(task_group&&) = delete;
    ~task_group();

protected:
    /// How the group ends, for those that differ from with_group.
    enum class policy : unsigned char {
        all,   ///< when every child has ended; a failure cancels the rest
        first, ///< the first child to end cancels the rest
    };

    void adopt(detail::promise_base& child) noexcept;
    /// Suspends `awaiting` until every child has ended. There must be one.
    void join(std::coroutine_handle<> awaiting, detail::context& of) noexcept;
    /// Whether the awaiting chain was cancelled from outside.
    bool cancelled_from_outside() const noexcept { return ctx_ != nullptr && ctx_->cancelled; }
    /// The first failure that counts, or nothing.
    std::exception_ptr failure() noexcept { return std::move(failure_); }

    /// Whether a child ended because it was asked to.
    bool cut_short() const noexcept { return cut_short_; }
    /// That child which is not counted: the body of with_group.
    detail::promise_base* body_ = nullptr;

    /// The first child that ended well, if any; to be compared only.
    detail::promise_base* first_ = nullptr;

    policy ends_ = policy::all;

private:
    static void on_event(detail::work& w, detail::event e) noexcept;
    static void on_child(detail::work& w, detail::event e) noexcept;
    void child_done(detail::promise_base& child) noexcept;

    detail::promise_list children_;
    std::size_t size_ = 0;
    std::coroutine_handle<> awaiting_;
    detail::context* ctx_ = nullptr;
    std::exception_ptr failure_;
    bool cancelled_ = false;
    bool cut_short_ = false;
    bool queued_ = false;
};

namespace detail {

/// What an exception-free g++ 12 needs to be told: it destroys a temporary closure with captures
/// by value twice when that stands inside a co_await expression.
template <class F>
consteval void check_closure() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    static_assert(std::is_lvalue_reference_v<F> ||
                      std::is_trivially_destructible_v<std::remove_cvref_t<F>>,
                  "g++ 12 destroys this temporary lambda twice: capture by reference, or name the "
                  "lambda first and pass its name");
#endif
}

/// An operation that throws when it fails.
template <class Awaitable>
concept throwing_operation =
    has_outcome<Awaitable> && !noexcept(std::declval<Awaitable&>().await_resume());

/// Awaits an operation for keep(). That it was cancelled becomes the child's failure without having
/// been thrown: the sleep that loses a race to data is no exception, and must not cost one.
template <throwing_operation Operation>
class cancelled_quietly {
public:
    explicit cancelled_quietly(Operation&& o) : inner_(std::move(o)) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> child) noexcept(
        noexcept(inner_.await_ready()) && noexcept(inner_.await_suspend(child))) {
        failure_ = &child.promise().failure;
        if constexpr (std::is_same_v<decltype(inner_.await_suspend(child)), bool>)
            return !inner_.await_ready() && inner_.await_suspend(child);
        else
            return inner_.await_ready() ? transfer(child) : inner_.await_suspend(child);
    }
    std::optional<storable_t<await_result_t<Operation>>> await_resume() {
        auto outcome = inner_.outcome();
        if (outcome) {
            if constexpr (std::is_void_v<await_result_t<Operation>>)
                return std::monostate();
            else
                return std::move(*outcome);
        }
        if (outcome.error() == errc::cancelled)
            *failure_ = cancellation();
        else
            inner_.await_resume(); // throws
        return std::nullopt;
    }

private:
    Operation inner_;
    std::exception_ptr* failure_ = nullptr;
};

/// Runs an awaitable as a child and keeps its result.
template <class T, class Awaitable>
task<> keep(std::optional<storable_t<T>>& result, Awaitable a) {
    if constexpr (throwing_operation<Awaitable>) {
        if (auto value = co_await cancelled_quietly<Awaitable>(std::move(a)))
            result.emplace(std::move(*value));
    } else if constexpr (std::is_void_v<T>) {
        co_await std::move(a);
        result.emplace();
    } else if constexpr (std::is_reference_v<T>) {
        result.emplace(std::addressof(co_await std::move(a)));
    } else {
        result.emplace(co_await std::move(a));
    }
}

template <class T, class F>
class with_group_awaiter : task_group {
public:
    explicit with_group_awaiter(F&& f) : function_(std::forward<F>(f)) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) {
        auto body = keep<T>(result_, function_(static_cast<task_group&>(*this)));
        body_ = &body.release().promise();
        adopt(*body_);
        join(awaiting, context_of(awaiting));
    }
    T await_resume() {
        if (std::exception_ptr e = failure())
            std::rethrow_exception(std::move(e));
        if (cut_short() && cancelled_from_outside())
            throw error(errc::cancelled, "with_group");
        if constexpr (std::is_void_v<T>) {
            if (!result_ && cancelled_from_outside())
                throw error(errc::cancelled, "with_group");
        } else {
            if (!result_) // the body heeded a cancel of its own group
                throw error(errc::cancelled, "with_group");
            return give<T>(*result_);
        }
    }

private:
    F function_;
    std::optional<storable_t<T>> result_;
};

} // namespace detail

/// `co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> { ... g.spawn(child()); });`
///
/// Runs the body and whatever it spawns, and ends when all of it has ended: children may refer to
/// what stands around the expression. An exception from the body or from a child, and cancelling
/// the awaiting task, cancel all the rest; with_group then waits for them and throws the first
/// exception. Gives what the body returns.
///
/// The body may be a temporary lambda; g++ 12 demands that such a one captures by reference.
template <class F>
[[nodiscard]] auto with_group(F&& body) {
    detail::check_closure<F>();
    using T = typename std::invoke_result_t<F&, task_group&>::value_type;
    return detail::with_group_awaiter<T, F>(std::forward<F>(body));
}

} // namespace gyre
