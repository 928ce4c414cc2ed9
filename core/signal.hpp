#pragma once

#include <gyre/core/task.hpp>

#include <concepts>
#include <csignal>

namespace gyre {
namespace detail {
task<int> wait_for_signal(sigset_t set);
}

/// `int number = co_await gyre::signal(SIGINT, SIGTERM);`
///
/// Waits until one of these signals is sent to the process, and gives its number; everyone who
/// waits for it, on any loop, is told; of the threads of one gyre::run also whoever only begins to
/// wait after another has been told. From the await on, the signals are blocked on this thread
/// (pthread_sigmask(3)) instead of doing what they did, and stay so. Threads that the program
/// itself started before must block them, too: a signal goes to any thread that does not. Gyre's
/// own threads block all signals. No handler is installed. Ends early by cancellation. A number
/// that is no signal's is std::errc::invalid_argument. signalfd(2).
template <std::same_as<int>... Numbers>
    requires(sizeof...(Numbers) > 0)
[[nodiscard]] task<int> signal(Numbers... numbers) {
    sigset_t set;
    sigemptyset(&set);
    if (!((sigaddset(&set, numbers) == 0) && ...))
        sigemptyset(&set);
    return detail::wait_for_signal(set);
}

} // namespace gyre
