// Echoes what it receives, over TCP, UDP or UNIX sockets, until SIGINT or SIGTERM.
//
//     build/release/examples/echo_server 127.0.0.1:7000      listening on 127.0.0.1:7000 (io_uring)
//     echo hello | nc -N 127.0.0.1 7000                      hello
//
// Other addresses: [::1]:7000, udp:127.0.0.1:7000, unix:/tmp/echo.sock, unix:@echo; port 0 lets the
// kernel choose. With --threads each thread has a loop and a listener of its own.

#include "command_line.hpp"

#include <gyre/gyre.hpp>

#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <unistd.h>

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

gyre::task<> serve_streams(gyre::socket listener,
                           std::optional<std::chrono::nanoseconds> deadline) {
    co_await gyre::with_group([&](gyre::task_group& peers) -> gyre::task<> {
        for (;;) {
            auto [peer, address] = co_await listener.accept();
            if (deadline)
                peer.settimeout(*deadline);
            peers.spawn(echo(std::move(peer)));
        }
    });
}

gyre::task<> serve_datagrams(gyre::socket s) {
    std::array<std::byte, 65536> buffer;
    for (;;) {
        auto [count, from, flags] = co_await s.recvfrom(buffer);
        // A datagram may be lost: so may the answer.
        co_await gyre::as_result(s.sendto(std::span(buffer).first(count), from));
    }
}

gyre::task<> serve(const command_line& line) {
    const gyre::address at = gyre::address::parse(line.address);
    gyre::socket s;
    if (line.datagrams) {
        s = gyre::socket::open(at.family(), SOCK_DGRAM);
        s.set(gyre::option::reuse_port, line.run.threads != 1);
        s.bind(at);
    } else {
        s = co_await gyre::create_server(at, {.reuse_port = line.run.threads != 1});
        if (!at.is_unix_path() && !at.is_unix_abstract())
            s.set(gyre::option::no_delay, true); // accepted connections inherit it
    }
    std::printf("listening on %s%s (%s)\n", line.datagrams ? "udp:" : "",
                s.getsockname().to_string().c_str(),
                std::string(to_string(gyre::loop::current()->backend())).c_str());
    std::fflush(stdout);
    if (line.datagrams)
        co_await serve_datagrams(std::move(s));
    else
        co_await serve_streams(std::move(s), line.deadline);
}

// The signals come first: from then on they do not end the process, but this.
gyre::task<> serve_until_stopped(const command_line& line) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(line));
    if (const gyre::address at = gyre::address::parse(line.address); at.is_unix_path())
        unlink(std::string(at.path()).c_str());
}

} // namespace

int main(int argc, char** argv) try {
    const command_line line = parse_command_line(argc, argv);
    gyre::run(line.run, [&] { return serve_until_stopped(line); });
} catch (const std::exception& e) {
    std::fprintf(stderr, "echo_server: %s\n", e.what());
    return 1;
}
