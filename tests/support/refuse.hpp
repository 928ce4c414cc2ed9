#pragma once

#include <cstdint>

namespace gyre_test {

/// From now on the system call `number` fails with `error` in this thread and what it starts, as in
/// a container whose seccomp filter refuses it; with `at_least`, only when its first argument is
/// that large. False where the kernel takes no filters. There is no way back: for a child process.
bool refuse(long number, int error, std::uint32_t at_least = 0);

/// What a child then says: see expect_in_child.
inline constexpr const char* no_filters = "skip: this kernel takes no seccomp filters";

} // namespace gyre_test
