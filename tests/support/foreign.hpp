#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace gyre_test {

/// A coroutine that is not gyre's: it begins at once, nobody cancels it, and its owner may destroy
/// it wherever it waits.
class foreign {
public:
    struct promise_type {
        foreign get_return_object() {
            return foreign(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };

    foreign() = default;
    foreign(foreign&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    foreign& operator=(foreign&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~foreign() { destroy(); }

    bool done() const { return frame_ && frame_.done(); }
    void destroy() {
        if (frame_)
            std::exchange(frame_, {}).destroy();
    }

private:
    explicit foreign(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    std::coroutine_handle<promise_type> frame_;
};

/// Waits, and nothing ever ends that.
struct never {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};

/// Counts how many of its kind there are: to see whether frames were destroyed.
struct counted {
    explicit counted(int& n) : count(&n) { ++*count; }
    counted(counted&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    ~counted() {
        if (count != nullptr)
            --*count;
    }
    int* count;
};

} // namespace gyre_test
