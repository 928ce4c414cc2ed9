// Sends each line of its input to an echo server and prints what comes back.
//
//     build/release/examples/echo_server 127.0.0.1:7000 &
//     printf 'one\ntwo\n' | build/release/examples/echo_client localhost 7000
//     one
//     two

#include <gyre/gyre.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

namespace {

gyre::task<> talk(const char* host, std::uint16_t port) {
    gyre::socket s = co_await gyre::create_connection(host, port, {.timeout = 3s});
    s.settimeout(5s);
    std::string line;
    while (std::getline(std::cin, line)) { // blocks, which a program with only this to do may
        line += '\n';
        co_await s.sendall(line);
        for (std::size_t missing = line.size(); missing > 0;) {
            char answer[4096];
            const std::size_t n = co_await s.recv(answer);
            if (n == 0 || n > missing)
                throw std::runtime_error("the server ended the conversation, or is no echo server");
            std::fwrite(answer, 1, n, stdout);
            missing -= n;
        }
    }
}

} // namespace

int main(int argc, char** argv) try {
    char* end = nullptr;
    const unsigned long port = argc == 3 ? std::strtoul(argv[2], &end, 10) : 0;
    if (argc != 3 || *end != '\0' || port == 0 || port > 65535) {
        std::fprintf(stderr, "usage: echo_client HOST PORT (a number from 1 to 65535)\n");
        return 2;
    }
    gyre::run(talk(argv[1], static_cast<std::uint16_t>(port)));
} catch (const std::exception& e) {
    std::fprintf(stderr, "echo_client: %s\n", e.what());
    return 1;
}
