// Opens many connections at once to one address, in a group: all end well, or all end.
//
//     build/release/examples/echo_server 127.0.0.1:7000 &
//     build/release/examples/fan_out 127.0.0.1:7000 1000
//     1000 connections answered within 57 ms

#include <gyre/gyre.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;

namespace {

gyre::task<> ask(gyre::address to, long& answered) {
    gyre::socket s = co_await gyre::create_connection(to, {.timeout = 5s});
    co_await s.sendall("ping");
    std::array<std::byte, 16> buffer;
    if (co_await s.recv(buffer).within(5s) > 0)
        ++answered;
}

gyre::task<> fan_out(gyre::address to, long connections) {
    const auto start = gyre::clock::now();
    long answered = 0;
    co_await gyre::with_group([&](gyre::task_group& children) -> gyre::task<> {
        for (long i = 0; i < connections; ++i)
            children.spawn(ask(to, answered));
        co_return;
    });
    const auto took = std::chrono::ceil<std::chrono::milliseconds>(gyre::clock::now() - start);
    std::printf("%ld connections answered within %ld ms\n", answered,
                static_cast<long>(took.count()));
}

} // namespace

int main(int argc, char** argv) try {
    char* end = nullptr;
    const long connections = argc == 3 ? std::strtol(argv[2], &end, 10) : 0;
    if (connections <= 0 || *end != '\0') {
        std::fprintf(stderr, "usage: fan_out ADDRESS CONNECTIONS (a positive number)\n");
        return 2;
    }
    gyre::run(fan_out(gyre::address::parse(argv[1]), connections));
} catch (const std::exception& e) {
    std::fprintf(stderr, "fan_out: %s\n", e.what());
    return 1;
}
