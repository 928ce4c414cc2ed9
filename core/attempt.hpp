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
// - accept(2) on AF_ALG cannot tell a name, and fails with ECONNABORTED when it is to.
// - send(2) on a stream raises SIGPIPE unless told not to.
// - The first send(2) with TCP Fast Open, when there is no cookie of the peer, takes nothing and
//   fails with EINPROGRESS: it has begun to connect. Then it is to be sent as usual.

namespace gyre::detail {

inline int checked(int result) noexcept {
    return result < 0 ? -errno : result;
}
inline int checked(ssize_t result) noexcept {
    return result < 0 ? -errno : static_cast<int>(result);
}

// What a call returned, with "later" told apart by what is to be waited for.
inline int waiting(operation& op, int result) noexcept {
    if (result == -EINPROGRESS) { // TCP Fast Open
        op.msg_flags &= ~MSG_FASTOPEN;
        result = -EAGAIN;
    }
    if (result != -EAGAIN)
        return result;
    op.result = result;
    return backend::would_wait;
}

inline int retrying(operation& op, int result) noexcept {
    op.result = result;
    return backend::would_retry;
}

/// attempt() after recv(2) or send(2) has failed: behind a tail call, since it is rare.
[[gnu::noinline, gnu::cold]] int after_failure(operation& op) noexcept;

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
        case ECONNABORTED:
            if (op.target->family == AF_ALG) { // whose sockets have no names: do not ask for one
                op.name = nullptr;
                op.name_size = 0;
            }
            continue;
        case EINTR:
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

inline ssize_t recv_some(const operation& op) noexcept {
    return ::recv(op.target->fd, op.data, op.size, op.msg_flags | MSG_DONTWAIT);
}

inline int try_recv(operation& op) noexcept {
    const ssize_t n = recv_some(op);
    return n >= 0 ? static_cast<int>(n) : after_failure(op); // the kernel reads 2 GiB at most
}

/// A message that wants parts and control of the operation. `one` is for where it has one part.
/// Of a stream one call takes as many parts as the kernel allows; a datagram is all of them.
inline msghdr message_of(message_operation& op, iovec& one) noexcept {
    msghdr m{};
    m.msg_name = op.name;
    m.msg_namelen = op.name_size;
    one = {op.data, op.size};
    m.msg_iov = op.parts != nullptr ? const_cast<iovec*>(op.parts) : &one;
    m.msg_iovlen = op.parts != nullptr ? op.part_count : 1;
    if (op.target->type == SOCK_STREAM)
        m.msg_iovlen = std::min<std::size_t>(m.msg_iovlen, UIO_MAXIOV);
    m.msg_control = op.control;
    m.msg_controllen = op.control_size;
    return m;
}

inline ssize_t send_some(const operation& op) noexcept {
    return ::send(op.target->fd, op.data, op.size, op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

inline int try_send(operation& op) noexcept {
    const ssize_t n = send_some(op);
    return n >= 0 ? static_cast<int>(n) : after_failure(op);
}

/// The rest of a sendall, of which `gone` bytes have just gone, or none for an error.
[[gnu::noinline, gnu::cold]] int send_rest(bulk_operation& op, ssize_t gone) noexcept;

inline int try_send_all(bulk_operation& op) noexcept {
    const ssize_t n = send_some(op);
    if (static_cast<std::size_t>(n) != op.size) [[unlikely]]
        return send_rest(op, n);
    op.transferred += op.size;
    return 0;
}

inline int try_poll(operation& op, short events) noexcept {
    pollfd p{op.target->fd, events, 0};
    const int n = checked(::poll(&p, 1, 0));
    return n == 0 || n == -EINTR ? waiting(op, -EAGAIN) : n < 0 ? n : p.revents;
}

/// One try of any operation: >= 0, -errno, backend::would_wait or backend::would_retry.
int attempt(operation& op) noexcept;

} // namespace gyre::detail
