#pragma once

#include <gyre/core/future.hpp>
#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/resolver.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gyre::detail {

/// One look-up, which everyone waits for who asks the same: a future whose result is read, not
/// taken. All but `ask` is the pool's business.
class flight : public future_base {
public:
    explicit flight(std::string what) noexcept : future_base(nullptr), key(std::move(what)) {}

    /// Asks, blocking, and keeps the answer.
    virtual void ask(name_source& source) noexcept = 0;
    /// Of the answer: empty when it is good.
    virtual std::error_code code() const noexcept = 0;

    const std::string key;
    std::atomic<unsigned> waiters = 0; ///< goes up under the pool's mutex only
    std::atomic<bool> closed = false;  ///< there is no answer, and will be none

private:
    friend class lookup_pool;
    friend class flight_list;

    enum class phase : unsigned char { queued, running, done };
    phase phase_ = phase::queued;
    bool stuck_ = false;
    bool cached_ = false;
    flight* previous_ = nullptr;
    flight* next_ = nullptr;
    std::shared_ptr<flight> self_; // while the pool has it
    std::shared_ptr<flight> then_; // of those that the end of the pool completes
    clock::time_point asked_;
    clock::time_point begun_;
};

class flight_list {
public:
    flight* first() const noexcept { return first_; }
    std::size_t size() const noexcept { return size_; }
    void push(flight& f) noexcept;
    void remove(flight& f) noexcept;

private:
    flight* first_ = nullptr;
    flight* last_ = nullptr;
    std::size_t size_ = 0;
};

/// Finished look-ups by what they asked. Where there are too many, the one goes that was not
/// asked for for the longest time.
class lookup_cache {
public:
    std::shared_ptr<flight> find(std::string_view key, clock::time_point now);
    void insert(std::shared_ptr<flight> f, clock::time_point until);
    void trim(std::size_t limit) noexcept;
    std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        std::shared_ptr<flight> answer;
        clock::time_point until;
    };
    std::list<entry> entries_; // the last one that was asked for first
    std::unordered_map<std::string_view, std::list<entry>::iterator> by_key_;
};

/// The threads of a resolver, the look-ups that they have or that wait for them, and the cache.
/// resolver.hpp says how they behave. Everything may be called from any thread.
///
/// Its threads hold it, so that it goes when the last of them has come back. Those that hang are
/// noticed by whoever passes by; where look-ups wait and nobody may pass by, there is a thread that
/// sleeps until the oldest look-up gets stuck.
class lookup_pool : public std::enable_shared_from_this<lookup_pool> {
public:
    explicit lookup_pool(resolver_options options);
    ~lookup_pool();

    /// A look-up that is under way or an answer that is kept; nullptr: begin() one.
    std::shared_ptr<flight> join(std::string_view key);
    /// Takes it off, or joins another that has taken off meanwhile. Throws when it cannot be.
    std::shared_ptr<flight> begin(std::shared_ptr<flight> f, const std::string& doing);
    /// One who joined does not wait any more.
    void leave(flight& f) noexcept;
    /// Whether nobody else has or will have a look at the answer, which is there.
    static bool alone(const flight& f) noexcept {
        return !f.cached_ && f.waiters.load(std::memory_order_acquire) == 1;
    }

    void configure(resolver_options options);
    resolver_statistics statistics();
    void clear_cache();
    void close() noexcept;

private:
    friend struct all_pools;

    /// In the child of a fork(2), which has none of the threads, nor of those who wait.
    void forget_threads() noexcept;

    std::unique_lock<std::mutex> lock_briefly() noexcept;

    // On the threads.
    void work() noexcept;
    void watch() noexcept;

    // Under the mutex.
    std::shared_ptr<flight> joined(std::string_view key);
    std::shared_ptr<flight> take() noexcept;
    void look_for_more(std::unique_lock<std::mutex>& lock) noexcept;
    bool wait_for_more(std::unique_lock<std::mutex>& lock);
    bool finish(flight& f) noexcept;
    void keep(flight& f, std::chrono::nanoseconds lifetime) noexcept;
    void mark_stuck(clock::time_point now) noexcept;
    unsigned threads_max() const noexcept {
        return std::max(options_.threads, 1U) + options_.stuck;
    }
    unsigned allowed() const noexcept;
    /// Threads that will take from the queue.
    unsigned coming() const noexcept { return idle_ + starting_; }
    template <void (lookup_pool::*Run)() noexcept>
    bool start() noexcept;
    bool add_thread() noexcept;
    bool quick() const noexcept { return slowness_ < slowest / 2; }
    bool enough_awake() const noexcept;
    void reinforce() noexcept;
    bool needs_watch() const noexcept;
    void ensure_watch() noexcept;
    clock::time_point now() const noexcept;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable watch_;
    const unsigned processors_;
    resolver_options options_;
    std::unordered_map<std::string_view, flight*> by_key_; // queued and running
    flight_list queue_;
    flight_list running_;           // the oldest first
    flight* first_fresh_ = nullptr; // of those running, the oldest that is not stuck
    unsigned threads_ = 0;
    unsigned idle_ = 0;
    unsigned starting_ = 0;
    unsigned stuck_ = 0;
    bool watched_ = false;
    bool looking_ = false;           // an idle thread looks for more before it sleeps
    std::atomic<bool> news_ = false; // for that one
    bool closed_ = false;
    static constexpr int slowest = 16;
    int slowness_ = slowest;    // goes up with each slow look-up, and down with others
    std::error_code no_thread_; // why the last one could not be started
    lookup_cache cache_;
    resolver_statistics counts_;
    lookup_pool* previous_pool_ = nullptr;
    lookup_pool* next_pool_ = nullptr;
};

} // namespace gyre::detail
