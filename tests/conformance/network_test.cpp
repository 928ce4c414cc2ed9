#include "../support/sockets.hpp"

#include <gyre/core/run.hpp>

#include <array>
#include <cstdlib>
#include <sched.h>
#include <string>
#include <vector>

// What needs a network of its own: routes that refuse, a queue that is full. Each test runs in a
// child process, in a network namespace that it makes and that goes with it.

namespace {

using namespace gyre_test;

class Network : public on_each_backend<> {
protected:
    /// Runs `f` in a child with a network of its own; skips, and says why, where there is none.
    void in_namespace(std::string (*f)(gyre::backend_kind)) {
        const std::string result = in_child(f, backend());
        if (result.starts_with("skip: "))
            GTEST_SKIP() << result.substr(6);
        EXPECT_EQ(result, "");
    }
};
GYRE_ON_EACH_BACKEND(Network);

/// An empty string, or why there is no network of one's own.
std::string set_up(const std::vector<const char*>& commands) {
    if (unshare(CLONE_NEWNET) != 0)
        return "skip: a network namespace cannot be made (it takes root)";
    if (std::system("command -v ip tc >/dev/null 2>&1") != 0)
        return "skip: ip and tc are missing (iproute2)";
    for (const char* command : commands)
        if (std::system(command) != 0)
            return std::string("skip: this fails here: ") + command;
    return "";
}

template <class Body>
std::string wrong_on(gyre::backend_kind backend, Body body) {
    std::string wrong;
    gyre::run(body(wrong), {.backend = backend});
    return wrong;
}

void expect_code(std::string& wrong, const char* what, std::error_code got, std::errc expected) {
    if (got != expected)
        wrong += std::string(what) + ": " + got.message() + "\n";
}

// C7. The route decides, and at once.
TEST_P(Network, ConnectSaysWhatTheRouteSays) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why =
            set_up({"ip link set lo up", "ip route add unreachable 192.0.2.1",
                    "ip route add prohibit 192.0.2.2", "ip route add blackhole 192.0.2.3"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            const auto connect = [](const char* to) -> gyre::task<std::error_code> {
                gyre::socket s = gyre::socket::open(AF_INET);
                co_return co_await s.connect_ex(gyre::address::parse(to)).within(patience);
            };
            expect_code(wrong, "unreachable", co_await connect("192.0.2.1:7"),
                        std::errc::host_unreachable);
            expect_code(wrong, "prohibited", co_await connect("192.0.2.2:7"),
                        std::errc::permission_denied);
            expect_code(wrong, "black hole", co_await connect("192.0.2.3:7"),
                        std::errc::invalid_argument);
            expect_code(wrong, "no route", co_await connect("198.51.100.1:7"),
                        std::errc::network_unreachable);
        });
    });
}

// D9. A datagram waits only behind a queue of the interface: here one that lets little through.
TEST_P(Network, SendtoWaitsForAFullQueueAndHeedsItsDeadline) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up(
            {"ip link set lo up", "tc qdisc add dev lo root tbf rate 64kbit burst 2kb limit 10mb"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            gyre::socket receiver = gyre::socket::open(AF_INET, SOCK_DGRAM);
            receiver.bind(gyre::address::loopback_ipv4(0));
            const gyre::address to = receiver.getsockname();
            gyre::socket sender = gyre::socket::open(AF_INET, SOCK_DGRAM);
            sender.set(gyre::option::send_buffer, 8192);
            const std::array<std::byte, 1000> data{};
            std::error_code code;
            for (int i = 0; i < 1000 && !code; ++i) {
                const auto r = co_await gyre::as_result(sender.sendto(data, to).nonblocking());
                if (!r)
                    code = r.error();
            }
            expect_code(wrong, "without waiting", code, std::errc::operation_would_block);
            const auto late = co_await gyre::as_result(sender.sendto(data, to).within(1ms));
            if (late || late.error() != gyre::errc::timed_out)
                wrong += "the deadline did not pass\n";
            const auto sent = co_await gyre::as_result(sender.sendto(data, to).within(patience));
            if (!sent || *sent != data.size())
                wrong += "it was not sent when there was room\n";
        });
    });
}

// A peer that vanishes without a word: the kernel's own timeout is not gyre's.
TEST_P(Network, TheKernelsTimeoutIsNotADeadline) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up({"ip link set lo up"});
        if (!why.empty())
            return why;
        return wrong_on(backend, [](std::string& wrong) -> gyre::task<> {
            auto [a, b] = make_pair(stream_kind::tcp);
            a.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 50);
            if (std::system("ip link set lo down") != 0)
                throw std::runtime_error("lo stays up");
            co_await a.sendall("into the void");
            std::array<std::byte, 8> memory;
            const auto r = co_await gyre::as_result(a.recv(memory).within(patience));
            if (r)
                wrong += "something was received\n";
            else if (r.error() != std::errc::timed_out && r.error() != std::errc::host_unreachable)
                wrong += "it ended with: " + r.error().message() + "\n";
        });
    });
}

} // namespace
