#pragma once

#include <gyre/core/loop.hpp>
#include <gyre/core/task.hpp>

#include <exception>
#include <type_traits>

namespace gyre {

struct run_options {
    unsigned threads = 1; ///< 0: one for each processor that this process may use
    loop_options loop{};  ///< of every thread
};

/// Makes a loop on this thread, runs the task to its end, and gives its result or rethrows.
template <class T>
T run(task<T> t, loop_options options = {}) {
    loop l(options);
    return l.run(std::move(t));
}

namespace detail {
void run_threads(const run_options& options, task<> (*make)(void*), void* factory);
}

/// One loop a thread, this thread being one of them; each runs the task that `factory()` makes on
/// it. Returns when all have ended. The first that fails cancels the others, and its exception is
/// thrown; a thread that cannot be started is such a failure (std::system_error). `factory` is
/// called on several threads at once.
template <class F>
void run(const run_options& options, F factory) {
    detail::run_threads(
        options, [](void* f) -> task<> { return (*static_cast<F*>(f))(); }, &factory);
}

} // namespace gyre
