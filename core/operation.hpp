#pragma once

#include <gyre/core/clock.hpp>
#include <gyre/core/error.hpp>
#include <gyre/core/task.hpp>
#include <gyre/core/work.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <sys/socket.h>
#include <sys/uio.h>

namespace gyre {
class loop;
}

namespace gyre::detail {

struct descriptor;
struct file_reading;

/// Everything that can wait. Both backends switch on all of it.
enum class opcode : std::uint8_t {
    // The receiving ones,
    poll_read, ///< until the descriptor is readable, or has an error or hang-up to tell
    accept,
    recv,
    recv_all,   ///< until the memory is full or the stream at its end
    recv_lease, ///< into memory lent by the loop
    recv_msg,
    recv_many, ///< a batch of datagrams
    // the sending ones,
    poll_write,
    connect,
    send,
    send_all,
    send_msg,
    send_parts, ///< send_all of memory in several places
    send_many,
    send_file,
    // and neither.
    sleep, ///< for the deadline alone; the kernel never sees it
};

/// Which of the two directions of a descriptor the operation takes (law 6).
constexpr bool is_reading(opcode code) noexcept {
    return code < opcode::poll_write;
}

/// For what is not in the queue of what arrived; so whether that is empty says nothing of it.
constexpr bool reads_aside(int msg_flags) noexcept {
    return (msg_flags & (MSG_OOB | MSG_ERRQUEUE)) != 0;
}

/// How the deadline of an operation is to be read before it starts.
enum class timing : std::uint8_t {
    inherit,   ///< the default of the socket
    none,      ///< wait for as long as it takes
    immediate, ///< do not wait: would_block
    relative,  ///< `expiry` is a duration in ns
    absolute,  ///< `expiry` is a point on the loop's clock in ns
};

class operation;

/// The part of a backend that starts operations; of the loop of this thread, or of nobody.
struct submitter {
    /// Starts `op`; true when it has ended at once, its result in it, false when it waits.
    virtual bool submit(operation& op) noexcept = 0;

protected:
    ~submitter() = default;
};
extern constinit thread_local submitter* current_submitter;

/// One request to the kernel: what, which descriptor, which memory, until when, the result, and
/// whom to resume. It is the awaiter, and so lives in the awaiting coroutine's frame and stays put
/// until the kernel has let go of it. This base is what loop and backends know; the types that
/// users await derive from it and add their result.
class operation : public timer {
public:
    enum class phase : std::uint8_t {
        idle,        ///< not begun, or ended
        waiting,     ///< the backend has it
        unsent,      ///< the same, but io_uring has no room for it yet
        readied,     ///< epoll says that it may go on; it tries when its turn in the queue comes
        cancelling,  ///< io_uring was asked to cancel it; its completion is still to come
        uncancelled, ///< the same, but there was no room yet for the request
        retrying,    ///< what it waits for cannot be polled; the loop tries again after a while
        sleeping,    ///< it waits for its deadline alone, or for loop::rouse
        completed,   ///< the result is there, the waiter is in the ready queue
        ended,       ///< the waiter runs, and this is the last that refers to the descriptor
    };

    // Leaves what begin() sets: two of these are made for each echoed message.
    operation(opcode c, descriptor* d, void* memory = nullptr, std::size_t length = 0) noexcept
        : timer(&on_event), target(d), data(memory), size(length), code(c) {}
    /// Before it begins, an operation may move (into as_result, with_timeout, start ...).
    operation(operation&& other) noexcept
        : timer(other.notify), target(other.target), data(other.data), size(other.size),
          msg_flags(other.msg_flags), code(other.code), when(other.when) {
        if (when == timing::relative || when == timing::absolute)
            expiry = other.expiry;
        if (code == opcode::recv_all)
            extra = other.extra;
    }
    operation& operator=(operation&&) = delete;
    ~operation() {
        if (state != phase::idle)
            let_go();
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        waiter = awaiting.address();
        ctx = &context_of(awaiting);
        return !current_submitter->submit(*this);
    }

    descriptor* target; ///< nullptr for sleep
    void* data;         ///< what is left to fill or to send
    std::size_t size;   ///< bytes of it
    void* waiter;       ///< whom to resume: the address of a coroutine handle
    context* ctx;       ///< whose leaf this is
    int msg_flags = 0;  ///< MSG_*: what was asked, then what recvmsg told
    opcode code;        // these four are one store with msg_flags
    phase state = phase::idle;
    timing when = timing::inherit;
    errc reason = errc{}; ///< asked to end early: the end, unless it succeeds first
    int result;           ///< >= 0: success; < 0: see decode()
    std::uint32_t extra;  ///< recv_lease: which buffer was filled; recv_all: bytes that are there

private:
    friend class gyre::loop;
    static void on_event(work& w, event e) noexcept;
    void let_go() noexcept;
};

/// Adds the ways to say how long to wait. `Derived` is the awaitable itself, so that the result
/// can be awaited in the same expression: co_await peer.recv(buffer).within(5s).
///
/// A deadline covers the whole operation: a sendall has one, not one per write. It never passes
/// early; it is noticed up to 66 us and the rest of the turn late. What had arrived before the
/// deadline is delivered.
template <class Derived>
struct deadlines {
    /// At most this long, from now: throws timeout_error. Zero or less: only what needs no wait.
    template <class Rep, class Period>
    Derived&& within(std::chrono::duration<Rep, Period> d) && {
        return set(timing::relative, ceil_nanoseconds(d));
    }
    /// Until then.
    Derived&& until(clock::time_point t) && {
        return set(timing::absolute, t.time_since_epoch().count());
    }
    /// Not at all: throws would_block (std::errc::operation_would_block) instead of waiting. The
    /// awaiting coroutine then is not suspended, and a cancellation not noticed.
    Derived&& nonblocking() && { return set(timing::immediate, 0); }
    /// For as long as it takes, whatever the socket's default is.
    Derived&& without_deadline() && { return set(timing::none, 0); }

private:
    Derived&& set(timing when, std::int64_t expiry) {
        auto& self = static_cast<Derived&>(*this);
        if ((self.msg_flags & MSG_DONTWAIT) == 0) { // else the constructor has said `immediate`
            self.when = when;
            self.expiry = expiry;
        }
        return static_cast<Derived&&>(self);
    }
};

/// With the peer's address, which the kernel reads or writes.
class named_operation : public operation {
public:
    using operation::operation;
    sockaddr* name = nullptr;
    socklen_t name_size = 0; ///< its capacity, then its size
    bool started = false;    ///< connect: the kernel has begun
};

/// A message with its address, from or into memory in several places, and ancillary data.
class message_operation : public named_operation {
public:
    using named_operation::named_operation;
    const iovec* parts = nullptr; ///< nullptr: one part, which is `data` and `size`
    std::size_t part_count = 0;
    void* control = nullptr;
    std::size_t control_size = 0; ///< its capacity, then its size
    // With MSG_WAITALL; parts and part_count then are those that are left.
    iovec whole{};
    std::size_t skip = 0;        ///< bytes of the first part that are there
    std::size_t transferred = 0; ///< bytes that are there
};

/// A sendall and its kin: counts what has gone.
class bulk_operation : public operation {
public:
    using operation::operation;
    std::size_t transferred = 0; ///< bytes; of send_many: datagrams
};

/// A sendall of memory in several places; `size`, parts and part_count are what is left of it.
class gather_operation : public bulk_operation {
public:
    using bulk_operation::bulk_operation;
    const iovec* parts = nullptr;
    std::size_t part_count = 0;
    std::size_t skip = 0; ///< bytes of the first part that have gone
};

/// `size` bytes of a file, from `offset` on. See send_file.hpp.
class file_operation : public bulk_operation {
public:
    using bulk_operation::bulk_operation;
    file_operation(file_operation&&) = default;
    ~file_operation() {
        if (reading != nullptr)
            leave_reading();
    }
    int file = -1;
    std::int64_t offset = 0;
    std::int64_t at_hand = -1; ///< up to here the file can be sent without the disk; -1: not begun
    const char* complaint = nullptr;       ///< why it is refused
    std::shared_ptr<file_reading> reading; ///< what other threads read for it, if any

private:
    void leave_reading() noexcept;
};

} // namespace gyre::detail
