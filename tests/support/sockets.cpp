#include "sockets.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <unistd.h>

namespace gyre_test {
namespace {

int check(int result, const char* what) {
    if (result < 0)
        throw std::system_error(errno, std::system_category(), what);
    return result;
}

gyre::address any_name(int family) {
    switch (family) {
    case AF_INET: return gyre::address::loopback_ipv4(0);
    case AF_INET6: return gyre::address::loopback_ipv6(0);
    default: return gyre::address::unix_unnamed();
    }
}

pair_of_sockets make_pair(stream_kind kind, int buffers) {
    const int family = family_of(kind);
    const int listener = check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    const int client = check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    if (buffers > 0)
        for (int fd : {listener, client})
            for (int option : {SO_SNDBUF, SO_RCVBUF})
                check(setsockopt(fd, SOL_SOCKET, option, &buffers, sizeof buffers), "setsockopt");
    gyre::address name = any_name(family);
    check(::bind(listener, std::as_const(name).data(), name.size()), "bind");
    check(::listen(listener, 8), "listen");
    socklen_t size = gyre::address::capacity();
    check(::getsockname(listener, name.data(), &size), "getsockname");
    name.resize(size);
    check(::connect(client, std::as_const(name).data(), name.size()), "connect");
    const int server = check(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
    if (buffers > 0 && family == AF_UNIX) // not inherited there
        check(setsockopt(server, SOL_SOCKET, SO_SNDBUF, &buffers, sizeof buffers), "setsockopt");
    ::close(listener);
    gyre::socket a = gyre::socket::adopt(client);
    return {std::move(a), gyre::socket::adopt(server)};
}

} // namespace

int family_of(stream_kind kind) {
    switch (kind) {
    case stream_kind::tcp: return AF_INET;
    case stream_kind::tcp6: return AF_INET6;
    case stream_kind::unix_stream: return AF_UNIX;
    }
    return AF_UNSPEC;
}

gyre::socket open_or_skip(int family, int type, int protocol) {
    try {
        return gyre::socket::open(family, type, protocol);
    } catch (const gyre::error& e) {
        const int code = e.code().value();
        const bool missing = code == EPERM || code == EACCES || code == EAFNOSUPPORT ||
                             code == EPROTONOSUPPORT || code == ESOCKTNOSUPPORT;
        [&] {
            if (missing)
                GTEST_SKIP() << e.what();
            FAIL() << e.what();
        }();
        return {};
    }
}

gyre::socket make_listener(stream_kind kind, int backlog) {
    gyre::socket s = gyre::socket::open(family_of(kind), SOCK_STREAM);
    s.bind(any_name(family_of(kind)));
    s.listen(backlog);
    return s;
}

gyre::socket make_client(stream_kind kind) {
    return gyre::socket::open(family_of(kind), SOCK_STREAM);
}

// One and no more: a second one would repeat its SYN, and could take the place that a test has
// freed for a third.
gyre::socket fill_backlog(const gyre::socket& listener, stream_kind kind) {
    gyre::socket filler = make_client(kind);
    const gyre::address to = listener.getsockname();
    ::connect(filler.fileno(), to.data(), to.size());
    if (!wait_readable(listener))
        throw std::runtime_error("fill_backlog: the client does not arrive");
    return filler;
}

pair_of_sockets make_pair(stream_kind kind) {
    return make_pair(kind, 0);
}
pair_of_sockets make_narrow_pair(stream_kind kind) {
    return make_pair(kind, 4096);
}

pair_of_sockets make_unix_pair(int type) {
    auto [a, b] = gyre::socketpair(AF_UNIX, type);
    return {std::move(a), std::move(b)};
}

pair_of_sockets make_udp_pair(int family) {
    pair_of_sockets pair{gyre::socket::open(family, SOCK_DGRAM),
                         gyre::socket::open(family, SOCK_DGRAM)};
    pair.a.bind(any_name(family));
    pair.b.bind(any_name(family));
    return pair;
}

gyre::socket make_unix_datagram() {
    gyre::socket s = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
    s.bind(gyre::address::unix_unnamed());
    return s;
}

std::size_t fill(const gyre::socket& s) {
    const bool tcp = s.type() == SOCK_STREAM && s.family() != AF_UNIX;
    const std::vector<std::byte> bytes = pattern(s.type() == SOCK_STREAM ? 65536 : 100);
    std::size_t total = 0;
    for (int quiet = 0; quiet < 3;) {
        const ssize_t n =
            ::send(s.fileno(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            total += static_cast<std::size_t>(n);
            quiet = 0;
            continue;
        }
        if (!tcp)
            break;
        // What is on its way still makes room when it has been acknowledged.
        tcp_info info{};
        socklen_t size = sizeof info;
        check(getsockopt(s.fileno(), IPPROTO_TCP, TCP_INFO, &info, &size), "TCP_INFO");
        if (info.tcpi_unacked == 0)
            ++quiet;
        else
            ::poll(nullptr, 0, 1);
    }
    return total;
}

std::size_t drain(const gyre::socket& s) {
    std::vector<std::byte> bytes(65536);
    std::size_t total = 0;
    for (ssize_t n = 0; (n = ::recv(s.fileno(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
        total += static_cast<std::size_t>(n);
    return total;
}

bool wait_readable(const gyre::socket& s) {
    pollfd p{s.fileno(), POLLIN, 0};
    return ::poll(&p, 1, 5000) == 1;
}

void reset_when_closed(gyre::socket& s) {
    s.set(gyre::option::linger, {1, 0});
}

void push(const gyre::socket& s, std::string_view text) {
    const ssize_t n = ::send(s.fileno(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != static_cast<ssize_t>(text.size()))
        throw std::system_error(n < 0 ? errno : EAGAIN, std::system_category(), "push");
}

std::string pull(const gyre::socket& s, std::size_t at_most) {
    std::string text(at_most, '\0');
    const ssize_t n = ::recv(s.fileno(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
}

std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> bytes(size);
    std::uint64_t x = seed * 0x9e3779b97f4a7c15U + 1;
    for (std::size_t i = 0; i < size; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        std::memcpy(bytes.data() + i, &x, std::min(sizeof x, size - i));
    }
    return bytes;
}

std::uint64_t hash(std::span<const std::byte> bytes, std::uint64_t so_far) {
    for (const std::byte b : bytes)
        so_far = (so_far ^ static_cast<std::uint64_t>(b)) * 1099511628211U;
    return so_far;
}

} // namespace gyre_test
