#include <gyre/core/attempt.hpp>
#include <gyre/core/backend.hpp>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace gyre::detail {

int system_calls::attempt(operation& op) noexcept {
    return detail::attempt(op);
}

int after_failure(operation& op) noexcept {
    return errno == EINTR ? attempt(op) : waiting(op, -errno);
}

int send_rest(bulk_operation& op, ssize_t gone) noexcept {
    if (gone < 0)
        return after_failure(op);
    const auto n = static_cast<std::size_t>(gone);
    op.transferred += n;
    op.data = static_cast<std::byte*>(op.data) + n;
    op.size -= n;
    return try_send_all(op);
}

int attempt(operation& op) noexcept {
    switch (op.code) {
    case opcode::poll_read: return try_poll(op, POLLIN | POLLPRI | POLLRDHUP);
    case opcode::accept: return try_accept(static_cast<named_operation&>(op));
    case opcode::recv:
    case opcode::recv_lease:
        if (op.size == 0 && op.target->type == SOCK_STREAM)
            return 0; // the kernel would say EAGAIN, or not, depending on the family
        return try_recv(op);
    case opcode::recv_from: return try_recv_from(static_cast<named_operation&>(op));
    case opcode::poll_write: return try_poll(op, POLLOUT);
    case opcode::connect: return try_connect(static_cast<named_operation&>(op));
    case opcode::send: return try_send(op);
    case opcode::send_all: return try_send_all(static_cast<bulk_operation&>(op));
    case opcode::send_to: return try_send_to(static_cast<named_operation&>(op));
    case opcode::sleep: break;
    }
    return -EINVAL;
}

int system_calls::open(int family, int type, int protocol) noexcept {
    return checked(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int system_calls::open_pair(int family, int type, int protocol, int (&fds)[2]) noexcept {
    return checked(::socketpair(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol, fds));
}

int system_calls::make_nonblocking(int fd) noexcept {
    const int flags = checked(::fcntl(fd, F_GETFL));
    return flags < 0 ? flags : checked(::fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int system_calls::bind(int fd, const sockaddr* name, socklen_t size) noexcept {
    return checked(::bind(fd, name, size));
}

int system_calls::listen(int fd, int backlog) noexcept {
    return checked(::listen(fd, backlog));
}

int system_calls::local_name(int fd, sockaddr* name, socklen_t& size) noexcept {
    return checked(::getsockname(fd, name, &size));
}

int system_calls::peer_name(int fd, sockaddr* name, socklen_t& size) noexcept {
    return checked(::getpeername(fd, name, &size));
}

int system_calls::get_option(int fd, int level, int option, void* value, socklen_t& size) noexcept {
    return checked(::getsockopt(fd, level, option, value, &size));
}

int system_calls::set_option(int fd, int level, int option, const void* value,
                             socklen_t size) noexcept {
    return checked(::setsockopt(fd, level, option, value, size));
}

int system_calls::shut_down(int fd, int how) noexcept {
    return checked(::shutdown(fd, how));
}

int system_calls::close(int fd) noexcept {
    return checked(::close(fd));
}

// With a time in SO_LINGER, close(2) blocks, whatever O_NONBLOCK says, until all is acknowledged or
// the time has passed. What then is left goes on in the background, as it does without the option;
// Linux sends no reset (tcp_close). So without the option it is the same, but for the wait.
void system_calls::close_at_once(int fd, bool lingers) noexcept {
    linger l{};
    socklen_t size = sizeof l;
    if (lingers && get_option(fd, SOL_SOCKET, SO_LINGER, &l, size) == 0 && l.l_onoff != 0 &&
        l.l_linger != 0) {
        l = {};
        set_option(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    close(fd);
}

system_calls& system_calls::real() noexcept {
    static system_calls instance;
    return instance;
}

} // namespace gyre::detail
