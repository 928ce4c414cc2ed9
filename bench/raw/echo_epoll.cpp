// The yardstick: the echo server that somebody writes by hand who cares for nothing but speed.
// Edge-triggered epoll, every descriptor registered once; reads until a read comes back short,
// writes at once, and keeps what could not be written until the peer takes it. Only while there is
// such is the socket watched for room: a UNIX socket tells of it whenever the peer reads, which
// costs a sixth of the speed for nothing. One thread.
//
//     echo_epoll 127.0.0.1:7000 | udp:127.0.0.1:7000 | unix:/path | unix:@name

#include "endpoint.hpp"

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <vector>

namespace {

struct connection {
    int fd;
    bool readable = false;    // the last read did not empty the socket
    std::size_t sent = 0;     // of `unsent`
    std::vector<char> unsent; // what the peer did not take; while there is some, nothing is read
};

// Shared by all: what is read is written, or copied to `unsent`, before the next read.
std::array<char, std::size_t{64} << 10> buffer;

constexpr std::uint32_t watched = EPOLLIN | EPOLLRDHUP | EPOLLET;

void watch(int epoll, int action, connection& c, std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.ptr = &c;
    epoll_ctl(epoll, action, c.fd, &event);
}

// False when the connection is at its end.
bool flush(int epoll, connection& c) {
    while (c.sent < c.unsent.size()) {
        const ssize_t n =
            ::send(c.fd, c.unsent.data() + c.sent, c.unsent.size() - c.sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        c.sent += static_cast<std::size_t>(n);
    }
    c.unsent.clear();
    c.sent = 0;
    watch(epoll, EPOLL_CTL_MOD, c, watched);
    return true;
}

bool echo(int epoll, connection& c) {
    while (c.readable && c.unsent.empty()) {
        const ssize_t n = ::recv(c.fd, buffer.data(), buffer.size(), 0);
        if (n <= 0) {
            c.readable = false;
            return n < 0 && errno == EAGAIN;
        }
        const auto size = static_cast<std::size_t>(n);
        // A short read has emptied the socket; whatever comes later is a new edge.
        c.readable = size == buffer.size();
        const ssize_t gone = ::send(c.fd, buffer.data(), size, MSG_NOSIGNAL);
        if (gone < 0 && errno != EAGAIN)
            return false;
        const std::size_t written = gone < 0 ? 0 : static_cast<std::size_t>(gone);
        if (written < size) {
            c.unsent.assign(buffer.data() + written, buffer.data() + size);
            watch(epoll, EPOLL_CTL_MOD, c, watched | EPOLLOUT);
        }
    }
    return true;
}

void accept_all(int listener, int epoll) {
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            raw::fail_errno("accept"); // the listener would stay readable: do not spin
        if (fd < 0)
            return;
        watch(epoll, EPOLL_CTL_ADD, *new connection{.fd = fd, .unsent = {}}, watched);
    }
}

void echo_datagrams(int fd) {
    sockaddr_storage from;
    for (;;) {
        socklen_t size = sizeof from;
        auto* const name = reinterpret_cast<sockaddr*>(&from);
        const ssize_t n = ::recvfrom(fd, buffer.data(), buffer.size(), 0, name, &size);
        if (n >= 0)
            ::sendto(fd, buffer.data(), static_cast<std::size_t>(n), 0, name, size);
        else if (errno == EAGAIN)
            return;
    }
}

void on_events(int epoll, connection& c, std::uint32_t events) {
    const bool ended = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0)
        c.readable = true;
    bool open = (events & EPOLLERR) == 0;
    if (open && (events & EPOLLOUT) != 0)
        open = flush(epoll, c);
    if (open)
        open = echo(epoll, c);
    // Behind a short read there is still the end of the stream, of which no further edge tells.
    while (open && ended && c.unsent.empty()) {
        c.readable = true;
        open = echo(epoll, c);
    }
    if (open)
        return;
    ::close(c.fd);
    delete &c;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2)
        raw::fail("usage: echo_epoll ADDRESS", 2);
    const raw::endpoint at = raw::parse_endpoint(argv[1]);
    int signals = raw::prepare_process();
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = raw::open_endpoint(at);
    const auto watch_forever = [&](int& fd) { // their data points outside of any connection
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &fd;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    };
    watch_forever(signals);
    watch_forever(listener);

    for (bool run = true; run;) {
        std::array<epoll_event, 512> events;
        const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < n; ++i) {
            const epoll_event& e = events[static_cast<std::size_t>(i)];
            if (e.data.ptr == &signals)
                run = false;
            else if (e.data.ptr != &listener)
                on_events(epoll, *static_cast<connection*>(e.data.ptr), e.events);
            else if (at.type == SOCK_DGRAM)
                echo_datagrams(listener);
            else
                accept_all(listener, epoll);
        }
    }
    if (!at.path.empty())
        ::unlink(at.path.c_str());
}
