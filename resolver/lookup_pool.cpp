#include <gyre/core/threads.hpp>
#include <gyre/resolver/lookup_pool.hpp>

#include <algorithm>
#include <bit>
#include <new>
#include <pthread.h>

namespace gyre::detail {
namespace {

// What a look-up in a file takes is brief. One that has taken so long already is slow.
constexpr std::chrono::nanoseconds brief = std::chrono::microseconds(100);
constexpr std::chrono::nanoseconds slow = std::chrono::milliseconds(1);
constexpr unsigned looks_before_sleep = 2048; // for the next brief one: some 30 us

/// Whether a failure says something about the name, and not about the moment.
bool lasts(std::error_code code) noexcept {
    if (code.category() == address_info_category())
        return code.value() == EAI_NONAME || code.value() == EAI_NODATA ||
               code.value() == EAI_SERVICE || code.value() == EAI_ADDRFAMILY;
    if (code.category() == host_category())
        return code.value() == HOST_NOT_FOUND || code.value() == NO_DATA;
    return code == errc::not_found;
}

clock::time_point add(clock::time_point t, std::chrono::nanoseconds d) noexcept {
    return clock::time_point(
        std::chrono::nanoseconds(add_saturated(t.time_since_epoch().count(), d.count())));
}

std::shared_ptr<name_source> or_c_library(std::shared_ptr<name_source> source) {
    return source != nullptr ? std::move(source) : std::make_shared<name_source>();
}

} // namespace

// ---- Lists ------------------------------------------------------------------------------------

void flight_list::push(flight& f) noexcept {
    f.previous_ = last_;
    f.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &f;
    last_ = &f;
    ++size_;
}

void flight_list::remove(flight& f) noexcept {
    (f.previous_ != nullptr ? f.previous_->next_ : first_) = f.next_;
    (f.next_ != nullptr ? f.next_->previous_ : last_) = f.previous_;
    --size_;
}

std::shared_ptr<flight> lookup_cache::find(std::string_view key, clock::time_point now) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end())
        return nullptr;
    const auto at = found->second;
    if (at->until <= now) {
        by_key_.erase(found);
        entries_.erase(at);
        return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, at);
    return at->answer;
}

void lookup_cache::insert(std::shared_ptr<flight> f, clock::time_point until) {
    if (const auto old = by_key_.find(f->key); old != by_key_.end()) {
        entries_.erase(old->second);
        by_key_.erase(old);
    }
    entries_.push_front({std::move(f), until});
    try {
        by_key_.emplace(entries_.front().answer->key, entries_.begin());
    } catch (...) {
        entries_.pop_front();
        throw;
    }
}

void lookup_cache::trim(std::size_t limit) noexcept {
    while (entries_.size() > limit) {
        by_key_.erase(entries_.back().answer->key);
        entries_.pop_back();
    }
}

// ---- Forks ------------------------------------------------------------------------------------

/// The child of a fork(2) gets the pools as they are between two changes, and no thread of theirs.
struct all_pools {
    std::mutex mutex;
    lookup_pool* first = nullptr;

    static all_pools& get() {
        static auto* const instance = [] {
            ::pthread_atfork(&before, &after, &after_in_child);
            return new all_pools; // a fork may come at any time
        }();
        return *instance;
    }

    void add(lookup_pool& p) noexcept {
        const std::lock_guard guard(mutex);
        p.next_pool_ = first;
        if (first != nullptr)
            first->previous_pool_ = &p;
        first = &p;
    }
    void remove(const lookup_pool& p) noexcept {
        const std::lock_guard guard(mutex);
        if (p.next_pool_ != nullptr)
            p.next_pool_->previous_pool_ = p.previous_pool_;
        (p.previous_pool_ != nullptr ? p.previous_pool_->next_pool_ : first) = p.next_pool_;
    }

    static void before() noexcept {
        get().mutex.lock();
        for (lookup_pool* p = get().first; p != nullptr; p = p->next_pool_)
            p->mutex_.lock();
    }
    static void after() noexcept {
        for (lookup_pool* p = get().first; p != nullptr; p = p->next_pool_)
            p->mutex_.unlock();
        get().mutex.unlock();
    }
    static void after_in_child() noexcept {
        for (lookup_pool* p = get().first; p != nullptr; p = p->next_pool_)
            p->forget_threads();
        after();
    }
};

void lookup_pool::forget_threads() noexcept {
    // Not destroyed: they would wait for the threads that wait for them.
    new (&wake_) std::condition_variable;
    new (&watch_) std::condition_variable;
    threads_ = idle_ = starting_ = stuck_ = 0;
    watched_ = looking_ = false;
    first_fresh_ = nullptr;
    by_key_.clear();
    for (flight_list* list : {&queue_, &running_})
        while (flight* f = list->first()) {
            list->remove(*f);
            f->phase_ = flight::phase::done;
            f->self_.reset();
        }
}

// ---- Who asks ---------------------------------------------------------------------------------

lookup_pool::lookup_pool(resolver_options options)
    : processors_(std::max(std::thread::hardware_concurrency(), 1U)), options_(std::move(options)) {
    options_.source = or_c_library(std::move(options_.source));
    all_pools::get().add(*this);
}

lookup_pool::~lookup_pool() {
    all_pools::get().remove(*this);
}

template <void (lookup_pool::*Run)() noexcept>
bool lookup_pool::start() noexcept {
    try {
        start_detached_thread(
            [](const std::shared_ptr<void>& pool) {
                (static_cast<lookup_pool*>(pool.get())->*Run)();
            },
            shared_from_this());
        return true;
    } catch (const std::system_error& e) {
        no_thread_ = e.code();
    } catch (const std::bad_alloc&) {
        no_thread_ = std::make_error_code(std::errc::not_enough_memory);
    }
    return false;
}

std::unique_lock<std::mutex> lookup_pool::lock_briefly() noexcept {
    brief_lock::acquire(mutex_);
    return {mutex_, std::adopt_lock};
}

clock::time_point lookup_pool::now() const noexcept {
    return options_.cache.now != nullptr ? options_.cache.now() : clock::now();
}

std::shared_ptr<flight> lookup_pool::joined(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end())
        return nullptr;
    ++counts_.shared;
    found->second->waiters.fetch_add(1, std::memory_order_relaxed);
    return found->second->self_;
}

std::shared_ptr<flight> lookup_pool::join(std::string_view key) {
    const brief_lock guard(mutex_);
    if (options_.cache.entries != 0) {
        if (auto kept = cache_.find(key, now())) {
            ++counts_.cache_hits;
            kept->waiters.fetch_add(1, std::memory_order_relaxed);
            return kept;
        }
        ++counts_.cache_misses;
    }
    return joined(key);
}

std::shared_ptr<flight> lookup_pool::begin(std::shared_ptr<flight> f, const std::string& doing) {
    bool awaken = true;
    {
        const brief_lock guard(mutex_);
        if (auto other = joined(f->key))
            return other;
        if (closed_)
            throw error(errc::closed, doing);
        const bool is_seen = looking_ && queue_.first() == nullptr;
        awaken = !is_seen && !enough_awake();
        if (awaken && queue_.size() >= coming()) {
            mark_stuck(clock::now());
            if (threads_ < allowed())
                add_thread();
            if (threads_ == 0)
                throw error(no_thread_, doing + ", on a new thread");
            if (queue_.size() >= coming() + options_.queue) {
                ++counts_.refused;
                throw error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            doing + ": " + std::to_string(options_.queue) +
                                " look-ups wait for a thread already");
            }
        }
        by_key_.emplace(f->key, f.get());
        f->asked_ = clock::now();
        f->waiters.store(1, std::memory_order_relaxed);
        f->self_ = f;
        queue_.push(*f);
        news_.store(true, std::memory_order_relaxed);
        ensure_watch();
    }
    if (awaken)
        wake_.notify_one();
    return f;
}

void lookup_pool::leave(flight& f) noexcept {
    if (f.waiters.fetch_sub(1, std::memory_order_acq_rel) != 1 || f.ready())
        return;
    std::shared_ptr<flight> last;
    const brief_lock guard(mutex_);
    if (f.phase_ != flight::phase::queued || f.waiters.load(std::memory_order_relaxed) != 0)
        return;
    queue_.remove(f);
    by_key_.erase(f.key);
    f.phase_ = flight::phase::done;
    last = std::move(f.self_);
    ++counts_.withdrawn;
}

// ---- Threads ----------------------------------------------------------------------------------

/// As many look-ups again as are stuck may be under way: where many hang, the number of threads
/// doubles until those that do not hang get their turn.
unsigned lookup_pool::allowed() const noexcept {
    return std::min(std::max(std::max(options_.threads, 1U), stuck_) + stuck_, threads_max());
}

void lookup_pool::mark_stuck(clock::time_point now) noexcept {
    while (first_fresh_ != nullptr && add(first_fresh_->begun_, options_.stuck_after) <= now) {
        first_fresh_->stuck_ = true;
        ++stuck_;
        first_fresh_ = first_fresh_->next_;
    }
}

bool lookup_pool::add_thread() noexcept {
    if (!start<&lookup_pool::work>())
        return false;
    ++starting_;
    ++threads_;
    return true;
}

/// Where look-ups take no longer than to wake a thread, those that are awake do them all sooner.
bool lookup_pool::enough_awake() const noexcept {
    return quick() && queue_.size() < options_.queue &&
           running_.size() - stuck_ + queue_.size() >= processors_;
}

/// Looks whether those who wait need more threads.
void lookup_pool::reinforce() noexcept {
    const clock::time_point now = clock::now();
    mark_stuck(now);
    if (quick() && first_fresh_ != nullptr && add(first_fresh_->begun_, slow) <= now) {
        slowness_ = slowest; // they are not as quick as they were
        wake_.notify_all();
    }
    while (!quick() && queue_.size() > coming() && threads_ < allowed() && add_thread()) {
    }
}

/// Somebody has to see it when a look-up takes long that others wait behind.
bool lookup_pool::needs_watch() const noexcept {
    return !closed_ && queue_.first() != nullptr && first_fresh_ != nullptr &&
           (quick() || (queue_.size() > coming() && threads_ < threads_max()));
}

void lookup_pool::ensure_watch() noexcept {
    if (!watched_ && needs_watch())
        watched_ = start<&lookup_pool::watch>();
}

void lookup_pool::watch() noexcept {
    std::unique_lock lock = lock_briefly();
    for (reinforce(); needs_watch(); reinforce()) {
        const auto patience = options_.stuck_after;
        watch_.wait_until(lock,
                          add(first_fresh_->begun_, quick() ? std::min(slow, patience) : patience));
    }
    watched_ = false;
}

void lookup_pool::work() noexcept {
    std::unique_lock lock = lock_briefly();
    --starting_;
    // The mutex is taken once a look-up: to put away the last and to take the next. Those who wait
    // for the last are told in between.
    std::shared_ptr<flight> last;
    for (;;) {
        const std::shared_ptr<flight> next = take();
        if (next == nullptr && last == nullptr) {
            if (!wait_for_more(lock))
                break;
            continue;
        }
        std::shared_ptr<name_source> source = options_.source;
        lock.unlock();
        if (last != nullptr)
            std::exchange(last, nullptr)->complete();
        if (next != nullptr)
            next->ask(*source);
        source.reset();
        lock = lock_briefly();
        if (next != nullptr && finish(*next))
            last = next;
    }
    --threads_;
    if (queue_.first() != nullptr) { // this one was woken for it, and is one too many
        wake_.notify_one();
        ensure_watch();
    }
}

/// To be woken takes longer than a brief look-up: after one, another is looked for.
void lookup_pool::look_for_more(std::unique_lock<std::mutex>& lock) noexcept {
    looking_ = true;
    news_.store(false, std::memory_order_relaxed);
    lock.unlock();
    for (unsigned n = 0; n < looks_before_sleep && !news_.load(std::memory_order_relaxed); ++n)
        brief_lock::pause();
    lock = lock_briefly();
    looking_ = false;
}

bool lookup_pool::wait_for_more(std::unique_lock<std::mutex>& lock) {
    if (threads_ > allowed())
        return false;
    ++idle_;
    if (quick() && !looking_ && processors_ > 1)
        look_for_more(lock);
    wake_.wait_for(lock, options_.idle, [&] { return queue_.first() != nullptr || closed_; });
    --idle_;
    return queue_.first() != nullptr && threads_ <= allowed();
}

std::shared_ptr<flight> lookup_pool::take() noexcept {
    flight* const f = queue_.first();
    if (f == nullptr || threads_ > allowed())
        return nullptr;
    queue_.remove(*f);
    f->phase_ = flight::phase::running;
    f->begun_ = clock::now();
    running_.push(*f);
    if (first_fresh_ == nullptr)
        first_fresh_ = f;
    mark_stuck(f->begun_);
    ensure_watch();
    return f->self_;
}

/// False when the pool was closed meanwhile.
bool lookup_pool::finish(flight& f) noexcept {
    if (f.phase_ == flight::phase::done)
        return false;
    if (f.stuck_)
        --stuck_;
    else if (first_fresh_ == &f)
        first_fresh_ = f.next_;
    running_.remove(f);
    by_key_.erase(f.key);
    f.phase_ = flight::phase::done;
    const std::error_code code = f.code();
    ++counts_.finished;
    counts_.failed += code ? 1U : 0U;
    const clock::time_point ended = clock::now();
    slowness_ = std::clamp(slowness_ + (ended - f.begun_ > brief ? 2 : -1), 0, slowest);
    const auto took = std::chrono::floor<std::chrono::microseconds>(ended - f.asked_).count();
    const auto slot = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(took)));
    ++counts_.latency[std::min(slot, counts_.latency.size() - 1)];
    if (options_.cache.entries != 0 && (!code || lasts(code)))
        keep(f, code ? options_.cache.negative : options_.cache.positive);
    f.self_.reset();
    return true;
}

void lookup_pool::keep(flight& f, std::chrono::nanoseconds lifetime) noexcept {
    f.cached_ = true;
    try {
        cache_.insert(f.self_, add(now(), lifetime));
        cache_.trim(options_.cache.entries);
    } catch (const std::bad_alloc&) {
        f.cached_ = false;
    }
}

// ---- From outside -----------------------------------------------------------------------------

void lookup_pool::configure(resolver_options options) {
    options.source = or_c_library(std::move(options.source));
    {
        const brief_lock guard(mutex_);
        if (options.source != options_.source)
            cache_.trim(0);
        std::swap(options_, options);
        cache_.trim(options_.cache.entries);
        reinforce();
        ensure_watch();
    }
    wake_.notify_all(); // `idle` and `stuck_after` may be shorter now
    watch_.notify_all();
}

resolver_statistics lookup_pool::statistics() {
    const brief_lock guard(mutex_);
    mark_stuck(clock::now());
    resolver_statistics s = counts_;
    s.threads = threads_;
    s.idle = idle_;
    s.stuck = stuck_;
    s.in_flight = running_.size();
    s.queued = queue_.size();
    s.cache_entries = cache_.size();
    return s;
}

void lookup_pool::clear_cache() {
    const brief_lock guard(mutex_);
    cache_.trim(0);
}

void lookup_pool::close() noexcept {
    std::shared_ptr<flight> awaited; // a list by `then_`
    {
        const brief_lock guard(mutex_);
        closed_ = true;
        cache_.trim(0);
        by_key_.clear();
        first_fresh_ = nullptr;
        stuck_ = 0;
        for (flight_list* list : {&queue_, &running_})
            while (flight* f = list->first()) {
                list->remove(*f);
                f->phase_ = flight::phase::done;
                f->then_ = std::exchange(awaited, std::move(f->self_));
            }
    }
    wake_.notify_all();
    watch_.notify_all();
    while (awaited != nullptr) {
        const std::shared_ptr<flight> f = std::exchange(awaited, std::move(awaited->then_));
        f->closed.store(true, std::memory_order_relaxed); // published by complete()
        f->complete();
    }
}

} // namespace gyre::detail
