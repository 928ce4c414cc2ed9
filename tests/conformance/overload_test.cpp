#include "../support/refuse.hpp"
#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/io/wait.hpp>

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace gyre_test;

class Overload : public on_each_backend<> {
protected:
    static constexpr const char* needs_descriptors =
        "the sanitizer itself needs descriptors: UBSan looks at a vptr by a pipe";

    /// Runs `f` in a process that may not have any descriptors left.
    void run_without_descriptors(std::string (*f)(gyre::backend_kind)) {
        if (address_sanitized)
            GTEST_SKIP() << needs_descriptors;
        EXPECT_EQ(in_child(f, GetParam()), "");
    }
};

// ---- No more watches (epoll(7), max_user_watches) ----------------------------------------------

std::string recv_without_watches(gyre::backend_kind backend) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    if (!refuse(SYS_epoll_ctl, ENOSPC))
        return no_filters;
    std::string wrong;
    const auto recv = [&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        for (int i = 0; i < 3; ++i) {
            const std::error_code code = co_await outcome(a.recv(memory).within(1ms));
            if (code != std::errc::no_space_on_device && code != gyre::errc::timed_out)
                wrong += "it ended with: " + code.message() + "; ";
        }
        co_await b.send("x");
        if (co_await a.recv(memory) != 1)
            wrong += "what needs no wait does not go; ";
    };
    loop.run(recv());
    return wrong;
}

TEST_P(Overload, WithNoWatchesLeftWhatHasToWaitFailsAndTheSocketStaysAsItWas) {
    expect_in_child(recv_without_watches, GetParam());
}

// ---- No descriptors left (A1) ------------------------------------------------------------------

/// Lets this process open `n` more descriptors.
rlimit allow_descriptors(int n) {
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit limit = before;
    const int next = fcntl(0, F_DUPFD, 0);
    ::close(next);
    limit.rlim_cur = static_cast<rlim_t>(next + n);
    setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

std::string accept_without_descriptors(gyre::backend_kind backend) {
    constexpr std::size_t total = 24;
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    std::vector<gyre::socket> clients;
    for (std::size_t i = 0; i < total; ++i) {
        clients.push_back(gyre::socket::open());
        ::connect(clients.back().fileno(), to.data(), to.size());
    }
    std::vector<gyre::socket> accepted;
    std::size_t served = 0;
    std::string wrong;
    const auto serve = [&]() -> gyre::task<> {
        for (; served < total; ++served) {
            auto [peer, from] = co_await listener.accept();
            co_await peer.sendall("served");
            accepted.push_back(std::move(peer));
        }
    };
    const auto free_some = [&]() -> gyre::task<> {
        // On epoll, its first wait takes no descriptor; nor does anything else here.
        while (accepted.size() < 4)
            co_await next_turn();
        count_from_here();
        co_await gyre::sleep_for(200ms);
        count_to_here();
        if (accepted.size() != 4)
            wrong += "accepted " + std::to_string(accepted.size()) + ", not 4; ";
        // Each descriptor that comes free is used at once, not after the pause of up to 64 ms.
        int turns = 0;
        while (served < total) {
            ++turns;
            accepted.clear();
            co_await next_turn();
        }
        if (turns > 100)
            wrong += "it took " + std::to_string(turns) + " turns to serve the rest; ";
    };
    allow_descriptors(4);
    const auto both = [&]() -> gyre::task<> { co_await gyre::all(serve(), free_some()); };
    loop.run(gyre::with_timeout(20s, both()));
    for (const gyre::socket& s : clients)
        if (!wait_readable(s) || pull(s) != "served")
            return wrong + "not every client was served";
    return wrong;
}

TEST_P(Overload, WithNoDescriptorsLeftAcceptWaitsWithoutSpinningAndGoesOn) {
    if (address_sanitized)
        GTEST_SKIP() << needs_descriptors;
    EXPECT_TRUE(makes_at_most(100, accept_without_descriptors, GetParam()));
}

std::string end_an_accept_without_descriptors(gyre::backend_kind backend) {
    gyre::loop_options o;
    o.backend = backend;
    gyre::loop loop(o);
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    gyre::socket client = gyre::socket::open();
    ::connect(client.fileno(), to.data(), to.size());
    std::string wrong;
    const rlimit before = allow_descriptors(0);
    const auto test = [&]() -> gyre::task<> {
        if (co_await outcome(listener.accept().within(20ms)) != gyre::errc::timed_out)
            wrong += "no deadline; ";
        if (co_await gyre::with_timeout(20ms, outcome(listener.accept())) != gyre::errc::cancelled)
            wrong += "not cancelled; ";
        setrlimit(RLIMIT_NOFILE, &before);
        if (co_await outcome(listener.accept().within(5s)))
            wrong += "did not go on; ";
    };
    loop.run(gyre::with_timeout(20s, test()));
    return wrong;
}

TEST_P(Overload, WithNoDescriptorsLeftAcceptHeedsDeadlineAndCancel) {
    run_without_descriptors(end_an_accept_without_descriptors);
}

std::string work_without_descriptors(gyre::backend_kind backend) {
    gyre::loop_options o;
    o.backend = backend;
    const rlimit before = allow_descriptors(0);
    std::string wrong;
    if (thrown_by([&] { gyre::loop loop(o); }) != std::errc::too_many_files_open)
        wrong += "a loop without descriptors; ";
    setrlimit(RLIMIT_NOFILE, &before);
    gyre::loop loop(o);
    auto [a, b] = make_pair(stream_kind::tcp);
    allow_descriptors(0);
    if (thrown_by([] { gyre::socket::open(); }) != std::errc::too_many_files_open)
        wrong += "a socket without descriptors; ";
    if (thrown_by([] { gyre::socketpair(); }) != std::errc::too_many_files_open)
        wrong += "a pair without descriptors; ";
    const auto test = [&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await b.sendall("x");
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), write());
        if (n != 1)
            wrong += "recv; ";
    };
    loop.run(gyre::with_timeout(10s, test()));
    return wrong;
}

TEST_P(Overload, WithNoDescriptorsLeftWhatIsOpenWorksAndTheRestSaysWhy) {
    run_without_descriptors(work_without_descriptors);
}

// ---- Doing nothing -----------------------------------------------------------------------------

std::string idle(gyre::backend_kind backend) {
    std::vector<pair_of_sockets> pairs;
    for (int i = 0; i < 100; ++i)
        pairs.push_back(make_pair(stream_kind::tcp));
    gyre::socket listener = make_listener(stream_kind::tcp);
    gyre::loop loop({.backend = backend});
    const auto receive = [&](gyre::socket& s) -> gyre::task<> {
        std::array<std::byte, 16> memory;
        co_await outcome(s.recv(memory).within(30s));
    };
    const auto accept = [&]() -> gyre::task<> { co_await outcome(listener.accept()); };
    const auto test = [&](gyre::task_group& g) -> gyre::task<> {
        for (pair_of_sockets& p : pairs)
            g.spawn(receive(p.a));
        g.spawn(accept());
        for (int i = 0; i < 5; ++i)
            co_await next_turn();
        count_from_here();
        co_await gyre::sleep_for(200ms);
        count_to_here();
        g.cancel();
    };
    const auto all = [&]() -> gyre::task<> { co_await gyre::with_group(test); };
    loop.run(all());
    return {};
}

TEST_P(Overload, AnIdleLoopSleeps) {
    EXPECT_TRUE(makes_at_most(20, idle, GetParam()));
}

// ---- A slow reader -----------------------------------------------------------------------------

std::string write_to_a_slow_reader(gyre::backend_kind backend, stream_kind kind) {
    auto [a, b] = make_narrow_pair(kind);
    const std::vector<std::byte> bytes = pattern(10 << 20);
    std::size_t gone = bytes.size();
    gyre::loop loop({.backend = backend});
    const auto write = [&]() -> gyre::task<> {
        count_from_here();
        try {
            co_await a.sendall(bytes).within(100ms);
        } catch (const gyre::timeout_error& e) {
            gone = e.transferred();
        }
        count_to_here();
    };
    loop.run(write());
    return gone < bytes.size() / 2 ? "" : "it took " + std::to_string(gone) + " bytes";
}

TEST_P(Overload, ASlowReaderStopsTheWriterWithoutSpinning) {
    EXPECT_TRUE(makes_at_most(
        300, [](auto b) { return write_to_a_slow_reader(b, stream_kind::tcp); }, GetParam()));
    EXPECT_TRUE(makes_at_most(
        300, [](auto b) { return write_to_a_slow_reader(b, stream_kind::unix_stream); },
        GetParam()));
}

// The end of what a peer sends is told with every poll on a ring: it is not room for what it gets.
std::string write_after_the_end(gyre::backend_kind backend, stream_kind kind) {
    auto [a, b] = make_narrow_pair(kind);
    b.shutdown(SHUT_WR);
    fill(a);
    std::string wrong;
    gyre::loop loop({.backend = backend});
    const auto write = [&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(1 << 20);
        count_from_here();
        if (co_await outcome(a.sendall(bytes).within(50ms)) != gyre::errc::timed_out)
            wrong += "no deadline; ";
        if (co_await gyre::with_timeout(50ms, outcome(a.wait_writable())) != gyre::errc::cancelled)
            wrong += "not cancelled; ";
        count_to_here();
        const auto read = [&]() -> gyre::task<> {
            std::vector<std::byte> memory(65536);
            while (co_await b.recv(memory) > 0) {
            }
        };
        const auto rest = [&]() -> gyre::task<> {
            co_await a.sendall(bytes);
            a.close();
        };
        co_await gyre::all(rest(), read());
    };
    loop.run(gyre::with_timeout(20s, write()));
    return wrong;
}

TEST_P(Overload, APeerThatSendsNoMoreDoesNotMakeAWriterSpin) {
    EXPECT_TRUE(makes_at_most(
        100, [](auto b) { return write_after_the_end(b, stream_kind::tcp); }, GetParam()));
    EXPECT_TRUE(makes_at_most(
        100, [](auto b) { return write_after_the_end(b, stream_kind::unix_stream); }, GetParam()));
}

// ---- Fairness ----------------------------------------------------------------------------------

// A connection that always has data must not keep the others from theirs.
TEST_P(Overload, AFloodOnOneConnectionDoesNotStarveTheOthers) {
    auto [a, b] = make_pair(stream_kind::unix_stream);
    auto [c, d] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        bool done = false;
        const std::vector<std::byte> block = pattern(64);
        const auto flood = [&]() -> gyre::task<> {
            while (!done)
                co_await b.sendall(block);
            b.close();
        };
        const auto drink = [&]() -> gyre::task<> {
            std::array<std::byte, 16> memory;
            while (co_await a.recv(memory) > 0) {
            }
        };
        const auto ping = [&]() -> gyre::task<> {
            std::array<std::byte, 16> memory;
            for (int i = 0; i < 50; ++i) {
                co_await c.sendall("ping");
                CO_ASSERT_TRUE(co_await d.recv(memory).within(5s) == 4);
                co_await gyre::sleep_for(10us);
            }
            done = true;
        };
        co_await gyre::all(flood(), drink(), ping());
    });
}

TEST_P(Overload, AMillionPostsFromAnotherPartDoNotStarveDeadlines) {
    gyre::loop loop(options());
    bool done = false;
    unsigned posts = 0;
    struct reposter {
        gyre::loop& loop;
        bool& done;
        unsigned& posts;
        void operator()() const {
            ++posts;
            if (!done)
                loop.post(*this);
        }
    };
    loop.post(reposter{loop, done, posts});
    run_on(loop, [&]() -> gyre::task<> {
        co_await gyre::sleep_for(5ms);
        done = true;
    });
    EXPECT_GT(posts, 100U);
}

GYRE_ON_EACH_BACKEND(Overload);

} // namespace
