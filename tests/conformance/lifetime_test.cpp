#include "../support/foreign.hpp"
#include "../support/pending.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/run.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <optional>
#include <thread>

namespace {

using namespace gyre_test;

/// A few turns, without waiting.
void turn(gyre::loop& loop) {
    for (int i = 0; i < 5; ++i)
        loop.poll();
}

// ---- Every operation ---------------------------------------------------------------------------

class Lifetime : public on_each_operation {};

TEST_P(Lifetime, DestroyingTheLoopEndsItWithCancelled) {
    std::optional<gyre::loop> loop(std::in_place, options());
    int alive = 0;
    std::error_code code;
    const auto computation = [&]() -> gyre::task<> {
        counted frame(alive);
        code = co_await op->wait();
    };
    (void)loop->start(computation());
    turn(*loop);
    EXPECT_EQ(alive, 1);
    loop.reset();
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(code, gyre::errc::cancelled);
}

TEST_P(Lifetime, DestroyingAForeignCoroutineWithdrawsIt) {
    gyre::loop loop(options());
    const auto computation = [&]() -> foreign { co_await op->wait(); };
    for (int round = 0; round < 3; ++round) {
        foreign f = computation();
        turn(loop);
        EXPECT_FALSE(f.done());
    }
    for (int round = 0; round < 3; ++round)
        foreign f = computation(); // the kernel has not seen it yet
    turn(loop);
    if (GetParam().name.starts_with("connect"))
        return;
    op->go_on();
    run_on(loop, [&]() -> gyre::task<> {
        EXPECT_EQ(co_await op->wait(), std::error_code());
        op->check_success();
    });
}

// The news is in the queue, the coroutine goes before its turn comes.
TEST_P(Lifetime, DestroyingAForeignCoroutineAfterTheNewsDoesNoHarm) {
    if (op->slow())
        GTEST_SKIP() << "a connect over TCP would wait a second for its SYN to be repeated";
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    gyre::loop loop(options());
    foreign victim;
    std::array<std::byte, 4> memory;
    const auto killer = [&]() -> foreign {
        co_await a.recv(memory);
        victim.destroy();
    };
    const auto computation = [&]() -> foreign { co_await op->wait(); };
    foreign k = killer();
    victim = computation();
    turn(loop);
    push(b, "kill");
    op->go_on();
    run_on(loop, [&]() -> gyre::task<> {
        while (!k.done())
            co_await next_turn();
    });
}

GYRE_WITH_EACH_OPERATION(Lifetime);

// ---- Loops -------------------------------------------------------------------------------------

class LifetimeOf : public on_each_backend<> {};

TEST_P(LifetimeOf, ALoopEndsEverythingThatItRuns) {
    auto [a, b] = make_pair(stream_kind::tcp);
    gyre::socket listener = make_listener(stream_kind::tcp);
    int alive = 0;
    unsigned cancelled = 0;
    const auto leaf = [&](auto op) -> gyre::task<> {
        counted frame(alive);
        cancelled += co_await outcome(std::move(op)) == gyre::errc::cancelled;
    };
    std::array<std::byte, 4> memory;
    const auto tree = [&]() -> gyre::task<> {
        counted frame(alive);
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            counted body(alive);
            g.spawn(leaf(a.recv(memory)));
            g.spawn(leaf(b.recv()));
            g.spawn(leaf(listener.accept()));
            co_await gyre::all(leaf(gyre::sleep_for(1h)),
                               gyre::race(leaf(gyre::sleep_for(1h)), leaf(gyre::sleep_for(1h))));
        });
    };
    {
        gyre::loop loop(options());
        (void)loop.start(tree());
        (void)loop.start(tree()); // its operations are busy
        turn(loop);
        EXPECT_GT(alive, 5);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(cancelled, 9U);
}

TEST_P(LifetimeOf, AComputationThatTheLoopHasNotBegunYetIsCancelledToo) {
    int alive = 0;
    std::error_code code;
    const auto computation = [&](counted) -> gyre::task<> {
        code = co_await outcome(gyre::sleep_for(1h));
    };
    {
        gyre::loop loop(options());
        (void)loop.start(computation(counted(alive)));
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(code, gyre::errc::cancelled);
}

TEST_P(LifetimeOf, AComputationThatRefusesToEndIsDestroyedAndItsFutureBroken) {
    int alive = 0;
    const auto stubborn = [&]() -> gyre::task<> {
        counted frame(alive);
        for (;;)
            co_await outcome(gyre::sleep_for(1h));
    };
    std::optional<gyre::future<>> f;
    {
        gyre::loop loop(options());
        f = loop.start(stubborn());
        turn(loop);
    }
    EXPECT_EQ(alive, 0);
    ASSERT_TRUE(f->ready());
    EXPECT_EQ(thrown_by([&] { f->get(); }), gyre::errc::broken);
}

// What it waits for cannot be cancelled, and no turn of the loop will bring its end.
std::string destroy_a_loop_with_a_foreign_await(gyre::backend_kind backend) {
    int alive = 0;
    const auto waits = [&]() -> gyre::task<> {
        counted frame(alive);
        co_await never();
    };
    {
        gyre::loop_options o;
        o.backend = backend;
        gyre::loop loop(o);
        (void)loop.start(waits());
        turn(loop);
    }
    return alive == 0 ? "" : "the frame was not destroyed";
}

TEST_P(LifetimeOf, AComputationThatWaitsForSomethingForeignIsDestroyedWithItsLoop) {
    EXPECT_EQ(in_child(destroy_a_loop_with_a_foreign_await, GetParam()), "");
}

std::string destroy_a_foreign_coroutine_after_its_loop(gyre::backend_kind backend) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    std::array<std::byte, 4> memory{};
    foreign f;
    foreign g;
    {
        gyre::loop_options o;
        o.backend = backend;
        gyre::loop loop(o);
        const auto recv = [&]() -> foreign { co_await a.recv(memory); };
        const auto sleep = []() -> foreign { co_await gyre::sleep_for(1h); };
        f = recv();
        g = sleep();
        turn(loop);
    }
    push(b, "late");
    if (memory[0] != std::byte{})
        return "written to after the loop had ended";
    f.destroy();
    g.destroy();
    return pull(a) == "late" ? "" : "data was lost";
}

TEST_P(LifetimeOf, AForeignCoroutineMayOutliveItsLoop) {
    EXPECT_EQ(in_child(destroy_a_foreign_coroutine_after_its_loop, GetParam()), "");
}

TEST_P(LifetimeOf, WhatWasPostedButNotRunIsDestroyed) {
    int alive = 0;
    auto [a, b] = make_pair(stream_kind::tcp);
    bool ran = false;
    {
        gyre::loop loop(options());
        std::thread other(
            [&] { loop.post([&ran, c = counted(alive), s = std::move(a)] { ran = true; }); });
        other.join();
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_TRUE(wait_readable(b)) << "the socket in it was closed";
    (void)ran; // destroying the loop may run it or not
}

TEST_P(LifetimeOf, OneLoopAfterAnotherOnAThread) {
    for (int i = 0; i < 20; ++i) {
        auto [a, b] = make_pair(stream_kind::tcp);
        run([&]() -> gyre::task<> {
            std::array<std::byte, 4> memory;
            co_await a.sendall("x");
            EXPECT_EQ(co_await b.recv(memory), 1U);
        });
    }
}

// ---- Tasks -------------------------------------------------------------------------------------

TEST_P(LifetimeOf, ATaskThatNeverRanDestroysItsArguments) {
    int alive = 0;
    auto [a, b] = make_pair(stream_kind::tcp);
    {
        const auto work = [](counted, gyre::socket) -> gyre::task<> { co_return; };
        gyre::task<> t = work(counted(alive), std::move(a));
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_TRUE(wait_readable(b));
}

TEST_P(LifetimeOf, ATaskThatWaitsIsDestroyedWithAllItsChildren) {
    auto [a, b] = make_pair(stream_kind::tcp);
    int alive = 0;
    std::array<std::byte, 4> one{};
    std::array<std::byte, 4> two{};
    const auto leaf = [&](gyre::socket& s, gyre::buffer memory) -> gyre::task<> {
        counted frame(alive);
        co_await s.recv(memory);
    };
    const auto tree = [&]() -> gyre::task<> {
        counted frame(alive);
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(leaf(a, one));
            co_await gyre::all(leaf(b, two), gyre::sleep_for(1h),
                               gyre::with_timeout(1h, gyre::race(gyre::sleep_for(1h))));
        });
    };
    const auto outer = [&]() -> foreign { co_await tree(); };
    gyre::loop loop(options());
    for (int round = 0; round < 4; ++round) {
        foreign f = outer();
        for (int i = 0; i < round; ++i)
            loop.poll();
        f.destroy();
        EXPECT_EQ(alive, 0);
    }
    run_on(loop, [&]() -> gyre::task<> {
        push(b, "x");
        EXPECT_EQ(co_await a.recv(one), 1U) << "the sockets are as good as before";
    });
}

// L11: the frame, and with it the buffer, goes only when the kernel has let go.
TEST_P(LifetimeOf, ABufferIsNotWrittenToOnceItsOperationIsGone) {
    auto [a, b] = make_pair(stream_kind::tcp);
    gyre::loop loop(options());
    std::array<std::byte, 8> memory{};
    const auto recv = [&]() -> foreign { co_await a.recv(memory); };
    foreign f = recv();
    turn(loop);
    f.destroy();
    push(b, "late");
    ASSERT_TRUE(wait_readable(a));
    turn(loop);
    EXPECT_EQ(memory[0], std::byte{});
    run_on(loop, [&]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::with_timeout(1ms, outcome(b.recv(memory))), gyre::errc::cancelled);
        push(a, "late, too");
        co_await next_turn();
        EXPECT_EQ(memory[0], std::byte{});
        EXPECT_EQ(co_await a.recv(memory), 4U);
    });
}

TEST_P(LifetimeOf, AnAcceptedConnectionThatNobodyTakesIsClosed) {
    gyre::socket listener = make_listener(stream_kind::tcp);
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    gyre::loop loop(options());
    foreign victim;
    std::array<std::byte, 4> memory;
    const auto accept = [&]() -> foreign { co_await listener.accept(); };
    const auto killer = [&]() -> foreign {
        co_await a.recv(memory);
        victim.destroy();
    };
    foreign k = killer();
    victim = accept();
    turn(loop);
    push(b, "kill");
    gyre::socket client = gyre::socket::open();
    const gyre::address to = listener.getsockname();
    ASSERT_EQ(::connect(client.fileno(), to.data(), to.size()) == 0 || errno == EINPROGRESS, true);
    run_on(loop, [&]() -> gyre::task<> {
        while (!k.done())
            co_await next_turn();
        // Closed, or still in the queue: then the next accept gets it.
        auto next = co_await gyre::as_result(listener.accept().nonblocking());
        if (!next) {
            EXPECT_TRUE(wait_readable(client));
        }
    });
}

TEST_P(LifetimeOf, AGroupThatItsBodyLeavesByAnExceptionEndsItsChildrenFirst) {
    auto [a, b] = make_pair(stream_kind::tcp);
    int alive = 0;
    run([&]() -> gyre::task<> {
        std::error_code code;
        std::error_code child_code;
        try {
            std::array<std::byte, 4> memory; // the children refer to it
            const auto child = [&]() -> gyre::task<> {
                counted frame(alive);
                child_code = co_await outcome(a.recv(memory));
            };
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                g.spawn(child());
                co_await next_turn();
                EXPECT_EQ(alive, 1);
                throw gyre::error(std::make_error_code(std::errc::io_error), "body");
            });
        } catch (const gyre::error& e) {
            EXPECT_EQ(alive, 0);
            code = e.code();
        }
        EXPECT_EQ(code, std::errc::io_error);
        EXPECT_EQ(child_code, gyre::errc::cancelled);
    });
}

// ---- Futures and sockets -----------------------------------------------------------------------

TEST_P(LifetimeOf, AFutureMayOutliveItsLoop) {
    std::optional<gyre::future<int>> ready;
    std::optional<gyre::future<int>> cancelled;
    const auto now = []() -> gyre::task<int> { co_return 42; };
    const auto later = []() -> gyre::task<int> {
        co_await gyre::sleep_for(1h);
        co_return 1;
    };
    {
        gyre::loop loop(options());
        ready = loop.start(now());
        cancelled = loop.start(later());
        turn(loop);
    }
    cancelled->cancel();
    EXPECT_EQ(thrown_by([&] { cancelled->get(); }), gyre::errc::cancelled);
    auto chained = ready->then([](int n) { return n; });
    ASSERT_TRUE(chained.ready()) << "nobody will compute it any more";
    EXPECT_EQ(thrown_by([&] { chained.get(); }), gyre::errc::broken);
}

TEST_P(LifetimeOf, ADroppedFutureLetsItsComputationRunOn) {
    gyre::loop loop(options());
    bool ran = false;
    const auto computation = [&]() -> gyre::task<> {
        co_await next_turn();
        ran = true;
        throw std::runtime_error("that nobody hears");
    };
    (void)loop.start(computation());
    run_on(loop, [&]() -> gyre::task<> {
        while (!ran)
            co_await next_turn();
    });
}

TEST_P(LifetimeOf, ASocketMayOutliveItsLoop) {
    for (const bool used : {false, true}) {
        auto [a, b] = make_pair(stream_kind::tcp);
        if (used)
            run([&]() -> gyre::task<> {
                std::array<std::byte, 4> memory;
                EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
            });
        EXPECT_EQ(a.getpeername(), b.getsockname());
        a.close();
        EXPECT_TRUE(wait_readable(b));
    }
}

TEST_P(LifetimeOf, ASocketWhoseLoopEndedDuringAnOperationCanBeDetachedAndUsedElsewhere) {
    auto [a, b] = make_pair(stream_kind::tcp);
    std::array<std::byte, 4> memory;
    {
        gyre::loop loop(options());
        (void)loop.start(outcome(a.recv(memory)));
        turn(loop);
    }
    gyre::socket again = gyre::socket::adopt(a.detach());
    run([&]() -> gyre::task<> {
        push(b, "x");
        EXPECT_EQ(co_await again.recv(memory), 1U);
    });
}

TEST_P(LifetimeOf, ASocketMayBeDestroyedOnAForeignThread) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        std::array<std::byte, 4> other;
        const auto recv = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await outcome(a.recv(memory)), gyre::errc::closed);
        };
        const auto destroy = [&]() -> gyre::task<> {
            co_await next_turn();
            std::thread([s = std::move(a)]() mutable { gyre::socket gone = std::move(s); }).join();
            EXPECT_EQ(co_await b.recv(other), 0U);
        };
        co_await gyre::all(recv(), destroy());
    });
}

TEST_P(LifetimeOf, ASocketThatIsDestroyedElsewhereWhileItsLoopEndsIsClosed) {
    auto [a, b] = make_pair(stream_kind::tcp);
    struct at_the_end {
        gyre::socket s;
        ~at_the_end() {
            std::thread([own = std::move(s)] {}).join();
        }
    };
    const auto stubborn = [](gyre::socket s) -> gyre::task<> {
        std::array<std::byte, 4> memory;
        (void)co_await gyre::as_result(s.recv(memory).within(1ns)); // the loop's from now on
        const at_the_end guard{std::move(s)};
        for (;;)
            (void)co_await gyre::as_result(gyre::sleep_for(24h));
    };
    {
        gyre::loop loop(options());
        (void)loop.start(stubborn(std::move(a)));
        turn(loop);
    }
    EXPECT_TRUE(wait_readable(b)) << "still open";
}

TEST_P(LifetimeOf, ASocketMayBeHandedToAnotherLoopBeforeItIsUsed) {
    auto [a, b] = make_pair(stream_kind::tcp);
    gyre::loop_thread network(options());
    const auto echo = [](gyre::socket s) -> gyre::task<> {
        std::array<std::byte, 4> memory;
        co_await s.sendall(std::span(memory).first(co_await s.recv(memory)));
    };
    gyre::future<> f = network.start(echo(std::move(a)));
    run([&]() -> gyre::task<> {
        std::array<std::byte, 4> memory;
        co_await b.sendall("x");
        EXPECT_EQ(co_await b.recv(memory), 1U);
    });
    f.get();
}

// ---- Depth -------------------------------------------------------------------------------------

gyre::task<int> one() {
    co_return 1;
}

gyre::task<int> deep(int n) {
    if (n == 0)
        co_return 0;
    co_return 1 + co_await deep(n - 1);
}

gyre::task<int> deep_failure(int n) {
    if (n == 0)
        throw std::runtime_error("bottom");
    co_return 1 + co_await deep_failure(n - 1);
}

gyre::task<int> deep_wait(int n) {
    if (n == 0) {
        co_await gyre::sleep_for(1h);
        co_return 0;
    }
    co_return 1 + co_await deep_wait(n - 1);
}

TEST_P(LifetimeOf, AMillionAwaitsOneAfterAnotherNeedNoStack) {
    run([]() -> gyre::task<> {
        int sum = 0;
        for (int i = 0; i < 1'000'000; ++i)
            sum += co_await one();
        EXPECT_EQ(sum, 1'000'000);
    });
}

TEST_P(LifetimeOf, AMillionOperationsThatEndAtOnceNeedNoStackAndLeaveOthersTheirTurn) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    run([&]() -> gyre::task<> {
        bool done = false;
        unsigned turns = 0;
        const auto other = [&]() -> gyre::task<> {
            while (!done) {
                ++turns;
                co_await next_turn();
            }
        };
        const auto busy = [&]() -> gyre::task<> {
            for (int i = 0; i < 1'000'000; ++i)
                co_await a.recv(gyre::buffer(nullptr, 0));
            done = true;
        };
        co_await gyre::all(busy(), other());
        EXPECT_GT(turns, 5U);
    });
}

TEST_P(LifetimeOf, AChainTenThousandDeepNeedsNoStack) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await deep(10'000), 10'000);
        bool thrown = false;
        try {
            co_await deep_failure(10'000);
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
        thrown = false;
        try {
            co_await gyre::with_timeout(1ms, deep_wait(10'000));
        } catch (const gyre::timeout_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST_P(LifetimeOf, AChainATenthAsDeepCanBeDestroyedWhileItWaits) {
    gyre::loop loop(options());
    const auto outer = []() -> foreign { co_await deep_wait(1'000); };
    foreign f = outer();
    turn(loop);
    f.destroy();
}

GYRE_ON_EACH_BACKEND(LifetimeOf);

} // namespace
