#include "../support/foreign.hpp"
#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <optional>
#include <thread>

namespace {

using namespace gyre_test;

class Lease : public on_each_stream {
protected:
    /// A loop with few buffers.
    gyre::loop_options few(std::size_t count, std::size_t size = 4096) const {
        gyre::loop_options o = options();
        o.lease_count = count;
        o.lease_size = size;
        return o;
    }

    std::vector<pair_of_sockets> make_pairs(std::size_t n) const {
        std::vector<pair_of_sockets> pairs;
        for (std::size_t i = 0; i < n; ++i)
            pairs.push_back(make_pair(kind()));
        return pairs;
    }
};

TEST_P(Lease, HoldsWhatWasReceivedAndIsEmptyAtTheEnd) {
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            push(b, "there");
            gyre::lease first = co_await a.recv();
            EXPECT_TRUE(bool(first));
            EXPECT_EQ(text_of(first.bytes()), "there");
            const auto write = [&]() -> gyre::task<> {
                co_await next_turn();
                push(b, "later");
            };
            auto [second, nothing] = co_await gyre::all(a.recv(), write());
            EXPECT_EQ(text_of(second.bytes()), "later");
            EXPECT_EQ(text_of(first.bytes()), "there") << "each has memory of its own";
        }
        b.close();
        gyre::lease end = co_await a.recv();
        EXPECT_FALSE(bool(end));
        EXPECT_EQ(end.size(), 0U);
    });
}

TEST_P(Lease, WithNonblockingGivesWhatIsThere) {
    auto [a, b] = make_pair(kind());
    push(b, "there");
    ASSERT_TRUE(wait_readable(a));
    run([&]() -> gyre::task<> {
        gyre::lease data = co_await a.recv().nonblocking();
        EXPECT_EQ(text_of(data.bytes()), "there");
    });
}

TEST_P(Lease, IsAtMostAsLargeAsTheLoopSays) {
    auto [a, b] = make_pair(kind());
    run(few(4, 1000), [&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(10'500);
        std::uint64_t h = hash({});
        std::size_t count = 0;
        const auto read = [&]() -> gyre::task<> {
            while (gyre::lease data = co_await a.recv()) {
                EXPECT_LE(data.size(), 1000U);
                count += data.size();
                h = hash(data.bytes(), h);
            }
        };
        const auto write = [&]() -> gyre::task<> {
            co_await b.sendall(bytes);
            b.shutdown(SHUT_WR);
        };
        co_await gyre::all(read(), write());
        EXPECT_EQ(count, bytes.size());
        EXPECT_EQ(h, hash(bytes));
    });
}

TEST_P(Lease, MovesAsTheValueThatItIs) {
    auto [a, b] = make_pair(kind());
    run(few(2), [&]() -> gyre::task<> {
        for (int round = 0; round < 5; ++round) {
            push(b, "value");
            gyre::lease first = co_await a.recv();
            gyre::lease second = std::move(first);
            EXPECT_FALSE(bool(first));
            EXPECT_EQ(text_of(second.bytes()), "value");
            push(b, "other");
            first = co_await a.recv();
            second = std::move(first);
            EXPECT_EQ(text_of(second.bytes()), "other");
        }
    });
}

// Law 10.
TEST_P(Lease, WithAllLentReceiversWaitAndGoOn) {
    auto pairs = make_pairs(12);
    run(few(4), [&]() -> gyre::task<> {
        std::vector<gyre::lease> held;
        unsigned received = 0;
        const auto hold = [&](gyre::socket& s) -> gyre::task<> {
            gyre::lease data = co_await s.recv().within(10s);
            EXPECT_EQ(text_of(data.bytes()), "data");
            ++received;
            held.push_back(std::move(data));
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (pair_of_sockets& p : pairs) {
                g.spawn(hold(p.a));
                push(p.b, "data");
            }
            while (received < 4)
                co_await next_turn();
            co_await gyre::sleep_for(20ms); // longer than the first pauses between the tries
            EXPECT_EQ(received, 4U) << "there are no more";
            while (received < pairs.size()) {
                held.clear();
                co_await next_turn();
            }
        });
    });
}

std::string wait_for_a_lease(gyre::backend_kind backend) {
    gyre::loop loop({.backend = backend, .lease_size = 1000, .lease_count = 1});
    auto first = make_pair(stream_kind::tcp);
    auto second = make_pair(stream_kind::tcp);
    push(first.b, "data");
    push(second.b, "data");
    std::error_code code;
    const auto test = [&]() -> gyre::task<> {
        gyre::lease only = co_await first.a.recv();
        count_from_here();
        code = co_await outcome(second.a.recv().within(200ms));
        count_to_here();
    };
    loop.run(test());
    return code == gyre::errc::timed_out ? "" : "ended by: " + code.message();
}

TEST_P(Lease, WaitingForOneDoesNotSpin) {
    EXPECT_TRUE(makes_at_most(100, wait_for_a_lease, backend()));
}

TEST_P(Lease, WaitingForOneEndsByDeadlineCancelAndClose) {
    auto pairs = make_pairs(2);
    run(few(1), [&]() -> gyre::task<> {
        for (pair_of_sockets& p : pairs)
            push(p.b, "data");
        gyre::lease only = co_await pairs[0].a.recv();
        gyre::socket& s = pairs[1].a;
        EXPECT_EQ(co_await outcome(s.recv().within(3ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await gyre::with_timeout(3ms, outcome(s.recv())), gyre::errc::cancelled);
        EXPECT_EQ(co_await outcome(s.recv().within(0s)), gyre::errc::timed_out);
        std::array<std::byte, 8> memory;
        EXPECT_EQ(co_await s.recv(memory, MSG_PEEK), 4U) << "the data is still there";
        const auto close = [&]() -> gyre::task<> {
            co_await gyre::sleep_for(3ms);
            s.close();
        };
        auto [code, nothing] = co_await gyre::all(outcome(s.recv()), close());
        EXPECT_EQ(code, gyre::errc::closed);
    });
}

TEST_P(Lease, EveryWayToEndGivesTheBufferBack) {
    run(few(1), [&]() -> gyre::task<> {
        for (int round = 0; round < 10; ++round) {
            auto [a, b] = make_pair(kind());
            EXPECT_EQ(co_await outcome(a.recv().within(1ns)), gyre::errc::timed_out);
            EXPECT_EQ(co_await gyre::with_timeout(1ns, outcome(a.recv())), gyre::errc::cancelled);
            EXPECT_EQ(co_await outcome(a.recv().nonblocking()), std::errc::operation_would_block);
            b.shutdown(SHUT_WR);
            EXPECT_FALSE(bool(co_await a.recv().within(5s)));
            push(a, "unread");
            b.close();
            co_await outcome(a.recv().within(5s)); // the end, or a reset
            auto [c, d] = make_pair(kind());
            push(d, "x");
            gyre::lease one = co_await c.recv().within(5s);
            EXPECT_EQ(one.size(), 1U);
        }
    });
}

TEST_P(Lease, OfAReceiverThatWasDestroyedAfterTheNewsComesBack) {
    auto pairs = make_pairs(3);
    gyre::loop loop(few(1));
    foreign victim;
    std::array<std::byte, 4> memory;
    const auto killer = [&]() -> foreign {
        co_await pairs[0].a.recv(memory);
        victim.destroy();
    };
    const auto receiver = [&]() -> foreign { co_await pairs[1].a.recv(); };
    foreign k = killer();
    victim = receiver();
    for (int i = 0; i < 5; ++i)
        loop.poll();
    push(pairs[0].b, "kill");
    push(pairs[1].b, "data");
    run_on(loop, [&]() -> gyre::task<> {
        while (!k.done())
            co_await next_turn();
        push(pairs[2].b, "next");
        gyre::lease data = co_await pairs[2].a.recv().within(5s);
        EXPECT_EQ(text_of(data.bytes()), "next");
    });
}

TEST_P(Lease, IdleConnectionsNeedNone) {
    auto pairs = make_pairs(100);
    run(few(2), [&]() -> gyre::task<> {
        unsigned ended = 0;
        const auto echo = [&](gyre::socket& s) -> gyre::task<> {
            while (gyre::lease data = co_await s.recv())
                co_await s.sendall(data);
            ++ended;
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (pair_of_sockets& p : pairs)
                g.spawn(echo(p.a));
            co_await next_turn();
            std::array<std::byte, 8> memory;
            for (int round = 0; round < 3; ++round)
                for (pair_of_sockets& p : pairs) {
                    co_await p.b.sendall("ping");
                    EXPECT_EQ(co_await p.b.recv(memory).within(5s), 4U);
                }
            for (pair_of_sockets& p : pairs)
                p.b.close();
        });
        EXPECT_EQ(ended, 100U);
    });
}

TEST_P(Lease, MayOutliveItsLoop) {
    auto [a, b] = make_pair(kind());
    for (const bool elsewhere : {false, true}) {
        gyre::lease kept;
        {
            gyre::loop loop(options());
            run_on(loop, [&]() -> gyre::task<> {
                push(b, "kept");
                kept = co_await a.recv();
            });
            gyre::socket fresh = gyre::socket::adopt(a.detach());
            a = std::move(fresh);
        }
        EXPECT_EQ(text_of(kept.bytes()), "kept");
        if (elsewhere)
            std::thread([l = std::move(kept)]() mutable {
                gyre::lease gone = std::move(l);
            }).join();
    }
}

// The number of a ring's buffers has to be a power of two; the pool works with any.
TEST_P(Lease, AnyNumberOfBuffersWorks) {
    for (const std::size_t count : {1UZ, 3UZ, 100UZ}) {
        auto [a, b] = make_pair(kind());
        run(few(count), [&]() -> gyre::task<> {
            for (std::size_t i = 0; i < 2 * count; ++i) {
                push(b, "x");
                gyre::lease data = co_await a.recv().within(5s);
                EXPECT_EQ(data.size(), 1U);
            }
        });
    }
}

GYRE_OVER_EACH_STREAM(Lease);

} // namespace
