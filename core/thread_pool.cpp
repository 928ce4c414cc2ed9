#include <gyre/core/thread_pool.hpp>
#include <gyre/core/threads.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace gyre::detail {
namespace {

constexpr std::chrono::seconds idle_time{10};

} // namespace

struct thread_pool::state {
    std::mutex mutex;
    std::condition_variable wake;
    std::unique_ptr<job> first;
    job* last = nullptr;
    unsigned threads = 0;
    unsigned idle = 0;
    unsigned queued = 0;
    unsigned threads_max = 1;
};

thread_pool::thread_pool(unsigned threads_max) : state_(std::make_shared<state>()) {
    state_->threads_max = threads_max;
}

void thread_pool::push(std::unique_ptr<job> j) {
    std::lock_guard lock(state_->mutex);
    // An idle thread may already have been woken for another job.
    if (state_->queued >= state_->idle && state_->threads < state_->threads_max) {
        try {
            start_thread([s = state_] { work(s); }).detach();
            ++state_->threads;
        } catch (const std::system_error&) {
            if (state_->threads == 0)
                throw;
        }
    }
    job* added = j.get();
    (state_->last != nullptr ? state_->last->next : state_->first) = std::move(j);
    state_->last = added;
    ++state_->queued;
    state_->wake.notify_one();
}

void thread_pool::work(const std::shared_ptr<state>& s) noexcept {
    std::unique_lock lock(s->mutex);
    for (;;) {
        ++s->idle;
        const bool busy = s->wake.wait_for(lock, idle_time, [&] { return s->first != nullptr; });
        --s->idle;
        if (!busy) {
            --s->threads;
            return;
        }
        std::unique_ptr<job> j = std::move(s->first);
        s->first = std::move(j->next);
        --s->queued;
        if (s->first == nullptr)
            s->last = nullptr;
        lock.unlock();
        j->run();
        j.reset();
        lock.lock();
    }
}

} // namespace gyre::detail
