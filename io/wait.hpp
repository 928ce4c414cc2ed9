#pragma once

#include <gyre/core/operation.hpp>
#include <gyre/io/socket.hpp>

#include <coroutine>

namespace gyre {

/// A descriptor that is not gyre's, of whatever kind that poll(2) knows (a pipe, a timerfd, the
/// socket of another library), watched for a while:
///
///     gyre::fd_watch events(inotify);
///     for (;;) {
///         co_await events.readable();
///         drain(inotify);
///     }
///
/// It has a duplicate of its own. So the descriptor stays whose it is, with its flags as they are,
/// may be watched by any number, and closed meanwhile (waiting then ends with the open file: by
/// what happens to it, not by that). This is a cheaper way to wait again and again; wait_readable
/// and wait_writable are for once. A watch belongs to a loop as a socket does, and has no default
/// deadline.
class fd_watch {
public:
    /// Watches nothing: errc::closed.
    fd_watch() noexcept = default;
    /// Throws std::errc::bad_file_descriptor, or too_many_files_open.
    explicit fd_watch(int fd);

    /// See wait_readable and wait_writable. One of each at a time, a second is errc::busy.
    wait_operation readable();
    wait_operation writable();

    /// Ends what waits with errc::closed. The watched descriptor stays open.
    void close() noexcept { socket_.close(); }
    explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

private:
    socket socket_;
};

class [[nodiscard]] wait_operation final : public detail::socket_operation<wait_operation, void> {
public:
    wait_operation(detail::opcode c, detail::descriptor* d) noexcept : socket_operation(c, d) {}
    wait_operation(detail::opcode c, int fd) noexcept
        : socket_operation(c, nullptr), fd_(fd), once_(true) {}
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return (!once_ || watch()) && operation::await_suspend(awaiting);
    }
    void await_resume() {
        if (once_ && result < 0) [[unlikely]]
            fail();
        socket_operation::await_resume();
    }
    void value() const noexcept {}

private:
    bool watch() noexcept;
    [[noreturn]] void fail() const;

    fd_watch watch_; // of wait_readable and wait_writable, from the await on
    int fd_ = -1;
    bool once_ = false;
};

/// Waits until `fd` has something to read, or the end, a hang-up or an error to tell; at once when
/// it has that already, always so for files that poll(2) says nothing else of. Somebody else may be
/// faster to take what is there: who reads afterwards must not block. The descriptor stays as it
/// is, and open; any number may wait for it. Ends early as every operation does; a descriptor that
/// is none is std::errc::bad_file_descriptor. poll(2).
inline wait_operation wait_readable(int fd) {
    return {detail::opcode::poll_read, fd};
}

/// Waits until `fd` takes something to write, or has an error to tell (a pipe without a reader).
inline wait_operation wait_writable(int fd) {
    return {detail::opcode::poll_write, fd};
}

inline wait_operation fd_watch::readable() {
    return socket_.wait_readable();
}
inline wait_operation fd_watch::writable() {
    return socket_.wait_writable();
}
inline wait_operation socket::wait_readable() {
    return {detail::opcode::poll_read, descriptor_};
}
inline wait_operation socket::wait_writable() {
    return {detail::opcode::poll_write, descriptor_};
}

} // namespace gyre
