#include "../support/counting_allocator.hpp"
#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/io/datagram_batch.hpp>
#include <gyre/io/pass_fds.hpp>

#include <array>
#include <fcntl.h>
#include <stdexcept>
#include <unistd.h>
#include <vector>

// What a message costs in the steady state, counted: allocations and system calls. Both ends of
// each connection are on the one loop, so an echo is two messages: there and back.

namespace {

using namespace gyre_test;

// ---- Allocations -------------------------------------------------------------------------------

class Allocations : public on_each_stream {
protected:
    void SetUp() override {
        on_each_stream::SetUp();
        if (!IsSkipped() && sanitized)
            GTEST_SKIP() << "coroutine frames are not pooled in a build with a sanitizer";
    }

    /// Runs `echo(server)` against a client, and counts what 1000 messages allocate after the
    /// first 100.
    template <class Echo>
    void expect_none(Echo echo) {
        auto [client, server] = make_pair(kind());
        run([&]() -> gyre::task<> {
            const auto ask = [&]() -> gyre::task<> {
                std::array<std::byte, 64> memory;
                for (int i = 0; i < 1100; ++i) {
                    if (i == 100)
                        allocations = 0;
                    co_await client.sendall("hello");
                    CO_ASSERT_TRUE(co_await client.recv(memory) == 5);
                }
                EXPECT_EQ(allocations, 0U);
                client.close();
            };
            co_await gyre::all(ask(), echo(server));
        });
    }
};

TEST_P(Allocations, AnEchoMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        std::array<std::byte, 64> memory;
        while (std::size_t n = co_await peer.recv(memory))
            co_await peer.sendall(std::span(memory).first(n));
    });
}

TEST_P(Allocations, AnEchoWithDeadlinesMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        peer.settimeout(1h);
        std::array<std::byte, 64> memory;
        while (std::size_t n = co_await peer.recv(memory).within(5s))
            co_await peer.sendall(std::span(memory).first(n));
    });
}

TEST_P(Allocations, AnEchoOfLeasesMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        while (gyre::lease data = co_await peer.recv())
            co_await peer.sendall(data);
    });
}

TEST_P(Allocations, AnEchoWithoutExceptionsMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        std::array<std::byte, 64> memory;
        for (;;) {
            const auto n = co_await gyre::as_result(peer.recv(memory));
            if (!n || *n == 0)
                break;
            co_await gyre::as_result(peer.sendall(std::span(memory).first(*n)));
        }
    });
}

TEST_P(Allocations, AnEchoThatRacesWithASleepMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        std::array<std::byte, 64> memory;
        for (;;) {
            auto first = co_await gyre::race(peer.recv(memory), gyre::sleep_for(1h));
            const std::size_t n = std::get<0>(first);
            if (n == 0)
                break;
            co_await peer.sendall(std::span(memory).first(n));
        }
    });
}

TEST_P(Allocations, AnEchoByTasksUnderATimeoutMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        const auto one = [](gyre::socket& s) -> gyre::task<bool> {
            std::array<std::byte, 64> memory;
            const std::size_t n = co_await s.recv(memory);
            if (n != 0)
                co_await s.sendall(std::span(memory).first(n));
            co_return n != 0;
        };
        while (co_await gyre::with_timeout(1h, one(peer))) {
        }
    });
}

TEST_P(Allocations, AnEchoByChildrenOfAGroupMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        bool ended = false;
        const auto one = [&]() -> gyre::task<> {
            std::array<std::byte, 64> memory;
            const std::size_t n = co_await peer.recv(memory);
            if (n != 0)
                co_await peer.sendall(std::span(memory).first(n));
            ended = n == 0;
        };
        while (!ended)
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(one());
                co_return;
            });
    });
}

TEST_P(Allocations, AConnectionAfterAnotherMakesNone) {
    gyre::socket listener = make_listener(kind());
    const gyre::address name = listener.getsockname();
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 200; ++i) {
            if (i == 100)
                allocations = 0;
            gyre::socket client = make_client(kind());
            co_await client.connect(name);
            auto [peer, from] = co_await listener.accept();
        }
        EXPECT_EQ(allocations, 0U); // not even for the text that an error would need
    });
}

TEST_P(Allocations, AnEchoOfMessagesInPartsMakesNone) {
    expect_none([](gyre::socket& peer) -> gyre::task<> {
        std::array<std::byte, 64> memory;
        gyre::ancillary control;
        for (;;) {
            std::array<gyre::buffer, 2> places{std::span(memory).first(2),
                                               std::span(memory).subspan(2)};
            const auto d = co_await peer.recvmsg(places, control);
            if (d.count == 0)
                break;
            std::array<gyre::const_buffer, 2> parts{std::span(memory).first(2),
                                                    std::span(memory).subspan(2, d.count - 2)};
            co_await peer.sendall(parts);
        }
    });
}

GYRE_OVER_EACH_STREAM(Allocations);

class MessageAllocations : public on_each_backend<> {
protected:
    void SetUp() override {
        on_each_backend::SetUp();
        if (!IsSkipped() && sanitized)
            GTEST_SKIP() << "coroutine frames are not pooled in a build with a sanitizer";
    }
};

TEST_P(MessageAllocations, AnEchoOfBatchesMakesNone) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::datagram_batch here(4, 64, 64);
        gyre::datagram_batch there(4, 64);
        const gyre::address to = b.getsockname();
        for (int i = 0; i < 1100; ++i) {
            if (i == 100)
                allocations = 0;
            here.clear();
            here.add("one", to);
            here.add("two", to);
            co_await a.send_many(here);
            CO_ASSERT_TRUE(co_await b.recv_many(there) == 2);
            co_await b.send_many(there);
            CO_ASSERT_TRUE(co_await a.recv_many(here) == 2);
        }
        EXPECT_EQ(allocations, 0U);
    });
}

TEST_P(MessageAllocations, PassingDescriptorsMakesNone) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    run([&]() -> gyre::task<> {
        const std::array fds{a.fileno(), b.fileno()};
        std::array<std::byte, 8> memory;
        gyre::ancillary control;
        for (int i = 0; i < 1100; ++i) {
            if (i == 100)
                allocations = 0;
            std::array<gyre::owned_fd, 2> places;
            co_await gyre::send_fds(a, "x", fds);
            const auto r = co_await gyre::recv_fds(b, memory, places);
            CO_ASSERT_TRUE(r.fds.size() == 2);
            control.clear();
            control.append_fds(fds);
            co_await a.sendmsg("y", control);
            co_await b.recvmsg(memory, control);
            CO_ASSERT_TRUE(control.take_fds(places) == 2);
        }
        EXPECT_EQ(allocations, 0U);
    });
}

GYRE_ON_EACH_BACKEND(MessageAllocations);

// ---- Memory ------------------------------------------------------------------------------------

class Memory : public on_each_backend<> {};

gyre::task<> idle(gyre::socket peer) {
    peer.settimeout(1h);
    while (gyre::lease data = co_await peer.recv())
        co_await peer.sendall(data);
}

// Everything that user space holds for it: the coroutine, the socket, the table of descriptors.
TEST_P(Memory, AnIdleConnectionWithADeadlineHoldsLessThan450Bytes) {
    if (sanitized)
        GTEST_SKIP() << "a sanitizer counts its own way";
    constexpr std::size_t connections = 512;
    run([&]() -> gyre::task<> {
        std::vector<int> clients;
        clients.reserve(connections);
        co_await gyre::with_group([&](gyre::task_group& group) -> gyre::task<> {
            const auto add = [&] {
                auto [client, server] = make_pair(stream_kind::tcp);
                // Out of the way: the table of a server has its own descriptors only.
                clients.push_back(::fcntl(client.fileno(), F_DUPFD_CLOEXEC, 2048));
                group.spawn(idle(std::move(server)));
            };
            add(); // what the first one makes is for all
            co_await gyre::sleep_for(0s);
            co_await gyre::sleep_for(0s);
            const std::size_t before = allocated_bytes;
            for (std::size_t i = 1; i < connections; ++i)
                add();
            co_await gyre::sleep_for(0s);
            co_await gyre::sleep_for(0s);
            const std::size_t each = (allocated_bytes - before) / (connections - 1);
            RecordProperty("bytes", static_cast<int>(each));
            EXPECT_GT(each, 0U);
            EXPECT_LE(each, 450U);
            group.cancel();
        });
        for (int fd : clients)
            ::close(fd);
    });
}

GYRE_ON_EACH_BACKEND(Memory);

// ---- System calls ------------------------------------------------------------------------------

constexpr unsigned rounds = 200;

using connection_list = std::vector<pair_of_sockets>;

/// Each client sends and receives its echo, `rounds` times, side by side with the others.
std::string echo_on(gyre::backend_kind backend, connection_list connections,
                    gyre::task<> (*serve)(gyre::socket&)) {
    gyre::loop loop({.backend = backend});
    const auto client = [&](gyre::socket& s) -> gyre::task<> {
        std::array<std::byte, 64> memory;
        const bool counts = &s == &connections.back().a;
        for (unsigned i = 0; i < rounds + 20; ++i) {
            if (counts && i == 20)
                count_from_here();
            co_await s.sendall("hello");
            if (co_await s.recv(memory) != 5)
                throw std::runtime_error("wrong echo");
        }
        if (counts)
            count_to_here();
        s.close();
    };
    const auto all = [&]() -> gyre::task<> {
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (pair_of_sockets& c : connections) {
                g.spawn(serve(c.b));
                g.spawn(client(c.a));
            }
            co_return;
        });
    };
    loop.run(all());
    return {};
}

connection_list make_pairs(stream_kind kind, unsigned count) {
    connection_list list;
    for (unsigned i = 0; i < count; ++i)
        list.push_back(make_pair(kind));
    return list;
}

gyre::task<> serve(gyre::socket& peer) {
    std::array<std::byte, 64> memory;
    while (std::size_t n = co_await peer.recv(memory))
        co_await peer.sendall(std::span(memory).first(n));
}

gyre::task<> serve_within(gyre::socket& peer) {
    std::array<std::byte, 64> memory;
    while (std::size_t n = co_await peer.recv(memory).within(30s))
        co_await peer.sendall(std::span(memory).first(n)).within(30s);
}

gyre::task<> serve_leases(gyre::socket& peer) {
    while (gyre::lease data = co_await peer.recv())
        co_await peer.sendall(data);
}

class SystemCalls : public on_each_backend<> {
protected:
    void expect_per_round(std::string (*f)(gyre::backend_kind), unsigned with_epoll,
                          unsigned with_io_uring) {
        const system_call_count count = count_system_calls(f, backend());
        ASSERT_EQ(count.wrong, "");
        const unsigned expected =
            backend() == gyre::backend_kind::epoll ? with_epoll : with_io_uring;
        // A few more for the first and last round, which are not whole.
        EXPECT_LE(count.total(), expected * rounds + expected + 4) << count.to_string();
        EXPECT_GE(count.total() + expected + 4, expected * rounds)
            << "better than this asks for: " << count.to_string();
    }
};

// epoll: send, wait, receive, in each direction. io_uring: send, then one call that both submits
// the next receives and waits.
TEST_P(SystemCalls, AnEchoOverTcpTakesSixOrFour) {
    expect_per_round(
        [](gyre::backend_kind b) { return echo_on(b, make_pairs(stream_kind::tcp, 1), serve); }, 6,
        4);
}

TEST_P(SystemCalls, DeadlinesTakeNone) {
    expect_per_round(
        [](gyre::backend_kind b) {
            return echo_on(b, make_pairs(stream_kind::tcp, 1), serve_within);
        },
        6, 4);
}

// Whether a short read has emptied a UNIX socket cannot be told, so epoll's reads look again.
TEST_P(SystemCalls, AnEchoOverUnixTakesEightOrFour) {
    expect_per_round(
        [](gyre::backend_kind b) {
            return echo_on(b, make_pairs(stream_kind::unix_stream, 1), serve);
        },
        8, 4);
}

TEST_P(SystemCalls, AnEchoOfALeaseTakesSixOrFour) {
    expect_per_round(
        [](gyre::backend_kind b) {
            return echo_on(b, make_pairs(stream_kind::tcp, 1), serve_leases);
        },
        6, 4);
}

// 16 messages in a batch share the waiting.
TEST_P(SystemCalls, SixteenEchoesInABatchShareTheirWaits) {
    expect_per_round(
        [](gyre::backend_kind b) { return echo_on(b, make_pairs(stream_kind::tcp, 16), serve); },
        4 * 16 + 2, 2 * 16 + 2);
}

// None when its time has passed before the loop looks, as happens on a busy machine.
TEST_P(SystemCalls, ASleepTakesOneAtMost) {
    EXPECT_TRUE(makes_at_most(
        rounds + 5,
        [](gyre::backend_kind b) -> std::string {
            gyre::loop loop({.backend = b});
            const auto sleep = [&]() -> gyre::task<> {
                co_await gyre::sleep_for(1us);
                count_from_here();
                for (unsigned i = 0; i < rounds; ++i)
                    co_await gyre::sleep_for(1us);
                count_to_here();
            };
            loop.run(sleep());
            return {};
        },
        backend()));
}

TEST_P(SystemCalls, AwaitingTasksTakesNone) {
    expect_per_round(
        [](gyre::backend_kind b) -> std::string {
            gyre::loop loop({.backend = b});
            const auto one = []() -> gyre::task<int> { co_return 1; };
            const auto many = [&]() -> gyre::task<> {
                co_await one();
                count_from_here();
                for (unsigned i = 0; i < rounds; ++i)
                    co_await one();
                count_to_here();
            };
            loop.run(many());
            return {};
        },
        0, 0);
}

GYRE_ON_EACH_BACKEND(SystemCalls);

} // namespace
