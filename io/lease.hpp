#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace gyre {
namespace detail {
class lease_pool;
}

/// Received bytes in memory that the loop lends: what `co_await peer.recv()` gives. Empty at the
/// end of the stream. The memory goes back when the lease is destroyed, which happens on the loop's
/// thread, or after the loop is gone. With all of a loop's buffers lent (loop_options::lease_count)
/// further receivers wait, so a lease is kept for no longer than its bytes are needed.
class lease {
public:
    lease() noexcept = default;
    lease(lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)), id_(other.id_) {}
    lease& operator=(lease&& other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(id_, other.id_);
        return *this;
    }
    ~lease() {
        if (pool_ != nullptr)
            give_back();
    }

    /// False at the end of the stream.
    explicit operator bool() const noexcept { return size_ != 0; }

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::byte* begin() const noexcept { return data_; }
    std::byte* end() const noexcept { return data_ + size_; }
    std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

    /// For the library: takes over a buffer that the pool has counted as lent.
    lease(detail::lease_pool& pool, std::byte* data, std::uint32_t size, std::uint16_t id) noexcept
        : pool_(&pool), data_(data), size_(size), id_(id) {}

private:
    void give_back() noexcept;

    detail::lease_pool* pool_ = nullptr;
    std::byte* data_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint16_t id_ = 0;
};

} // namespace gyre
