#pragma once

#include <gyre/core/loop.hpp>

#include <semaphore>
#include <thread>

namespace gyre {

/// A loop on a thread of its own, for programs that are no coroutine. Destroying it stops the loop,
/// which asks its computations to end (errc::cancelled), and joins the thread. From any thread.
///
///     gyre::loop_thread network;
///     auto f = network.start(gyre::create_connection("example.org", 443));
///     gyre::socket s = f.get();
class loop_thread {
public:
    /// Returns once the loop runs; throws what the loop's constructor throws.
    explicit loop_thread(loop_options options = {});
    ~loop_thread();
    loop_thread(const loop_thread&) = delete;
    loop_thread& operator=(const loop_thread&) = delete;

    /// As loop::start.
    template <class Awaitable>
    auto start(Awaitable a) {
        return loop_->start(std::move(a));
    }
    /// As loop::post.
    template <class F>
    void post(F f) {
        loop_->post(std::move(f));
    }

    /// Good for post, start and stop, as long as this lives. Stopping it ends it: its computations
    /// are asked to end, and from then on nothing runs; what is started has a broken future.
    gyre::loop& loop() noexcept { return *loop_; }

private:
    gyre::loop* loop_ = nullptr;
    std::binary_semaphore released_{0}; // the thread may destroy the loop
    std::jthread thread_;
};

} // namespace gyre
