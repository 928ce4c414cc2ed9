#pragma once

#include <gyre/core/backend.hpp>

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

// One try of each operation, inline for the two backends that build on it. What Linux does that
// users shall not have to know:
//
// - connect(2) goes on by itself after EINPROGRESS or EINTR. Calling it again tells all: EALREADY
//   (not yet), 0 or EISCONN (done), or the error, which SO_ERROR would have to be asked for.
// - UNIX: connect to a full backlog, and an unconnected datagram to a full queue, fail with EAGAIN
//   although the socket polls writable. Only trying again later helps.
// - accept(2) hands on errors of the connection that waited (man page, "Error handling"): those
//   are not the listener's. Without free descriptors it fails while the connection stays queued,
//   and polling says readable: waiting for that would spin.
// - send(2) on a stream raises SIGPIPE unless told not to.

namespace gyre::detail {

inline int checked(int result) noexcept {
    return result < 0 ? -errno : result;
}
inline int checked(ssize_t result) noexcept {
    return result < 0 ? -errno : static_cast<int>(result);
}

// What a call returned, with "later" told apart by what is to be waited for.
inline int waiting(operation& op, int result) noexcept {
    if (result != -EAGAIN)
        return result;
    op.result = result;
    return backend::would_wait;
}

inline int retrying(operation& op, int result) noexcept {
    op.result = result;
    return backend::would_retry;
}

inline int try_connect(named_operation& op) noexcept {
    const bool again = std::exchange(op.started, true);
    const int r = checked(::connect(op.target->fd, op.name, op.name_size));
    switch (-r) {
    case EISCONN: return again ? 0 : r;
    case EAGAIN: op.started = false; return retrying(op, r); // a full UNIX backlog
    case EALREADY:
    case EINPROGRESS:
    case EINTR: op.result = -EINPROGRESS; return backend::would_wait;
    default: return r;
    }
}

inline int try_accept(named_operation& op) noexcept {
    // A bound, for a peer that resets faster than this loop accepts.
    for (int n = 0; n < 64; ++n) {
        socklen_t size = op.name_size;
        const int r =
            checked(::accept4(op.target->fd, op.name, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (r >= 0) {
            op.name_size = size;
            return r;
        }
        switch (-r) {
        case EAGAIN: return waiting(op, r);
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return retrying(op, r);
        case EINTR:
        case ECONNABORTED:
        case EPERM:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ETIMEDOUT:
        case ECONNRESET: continue;
        default: return r;
        }
    }
    return retrying(op, -EAGAIN);
}

inline int try_recv(operation& op) noexcept {
    if (op.size == 0 && op.target->type == SOCK_STREAM)
        return 0; // the kernel would say EAGAIN, or not, depending on the family
    ssize_t n = 0;
    do
        n = ::recv(op.target->fd, op.data, op.size, op.msg_flags | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return waiting(op, checked(n));
}

inline int try_recv_from(named_operation& op) noexcept {
    iovec part{op.data, op.size};
    msghdr message{};
    message.msg_name = op.name;
    message.msg_namelen = op.name_size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t n = 0;
    do
        n = ::recvmsg(op.target->fd, &message, op.msg_flags | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        op.name_size = message.msg_namelen;
        op.msg_flags = message.msg_flags;
    }
    return waiting(op, checked(n));
}

inline int try_send(operation& op) noexcept {
    ssize_t n = 0;
    do
        n = ::send(op.target->fd, op.data, op.size, op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return waiting(op, checked(n));
}

// The kernel takes at most 2 GiB at a time, and an int counts no more.
inline constexpr std::size_t send_max = std::size_t{1} << 30;

inline int try_send_all(bulk_operation& op) noexcept {
    std::size_t left = op.size;
    do {
        op.size = std::min(left, send_max);
        const int n = try_send(op);
        op.size = left;
        if (n < 0)
            return n;
        op.transferred += static_cast<std::size_t>(n);
        op.data = static_cast<std::byte*>(op.data) + n;
        op.size = left -= static_cast<std::size_t>(n);
    } while (left > 0);
    return 0;
}

inline int try_send_to(named_operation& op) noexcept {
    ssize_t n = 0;
    do
        n = ::sendto(op.target->fd, op.data, op.size, op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL,
                     op.name, op.name_size);
    while (n < 0 && errno == EINTR);
    const int r = checked(n);
    if (r == -EAGAIN && op.target->family == AF_UNIX && op.target->type == SOCK_DGRAM)
        return retrying(op, r);
    return waiting(op, r);
}

inline int try_poll(operation& op, short events) noexcept {
    pollfd p{op.target->fd, events, 0};
    const int n = checked(::poll(&p, 1, 0));
    return n == 0 || n == -EINTR ? waiting(op, -EAGAIN) : n < 0 ? n : p.revents;
}

/// >= 0, -errno, backend::would_wait or backend::would_retry.
inline int attempt(operation& op) noexcept {
    switch (op.code) {
    case opcode::poll_read: return try_poll(op, POLLIN | POLLPRI | POLLRDHUP);
    case opcode::poll_write: return try_poll(op, POLLOUT);
    case opcode::accept: return try_accept(static_cast<named_operation&>(op));
    case opcode::connect: return try_connect(static_cast<named_operation&>(op));
    case opcode::recv:
    case opcode::recv_lease: return try_recv(op);
    case opcode::recv_from: return try_recv_from(static_cast<named_operation&>(op));
    case opcode::send: return try_send(op);
    case opcode::send_all: return try_send_all(static_cast<bulk_operation&>(op));
    case opcode::send_to: return try_send_to(static_cast<named_operation&>(op));
    case opcode::sleep: break;
    }
    return -EINVAL;
}

} // namespace gyre::detail
