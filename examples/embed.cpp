// A gyre loop inside a loop that is not gyre's: here poll(2) on the terminal and on gyre.
//
//     build/release/examples/embed 127.0.0.1:7000      echoes, and counts each second
//     Enter in the terminal ends it.

#include <gyre/gyre.hpp>

#include <array>
#include <cstdio>
#include <poll.h>
#include <span>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

gyre::task<> echo(gyre::socket peer, long& bytes) try {
    std::array<std::byte, 4096> buffer;
    while (std::size_t n = co_await peer.recv(buffer)) {
        co_await peer.sendall(std::span(buffer).first(n));
        bytes += static_cast<long>(n);
    }
} catch (const gyre::error& e) {
    if (e.code() == gyre::errc::cancelled)
        throw;
}

gyre::task<> count(const long& bytes) {
    for (;;) {
        co_await gyre::sleep_for(1s);
        std::printf("%ld bytes echoed\n", bytes);
        std::fflush(stdout);
    }
}

gyre::task<> serve(gyre::address at) {
    gyre::listener l = co_await gyre::create_server(at);
    std::printf("listening on %s\n", l.getsockname().to_string().c_str());
    std::fflush(stdout);
    long bytes = 0;
    const auto handler = [&](gyre::socket peer) { return echo(std::move(peer), bytes); };
    co_await gyre::race(count(bytes), gyre::serve(std::move(l), handler));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::fprintf(stderr, "usage: embed ADDRESS (such as 127.0.0.1:7000)\n");
        return 2;
    }
    gyre::loop loop;
    gyre::future<> service = loop.start(serve(gyre::address::parse(argv[1])));
    std::array<pollfd, 2> watched{{{STDIN_FILENO, POLLIN, 0}, {loop.fileno(), POLLIN, 0}}};
    while (!service.ready()) {
        poll(watched.data(), watched.size(), -1);
        if (watched[1].revents != 0)
            loop.poll();
        if (watched[0].revents != 0)
            return 0;
    }
    service.get(); // tells why it ended
} catch (const std::exception& e) {
    std::fprintf(stderr, "embed: %s\n", e.what());
    return 1;
}
