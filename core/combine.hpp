#pragma once

#include <gyre/core/task_group.hpp>

#include <chrono>
#include <tuple>
#include <utility>
#include <variant>

namespace gyre {
namespace detail {

/// A group with a fixed number of children, started by the await.
template <class Derived, class... Awaitables>
class combination : protected task_group {
public:
    explicit combination(Awaitables&&... a) : awaitables_(std::move(a)...) {}

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) {
        start(std::index_sequence_for<Awaitables...>());
        join(awaiting, context_of(awaiting));
    }

protected:
    /// Throws what failed, or that the whole was cancelled from outside.
    [[noreturn]] void fail(const char* doing) {
        if (std::exception_ptr e = failure())
            std::rethrow_exception(std::move(e));
        throw error(errc::cancelled, doing);
    }

    std::tuple<std::optional<storable_t<await_result_t<Awaitables>>>...> results_;
    promise_base* started_[sizeof...(Awaitables)] = {}; // to be compared only

    template <std::size_t... I>
    void start(std::index_sequence<I...>) {
        ((started_[I] = &keep<await_result_t<Awaitables>>(std::get<I>(results_),
                                                          std::move(std::get<I>(awaitables_)))
                             .release()
                             .promise(),
          adopt(*started_[I])),
         ...);
    }

private:
    std::tuple<Awaitables...> awaitables_;
};

template <class... Awaitables>
class all_awaiter : public combination<all_awaiter<Awaitables...>, Awaitables...> {
public:
    using all_awaiter::combination::combination;

    using result = std::tuple<given_t<await_result_t<Awaitables>>...>;

    result await_resume() {
        if (!complete())
            this->fail("all");
        return std::apply(
            [](auto&... r) { return result(give<await_result_t<Awaitables>>(*r)...); },
            this->results_);
    }

private:
    bool complete() const {
        return std::apply([](const auto&... r) { return (r.has_value() && ...); }, this->results_);
    }
};

template <class... Ts>
struct race_result {
    using first = std::tuple_element_t<0, std::tuple<Ts...>>;
    using type = std::conditional_t<(std::is_same_v<first, Ts> && ...), given_t<first>,
                                    std::variant<storable_t<Ts>...>>;
};

template <class... Awaitables>
class race_awaiter : public combination<race_awaiter<Awaitables...>, Awaitables...> {
public:
    using result = typename race_result<await_result_t<Awaitables>...>::type;

    explicit race_awaiter(Awaitables&&... a)
        : race_awaiter::combination(std::forward<Awaitables>(a)...) {
        this->ends_ = task_group::policy::first;
    }

    result await_resume() {
        if (this->first_ == nullptr) // no child ended well
            this->fail("race");
        return winner<0>();
    }

private:
    template <std::size_t I>
    result winner() {
        if constexpr (I + 1 < sizeof...(Awaitables)) {
            if (this->started_[I] != this->first_)
                return winner<I + 1>();
        }
        using T = std::tuple_element_t<I, std::tuple<await_result_t<Awaitables>...>>;
        auto& kept = *std::get<I>(this->results_);
        if constexpr (std::is_same_v<result, given_t<T>>)
            return give<T>(kept);
        else
            return result(std::in_place_index<I>, std::move(kept));
    }
};

/// One child and a timer that cancels it.
template <class Awaitable>
class timeout_awaiter : public combination<timeout_awaiter<Awaitable>, Awaitable>, timer {
public:
    timeout_awaiter(Awaitable&& a, bool relative, std::int64_t when)
        : timeout_awaiter::combination(std::move(a)), timer(&on_expiry), relative_(relative) {
        expiry = when;
    }
    timeout_awaiter(timeout_awaiter&& other) noexcept
        : timeout_awaiter::combination(std::move(other)), timer(&on_expiry),
          relative_(other.relative_) {
        expiry = other.expiry;
    }
    ~timeout_awaiter() { timing_wheel::disarm(*this); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) {
        timeout_awaiter::combination::await_suspend(awaiting);
        loop* here = loop::current();
        if (relative_)
            here->arm_relative(*this);
        else
            here->arm_absolute(*this);
    }

    await_result_t<Awaitable> await_resume() {
        timing_wheel::disarm(*this);
        auto& result = std::get<0>(this->results_);
        if (!result) {
            if (std::exception_ptr e = this->failure())
                std::rethrow_exception(std::move(e));
            if (expired_ && !this->cancelled_from_outside())
                throw timeout_error("with_timeout");
            throw error(errc::cancelled, "with_timeout");
        }
        if constexpr (!std::is_void_v<await_result_t<Awaitable>>)
            return give<await_result_t<Awaitable>>(*result);
    }

private:
    static void on_expiry(work& w, event e) noexcept {
        if (e != event::expire)
            return;
        auto& self = static_cast<timeout_awaiter&>(static_cast<timer&>(w));
        self.expired_ = true;
        self.cancel();
    }

    bool relative_;
    bool expired_ = false;
};

/// One child, and between the awaiting chain and it a leaf that takes the first cancel.
template <class Awaitable, class F>
class shield_awaiter : public combination<shield_awaiter<Awaitable, F>, Awaitable> {
public:
    shield_awaiter(Awaitable&& a, F on_cancel)
        : shield_awaiter::combination(std::move(a)), leaf_(*this),
          on_cancel_(std::move(on_cancel)) {}
    shield_awaiter(shield_awaiter&& other) noexcept
        : shield_awaiter::combination(std::move(other)), leaf_(*this),
          on_cancel_(std::move(other.on_cancel_)) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) {
        context& of = context_of(awaiting);
        this->start(std::index_sequence<0>());
        this->join(awaiting, inside_);
        outside_ = &of;
        of.leaf = &leaf_;
        if (of.cancelled)
            leaf_.notify(leaf_, event::cancel);
    }

    await_result_t<Awaitable> await_resume() {
        outside_->leaf = nullptr;
        auto& result = std::get<0>(this->results_);
        if (!result)
            this->fail("shielded");
        if constexpr (!std::is_void_v<await_result_t<Awaitable>>)
            return give<await_result_t<Awaitable>>(*result);
    }

private:
    struct leaf : work {
        explicit leaf(shield_awaiter& s) noexcept : work(&on_event), shield(s) {}
        static void on_event(work& w, event e) noexcept {
            shield_awaiter& self = static_cast<leaf&>(w).shield;
            if (e != event::cancel)
                return;
            if (std::exchange(self.told_, true))
                self.inside_.cancel();
            else
                self.on_cancel_();
        }
        shield_awaiter& shield;
    };

    leaf leaf_;
    F on_cancel_;
    context inside_; // what the child believes to be the chain
    context* outside_ = nullptr;
    bool told_ = false;
};

} // namespace detail

/// `auto [a, b] = co_await gyre::all(fetch(one), fetch(two));`
///
/// Runs them at the same time and gives all results (std::monostate for void, references as they
/// are). The first failure cancels the others, waits for them, and is thrown.
template <class... Awaitables>
[[nodiscard]] auto all(Awaitables... a) {
    static_assert(sizeof...(a) > 0);
    return detail::all_awaiter<Awaitables...>(std::move(a)...);
}

/// `auto winner = co_await gyre::race(primary(), replica());`
///
/// Runs them at the same time; the first to end, well or badly, cancels the others, which are
/// waited for. Gives its result: of their common type, or else a std::variant with one alternative
/// for each (std::monostate for void, a pointer for a reference). When the first to end failed,
/// that is thrown, unless another ended well before it could be stopped.
template <class... Awaitables>
[[nodiscard]] auto race(Awaitables... a) {
    static_assert(sizeof...(a) > 0);
    return detail::race_awaiter<Awaitables...>(std::move(a)...);
}

/// A deadline for a whole conversation: cancels what still runs after `d`, waits for it to end, and
/// throws timeout_error. When it ended well in spite of that, its result counts.
template <class Rep, class Period, class Awaitable>
[[nodiscard]] auto with_timeout(std::chrono::duration<Rep, Period> d, Awaitable a) {
    return detail::timeout_awaiter<Awaitable>(std::move(a), true, detail::ceil_nanoseconds(d));
}

/// The same until a point in time.
template <class Awaitable>
[[nodiscard]] auto with_deadline(clock::time_point t, Awaitable a) {
    return detail::timeout_awaiter<Awaitable>(std::move(a), false, t.time_since_epoch().count());
}

/// `co_await gyre::shielded(serve(), [&] { listener.close(); });`
///
/// Lets something end in its own way: the first cancel of the awaiting chain calls `on_cancel()`
/// instead of reaching `a`, at once where the chain is cancelled already. Only a second one reaches
/// `a`, so that nothing is protected for ever (a loop that is destroyed asks again and again).
/// Gives the result of `a`, or throws its failure. `on_cancel` runs within the call that cancels:
/// it neither waits nor throws. It may come when `a` has just ended.
template <class Awaitable, class F>
[[nodiscard]] auto shielded(Awaitable a, F&& on_cancel) {
    detail::check_closure<F>();
    return detail::shield_awaiter<Awaitable, std::decay_t<F>>(std::move(a),
                                                              std::forward<F>(on_cancel));
}

} // namespace gyre
