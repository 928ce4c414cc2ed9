#pragma once

#include <gyre/core/error.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/operation.hpp>

#include <chrono>
#include <expected>
#include <system_error>

namespace gyre {

class [[nodiscard]] sleep_operation final : public detail::operation {
public:
    sleep_operation(detail::timing relative_or_absolute, std::int64_t t) noexcept
        : operation(detail::opcode::sleep, nullptr) {
        when = relative_or_absolute;
        expiry = t;
    }
    void await_resume() const {
        if (result < 0)
            detail::throw_error(result, "sleep");
    }
    std::expected<void, std::error_code> outcome() const noexcept {
        if (result < 0)
            return std::unexpected(detail::decode(result));
        return {};
    }
};

/// Waits at least this long; at most 66 us and the rest of the turn longer. Zero or less: lets
/// everything else that is ready run first. Ends early only by cancellation (errc::cancelled).
template <class Rep, class Period>
sleep_operation sleep_for(std::chrono::duration<Rep, Period> d) {
    return {detail::timing::relative, detail::ceil_nanoseconds(d)};
}

/// Waits until then.
inline sleep_operation sleep_until(clock::time_point t) {
    return {detail::timing::absolute, t.time_since_epoch().count()};
}

/// `co_await gyre::yield();` lets everything else that is ready run first. Not a place where
/// cancellation is noticed.
class [[nodiscard]] yield : detail::work {
public:
    yield() noexcept : work(&on_event) {}
    yield(yield&&) = delete;
    ~yield() {
        if (queued_)
            loop::current()->unready(*this);
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
        awaiting_ = awaiting;
        loop* here = loop::current();
        detail::require(here != nullptr, "yield is awaited in a coroutine that runs on a loop");
        queued_ = true;
        here->ready(*this);
    }
    void await_resume() const noexcept {}

private:
    static void on_event(detail::work& w, detail::event e) noexcept {
        auto& self = static_cast<yield&>(w);
        self.queued_ = false;
        if (e == detail::event::run)
            self.awaiting_.resume();
    }

    std::coroutine_handle<> awaiting_;
    bool queued_ = false;
};

} // namespace gyre
