#pragma once

#include <gyre/core/error.hpp>

#include <string>
#include <system_error>
#include <utility>

namespace gyre_test {

/// What `f()` throws, and its code; nothing of either when it does not.
template <class F>
std::pair<std::string, std::error_code> error_of(F f) {
    try {
        f();
    } catch (const gyre::error& e) {
        return {e.what(), e.code()};
    }
    return {};
}

} // namespace gyre_test
