#pragma once

#include <gyre/core/as_result.hpp>
#include <gyre/core/clock.hpp>
#include <gyre/core/operation.hpp>
#include <gyre/io/address.hpp>
#include <gyre/io/ancillary.hpp>
#include <gyre/io/buffer.hpp>
#include <gyre/io/lease.hpp>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <type_traits>
#include <utility>

/// What the calls of a socket that can wait return: see socket.hpp.

namespace gyre {

class socket;

/// What recvfrom gives.
struct datagram {
    std::size_t count = 0; ///< bytes in the buffer; 0 may be an empty datagram
    gyre::address from;    ///< empty on connected streams and for senders without a name
    int flags = 0;         ///< MSG_TRUNC: the datagram was longer than the buffer, its rest is lost
};

namespace detail {

/// "recv from 127.0.0.1:7000", for the message of an error.
std::string describe(const operation& op);

/// What every awaitable operation of a socket adds to its request: a result of type T, thrown or
/// returned. `Derived::value()` makes it from a request that succeeded.
template <class Derived, class T, class Base = operation>
class socket_operation : public Base, public deadlines<Derived> {
public:
    using Base::Base;

    T await_resume() {
        if (this->result < 0)
            fail();
        return static_cast<Derived&>(*this).value();
    }

    std::expected<T, std::error_code> outcome() noexcept {
        if (this->result < 0)
            return std::unexpected(decode(this->result));
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return static_cast<Derived&>(*this).value();
    }

protected:
    template <class Part>
    void set_parts(std::span<const Part> list) noexcept {
        this->parts = iovecs(list);
        this->part_count = list.size();
    }
    void set_control(const ancillary* c, std::size_t bytes) noexcept {
        this->control = c != nullptr ? const_cast<std::byte*>(c->data()) : nullptr;
        this->control_size = bytes;
    }
    /// MSG_DONTWAIT says of one operation what nonblocking() says.
    void set_flags(int flags) noexcept {
        this->msg_flags = flags;
        if ((flags & MSG_DONTWAIT) != 0)
            this->when = timing::immediate;
    }

private:
    [[noreturn]] void fail() const {
        std::size_t done = 0;
        if constexpr (requires { this->transferred; })
            done = this->transferred;
        else if (this->code == opcode::recv_all)
            done = this->extra;
        throw_error(this->result, describe(*this), done);
    }
};

} // namespace detail

class [[nodiscard]] recv_operation final
    : public detail::socket_operation<recv_operation, std::size_t> {
public:
    recv_operation(detail::descriptor* d, buffer b, int flags) noexcept
        : socket_operation(detail::opcode::recv, d, b.data(), b.size()) {
        set_flags(flags);
        if ((flags & (MSG_WAITALL | MSG_DONTWAIT | MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) ==
            MSG_WAITALL) {
            code = detail::opcode::recv_all;
            size = std::min<std::size_t>(size, INT_MAX);
            extra = 0;
        }
    }
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }
};

class [[nodiscard]] recv_exactly_operation final
    : public detail::socket_operation<recv_exactly_operation, void, detail::bulk_operation> {
public:
    recv_exactly_operation(detail::descriptor* d, buffer b) noexcept
        : socket_operation(detail::opcode::recv_all, d, b.data(), b.size()), wanted_(b.size()) {
        extra = 0;
    }
    void await_resume() {
        note_end();
        socket_operation::await_resume();
    }
    std::expected<void, std::error_code> outcome() noexcept {
        note_end();
        return socket_operation::outcome();
    }
    void value() const noexcept {}

private:
    void note_end() noexcept {
        transferred = wanted_ - size; // `extra` counts to 4 GiB only
        if (result >= 0 && size > 0)
            result = detail::encode(errc::incomplete);
    }

    std::size_t wanted_;
};

class [[nodiscard]] recv_lease_operation final
    : public detail::socket_operation<recv_lease_operation, lease> {
public:
    explicit recv_lease_operation(detail::descriptor* d) noexcept
        : socket_operation(detail::opcode::recv_lease, d, nullptr, SIZE_MAX) {}
    recv_lease_operation(recv_lease_operation&&) = default;
    ~recv_lease_operation();
    lease value() noexcept;
};

/// Of recvfrom and recvmsg.
class [[nodiscard]] recvfrom_operation final
    : public detail::socket_operation<recvfrom_operation, datagram, detail::message_operation> {
public:
    recvfrom_operation(detail::descriptor* d, buffer b, ancillary* c, int flags) noexcept
        : socket_operation(detail::opcode::recv_msg, d, b.data(), b.size()), ancillary_(c) {
        set_flags(flags);
    }
    recvfrom_operation(detail::descriptor* d, buffers b, ancillary* c, int flags) noexcept
        : socket_operation(detail::opcode::recv_msg, d, nullptr, detail::total_size(b)),
          ancillary_(c) {
        set_parts(b);
        set_flags(flags);
    }
    recvfrom_operation(recvfrom_operation&&) = default;
    ~recvfrom_operation() { // descriptors that came for a waiter that is gone are closed
        if (state == phase::completed && result >= 0 && !taken_) [[unlikely]]
            detail::close_passed(control, control_size);
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        name = from_.data();
        name_size = address::capacity();
        if (ancillary_ != nullptr)
            ancillary_->clear();
        this->set_control(ancillary_, ancillary_ != nullptr ? ancillary_->capacity() : 0);
        return operation::await_suspend(awaiting);
    }
    datagram value() noexcept {
        taken_ = true;
        from_.resize(name_size);
        if (ancillary_ != nullptr)
            ancillary_->set_received(control_size);
        return {static_cast<std::size_t>(result), from_, msg_flags};
    }

private:
    address from_;
    ancillary* ancillary_;
    bool taken_ = false;
};

/// Of recv into several places.
class [[nodiscard]] recv_parts_operation final
    : public detail::socket_operation<recv_parts_operation, std::size_t,
                                      detail::message_operation> {
public:
    recv_parts_operation(detail::descriptor* d, buffers b, int flags) noexcept
        : socket_operation(detail::opcode::recv_msg, d, nullptr, detail::total_size(b)) {
        set_parts(b);
        set_flags(flags);
    }
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }
};

class [[nodiscard]] send_operation final
    : public detail::socket_operation<send_operation, std::size_t> {
public:
    send_operation(detail::descriptor* d, const_buffer b, int flags) noexcept
        : socket_operation(detail::opcode::send, d, const_cast<std::byte*>(b.data()), b.size()) {
        set_flags(flags);
    }
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }
};

class [[nodiscard]] sendall_operation final
    : public detail::socket_operation<sendall_operation, void, detail::bulk_operation> {
public:
    sendall_operation(detail::descriptor* d, const_buffer b, int flags) noexcept
        : socket_operation(detail::opcode::send_all, d, const_cast<std::byte*>(b.data()),
                           b.size()) {
        set_flags(flags);
    }
    void value() const noexcept {}
};

/// Of sendall from several places.
class [[nodiscard]] sendall_parts_operation final
    : public detail::socket_operation<sendall_parts_operation, void, detail::gather_operation> {
public:
    sendall_parts_operation(detail::descriptor* d, const_buffers b, int flags) noexcept
        : socket_operation(detail::opcode::send_parts, d, nullptr, detail::total_size(b)) {
        set_parts(b);
        set_flags(flags);
    }
    void value() const noexcept {}
};

class [[nodiscard]] sendfile_operation final
    : public detail::socket_operation<sendfile_operation, std::size_t, detail::file_operation> {
public:
    sendfile_operation(detail::descriptor* d, int from, std::int64_t at,
                       std::optional<std::int64_t> count) noexcept;
    std::size_t value() const noexcept { return transferred; }
};

/// Of sendto and sendmsg, and of send from several places.
class [[nodiscard]] sendto_operation final
    : public detail::socket_operation<sendto_operation, std::size_t, detail::message_operation> {
public:
    sendto_operation(detail::descriptor* d, const_buffer b, const ancillary* c, const address& to,
                     int flags) noexcept
        : socket_operation(detail::opcode::send_msg, d, const_cast<std::byte*>(b.data()), b.size()),
          to_(to), ancillary_(c) {
        set_flags(flags);
    }
    sendto_operation(detail::descriptor* d, const_buffers b, const ancillary* c, const address& to,
                     int flags) noexcept
        : socket_operation(detail::opcode::send_msg, d, nullptr, detail::total_size(b)), to_(to),
          ancillary_(c) {
        set_parts(b);
        set_flags(flags);
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        name = to_.empty() ? nullptr : to_.data();
        name_size = to_.size();
        this->set_control(ancillary_, ancillary_ != nullptr ? ancillary_->size() : 0);
        return operation::await_suspend(awaiting);
    }
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }

private:
    address to_;
    const ancillary* ancillary_;
};

class [[nodiscard]] accept_operation final
    : public detail::socket_operation<accept_operation, std::pair<socket, address>,
                                      detail::named_operation> {
public:
    explicit accept_operation(detail::descriptor* d) noexcept
        : socket_operation(detail::opcode::accept, d) {}
    accept_operation(accept_operation&&) = default;
    ~accept_operation();
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        name = from_.data();
        name_size = address::capacity();
        return operation::await_suspend(awaiting);
    }
    std::pair<socket, address> value();

private:
    address from_;
};

namespace detail {

template <class Derived, class T>
class connect_request : public socket_operation<Derived, T, named_operation> {
public:
    connect_request(descriptor* d, const address& to) noexcept
        : socket_operation<Derived, T, named_operation>(opcode::connect, d), to_(to) {}
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        this->name = to_.data();
        this->name_size = to_.size();
        return operation::await_suspend(awaiting);
    }
    T value() const noexcept { return T(); }

private:
    address to_;
};

} // namespace detail

class [[nodiscard]] connect_operation final
    : public detail::connect_request<connect_operation, void> {
public:
    using connect_request::connect_request;
};

class [[nodiscard]] connect_ex_operation final
    : public detail::connect_request<connect_ex_operation, std::error_code> {
public:
    using connect_request::connect_request;
    std::error_code await_resume() const noexcept { return detail::decode(result); }
};

} // namespace gyre
