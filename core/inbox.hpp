#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace gyre::detail {

class backend;

/// Holds a mutex that everyone holds for a few instructions only: looking again for it is cheaper
/// than to sleep and be woken.
class brief_lock {
public:
    explicit brief_lock(std::mutex& m) noexcept : mutex_(m) { acquire(m); }
    brief_lock(const brief_lock&) = delete;
    ~brief_lock() { mutex_.unlock(); }

    static void acquire(std::mutex& m) noexcept {
        for (unsigned look = 0; look < 128; ++look) {
            if (m.try_lock())
                return;
            pause();
        }
        m.lock(); // its owner may have lost the processor
    }

    /// Tells the processor that this is a loop that waits.
    static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("isb");
#endif
    }

private:
    std::mutex& mutex_;
};

/// Callables from other threads for one loop. Shared with its futures, it outlives the loop.
///
/// A post appends to a chunk of memory under a lock that is held for a few instructions; the loop
/// takes all chunks at once. So a flood of posts costs neither an allocation nor a system call
/// each, and whether the loop sleeps is decided under the same lock: no wake-up can be lost.
class inbox {
public:
    explicit inbox(backend& to_wake) noexcept : wakes_(&to_wake) {}
    ~inbox();
    inbox(const inbox&) = delete;
    inbox& operator=(const inbox&) = delete;

    /// False when the loop has ended; `f` is then destroyed without having run.
    template <class F>
    bool post(F f) {
        static_assert(alignof(F) <= alignof(record));
        const brief_lock lock(mutex_);
        if (wakes_ == nullptr)
            return false;
        record* r = append(sizeof(record) + sizeof(F));
        new (r + 1) F(std::move(f));
        r->act = [](void* at, bool run) noexcept {
            F& stored = *static_cast<F*>(at);
            if (run)
                stored();
            stored.~F();
        };
        commit(*r);
        return true;
    }

    /// Asks the loop to look up from its wait, as a post would.
    void nudge() noexcept;

    /// Runs what has been posted, in order, and says how many that were. The loop's thread.
    unsigned drain() noexcept;

    /// Whether there is something to drain; for a loop that polls instead of sleeping.
    bool pending() const noexcept { return news_.load(std::memory_order_acquire); }

    /// Says that the loop is about to sleep; false when there is something to drain first.
    bool prepare_sleep() noexcept;

    /// The loop ends: no post is taken any more, those left are destroyed.
    void close() noexcept;

private:
    struct alignas(std::max_align_t) record {
        void (*act)(void* callable, bool run) noexcept = nullptr;
        std::size_t size = 0; // with the callable
    };
    struct alignas(std::max_align_t) chunk {
        chunk* next;
        std::size_t used;
        std::size_t capacity;
        std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
    };
    static constexpr std::size_t chunk_size = std::size_t{16} << 10;

    record* append(std::size_t size);
    void commit(record& r) noexcept;
    void announce() noexcept;
    chunk* take() noexcept;
    unsigned run_all(chunk* list, bool run) noexcept;

    std::mutex mutex_;
    backend* wakes_; // nullptr: closed
    chunk* first_ = nullptr;
    chunk* last_ = nullptr;
    chunk* spare_ = nullptr; // one emptied chunk for the next burst
    // Written under the lock; the loop looks without it, to find nothing in most turns.
    std::atomic<bool> news_ = false;
    std::atomic<bool> asleep_ = false;
};

/// The inbox of this thread's loop.
std::shared_ptr<inbox> current_inbox() noexcept;

} // namespace gyre::detail
