#include <gyre/core/backend.hpp>
#include <gyre/core/inbox.hpp>

#include <algorithm>
#include <cstdlib>

namespace gyre::detail {

inbox::~inbox() {
    close();
    std::free(spare_);
}

inbox::record* inbox::append(std::size_t size) {
    size = (size + alignof(record) - 1) / alignof(record) * alignof(record);
    if (last_ == nullptr || last_->capacity - last_->used < size) {
        chunk* c = std::exchange(spare_, nullptr);
        if (c == nullptr || c->capacity < size) {
            std::free(c);
            const std::size_t capacity = std::max(size, chunk_size - sizeof(chunk));
            void* memory = std::malloc(sizeof(chunk) + capacity);
            if (memory == nullptr)
                throw std::bad_alloc();
            c = new (memory) chunk{nullptr, 0, capacity};
        }
        (last_ != nullptr ? last_->next : first_) = c;
        last_ = c;
    }
    record* r = new (last_->data() + last_->used) record;
    r->size = size;
    return r;
}

// Only now does the record count: a callable whose move threw leaves nothing behind.
void inbox::commit(record& r) noexcept {
    last_->used += r.size;
    announce();
}

void inbox::announce() noexcept {
    news_.store(true, std::memory_order_release);
    if (asleep_.load(std::memory_order_relaxed)) {
        asleep_.store(false, std::memory_order_relaxed);
        wakes_->wake();
    }
}

void inbox::nudge() noexcept {
    const brief_lock lock(mutex_);
    if (wakes_ != nullptr)
        announce();
}

inbox::chunk* inbox::take() noexcept {
    last_ = nullptr;
    return std::exchange(first_, nullptr);
}

unsigned inbox::drain() noexcept {
    if (!pending() && !asleep_.load(std::memory_order_relaxed))
        return 0;
    chunk* list = nullptr;
    {
        const brief_lock lock(mutex_);
        news_.store(false, std::memory_order_relaxed);
        asleep_.store(false, std::memory_order_relaxed);
        list = take();
    }
    return run_all(list, true);
}

unsigned inbox::run_all(chunk* list, bool run) noexcept {
    unsigned count = 0;
    while (list != nullptr) {
        for (std::size_t at = 0; at < list->used;) {
            auto* r = std::launder(reinterpret_cast<record*>(list->data() + at));
            at += r->size;
            r->act(r + 1, run);
            ++count;
        }
        chunk* done = std::exchange(list, list->next);
        *done = {nullptr, 0, done->capacity};
        {
            const brief_lock lock(mutex_);
            std::swap(done, spare_);
        }
        std::free(done);
    }
    return count;
}

bool inbox::prepare_sleep() noexcept {
    const brief_lock lock(mutex_);
    const bool nothing = !pending();
    asleep_.store(nothing, std::memory_order_relaxed);
    return nothing;
}

void inbox::close() noexcept {
    chunk* list = nullptr;
    {
        const brief_lock lock(mutex_);
        wakes_ = nullptr;
        list = take();
    }
    run_all(list, false);
}

} // namespace gyre::detail
