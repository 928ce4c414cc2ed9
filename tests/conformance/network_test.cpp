#include "../support/network.hpp"
#include "../support/sockets.hpp"

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

// What needs a network of its own: routes that refuse, a queue that is full.

namespace {

using namespace gyre_test;

class Network : public on_own_network {};
GYRE_ON_EACH_BACKEND(Network);

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
