#include <gyre/core/run.hpp>
#include <gyre/core/signals_seen.hpp>
#include <gyre/core/threads.hpp>

#include <algorithm>
#include <mutex>
#include <optional>
#include <sched.h>
#include <thread>
#include <vector>

namespace gyre::detail {
namespace {

unsigned allowed_processors() noexcept {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

/// The computations of a run with several threads, as far as they have begun.
class crew {
public:
    void work(const run_options& options, task<> (*make)(void*), void* factory) noexcept {
        signals_seen signals = began_with_;
        signals_seen::here = &signals;
        try {
            loop l(options.loop);
            future<> f = l.start(make(factory));
            {
                std::lock_guard lock(mutex_);
                running_.push_back(&f);
                if (failure_)
                    f.cancel();
            }
            const bool ended = l.run_until(f);
            {
                std::lock_guard lock(mutex_);
                std::erase(running_, &f);
            }
            if (!ended)
                throw error(errc::broken, "the loop was stopped before the task ended");
            f.get();
        } catch (...) {
            fail(std::current_exception());
        }
        signals_seen::here = nullptr;
    }

    /// The first failure cancels what has begun and what will.
    void fail(std::exception_ptr failure) noexcept {
        std::lock_guard lock(mutex_);
        if (failure_)
            return;
        failure_ = std::move(failure);
        for (future<>* f : running_)
            f->cancel();
    }

    void check() {
        if (failure_)
            std::rethrow_exception(failure_);
    }

private:
    std::mutex mutex_;
    std::vector<future<>*> running_;
    const signals_seen began_with_ = current_signals();
    std::exception_ptr failure_;
};

} // namespace

void run_threads(const run_options& options, task<> (*make)(void*), void* factory) {
    const unsigned n = options.threads != 0 ? options.threads : allowed_processors();
    crew c;
    {
        std::vector<std::jthread> others;
        try {
            others.reserve(n);
            while (others.size() + 1 < n)
                others.push_back(start_thread([&] { c.work(options, make, factory); }));
        } catch (...) {
            c.fail(std::current_exception());
        }
        c.work(options, make, factory); // cancelled from the start where a thread is missing
    }
    c.check();
}

} // namespace gyre::detail
