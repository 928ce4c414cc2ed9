#pragma once

// What hand-written servers share: the address in gyre's text form, the listening socket, signals.
// No part of gyre is used here: these programs are what gyre is measured against.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace raw {

[[noreturn]] inline void fail(const std::string& what, int status = 1) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what.c_str());
    std::exit(status);
}

[[noreturn]] inline void fail_errno(const std::string& what) {
    fail(what + ": " + std::strerror(errno));
}

/// 127.0.0.1:7000, [::1]:7000, unix:/path, unix:@name; in front of the first two, udp: is allowed.
struct endpoint {
    sockaddr_storage name{};
    socklen_t size = 0;
    int type = SOCK_STREAM;
    std::string path; ///< to be removed at the end; empty when there is none
};

inline endpoint parse_endpoint(std::string_view text) {
    const std::string whole(text);
    endpoint e;
    if (text.starts_with("unix:")) {
        text.remove_prefix(5);
        sockaddr_un un{};
        if (text.empty() || text.size() >= sizeof un.sun_path)
            fail(whole + ": not a path of 1 to 107 bytes", 2);
        un.sun_family = AF_UNIX;
        std::memcpy(un.sun_path, text.data(), text.size());
        e.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size());
        if (text.front() == '@')
            un.sun_path[0] = '\0';
        else
            e.path = text;
        std::memcpy(&e.name, &un, sizeof un);
        return e;
    }
    if (text.starts_with("udp:")) {
        e.type = SOCK_DGRAM;
        text.remove_prefix(4);
    }
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    if (colon != text.npos) {
        const char* end = text.data() + text.size();
        const auto read = std::from_chars(text.data() + colon + 1, end, port);
        if (read.ec != std::errc() || read.ptr != end)
            fail(whole + ": not a port", 2);
        std::string host(text.substr(0, colon));
        sockaddr_in v4{AF_INET, htons(port), {}, {}};
        sockaddr_in6 v6{AF_INET6, htons(port), 0, {}, 0};
        if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
            std::memcpy(&e.name, &v4, e.size = sizeof v4);
            return e;
        }
        if (host.starts_with('[') && host.ends_with(']') &&
            inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) == 1) {
            std::memcpy(&e.name, &v6, e.size = sizeof v6);
            return e;
        }
    }
    fail(whole + ": not an address such as 127.0.0.1:7000, udp:[::1]:7000 or unix:@name", 2);
}

/// A bound, non-blocking socket that listens when it is one of a stream; announced on stdout.
inline int open_endpoint(const endpoint& e) {
    const int fd = ::socket(e.name.ss_family, e.type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail_errno("socket");
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (e.type == SOCK_STREAM && e.name.ss_family != AF_UNIX) // what is accepted inherits it
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&e.name), e.size) != 0)
        fail_errno("bind");
    if (e.type == SOCK_STREAM && ::listen(fd, SOMAXCONN) != 0)
        fail_errno("listen");

    sockaddr_storage name{};
    socklen_t size = sizeof name;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
    char host[INET6_ADDRSTRLEN] = "";
    const char* const kind = e.type == SOCK_DGRAM ? "udp:" : "";
    if (name.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
        std::printf("listening on %s%s:%u\n", kind, host, ntohs(v4.sin_port));
    } else if (name.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
        std::printf("listening on %s[%s]:%u\n", kind, host, ntohs(v6.sin6_port));
    } else {
        const auto& un = reinterpret_cast<const sockaddr_un&>(e.name);
        const std::size_t length = e.size - offsetof(sockaddr_un, sun_path);
        std::string path(un.sun_path, length);
        if (path.front() == '\0')
            path.front() = '@';
        std::printf("listening on unix:%s\n", path.c_str());
    }
    std::fflush(stdout);
    return fd;
}

/// The descriptor limit goes up to what is allowed; SIGINT and SIGTERM become readable here.
inline int prepare_process() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

} // namespace raw
