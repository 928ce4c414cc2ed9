#pragma once

#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>

#include <string>

namespace gyre::detail {

/// The kernel of this thread's loop, or where there is none the real one.
inline system_calls& kernel() noexcept {
    loop* here = loop::current();
    return here != nullptr ? here->kernel() : system_calls::real();
}

inline int check(int result, const std::string& doing) {
    if (result < 0)
        throw_error(result, doing);
    return result;
}

} // namespace gyre::detail
