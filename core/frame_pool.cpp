#include <gyre/core/frame_pool.hpp>

namespace gyre::detail {

constinit thread_local frame_pool* current_pool = nullptr;

frame_pool::frame_pool() noexcept {
    current_pool = this;
}

frame_pool::~frame_pool() {
    current_pool = nullptr;
    for (block*& list : free_)
        while (list != nullptr) {
            block* b = list;
            list = b->next;
            ::operator delete(b);
        }
}

} // namespace gyre::detail
