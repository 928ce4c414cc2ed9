// The ways to say how long, against a server that never answers.
//
//     build/release/examples/timeout
//     recv from 127.0.0.1:41573: Deadline exceeded (own deadline, 100 ms)
//     ... one line for each way

#include <gyre/gyre.hpp>

#include <array>
#include <cstdio>

using namespace std::chrono_literals;

namespace {

gyre::task<std::size_t> conversation(gyre::socket& s) {
    std::array<std::byte, 64> buffer;
    co_await s.sendall("hello?");
    co_return co_await s.recv(buffer);
}

gyre::task<> show() {
    gyre::socket silent = co_await gyre::create_server({.host = "127.0.0.1"});
    gyre::socket s = gyre::socket::open();
    co_await s.connect(silent.getsockname());
    std::array<std::byte, 64> buffer;

    try {
        co_await s.recv(buffer).within(100ms);
    } catch (const gyre::timeout_error& e) {
        std::printf("%s (own deadline, 100 ms)\n", e.what());
    }

    s.settimeout(50ms); // the default of every later operation
    try {
        co_await s.recv(buffer);
    } catch (const gyre::timeout_error& e) {
        std::printf("%s (default of the socket, 50 ms)\n", e.what());
    }

    try {
        co_await s.recv(buffer).nonblocking();
    } catch (const gyre::error& e) {
        std::printf("%s (did not wait)\n", e.what());
    }

    s.settimeout(std::nullopt);
    try {
        co_await gyre::with_timeout(100ms, conversation(s));
    } catch (const gyre::timeout_error& e) {
        std::printf("%s (a whole conversation, 100 ms)\n", e.what());
    }

    const auto result = co_await gyre::as_result(s.recv(buffer).within(10ms));
    std::printf("no exception: %s\n", result.error().message().c_str());
}

} // namespace

int main() {
    gyre::run(show());
}
