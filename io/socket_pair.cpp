#include <gyre/core/backend.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/socket_names.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

namespace gyre {
namespace {

using detail::backend;
using detail::check;
using detail::kernel;

constexpr const char* doing = "socketpair";
constexpr std::chrono::seconds patience{5};

/// Awaits nothing: tries again until it has ended, while the kernel talks to itself.
template <class Operation>
void complete(Operation& op) {
    const auto until = clock::now() + patience;
    for (;;) {
        op.result = kernel().attempt(op);
        if (op.result > backend::would_wait) {
            check(op.result, doing);
            return;
        }
        if (clock::now() > until)
            throw timeout_error(doing);
        std::this_thread::yield();
    }
}

void connect(socket& s, address to) {
    connect_operation op = s.connect(to);
    op.name = to.data();
    op.name_size = to.size();
    complete(op);
}

socket accept(socket& listener) {
    address from;
    accept_operation op = listener.accept();
    op.name = from.data();
    op.name_size = address::capacity();
    complete(op);
    return op.value().first;
}

/// Whether what these two are connected with is each other.
bool are_a_pair(const socket& a, const socket& b) {
    return a.getsockname() == b.getpeername() && b.getsockname() == a.getpeername();
}

address any_port(int family) {
    return family == AF_INET ? address::loopback_ipv4(0) : address::loopback_ipv6(0);
}

std::pair<socket, socket> connected_streams(int family, int protocol) {
    socket listener = socket::open(family, SOCK_STREAM, protocol);
    listener.bind(any_port(family));
    listener.listen();
    socket client = socket::open(family, SOCK_STREAM, protocol);
    connect(client, listener.getsockname());
    for (;;) {
        socket server = accept(listener);
        try {
            if (are_a_pair(client, server))
                return {std::move(client), std::move(server)};
        } catch (const error& e) {
            if (e.code() != std::errc::not_connected)
                throw;
        } // a stranger, who may have left already
    }
}

std::pair<socket, socket> connected_datagrams(int family, int protocol) {
    socket a = socket::open(family, SOCK_DGRAM, protocol);
    socket b = socket::open(family, SOCK_DGRAM, protocol);
    for (socket* s : {&a, &b})
        s->bind(any_port(family));
    connect(a, b.getsockname());
    connect(b, a.getsockname());
    // Strangers may have sent before the sockets were connected, and cannot since.
    std::array<std::byte, 1> memory;
    for (socket* s : {&a, &b})
        for (recv_operation op = s->recv(memory, MSG_DONTWAIT); kernel().attempt(op) >= 0;) {
        }
    return {std::move(a), std::move(b)};
}

} // namespace

std::pair<socket, socket> socketpair(int family, int type, int protocol) {
    const int bare = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    std::pair<socket, socket> pair;
    if ((family == AF_INET || family == AF_INET6) && bare == SOCK_STREAM) {
        pair = connected_streams(family, protocol);
    } else if ((family == AF_INET || family == AF_INET6) && bare == SOCK_DGRAM) {
        pair = connected_datagrams(family, protocol);
    } else {
        int fds[2];
        if (const int r = kernel().open_pair(family, bare, protocol, fds); r < 0)
            detail::throw_error(r, "open a pair of sockets of " +
                                       detail::kind_of_socket(family, bare, protocol));
        try {
            pair.first = socket::own(fds[0], family, bare, protocol);
        } catch (...) {
            kernel().close(fds[1]);
            throw;
        }
        pair.second = socket::own(fds[1], family, bare, protocol);
    }
    if ((type & SOCK_NONBLOCK) != 0)
        for (socket* s : {&pair.first, &pair.second})
            s->setblocking(false);
    return pair;
}

} // namespace gyre
