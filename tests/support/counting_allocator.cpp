#include "counting_allocator.hpp"

#include <gyre/core/frame_pool.hpp>

#include <cstdlib>
#include <malloc.h>
#include <new>

namespace gyre_test {
std::size_t allocations = 0;
std::size_t allocated_bytes = 0;
} // namespace gyre_test

#ifndef GYRE_SANITIZED
namespace {

void* counted(void* memory) {
    if (memory == nullptr)
        throw std::bad_alloc();
    ++gyre_test::allocations;
    gyre_test::allocated_bytes += malloc_usable_size(memory);
    return memory;
}

void give_back(void* memory) noexcept {
    gyre_test::allocated_bytes -= malloc_usable_size(memory);
    std::free(memory);
}

} // namespace

void* operator new(std::size_t size) {
    return counted(std::malloc(size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto a = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(a, (size + a - 1) / a * a));
}
void operator delete(void* memory) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    give_back(memory);
}
#endif
