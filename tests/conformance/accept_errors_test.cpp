#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/backend.hpp>
#include <gyre/core/combine.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <vector>

// What accept(2) may fail with because of a connection, or of the whole process, and not of the
// listener. A filter of system calls (seccomp(2)) makes it fail as the network could.

namespace {

using namespace gyre_test;

class AcceptErrors : public on_each_backend<> {};

void install(std::vector<sock_filter> code) {
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        throw std::system_error(errno, std::system_category(), "seccomp");
}

/// From now on, in this process, for good; a later one counts before an earlier one.
void let_accept_fail_with(int error) {
    constexpr auto number = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
    install({{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_accept4, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }});
}

/// Accepts with a client in the queue, while accept4 fails with each of `errors`.
std::map<int, std::error_code> accept_with(gyre::backend_kind backend, std::vector<int> errors) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    gyre::socket client = gyre::socket::open();
    std::map<int, std::error_code> ends;
    const auto test = [&]() -> gyre::task<> {
        co_await client.connect(to);
        for (const int error : errors) {
            let_accept_fail_with(error);
            ends[error] = co_await outcome(listener.accept().within(3ms));
        }
    };
    loop.run(gyre::with_timeout(20s, test()));
    return ends;
}

std::string accept_with_errors_that_pass(gyre::backend_kind backend) {
    std::string wrong;
    for (const auto& [error, end] :
         accept_with(backend, {EINTR, ECONNABORTED, EPERM, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN,
                               ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, ECONNRESET, EMFILE,
                               ENFILE, ENOBUFS, ENOMEM}))
        if (end != gyre::errc::timed_out)
            wrong += std::to_string(error) + " ended it with: " + end.message() + "; ";
    return wrong;
}

TEST_P(AcceptErrors, OfAConnectionOrOfTheProcessAreWaitedOut) {
    EXPECT_EQ(in_child(accept_with_errors_that_pass, GetParam()), "");
}

std::string accept_with_errors_that_stay(gyre::backend_kind backend) {
    std::string wrong;
    for (const auto& [error, end] : accept_with(backend, {EBADF, EFAULT, EINVAL, ENOTSOCK}))
        if (end != std::error_code(error, std::system_category()))
            wrong += std::to_string(error) + " ended it with: " + end.message() + "; ";
    return wrong;
}

TEST_P(AcceptErrors, OfTheListenerAreReported) {
    EXPECT_EQ(in_child(accept_with_errors_that_stay, GetParam()), "");
}

/// As AF_ALG does, from now on, in this process: fails when asked for the peer's name.
void let_accept_tell_no_names() {
    constexpr auto number = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
    constexpr auto name = static_cast<std::uint32_t>(offsetof(seccomp_data, args[1]));
    install({{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_accept4, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, name), // its lower half
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ECONNABORTED),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }});
}

// This machine may have no AF_ALG, so the listener only says that it is one.
std::string accept_without_a_name(gyre::backend_kind backend) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    gyre::socket listener = make_listener(stream_kind::tcp);
    gyre::detail::socket_access::of(listener)->family = AF_ALG;
    std::string wrong;
    const auto test = [&]() -> gyre::task<> {
        gyre::socket client = gyre::socket::open();
        co_await client.connect(listener.getsockname());
        let_accept_tell_no_names();
        const auto [peer, from] = co_await listener.accept().within(1s);
        if (!from.empty())
            wrong = "its name is " + from.to_string();
        if (peer.getpeername() != client.getsockname())
            wrong += "it is another";
    };
    loop.run(gyre::with_timeout(20s, test()));
    return wrong;
}

TEST_P(AcceptErrors, FamiliesWithoutNamesAreNotAskedForOne) {
    EXPECT_EQ(in_child(accept_without_a_name, GetParam()), "");
}

// A peer that always resets must not take the whole loop.
std::string accept_what_is_always_aborted(gyre::backend_kind backend) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    gyre::socket client = gyre::socket::open();
    let_accept_fail_with(ECONNABORTED);
    const auto other = [&]() -> gyre::task<> {
        co_await client.connect(to);
        count_from_here();
        co_await gyre::sleep_for(100ms);
        count_to_here();
    };
    loop.run(gyre::race(outcome(listener.accept()), outcome(other())));
    return {};
}

// A try gives up after 64 calls; the pauses between the tries grow from 1 to 64 ms.
TEST_P(AcceptErrors, ThatNeverEndDoNotMakeItSpin) {
    EXPECT_TRUE(makes_at_most(1000, accept_what_is_always_aborted, GetParam()));
}

// A6, with deadlines: one that passes while connections arrive takes none of them away.
TEST_P(AcceptErrors, DeadlinesThatRaceWithArrivalLoseNoConnection) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    run([&]() -> gyre::task<> {
        constexpr std::size_t count = 200;
        std::map<std::string, int> seen;
        std::vector<gyre::socket> clients;
        const auto arrivals = [&]() -> gyre::task<> {
            for (std::size_t i = 0; i < count; ++i) {
                gyre::socket& s = clients.emplace_back(gyre::socket::open());
                co_await s.connect(to);
                push(s, std::to_string(i));
                if (i % 5 == 0)
                    co_await gyre::sleep_for(30us);
            }
        };
        const auto server = [&]() -> gyre::task<> {
            std::size_t accepted = 0;
            for (int i = 0; accepted < count; ++i) {
                auto r = co_await gyre::as_result(
                    listener.accept().within(std::chrono::microseconds(i % 50)));
                if (!r) {
                    EXPECT_EQ(r.error(), gyre::errc::timed_out);
                    continue;
                }
                ++accepted;
                std::array<char, 8> memory;
                const std::size_t n = co_await r->first.recv(memory);
                ++seen[std::string(memory.data(), n)];
            }
        };
        co_await gyre::all(server(), arrivals());
        EXPECT_EQ(seen.size(), count);
    });
}

TEST_P(AcceptErrors, AnIpv4ClientOfADualStackListenerHasAMappedAddress) {
    gyre::socket listener = gyre::socket::open(AF_INET6, SOCK_STREAM);
    listener.set(gyre::option::v6_only, false);
    listener.bind(gyre::address::any_ipv6(0));
    listener.listen();
    run([&]() -> gyre::task<> {
        gyre::socket client = gyre::socket::open();
        co_await client.connect(gyre::address::loopback_ipv4(listener.getsockname().port()));
        auto [peer, from] = co_await listener.accept();
        EXPECT_EQ(from.host(), "::ffff:127.0.0.1");
        EXPECT_EQ(from.port(), client.getsockname().port());
    });
}

GYRE_ON_EACH_BACKEND(AcceptErrors);

} // namespace
