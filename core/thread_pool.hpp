#pragma once

#include <gyre/core/future.hpp>

#include <memory>
#include <utility>

namespace gyre::detail {

/// A few threads for calls that block. They start when there is work for them, up to a maximum, and
/// end when they have had none for a while. Nobody waits for them: a call that never returns keeps
/// its thread, but neither its caller nor the end of the process.
class thread_pool {
public:
    explicit thread_pool(unsigned threads_max);

    /// Runs `call()` on one of the threads, in the order of the posts. Throws when it is the first
    /// and no thread can be started. From any thread.
    template <class F>
    void post(F call) {
        push(std::make_unique<holder<F>>(std::move(call)));
    }

    struct state;

private:
    struct job {
        job() = default;
        job(const job&) = delete;
        virtual ~job() = default;
        virtual void run() noexcept = 0;
        std::unique_ptr<job> next;
    };
    template <class F>
    struct holder final : job {
        explicit holder(F f) : callable(std::move(f)) {}
        void run() noexcept override { callable(); }
        F callable;
    };

    void push(std::unique_ptr<job> j);
    static void work(const std::shared_ptr<state>& s) noexcept;

    std::shared_ptr<state> state_;
};

/// Awaits `f()`, run on the pool. Cancelling the await lets the call go on, and drops its result.
template <class F>
task<std::invoke_result_t<F>> offload(thread_pool& pool, F f) {
    using T = std::invoke_result_t<F>;
    auto state = std::make_shared<future_state<T>>(current_inbox());
    pool.post([state, call = std::move(f)]() mutable noexcept {
        try {
            if constexpr (std::is_void_v<T>) {
                call();
                state->value.emplace();
            } else if constexpr (std::is_reference_v<T>) {
                state->value.emplace(std::addressof(call()));
            } else {
                state->value.emplace(call());
            }
        } catch (...) {
            state->failure = std::current_exception();
        }
        state->complete();
    });
    co_return co_await future<T>(std::move(state));
}

} // namespace gyre::detail
