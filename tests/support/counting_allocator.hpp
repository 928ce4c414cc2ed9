#pragma once

#include <cstddef>

/// A program that is linked with counting_allocator.cpp counts its calls of operator new, and the
/// bytes that are allocated now, as malloc(3) rounds them. A sanitizer has its own operator new:
/// there both stay 0.

namespace gyre_test {

extern std::size_t allocations;
extern std::size_t allocated_bytes;

} // namespace gyre_test
