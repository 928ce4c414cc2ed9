#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gyre::detail {

class backend;

/// The memory that a loop lends to receivers: `count` buffers of `size` bytes, numbered, mapped at
/// the first use. It stays until the loop is gone and the last lease is returned. One thread.
class lease_pool {
public:
    lease_pool(std::size_t size, std::size_t count) noexcept : size_(size), count_(count) {}
    lease_pool(const lease_pool&) = delete;
    lease_pool& operator=(const lease_pool&) = delete;

    /// Maps the memory, all of it free, unless that is done; 0, or -errno.
    int prepare() noexcept;

    std::size_t size() const noexcept { return size_; }
    std::size_t count() const noexcept { return count_; }
    std::size_t lent() const noexcept { return lent_; }
    std::byte* at(std::uint16_t id) const noexcept { return memory_ + std::size_t{id} * size_; }

    /// For a backend that hands out the buffers itself: the number of one, or -1.
    int take() noexcept {
        if (free_.empty())
            return -1;
        const int id = free_.back();
        free_.pop_back();
        return id;
    }
    void put(std::uint16_t id) noexcept { free_.push_back(id); } // never more than count

    void lend() noexcept { ++lent_; }
    /// A lease comes back: to the loop, where there still is one.
    void take_back(std::uint16_t id) noexcept;

    /// The loop begins, and ends, to use the pool.
    void attach(backend& owner) noexcept { owner_ = &owner; }
    static void detach(lease_pool* pool) noexcept;

private:
    ~lease_pool();

    std::size_t size_;
    std::size_t count_;
    std::size_t lent_ = 0;
    std::byte* memory_ = nullptr;
    backend* owner_ = nullptr;
    std::vector<std::uint16_t> free_;
};

} // namespace gyre::detail
