#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/signal.hpp>
#include <gyre/core/signals_seen.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vector>

namespace gyre::detail {

constinit thread_local signals_seen* signals_seen::here = nullptr;

namespace {

/// One await. Several loops may wait for a signal, but only one of them reads it.
struct signal_waiter {
    sigset_t set;
    std::shared_ptr<inbox> home;
    int number = 0; // of the signal, once it is known
    operation* waiting = nullptr;
};

class signal_registry {
public:
    void add(const std::shared_ptr<signal_waiter>& w) {
        std::lock_guard lock(mutex_);
        waiters_.push_back(w);
        if (signals_seen::here == nullptr)
            return;
        for (int n = 1; n < NSIG && w->number == 0; ++n)
            if (sigismember(&w->set, n) == 1 &&
                signals_seen::here->up_to[index(n)] < read_[index(n)])
                w->number = n;
    }
    /// This thread knows of it now.
    void note(int number) {
        std::lock_guard lock(mutex_);
        if (signals_seen::here != nullptr)
            signals_seen::here->up_to[index(number)] = read_[index(number)];
    }
    signals_seen so_far() {
        std::lock_guard lock(mutex_);
        return {read_};
    }
    void remove(const std::shared_ptr<signal_waiter>& w) noexcept {
        std::lock_guard lock(mutex_);
        std::erase(waiters_, w);
    }
    void tell_others(const std::shared_ptr<signal_waiter>& reader) {
        std::lock_guard lock(mutex_);
        ++read_[index(reader->number)];
        for (const auto& w : waiters_)
            if (w != reader && sigismember(&w->set, reader->number) == 1)
                w->home->post([w, number = reader->number] {
                    if (w->number != 0 || w->waiting == nullptr)
                        return;
                    w->number = number;
                    loop::current()->cancel(*w->waiting, errc::cancelled);
                });
    }

private:
    static std::size_t index(int number) noexcept { return static_cast<std::size_t>(number); }

    std::mutex mutex_;
    std::vector<std::shared_ptr<signal_waiter>> waiters_;
    std::array<std::uint64_t, NSIG> read_{}; // how often each number was
};

signal_registry& registry() {
    static signal_registry instance;
    return instance;
}

class readable : public operation {
public:
    explicit readable(descriptor& d) noexcept : operation(opcode::poll_read, &d) {
        when = timing::none;
    }
    int await_resume() const noexcept { return result; }
};

/// The descriptor of one await.
class signal_descriptor {
public:
    explicit signal_descriptor(const sigset_t& set) {
        d.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (d.fd < 0)
            throw error({errno, std::system_category()}, "wait for a signal: signalfd");
    }
    signal_descriptor(const signal_descriptor&) = delete;
    ~signal_descriptor() {
        // A coroutine that is not gyre's may have awaited this, and outlived the loop.
        loop* here = loop::current();
        if (here != nullptr && (d.home == nullptr || d.home == here->shared_inbox()))
            here->close(d);
        else
            ::close(d.fd);
    }

    descriptor d;
};

} // namespace

task<int> wait_for_signal(sigset_t set) {
    if (sigisemptyset(&set) == 1)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "wait for a signal: no such number");
    if (const int r = pthread_sigmask(SIG_BLOCK, &set, nullptr); r != 0)
        throw error({r, std::system_category()}, "wait for a signal: pthread_sigmask");
    signal_descriptor file(set);
    const auto self = std::make_shared<signal_waiter>();
    self->set = set;
    self->home = current_inbox();
    struct registration {
        std::shared_ptr<signal_waiter> w;
        ~registration() {
            w->waiting = nullptr;
            registry().remove(w);
        }
    } registered{self};
    registry().add(self);

    while (self->number == 0) {
        readable poll(file.d);
        self->waiting = &poll;
        const int result = co_await poll; // an lvalue: of anything else g++ awaits a copy
        self->waiting = nullptr;
        if (self->number != 0)
            break;
        if (result < 0)
            throw_error(result, "wait for a signal");
        signalfd_siginfo info{};
        if (::read(file.d.fd, &info, sizeof info) == sizeof info) {
            self->number = static_cast<int>(info.ssi_signo);
            registry().tell_others(self);
        }
    }
    registry().note(self->number);
    co_return self->number;
}

signals_seen current_signals() noexcept {
    return registry().so_far();
}

} // namespace gyre::detail
