#include <gyre/core/attempt.hpp>
#include <gyre/core/backend.hpp>
#include <gyre/core/lease_pool.hpp>

#include <cerrno>
#include <new>
#include <sys/mman.h>

namespace gyre::detail {

int lease_pool::prepare() noexcept {
    if (memory_ != nullptr)
        return 0;
    try {
        free_.resize(count_);
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
    for (std::size_t i = 0; i < count_; ++i)
        free_[i] = static_cast<std::uint16_t>(count_ - 1 - i);
    // Mapped, not allocated: pages that no lease ever touched cost nothing.
    void* m =
        mmap(nullptr, size_ * count_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return -errno;
    memory_ = static_cast<std::byte*>(m);
    return 0;
}

void lease_pool::take_back(std::uint16_t id) noexcept {
    --lent_;
    if (owner_ != nullptr)
        owner_->take_buffer(id);
    else if (lent_ == 0)
        delete this;
}

void lease_pool::detach(lease_pool* pool) noexcept {
    pool->owner_ = nullptr;
    if (pool->lent_ == 0)
        delete pool;
}

lease_pool::~lease_pool() {
    if (memory_ != nullptr)
        munmap(memory_, size_ * count_);
}

int backend::attempt_lease(operation& op) noexcept {
    lease_pool& pool = leases();
    if (const int r = pool.prepare(); r < 0)
        return r;
    const int id = pool.take();
    if (id < 0) {
        op.result = -ENOBUFS;
        return would_retry;
    }
    const auto buffer = static_cast<std::uint16_t>(id);
    op.extra = buffer;
    op.data = pool.at(buffer);
    op.size = pool.size();
    const int r = detail::attempt(op);
    if (r <= 0) {
        pool.put(buffer);
        return r;
    }
    if (static_cast<std::size_t>(r) < pool.size())
        op.target->dry = op.target->dry_after_short_read;
    pool.lend();
    return r;
}

} // namespace gyre::detail
