#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <system_error>

namespace gyre {

/// Ends of an operation that the kernel has no number for. Deadline, cancel, close and peer are
/// four different errors: the peer's (connection reset, refused ...) stay std::errc values.
enum class errc : unsigned char {
    timed_out = 1, ///< the deadline passed; the kernel's own ETIMEDOUT stays std::errc::timed_out
    cancelled,     ///< the awaiting task, its group or its future was cancelled
    closed,        ///< the socket was closed here, before or during the operation
    busy,          ///< another operation of the same direction is pending on this socket
    broken,        ///< the loop ended before the future's computation did
    incomplete,    ///< the stream ended before all was there that was asked for
    too_long,      ///< a limit was passed before the end of what was asked for came
    not_found,     ///< no such entry in the database that was asked
    no_source,     ///< create_connection: the address has another family than the source
};

/// The category of gyre::errc, named "gyre".
const std::error_category& error_category() noexcept;

std::error_code make_error_code(errc value) noexcept;

/// What operations throw. what() says what was being done, to whom, and why it ended:
/// "connect to [::1]:7000: Connection refused".
class error : public std::system_error {
public:
    error(std::error_code code, const std::string& doing, std::size_t transferred = 0);

    /// What had been done when an operation on many bytes ended early: bytes that had gone out
    /// (sendall, sendfile) or were in the buffer (recv_exactly), datagrams of a batch. Else 0.
    std::size_t transferred() const noexcept { return transferred_; }

private:
    std::size_t transferred_;
};

/// A deadline of gyre's passed: code() is errc::timed_out.
class timeout_error : public error {
public:
    explicit timeout_error(const std::string& doing, std::size_t transferred = 0);
};

/// Whether the exception says that its computation was cancelled (gyre::error, errc::cancelled).
bool is_cancelled(const std::exception_ptr& failure) noexcept;

namespace detail {

/// Results travel inside the library as one int: >= 0 is success, -errno a kernel error, and what
/// lies below all of errno an errc.
constexpr int errc_offset = 4096;
constexpr int encode(errc value) noexcept {
    return -errc_offset - static_cast<int>(value);
}
std::error_code decode(int result) noexcept;

/// An errc::cancelled that was made once, for what ends so without having thrown it.
const std::exception_ptr& cancellation();

/// Throws the error that `result` (< 0) stands for: timeout_error for a deadline, else error.
[[noreturn]] void throw_error(int result, const std::string& doing, std::size_t transferred = 0);
[[noreturn]] void throw_error(std::error_code code, const std::string& doing,
                              std::size_t transferred = 0);

} // namespace detail
} // namespace gyre

template <>
struct std::is_error_code_enum<gyre::errc> : std::true_type {};
