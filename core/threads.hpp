#pragma once

#include <csignal>
#include <memory>
#include <pthread.h>
#include <thread>
#include <utility>

namespace gyre::detail {

/// A thread of the library's: with all signals blocked, so that the program's handlers run on the
/// program's threads, and gyre::signal on any loop sees what is sent to the process.
template <class F>
std::jthread start_thread(F f) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct restore {
        sigset_t& mask;
        ~restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
    } r{before};
    return std::jthread(std::move(f));
}

/// One that nobody waits for: `run(argument)`. Throws std::system_error when there is none to be
/// had.
void start_detached_thread(void (*run)(const std::shared_ptr<void>& argument),
                           std::shared_ptr<void> argument);

} // namespace gyre::detail
