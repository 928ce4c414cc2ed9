#pragma once

#include <cstddef>

/// A program that is linked with counting_allocator.cpp counts its calls of operator new. A
/// sanitizer has its own operator new: there the count stays 0.

namespace gyre_test {

extern std::size_t allocations;

} // namespace gyre_test
