#pragma once

#include <cstddef>
#include <new>

namespace gyre::detail {

/// Memory for coroutine frames and other small, short-lived objects of a loop.
///
/// Freed blocks are kept by size class for the next of their size, so that a server in its steady
/// state calls malloc for nothing. The classes are those of malloc(3): 16 bytes apart, 8 beyond a
/// multiple of it, up to 8 KiB; so nothing is lost by rounding twice. Every block comes from
/// operator new alone: one that was taken on a thread may be returned on another, or after its loop
/// is gone. The pool works between construction and destruction, for the thread that constructed
/// it; other threads, and builds with a sanitizer, go to operator new and delete.
class frame_pool {
public:
    static constexpr std::size_t granule = 16;
    static constexpr std::size_t largest = 8192 + granule / 2;
    static constexpr std::size_t cached_bytes_max = std::size_t{64} << 20;

    frame_pool() noexcept;
    ~frame_pool();
    frame_pool(const frame_pool&) = delete;
    frame_pool& operator=(const frame_pool&) = delete;

    static void* allocate(std::size_t size);
    static void deallocate(void* memory, std::size_t size) noexcept;

private:
    struct block {
        block* next;
    };

    static constexpr std::size_t class_of(std::size_t size) {
        return (size + granule / 2 - 1) / granule;
    }
    static constexpr std::size_t size_of(std::size_t index) {
        return index * granule + granule / 2;
    }

    // Builds with a sanitizer leave these alone.
    [[maybe_unused]] block* free_[largest / granule + 1] = {};
    [[maybe_unused]] std::size_t cached_bytes_ = 0;
};

extern constinit thread_local frame_pool* current_pool;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GYRE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define GYRE_SANITIZED 1
#endif
#endif

inline void* frame_pool::allocate(std::size_t size) {
#ifndef GYRE_SANITIZED
    if (frame_pool* pool = current_pool; pool != nullptr && size - 1 < largest) {
        const std::size_t index = class_of(size);
        if (block* b = pool->free_[index]) {
            pool->free_[index] = b->next;
            pool->cached_bytes_ -= size_of(index);
            return b;
        }
        return ::operator new(size_of(index));
    }
    // A block that may come back to a pool has its whole class size, wherever it was made.
    if (size - 1 < largest)
        size = size_of(class_of(size));
#endif
    return ::operator new(size);
}

inline void frame_pool::deallocate(void* memory, std::size_t size) noexcept {
#ifndef GYRE_SANITIZED
    frame_pool* pool = current_pool;
    if (pool != nullptr && size - 1 < largest && pool->cached_bytes_ < cached_bytes_max) {
        const std::size_t index = class_of(size);
        pool->free_[index] = new (memory) block{pool->free_[index]};
        pool->cached_bytes_ += size_of(index);
        return;
    }
#endif
    (void)size;
    ::operator delete(memory);
}

} // namespace gyre::detail
