#pragma once

#include <gyre/io/ancillary.hpp>
#include <gyre/io/socket.hpp>

#include <array>
#include <vector>

namespace gyre {

/// At most so many descriptors travel with one message (SCM_MAX_FD of unix(7)).
inline constexpr std::size_t max_passed_fds = 253;

/// What recv_fds gives. Descriptors that nobody takes out of it are closed.
struct received_fds {
    std::size_t count = 0; ///< bytes in the buffer; 0 at the end of a stream
    std::vector<owned_fd> fds;
    int flags = 0; ///< MSG_CTRUNC: there were more than asked for; those are closed
    gyre::address from;
};

/// The same, with the descriptors in memory of the caller.
struct received_fds_in_place {
    std::size_t count = 0;
    std::span<owned_fd> fds; ///< the part of it that was filled
    int flags = 0;
    gyre::address from;
};

class [[nodiscard]] send_fds_operation final
    : public detail::socket_operation<send_fds_operation, std::size_t, detail::message_operation> {
public:
    send_fds_operation(detail::descriptor* d, const_buffer b, std::span<const int> fds, int flags,
                       const address& to);
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        name = to_.empty() ? nullptr : to_.data();
        name_size = to_.size();
        control = fds_ != 0 ? control_.data() : nullptr;
        control_size = fds_ != 0 ? cmsg_space(fds_ * sizeof(int)) : 0;
        return operation::await_suspend(awaiting);
    }
    std::size_t await_resume();
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }

private:
    address to_;
    std::size_t fds_;
    alignas(cmsghdr) std::array<std::byte, cmsg_space(max_passed_fds * sizeof(int))> control_;
};

namespace detail {

/// The parts of recv_fds that do not depend on where the descriptors go.
template <class Derived, class T>
class recv_fds_request : public socket_operation<Derived, T, message_operation> {
public:
    recv_fds_request(descriptor* d, buffer b, int flags) noexcept
        : socket_operation<Derived, T, message_operation>(opcode::recv_msg, d, b.data(), b.size()) {
        this->set_flags(flags);
    }
    recv_fds_request(recv_fds_request&&) = default;
    ~recv_fds_request() {
        if (this->state == operation::phase::completed && this->result >= 0) [[unlikely]]
            close_passed(control_.data(), this->control_size);
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        this->name = from_.data();
        this->name_size = address::capacity();
        this->control = control_.data();
        this->control_size = control_.size();
        return operation::await_suspend(awaiting);
    }

protected:
    std::size_t count_fds() const noexcept {
        return count_passed(control_.data(), this->control_size);
    }
    /// Moves them there; what does not fit is closed.
    std::size_t take_fds(std::span<owned_fd> to) noexcept {
        const std::size_t n = take_passed(control_.data(), this->control_size, to);
        if (count_fds() != 0)
            this->msg_flags |= MSG_CTRUNC;
        drop_fds();
        from_.resize(this->name_size);
        return n;
    }
    void drop_fds() noexcept {
        close_passed(control_.data(), this->control_size);
        this->control_size = 0;
    }

    address from_;

private:
    // And room for credentials, which come first where SO_PASSCRED is set.
    alignas(cmsghdr) std::array<std::byte, cmsg_space(sizeof(ucred)) +
                                               cmsg_space(max_passed_fds * sizeof(int))> control_;
};

} // namespace detail

class [[nodiscard]] recv_fds_operation final
    : public detail::recv_fds_request<recv_fds_operation, received_fds> {
public:
    recv_fds_operation(detail::descriptor* d, buffer b, std::size_t max_fds, int flags) noexcept
        : recv_fds_request(d, b, flags), max_fds_(max_fds) {}
    received_fds value();

private:
    std::size_t max_fds_;
};

class [[nodiscard]] recv_fds_in_place_operation final
    : public detail::recv_fds_request<recv_fds_in_place_operation, received_fds_in_place> {
public:
    recv_fds_in_place_operation(detail::descriptor* d, buffer b, std::span<owned_fd> to,
                                int flags) noexcept
        : recv_fds_request(d, b, flags), to_(to) {}
    received_fds_in_place value() noexcept {
        const std::size_t n = take_fds(to_);
        return {static_cast<std::size_t>(result), to_.first(n), msg_flags, from_};
    }

private:
    std::span<owned_fd> to_;
};

/// Sends data, and with it duplicates of `fds`, over a UNIX socket; these stay open here, and must
/// until the operation has ended. Gives the bytes that went: on a stream perhaps not all, but the
/// descriptors went with the first. Throws at once std::errc::invalid_argument for more than 253,
/// and where the kernel would lose them: over other sockets, and where a stream has no data to
/// carry them. A descriptor that is not open ends it with std::errc::bad_file_descriptor. unix(7),
/// SCM_RIGHTS.
inline send_fds_operation send_fds(const socket& over, const_buffer data, std::span<const int> fds,
                                   int flags = 0, const address& to = {}) {
    return {detail::socket_access::of(over), data, fds, flags, to};
}

/// Receives data, and up to `max_fds` descriptors that come with it, closed on exec. A plain recv
/// would lose them; this stops behind the data that they came with.
inline recv_fds_operation recv_fds(const socket& over, buffer data,
                                   std::size_t max_fds = max_passed_fds, int flags = 0) {
    return {detail::socket_access::of(over), data, max_fds, flags};
}
/// The same without allocating: as many as `to` has room for.
inline recv_fds_in_place_operation recv_fds(const socket& over, buffer data, std::span<owned_fd> to,
                                            int flags = 0) {
    return {detail::socket_access::of(over), data, to, flags};
}

} // namespace gyre
