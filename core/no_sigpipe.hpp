#pragma once

#include <cerrno>
#include <csignal>
#include <pthread.h>

namespace gyre::detail {

/// sendfile(2) and splice(2) have no MSG_NOSIGNAL. So SIGPIPE is blocked meanwhile, on this thread,
/// and one that came is taken away, unless the program blocks it itself.
class no_sigpipe {
public:
    no_sigpipe() noexcept {
        sigemptyset(&sigpipe_);
        sigaddset(&sigpipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
    }
    no_sigpipe(const no_sigpipe&) = delete;
    ~no_sigpipe() {
        if (sigismember(&before_, SIGPIPE) == 0)
            pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    /// After EPIPE.
    void take() noexcept {
        if (sigismember(&before_, SIGPIPE) != 0)
            return; // blocked by the program: nothing happens, as it wants
        const timespec now{};
        while (sigtimedwait(&sigpipe_, nullptr, &now) < 0 && errno == EINTR) {
        }
    }

private:
    sigset_t sigpipe_;
    sigset_t before_;
};

} // namespace gyre::detail
