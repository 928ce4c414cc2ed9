#pragma once

#include <gyre/core/backend_choice.hpp>
#include <gyre/core/operation.hpp>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

/// The seam: all contact with the operating system. Nothing in io/ or resolver/ calls the kernel
/// around it, so that one binary runs on io_uring or epoll, and a test can put itself in between.

namespace gyre::detail {

class inbox;
class lease_pool;

/// A socket as the loop sees it. Lives as long as the gyre::socket or any operation refers to it.
struct descriptor {
    /// The inbox of its loop, while an operation of that loop has no more to look at than its own
    /// request; nullptr when there is more: see take_stock().
    const inbox* usual = nullptr;
    operation* pending[2] = {}; ///< of each direction, the receiving one first (law 6)
    int fd = -1;
    std::uint32_t references = 1;
    std::int64_t timeout = -1;    ///< default deadline in ns; -1: none, 0: never wait
    std::uint32_t generation = 0; ///< epoll: tells its events from those of an earlier descriptor
    std::uint16_t family = 0;
    std::uint16_t protocol = 0;
    std::uint8_t type = 0;
    std::uint8_t users = 1;  ///< its socket, and the streams that share it
    bool closed = false;     ///< by its user; the fd goes when nothing is pending
    bool registered = false; ///< epoll knows it
    bool dry = false;        ///< nothing to read; epoll: nor has an edge told of something since
    bool drains = false;     ///< a short read has emptied its queue, as long as nothing is special
    bool dry_after_short_read = false; ///< epoll: registered, and nothing is special
    bool lingers : 1 = false;          ///< SO_LINGER was set
    bool vain : 1 = false;       ///< io_uring: the last poll told of nothing that was waited for
    bool write_vain : 1 = false; ///< io_uring: so did one of a sending operation; see start()
    std::shared_ptr<inbox> home; ///< of the loop of its first operation; empty before that

    /// After a change of `home`, `closed` or `timeout`.
    void take_stock() noexcept { usual = closed || timeout == 0 ? nullptr : home.get(); }

    bool idle() const noexcept { return pending[0] == nullptr && pending[1] == nullptr; }
    operation*& slot(opcode code) noexcept { return pending[is_reading(code) ? 0 : 1]; }
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
    virtual int io_control(int fd, unsigned long request, void* argument) noexcept;
    /// Another descriptor of the same open file, closed on exec: F_DUPFD_CLOEXEC of fcntl(2).
    virtual int duplicate(int fd) noexcept;
    /// Whether exec keeps it open: 1 or 0; FD_CLOEXEC of fcntl(2).
    virtual int inheritable(int fd) noexcept;
    virtual int make_inheritable(int fd, bool yes) noexcept;
    /// Non-blocking and closed on exec; of `capacity` bytes where that is allowed. pipe2(2).
    virtual int open_pipe(int (&fds)[2], int capacity) noexcept;
    /// Moves bytes between a pipe and another descriptor without waiting or SIGPIPE. splice(2).
    virtual int splice(int from, int to, std::size_t size) noexcept;
    /// Of a pipe. read(2).
    virtual int read(int fd, void* memory, std::size_t size) noexcept;
    virtual int close(int fd) noexcept;

    // The file of a UNIX socket.

    /// Of the path itself, also where it is a link. lstat(2).
    virtual int look_at(const char* path, struct stat& what) noexcept;
    virtual int remove(const char* path) noexcept;
    virtual int change_mode(const char* path, mode_t mode) noexcept;
    /// A folder, open and locked against others who do the same, until it is closed; -EWOULDBLOCK
    /// while another has it. flock(2).
    virtual int lock_folder(const char* path) noexcept;

    /// close(), which does not block either where SO_LINGER was set: then say so.
    int close_at_once(int fd, bool lingers) noexcept;

    /// The descriptors that came with a message (SCM_RIGHTS in its ancillary data), but for those
    /// that were taken out: -1 is in their place.
    void close_passed(const void* control, std::size_t size) noexcept;

    /// One try of what an operation is for, without waiting: >= 0, -errno, or one of the two below.
    /// Both backends build on it; so errors and quirks are the same on both.
    virtual int attempt(operation& op) noexcept;

    /// attempt: nothing yet; poll the descriptor for the operation's direction.
    static constexpr int would_wait = -1 << 20;
    /// attempt: nothing yet, and polling would not tell (full UNIX queue or backlog, no
    /// descriptors left): try again after a while.
    static constexpr int would_retry = would_wait - 1;
    /// attempt: something was done, and there is more; but it is the turn of others.
    static constexpr int would_yield = would_wait - 2;
    /// attempt: nothing yet; another thread works for it, and loop::rouse comes after that.
    static constexpr int would_hold = would_wait - 3;

    static system_calls& real() noexcept;
};

/// The verbs for what can wait: submit, cancel, wait, wake; and end. Completions go to
/// loop::finish.
class backend : public submitter, public system_calls {
public:
    // bool submit(operation& op), of submitter: `return owner_.begin(*this, op);`, see
    // progress.hpp.

    /// Lets a waiting `op` try again: `owner_.go_on(*this, op);`.
    virtual void resubmit(operation& op) noexcept = 0;
    /// The steps of both. attempt_now: one attempt, or would_wait where it cannot succeed.
    /// wait_for: lets the kernel tell when to try again; false when that failed, the error in the
    /// result.
    virtual int attempt_now(operation& op) noexcept = 0;
    virtual bool wait_for(operation& op) noexcept = 0;

    /// Asks a waiting operation to end with `op.reason`. It ends through loop::finish, now or
    /// in a later wait(), with that reason or with what it had already achieved.
    virtual void cancel(operation& op) noexcept = 0;

    /// Lets the kernel work until something happened or `timeout` ns have passed; 0 only looks,
    /// detail::forever has no end. Never runs user code.
    virtual void wait(std::int64_t timeout) noexcept = 0;

    /// Ends a wait() soon, the present one or the next. From any thread.
    virtual void wake() noexcept = 0;

    /// The loop ends: what still waits comes to loop::finish, or into the loop's queues, at once,
    /// and the kernel has let go of all memory when this returns.
    virtual void end() noexcept = 0;

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

/// How many operations the running piece of work may still end without waiting.
extern constinit thread_local unsigned inline_budget;

/// For operations awaited on this thread; nullptr: there is no loop any more.
void set_current_submitter(submitter* of_loop) noexcept;

/// Both throw gyre::error: descriptors or memory have run out, or the kernel refuses.
std::unique_ptr<backend> make_epoll_backend(loop& owner);
std::unique_ptr<backend> make_io_uring_backend(loop& owner);

/// Makes the backend that is asked for, and says in `kind` which that is. `automatic` is content
/// with epoll when this process could have a ring, but this loop cannot: that is refused too late
/// for the choice, by a filter or for want of memory. Descriptors that have run out are an error.
std::unique_ptr<backend> make_backend(loop& owner, backend_kind& kind);

constexpr bool out_of_descriptors(int code) noexcept {
    return code == EMFILE || code == ENFILE;
}

/// What this process can use of io_uring; the first entry stands for the whole. Throws gyre::error
/// when the answer cannot be had for want of descriptors.
std::vector<backend_report::feature> probe_io_uring();

} // namespace gyre::detail
