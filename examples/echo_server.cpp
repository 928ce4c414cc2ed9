// Echoes what it receives, over TCP, UDP or UNIX sockets, until SIGINT or SIGTERM.
//
//     build/release/examples/echo_server 127.0.0.1:7000      listening on 127.0.0.1:7000 (io_uring)
//     echo hello | nc -N 127.0.0.1 7000                      hello
//
// Other addresses: [::1]:7000, udp:127.0.0.1:7000, unix:/tmp/echo.sock, unix:@echo; port 0 lets the
// kernel choose. With --threads each thread has a loop and a listener of its own. The signal ends
// it in good order: nobody new is let in, what has arrived is answered, and each connection sees
// its end, within --drain seconds.

#include "command_line.hpp"

#include <gyre/gyre.hpp>

#include <array>
#include <csignal>
#include <cstdio>
#include <span>
#include <string>

namespace {

gyre::task<> echo(gyre::socket peer) try {
    std::array<std::byte, 16384> buffer;
    while (std::size_t n = co_await peer.recv(buffer))
        co_await peer.sendall(std::span(buffer).first(n));
} catch (const gyre::error& e) {
    if (e.code() == gyre::errc::cancelled)
        throw;
    // Deadline passed, or the peer reset the connection: its own affair.
}

gyre::task<> serve_datagrams(gyre::socket s) {
    std::array<std::byte, 65536> buffer;
    for (;;) {
        auto [count, from, flags] = co_await s.recvfrom(buffer);
        // A datagram may be lost: so may the answer.
        co_await gyre::as_result(s.sendto(std::span(buffer).first(count), from));
    }
}

void say_where(const char* kind, const gyre::address& at) {
    std::printf("listening on %s%s (%s)\n", kind, at.to_string().c_str(),
                std::string(to_string(gyre::loop::current()->backend())).c_str());
    std::fflush(stdout);
}

gyre::task<> serve(const command_line& line) {
    const gyre::address at = gyre::address::parse(line.address);
    const bool shared = line.run.threads != 1;
    if (line.datagrams) {
        gyre::socket s = gyre::socket::open(at.family(), SOCK_DGRAM);
        s.set(gyre::option::reuse_port, shared);
        s.bind(at);
        say_where("udp:", s.getsockname());
        co_return co_await serve_datagrams(std::move(s));
    }
    gyre::listener l = co_await gyre::create_server(at, {.reuse_port = shared});
    if (at.family() != AF_UNIX)
        l.sockets()[0].set(gyre::option::no_delay, true); // accepted connections inherit it
    say_where("", l.getsockname());
    const auto handler = [&](gyre::socket peer) {
        if (line.deadline)
            peer.settimeout(*line.deadline);
        return echo(std::move(peer));
    };
    co_await gyre::serve(std::move(l), handler, {.drain = line.drain, .end_input = true});
}

// The signal cancels what serves, which then drains.
gyre::task<> serve_until_stopped(const command_line& line) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(line));
}

// Where several threads serve, the first may be heard of before this one waits for the signals.
void block_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

} // namespace

int main(int argc, char** argv) try {
    const command_line line = parse_command_line(argc, argv);
    block_signals();
    gyre::run(line.run, [&] { return serve_until_stopped(line); });
} catch (const std::exception& e) {
    std::fprintf(stderr, "echo_server: %s\n", e.what());
    return 1;
}
