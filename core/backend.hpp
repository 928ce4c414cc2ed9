#pragma once

#include <gyre/core/backend_choice.hpp>
#include <gyre/core/operation.hpp>

#include <cstdint>
#include <memory>
#include <sys/socket.h>
#include <vector>

/// The seam: all contact with the operating system. Nothing in io/ or resolver/ calls the kernel
/// around it, so that one binary runs on io_uring or epoll, and a test can put itself in between.

namespace gyre::detail {

class inbox;
class lease_pool;

/// A socket as the loop sees it. Lives as long as the gyre::socket or any operation refers to it.
struct descriptor {
    int fd = -1;
    std::uint32_t references = 1;
    std::shared_ptr<inbox> home;  ///< of the loop of its first operation; empty before that
    operation* reading = nullptr; ///< the pending one of each direction (law 6)
    operation* writing = nullptr;
    std::int64_t timeout = -1;    ///< default deadline in ns; -1: none, 0: never wait
    std::uint32_t generation = 0; ///< epoll: tells its events from those of an earlier descriptor
    std::uint16_t family = 0;
    std::uint16_t protocol = 0;
    std::uint8_t type = 0;
    bool attached = false;    ///< `home` is set
    bool closed = false;      ///< by its user; the fd goes when nothing is pending
    bool registered = false;  ///< epoll knows it
    bool readable = true;     ///< epoll: reading may succeed; io_uring: the queue was not empty
    bool read_sticky = false; ///< epoll: end, error or urgent data: always try to read

    /// Whether an operation has more to look at than its own request.
    bool unusual() const noexcept { return closed || !attached || timeout == 0; }

    operation*& slot(opcode code) noexcept { return is_reading(code) ? reading : writing; }
};

/// The calls that cannot wait, each with its man page's meaning; -errno instead of errno.
/// This class is the real kernel; a simulated network or a fault injector overrides.
class system_calls {
public:
    virtual ~system_calls() = default;

    /// Always SOCK_NONBLOCK | SOCK_CLOEXEC: waiting is the loop's, not the descriptor's.
    virtual int open(int family, int type, int protocol) noexcept;
    virtual int open_pair(int family, int type, int protocol, int (&fds)[2]) noexcept;
    virtual int make_nonblocking(int fd) noexcept;
    virtual int bind(int fd, const sockaddr* name, socklen_t size) noexcept;
    virtual int listen(int fd, int backlog) noexcept;
    virtual int local_name(int fd, sockaddr* name, socklen_t& size) noexcept;
    virtual int peer_name(int fd, sockaddr* name, socklen_t& size) noexcept;
    virtual int get_option(int fd, int level, int option, void* value, socklen_t& size) noexcept;
    virtual int set_option(int fd, int level, int option, const void* value,
                           socklen_t size) noexcept;
    virtual int shut_down(int fd, int how) noexcept;
    virtual int close(int fd) noexcept;

    /// One try of what an operation is for, without waiting: >= 0, -errno, or one of the two below.
    /// Both backends build on it; so errors and quirks are the same on both.
    virtual int attempt(operation& op) noexcept;

    /// attempt: nothing yet; poll the descriptor for the operation's direction.
    static constexpr int would_wait = -1 << 20;
    /// attempt: nothing yet, and polling would not tell (full UNIX queue or backlog, no
    /// descriptors left): try again after a while.
    static constexpr int would_retry = would_wait - 1;

    static system_calls& real() noexcept;
};

/// The four verbs for what can wait. Completions go to loop::finish.
class backend : public system_calls {
public:
    /// Starts `op`, which has a descriptor; true when it has ended at once, its result in it.
    virtual bool submit(operation& op) noexcept = 0;

    /// Asks a waiting operation to end with `op.reason`. It ends through loop::finish, now or
    /// in a later wait(), with that reason or with what it had already achieved.
    virtual void cancel(operation& op) noexcept = 0;

    /// Lets the kernel work until something happened or `timeout` ns have passed; 0 only looks,
    /// detail::forever has no end. Never runs user code.
    virtual void wait(std::int64_t timeout) noexcept = 0;

    /// Ends a wait() soon, the present one or the next. From any thread.
    virtual void wake() noexcept = 0;

    /// The descriptor leaves the loop: its fd is about to be closed or given away.
    virtual void forget(descriptor& d) noexcept = 0;

    /// Readable when wait(0) has something to do.
    virtual int pollable_fd() noexcept = 0;

    /// The memory that recv_lease fills; a lease comes back through take_buffer.
    virtual lease_pool& leases() noexcept = 0;
    virtual void take_buffer(std::uint16_t id) noexcept = 0;

protected:
    /// attempt() for recv_lease: takes a buffer, and puts it back when there was nothing to read.
    int attempt_lease(operation& op) noexcept;
};

/// Both throw gyre::error when descriptors or memory have run out.
std::unique_ptr<backend> make_epoll_backend(loop& owner);
std::unique_ptr<backend> make_io_uring_backend(loop& owner);

/// What this process can use of io_uring; the first entry stands for the whole. Throws gyre::error
/// when the answer cannot be had for want of descriptors.
std::vector<backend_report::feature> probe_io_uring();

} // namespace gyre::detail
