#include <gyre/core/attempt.hpp>
#include <gyre/core/backend.hpp>
#include <gyre/core/no_sigpipe.hpp>
#include <gyre/core/send_file.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <span>
#include <sys/file.h>
#include <sys/ioctl.h>
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

namespace {

// Descriptors come over AF_UNIX only; others refuse what is said about them (AF_PACKET: EINVAL).
int receive_flags(const operation& op) noexcept {
    const int passed = op.target->family == AF_UNIX ? MSG_CMSG_CLOEXEC : 0;
    return op.msg_flags | MSG_DONTWAIT | passed;
}

// What must be repeated when a signal comes in between.
template <class Call>
int call(Call c) noexcept {
    for (;;) {
        const auto n = c();
        if (n >= 0)
            return static_cast<int>(n);
        if (errno != EINTR)
            return -errno;
    }
}

bool is_stream(const operation& op) noexcept {
    return op.target->type == SOCK_STREAM;
}

// A UNIX datagram to a name, where the queue is full: polling says that there is room.
int waiting_to_send(operation& op, const void* name, int result) noexcept {
    const bool unpollable =
        name != nullptr && op.target->family == AF_UNIX && op.target->type == SOCK_DGRAM;
    return result == -EAGAIN && unpollable ? retrying(op, result) : waiting(op, result);
}

// With MSG_WAITALL, not waiting gives what there is; recv_exactly does not set it.
bool is_content_with_some(const operation& op) noexcept {
    return op.when == timing::immediate && (op.msg_flags & MSG_WAITALL) != 0;
}

int as_count(std::size_t n) noexcept {
    return static_cast<int>(std::min<std::size_t>(n, INT_MAX));
}

// The flag MSG_WAITALL is ours to obey: with MSG_DONTWAIT the kernel returns what there is, and
// inside the ring it swallows a reset. It is for streams; a datagram is one, whatever its length.
int try_recv_all(operation& op) noexcept {
    for (;;) {
        const int n = call([&] { return recv_some(op); });
        if (n == -EAGAIN && op.extra > 0 && is_content_with_some(op))
            return as_count(op.extra);
        if (n < 0)
            return waiting(op, n);
        op.extra += static_cast<std::uint32_t>(n);
        op.data = static_cast<std::byte*>(op.data) + n;
        op.size -= static_cast<std::size_t>(n);
        if (n == 0 || op.size == 0 || !is_stream(op))
            return as_count(op.extra);
    }
}

// Parts [parts, parts + count) from byte `skip` of the first on, as many as `to` has room for.
std::size_t copy_parts(const iovec* parts, std::size_t count, std::size_t skip,
                       std::span<iovec> to) noexcept {
    count = std::min(count, to.size());
    std::copy_n(parts, count, to.begin());
    if (count > 0) {
        to[0].iov_base = static_cast<std::byte*>(to[0].iov_base) + skip;
        to[0].iov_len -= skip;
    }
    return count;
}

// Past `n` bytes more of the parts, and what is empty behind them.
template <class Operation>
void advance(Operation& op, std::size_t n) noexcept {
    op.skip += n;
    while (op.part_count > 0 && op.skip >= op.parts->iov_len) {
        op.skip -= op.parts->iov_len;
        ++op.parts;
        --op.part_count;
    }
}

// What recvmsg(2) has told beside the bytes.
void note_message(message_operation& op, const msghdr& m) noexcept {
    op.name_size = m.msg_namelen;
    op.control_size = m.msg_controllen;
    op.msg_flags = m.msg_flags & ~MSG_CMSG_CLOEXEC;
}

// recvmsg with MSG_WAITALL: until all is full, the stream ends, or ancillary data came.
int try_recv_all_msg(message_operation& op) noexcept {
    if (op.parts == nullptr) { // one part: it is kept in the operation, for it may move no more
        op.whole = {op.data, op.size};
        op.parts = &op.whole;
        op.part_count = 1;
    }
    for (;;) {
        advance(op, 0);
        std::array<iovec, 64> parts;
        msghdr m{};
        m.msg_name = op.name;
        m.msg_namelen = op.name_size;
        m.msg_iov = parts.data();
        m.msg_iovlen = copy_parts(op.parts, op.part_count, op.skip, parts);
        m.msg_control = op.control;
        m.msg_controllen = op.control_size;
        const int flags = receive_flags(op);
        const int n = call([&] { return ::recvmsg(op.target->fd, &m, flags); });
        if (n == -EAGAIN && op.transferred > 0 && is_content_with_some(op)) {
            note_message(op, {});
            return as_count(op.transferred);
        }
        if (n < 0)
            return waiting(op, n);
        op.transferred += static_cast<std::size_t>(n);
        op.size -= static_cast<std::size_t>(n);
        if (n == 0 || op.size == 0 || m.msg_controllen != 0) {
            note_message(op, m);
            return as_count(op.transferred);
        }
        advance(op, static_cast<std::size_t>(n));
    }
}

// What recvfrom(2) and sendto(2) can do costs the kernel less than a message.
bool is_single(const message_operation& op) noexcept {
    return op.parts == nullptr && op.control_size == 0;
}
bool is_udp(const operation& op) noexcept {
    const descriptor& d = *op.target;
    return d.type == SOCK_DGRAM && (d.family == AF_INET || d.family == AF_INET6) &&
           (d.protocol == 0 || d.protocol == IPPROTO_UDP);
}

// The flag MSG_TRUNC makes the kernel tell the length that the datagram had; not so with ICMP.
int try_recv_from(message_operation& op, int flags) noexcept {
    const int n = call([&] {
        return ::recvfrom(op.target->fd, op.data, op.size, flags | MSG_TRUNC,
                          static_cast<sockaddr*>(op.name), &op.name_size);
    });
    if (n < 0)
        return waiting(op, n);
    const bool cut_off = static_cast<std::size_t>(n) > op.size;
    op.msg_flags = cut_off ? MSG_TRUNC : 0;
    return cut_off ? static_cast<int>(op.size) : n;
}

int try_recv_msg(message_operation& op) noexcept {
    constexpr int aside = MSG_OOB | MSG_ERRQUEUE;
    if (is_stream(op) && op.size == 0 && (op.msg_flags & aside) == 0) {
        note_message(op, {}); // as recv: the kernel would say EAGAIN, or not
        return 0;
    }
    if (is_stream(op) && (op.msg_flags & (MSG_WAITALL | MSG_PEEK | aside)) == MSG_WAITALL)
        return try_recv_all_msg(op);
    const int flags = receive_flags(op);
    if (is_single(op) && is_udp(op) && (op.msg_flags & ~MSG_PEEK) == 0)
        return try_recv_from(op, flags);
    iovec one;
    msghdr m = message_of(op, one);
    const int n = call([&] { return ::recvmsg(op.target->fd, &m, flags); });
    if (n < 0)
        return waiting(op, n);
    note_message(op, m);
    return n;
}

int try_send_msg(message_operation& op) noexcept {
    const int flags = op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL;
    int n = 0;
    if (is_single(op)) {
        n = call([&] {
            return ::sendto(op.target->fd, op.data, op.size, flags,
                            static_cast<const sockaddr*>(op.name), op.name_size);
        });
    } else {
        iovec one;
        const msghdr m = message_of(op, one);
        n = call([&] { return ::sendmsg(op.target->fd, &m, flags); });
    }
    return waiting_to_send(op, op.name, n);
}

int try_send_parts(gather_operation& op) noexcept {
    const int flags = op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL;
    for (;;) {
        std::array<iovec, 64> parts;
        msghdr m{};
        if (is_stream(op)) { // from where the last write ended
            advance(op, 0);
            if (op.part_count == 0)
                return 0;
            m.msg_iov = parts.data();
            m.msg_iovlen = copy_parts(op.parts, op.part_count, op.skip, parts);
        } else { // one datagram, whole
            m.msg_iov = const_cast<iovec*>(op.parts);
            m.msg_iovlen = op.part_count;
        }
        const int n = call([&] { return ::sendmsg(op.target->fd, &m, flags); });
        if (n < 0)
            return waiting(op, n);
        op.transferred += static_cast<std::size_t>(n);
        op.size -= static_cast<std::size_t>(n);
        if (!is_stream(op))
            return 0;
        advance(op, static_cast<std::size_t>(n));
    }
}

// A read of nothing never waits, but tells of a reset. Where nothing is there, the kernel says
// EAGAIN, or not, depending on the family.
int try_recv_nothing(operation& op) noexcept {
    const int n = try_recv(op);
    return n == system_calls::would_wait || n == -EAGAIN ? 0 : n;
}

int try_recv_many(operation& op) noexcept {
    auto* const batch = static_cast<mmsghdr*>(op.data);
    const auto count = static_cast<unsigned>(op.size);
    const int flags = receive_flags(op);
    return waiting(op,
                   call([&] { return ::recvmmsg(op.target->fd, batch, count, flags, nullptr); }));
}

int try_send_many(bulk_operation& op) noexcept {
    while (op.size > 0) {
        auto* const batch = static_cast<mmsghdr*>(op.data);
        const auto count = static_cast<unsigned>(std::min<std::size_t>(op.size, UINT_MAX));
        const int flags = op.msg_flags | MSG_DONTWAIT | MSG_NOSIGNAL;
        const int n = call([&] { return ::sendmmsg(op.target->fd, batch, count, flags); });
        if (n < 0)
            return waiting_to_send(op, batch->msg_hdr.msg_name, n);
        op.data = batch + n;
        op.size -= static_cast<std::size_t>(n);
        op.transferred += static_cast<std::size_t>(n);
    }
    return 0;
}

} // namespace

int attempt(operation& op) noexcept {
    switch (op.code) {
    case opcode::poll_read: return try_poll(op, POLLIN | POLLPRI | POLLRDHUP);
    case opcode::accept: return try_accept(static_cast<named_operation&>(op));
    case opcode::recv:
    case opcode::recv_lease:
        return op.size == 0 && is_stream(op) ? try_recv_nothing(op) : try_recv(op);
    case opcode::recv_all: return op.size == 0 && is_stream(op) ? 0 : try_recv_all(op);
    case opcode::recv_msg: return try_recv_msg(static_cast<message_operation&>(op));
    case opcode::recv_many: return try_recv_many(op);
    case opcode::poll_write: return try_poll(op, POLLOUT);
    case opcode::connect: return try_connect(static_cast<named_operation&>(op));
    case opcode::send: return try_send(op);
    case opcode::send_all: return try_send_all(static_cast<bulk_operation&>(op));
    case opcode::send_msg: return try_send_msg(static_cast<message_operation&>(op));
    case opcode::send_parts: return try_send_parts(static_cast<gather_operation&>(op));
    case opcode::send_many: return try_send_many(static_cast<bulk_operation&>(op));
    case opcode::send_file: return try_send_file(static_cast<file_operation&>(op));
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
int system_calls::close_at_once(int fd, bool lingers) noexcept {
    linger l{};
    socklen_t size = sizeof l;
    if (lingers && get_option(fd, SOL_SOCKET, SO_LINGER, &l, size) == 0 && l.l_onoff != 0 &&
        l.l_linger != 0) {
        l = {};
        set_option(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    return close(fd);
}

void system_calls::close_passed(const void* control, std::size_t size) noexcept {
    msghdr m{};
    m.msg_control = const_cast<void*>(control);
    m.msg_controllen = size;
    for (const cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr;
         c = CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c))) {
        constexpr int scm_pidfd = 4; // with SO_PASSPIDFD, since Linux 6.5
        if (c->cmsg_level != SOL_SOCKET ||
            (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != scm_pidfd))
            continue;
        const std::size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (std::size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            if (fd >= 0)
                close(fd);
        }
    }
}

int system_calls::io_control(int fd, unsigned long request, void* argument) noexcept {
    return checked(::ioctl(fd, request, argument));
}

int system_calls::duplicate(int fd) noexcept {
    return checked(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int system_calls::inheritable(int fd) noexcept {
    const int flags = checked(::fcntl(fd, F_GETFD));
    return flags < 0 ? flags : (flags & FD_CLOEXEC) == 0 ? 1 : 0;
}

int system_calls::make_inheritable(int fd, bool yes) noexcept {
    const int flags = checked(::fcntl(fd, F_GETFD));
    if (flags < 0)
        return flags;
    return checked(::fcntl(fd, F_SETFD, yes ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC));
}

int system_calls::open_pipe(int (&fds)[2], int capacity) noexcept {
    const int r = checked(::pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    if (r == 0)
        ::fcntl(fds[1], F_SETPIPE_SZ, capacity); // or what the kernel gives by itself
    return r;
}

int system_calls::splice(int from, int to, std::size_t size) noexcept {
    no_sigpipe guard;
    const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    const int n = call([&] { return ::splice(from, nullptr, to, nullptr, size, flags); });
    if (n == -EPIPE)
        guard.take();
    return n;
}

int system_calls::read(int fd, void* memory, std::size_t size) noexcept {
    return call([&] { return ::read(fd, memory, size); });
}

int system_calls::look_at(const char* path, struct stat& what) noexcept {
    return checked(::lstat(path, &what));
}

int system_calls::remove(const char* path) noexcept {
    return checked(::unlink(path));
}

int system_calls::change_mode(const char* path, mode_t mode) noexcept {
    return checked(::chmod(path, mode));
}

int system_calls::lock_folder(const char* path) noexcept {
    const int fd = call([&] { return ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0)
        return fd;
    if (const int r = call([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }); r < 0) {
        ::close(fd);
        return r;
    }
    return fd;
}

system_calls& system_calls::real() noexcept {
    static system_calls instance;
    return instance;
}

} // namespace gyre::detail
