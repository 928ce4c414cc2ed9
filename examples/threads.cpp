// Futures, without coroutines: threads of a program use a loop that runs on a thread of its own.
//
//     build/release/examples/echo_server 127.0.0.1:7000 &
//     build/release/examples/threads 127.0.0.1:7000
//     thread 2: 100 answers
//     thread 0: 100 answers ...

#include <gyre/gyre.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// Whether all was answered.
bool use(gyre::loop_thread& network, const gyre::address& to, int number) try {
    gyre::future<gyre::socket> connecting =
        network.start(gyre::create_connection(to, {.timeout = 3s}));
    if (!connecting.wait_for(5s))
        connecting.cancel();
    gyre::socket s = connecting.get(); // or why not, as an exception on this thread

    int answers = 0;
    for (int i = 0; i < 100; ++i) {
        const std::string text = "question " + std::to_string(i);
        std::array<char, 64> answer;
        network.start(s.sendall(text).within(1s)).get();
        if (network.start(s.recv(answer).within(1s)).get() == text.size())
            ++answers;
    }
    std::printf("thread %d: %d answers\n", number, answers);
    return answers == 100;
} catch (const std::exception& e) {
    std::printf("thread %d: %s\n", number, e.what());
    return false;
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::fprintf(stderr, "usage: threads ADDRESS (such as 127.0.0.1:7000)\n");
        return 2;
    }
    const gyre::address to = gyre::address::parse(argv[1]);
    gyre::loop_thread network;
    std::atomic<int> failed = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&, i] { failed += use(network, to, i) ? 0 : 1; });
    }
    return failed == 0 ? 0 : 1;
} catch (const std::exception& e) {
    std::fprintf(stderr, "threads: %s\n", e.what());
    return 1;
}
