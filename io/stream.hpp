#pragma once

#include <gyre/core/error.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/buffer.hpp>
#include <gyre/io/socket.hpp>

#include <coroutine>
#include <cstddef>
#include <expected>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace gyre {
namespace detail {

void release(stream_state& s) noexcept;

/// What the operations of a stream share. Where the answer is in the buffer, nothing is suspended
/// and no coroutine made; else wait() is one, and belongs to the awaiting chain as any task does.
template <class Derived, class T>
class stream_operation {
public:
    stream_operation(stream_operation&& other) noexcept // before it begins
        : state_(other.state_) {}
    stream_operation& operator=(stream_operation&&) = delete;
    ~stream_operation() {
        if (frame_)
            frame_.destroy();
        if (held_)
            release(*state_);
    }

    bool await_ready() { return self().begin(); }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiting) {
        frame_ = self().wait().release();
        frame_.promise().ctx = &context_of(awaiting);
        frame_.promise().continuation = awaiting;
        return transfer(frame_);
    }
    T await_resume() {
        finish();
        if (result_ < 0)
            self().fail();
        return self().value();
    }
    std::expected<T, std::error_code> outcome() {
        finish();
        if (result_ < 0)
            return std::unexpected(decode(result_));
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return self().value();
    }

protected:
    explicit stream_operation(stream_state* s) noexcept : state_(s) {}

    stream_state* state_; ///< nullptr: the stream is closed
    bool held_ = false;
    int result_ = 0; ///< < 0: see decode()

private:
    Derived& self() noexcept { return static_cast<Derived&>(*this); }
    void finish() {
        if (frame_)
            frame_.promise().take();
    }

    std::coroutine_handle<promise<void>> frame_;
};

} // namespace detail

/// Of all that gives a view of the stream's buffer.
class [[nodiscard]] read_operation final
    : public detail::stream_operation<read_operation, std::string_view> {
public:
    enum class kind : unsigned char { some, peek, exactly, until, line, all };

    read_operation(detail::stream_state* s, kind what, std::size_t limit,
                   std::string_view delimiter = {},
                   std::span<const std::string_view> delimiters = {}) noexcept
        : stream_operation(s), what_(what), limit_(limit), delimiter_(delimiter),
          delimiters_(delimiters) {}

    std::string_view value() const noexcept { return view_; }

private:
    friend stream_operation;
    bool begin();
    task<> wait();
    [[noreturn]] void fail() const;
    bool look();
    bool find();
    bool give(std::size_t count, bool take = true);
    bool end(int result);

    kind what_;
    std::size_t limit_; ///< or how many bytes
    std::string_view delimiter_;
    std::span<const std::string_view> delimiters_;
    std::size_t searched_ = 0; ///< no delimiter begins before this
    std::string_view view_;
};

class [[nodiscard]] read_into_operation final
    : public detail::stream_operation<read_into_operation, void> {
public:
    read_into_operation(detail::stream_state* s, buffer b) noexcept
        : stream_operation(s), memory_(b) {}
    void value() const noexcept {}

private:
    friend stream_operation;
    bool begin();
    task<> wait();
    [[noreturn]] void fail() const;
    bool look();

    buffer memory_;
};

/// Of write, flush and write_eof.
class [[nodiscard]] write_operation final : public detail::stream_operation<write_operation, void> {
public:
    enum class kind : unsigned char { bytes, flush, eof };

    write_operation(detail::stream_state* s, kind what,
                    const_buffer b = const_buffer(nullptr, 0)) noexcept
        : stream_operation(s), rest_(b), what_(what) {}
    void value() const noexcept {}

private:
    friend stream_operation;
    bool begin();
    task<> wait();
    [[noreturn]] void fail() const;
    bool finish();

    const_buffer rest_; ///< what the stream has not taken yet
    kind what_;
};

/// A connection read and written through buffers, so that lines and other pieces of any size cost
/// few system calls: what socket::makefile() gives.
///
///     gyre::stream s(std::move(peer)); // or share it: peer.makefile("rw")
///     for (std::string line; !(line = co_await s.read_line()).empty();)
///         co_await s.write(line);
///     co_await s.flush();
///
/// What it reads it gives as a view into its buffer, which is good until the next read of this
/// stream or its close(); std::string(co_await s.read_line()) keeps it. What is in the buffer is
/// given without suspending, and without a look at a cancellation.
///
/// What is written is sent when more than the high water mark of it is pending, by flush(), and
/// before a read has to wait: so a server that answers a batch of requests one by one sends one
/// answer for all, with no flush. It is not sent otherwise: who writes while a read already waits,
/// or reads no more, flushes. What is pending when the stream is closed is dropped.
///
/// Nothing is lost when a call ends early. A read that fails, by timeout, cancel, limit or the end
/// of the stream, has taken nothing: what came is given to the next. A write that ends early has
/// still handed all its bytes to the stream, and they go with the next write or flush. There is one
/// exception: a coroutine that is not cancelled but destroyed while it reads or writes (a loop does
/// that to what refuses to end); of that direction, errc::broken is all that comes then.
///
/// One read and one write may be pending at a time; a second of either ends with errc::busy. How
/// long each wait lasts is the timeout of the socket (connection().settimeout()); for the whole of
/// an operation it is with_timeout(5s, s.read_line()). Errors of the connection stay: each later
/// call of the same direction ends with the same, reads after what is still in the buffer.
///
/// The descriptor is shared with the socket that the stream was made from and all other streams of
/// it, and closed when the last of them is: it is as if each had a share. Each stream has buffers
/// of its own, so a connection should have one reading and one writing stream, or one of both
/// kinds. A stream can be moved, cheaply and while it is in use, but not copied: it is a place in
/// the data, and there is one of it. It belongs to the loop of its socket.
class stream {
public:
    static constexpr std::size_t default_limit = std::size_t{64} << 10;

    /// Closed: every operation ends with errc::closed.
    stream() noexcept = default;
    /// Takes over the socket, or shares it: see socket::makefile(). `mode` is "r", "w" or "rw",
    /// else std::errc::invalid_argument is thrown. A call that the mode does not allow ends with
    /// std::errc::operation_not_supported.
    explicit stream(gyre::socket connection, std::string_view mode = "rw");
    stream(stream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    stream& operator=(stream&& other) noexcept {
        stream old(std::move(other));
        std::swap(state_, old.state_);
        return *this;
    }
    /// As close().
    ~stream() { close(); }

    // ---- Reading ------------------------------------------------------------------------------

    /// What is there, up to `n` bytes; waits only when that is nothing. Empty at the end.
    read_operation read(std::size_t n = default_limit) {
        return {state_, read_operation::kind::some, n};
    }
    /// The next `n` bytes, without taking them; fewer only at the end.
    read_operation peek(std::size_t n) { return {state_, read_operation::kind::peek, n}; }
    /// The next `n` bytes, or into memory of the caller. When the stream ends before, that is
    /// errc::incomplete: nothing is taken, and gyre::error::transferred() tells how many there are.
    read_operation read_exactly(std::size_t n) {
        return {state_, read_operation::kind::exactly, n};
    }
    read_into_operation read_exactly(buffer b) { return {state_, b}; }
    /// All up to and with the delimiter (which must stay until the operation has ended, and not be
    /// empty). errc::too_long when there are more than `limit` bytes before it; errc::incomplete at
    /// the end of the stream. Both take nothing.
    read_operation read_until(std::string_view delimiter, std::size_t limit = default_limit) {
        return {state_, read_operation::kind::until, limit, delimiter};
    }
    /// The same with the delimiter of several whose end comes first. The array must stay, too.
    read_operation read_until(std::span<const std::string_view> delimiters,
                              std::size_t limit = default_limit) {
        return {state_, read_operation::kind::until, limit, {}, delimiters};
    }
    /// A line with its "\n". The last one may be without; empty at the end of the stream.
    /// errc::too_long as above.
    read_operation read_line(std::size_t limit = default_limit) {
        return {state_, read_operation::kind::line, limit, "\n"};
    }
    /// All up to the end of the stream. errc::too_long, with nothing taken, when it is more than
    /// `limit` bytes.
    read_operation read_all(std::size_t limit = default_limit) {
        return {state_, read_operation::kind::all, limit};
    }

    /// Whether a read has met the end, and all that came before it is taken; or this is closed.
    bool at_eof() const noexcept;

    // ---- Writing ------------------------------------------------------------------------------

    /// Takes all of `b`. Suspends only when that makes more than the high water mark pending, and
    /// the kernel does not take it at once; then until no more than the low one is. Memory that is
    /// larger is sent from where it is, and must stay until then. An error that the connection has
    /// already had, errc::busy and errc::closed take nothing.
    write_operation write(const_buffer b) { return {state_, write_operation::kind::bytes, b}; }
    /// Until the kernel has all of it.
    write_operation flush() { return {state_, write_operation::kind::flush}; }
    /// Flushes, and then tells the peer that no more will come (SHUT_WR); reading goes on. After
    /// that, and for all who share the descriptor, a write is std::errc::broken_pipe. Doing it
    /// again is fine.
    write_operation write_eof() { return {state_, write_operation::kind::eof}; }
    /// At first 64 and 16 KiB. std::errc::invalid_argument when `low` is above `high`.
    void set_water_marks(std::size_t high, std::size_t low);

    // ---- Both ---------------------------------------------------------------------------------

    /// How many bytes can be read without waiting, and how many are written but not yet sent.
    std::size_t readable() const noexcept;
    std::size_t pending() const noexcept;

    /// The socket, for its options, names, timeout and shutdown. To receive and send around the
    /// buffers is to lose the order of the bytes. errc::closed is thrown when the stream is closed.
    gyre::socket& connection();
    int fileno() const noexcept;
    explicit operator bool() const noexcept { return fileno() >= 0; }

    /// Gives up its share of the descriptor; an operation of this stream that is pending ends with
    /// errc::closed. What was not flushed is dropped. Closing twice is fine.
    void close() noexcept;

private:
    detail::stream_state* state_ = nullptr;
};

} // namespace gyre
