#include <gyre/core/lease_pool.hpp>
#include <gyre/io/lease.hpp>

namespace gyre {

void lease::give_back() noexcept {
    pool_->take_back(id_);
}

} // namespace gyre
