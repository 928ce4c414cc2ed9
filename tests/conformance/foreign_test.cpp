#include "../support/foreign.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/signal.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

// Coroutines of other libraries that wait for something of gyre's when the loop goes: whatever it
// is, they are not resumed any more, and destroying them later touches nothing that is gone.

namespace {

using namespace gyre_test;

/// Full, so that the next connect has to be tried again and again.
struct full_listener {
    full_listener() : listener(make_listener(stream_kind::unix_stream, 0)) {
        const gyre::address to = listener.getsockname();
        for (gyre::socket& s : fillers) {
            s = make_client(stream_kind::unix_stream);
            ::connect(s.fileno(), to.data(), to.size());
        }
    }
    gyre::socket listener;
    std::array<gyre::socket, 2> fillers;
};

/// One foreign coroutine for each way to wait, and what they wait for.
class waiters {
public:
    explicit waiters(gyre::loop_thread& other) : other_(other) {
        for (pair_of_sockets& p : pairs_)
            p = make_pair(stream_kind::tcp);
        full_ = make_narrow_pair(stream_kind::unix_stream);
        fill(full_.a);
        listener_ = make_listener(stream_kind::tcp);
        client_ = make_client(stream_kind::unix_stream);
    }

    /// On the thread of the loop. No turn of the loop ends any of these.
    void begin() {
        wait_for([] { return gyre::sleep_for(1h); });
        wait_for([] { return gyre::sleep_for(1h); }); // a neighbour of the other on the wheel
        wait_for([] { return gyre::sleep_until(gyre::clock::now() + 2h); });
        wait_for([this] { return pairs_[0].a.recv(memory_[0]); });
        wait_for([this] { return pairs_[0].b.recv(memory_[1]).within(1h); });
        wait_for([this] { return pairs_[1].a.recv(); });
        wait_for([this] { return full_.a.sendall("x"); });
        wait_for([this] { return listener_.accept().within(1h); });
        wait_for([this] { return client_.connect(backlog_.listener.getsockname()); });
        wait_for([this] { return gyre::with_timeout(1h, pairs_[1].b.recv(memory_[2])); });
        wait_for([this] { return gyre::race(pairs_[2].a.recv(memory_[3]), gyre::sleep_for(1h)); });
        wait_for([this] { return family(); });
        wait_for([] { return gyre::signal(SIGUSR2); });
        wait_for([this] { return other_.start(gyre::sleep_for(1h)); });
    }

    /// The next turn resumes these.
    void begin_ready() {
        wait_for([] { return gyre::sleep_for(0s); });
        wait_for([] { return gyre::yield(); });
    }

    unsigned resumed() const { return resumed_; }
    void destroy() { frames_.clear(); }

private:
    template <class Make>
    void wait_for(Make make) {
        frames_.push_back(wait(std::move(make), resumed_));
    }
    template <class Make>
    static foreign wait(Make make, unsigned& resumed) {
        co_await make();
        ++resumed;
    }

    gyre::task<> leaf(gyre::socket& s, gyre::buffer b) { co_await s.recv(b); }
    gyre::task<> family() {
        co_await gyre::with_group([this](gyre::task_group& g) -> gyre::task<> {
            g.spawn(leaf(pairs_[2].b, memory_[4]));
            g.spawn(leaf(pairs_[3].a, memory_[5]));
            co_await gyre::with_timeout(1h, leaf(pairs_[3].b, memory_[6]));
        });
    }

    gyre::loop_thread& other_;
    std::array<pair_of_sockets, 4> pairs_;
    pair_of_sockets full_;
    full_listener backlog_;
    gyre::socket listener_;
    gyre::socket client_;
    std::array<std::array<std::byte, 8>, 7> memory_{};
    unsigned resumed_ = 0;
    std::vector<foreign> frames_;
};

void turn(gyre::loop& loop) {
    for (int i = 0; i < 3; ++i)
        loop.poll();
}

class Foreign : public on_each_backend<> {};

TEST_P(Foreign, CoroutinesMayBeDestroyedWhenTheirLoopIsGone) {
    for (const bool submitted : {false, true}) {
        gyre::loop_thread other(options());
        waiters w(other);
        {
            gyre::loop loop(options());
            w.begin();
            if (submitted)
                turn(loop);
            w.begin_ready();
        }
        w.destroy();
        EXPECT_EQ(w.resumed(), 0U);
    }
}

TEST_P(Foreign, CoroutinesMayBeDestroyedBesideTheNextLoop) {
    gyre::loop_thread other(options());
    waiters w(other);
    waiters next(other);
    {
        gyre::loop loop(options());
        w.begin();
        turn(loop);
        w.begin_ready();
    }
    gyre::loop loop(options());
    next.begin();
    turn(loop);
    w.destroy();
    turn(loop);
    EXPECT_EQ(w.resumed(), 0U);
    EXPECT_EQ(next.resumed(), 0U);
    next.destroy();
    turn(loop);
}

TEST_P(Foreign, CoroutinesMayBeDestroyedOnAnotherThreadWhenThatOfTheirLoopHasEnded) {
    gyre::loop_thread other(options());
    waiters w(other);
    std::thread([&] {
        gyre::loop loop(options());
        w.begin();
        turn(loop);
        w.begin_ready();
    }).join();
    w.destroy();
    EXPECT_EQ(w.resumed(), 0U);
}

TEST_P(Foreign, CoroutinesAreNotResumedByTheEndOfWhatTheyWaitForElsewhere) {
    std::unique_ptr<waiters> w;
    {
        gyre::loop_thread other(options());
        w = std::make_unique<waiters>(other);
        gyre::loop loop(options());
        w->begin();
        turn(loop);
    } // its loop goes first, then the one that computes a future it waits for
    EXPECT_EQ(w->resumed(), 0U);
    w->destroy();
}

// The news has come into the inbox of a loop that never looks again.
TEST_P(Foreign, CoroutinesMayOutliveNewsThatTheirLoopDidNotHear) {
    gyre::loop_thread other(options());
    std::atomic<bool> go_on = false;
    const auto wait_for_flag = [](std::atomic<bool>& flag) -> gyre::task<> {
        while (!flag)
            co_await gyre::sleep_for(1us);
    };
    unsigned resumed = 0;
    const auto wait = [](gyre::future<>& f, unsigned& n) -> foreign {
        co_await f;
        ++n;
    };
    gyre::future<> future = other.start(wait_for_flag(go_on));
    foreign f;
    {
        gyre::loop loop(options());
        f = wait(future, resumed);
        turn(loop);
        go_on = true;
        // The end of this one comes after the news of the other.
        while (!future.ready())
            std::this_thread::yield();
        std::atomic<bool> told = false;
        other.post([&] {
            told = true;
            told.notify_one();
        });
        told.wait(false);
    }
    f.destroy();
}

// What an operation had achieved for a coroutine that is not resumed is not leaked; see TearDown.
TEST_P(Foreign, AConnectionThatItsLoopHadAcceptedIsClosedWithIt) {
    constexpr unsigned more_than_end_in_one_piece_of_work = 70;
    gyre::socket listener = make_listener(stream_kind::tcp);
    const gyre::address to = listener.getsockname();
    std::vector<gyre::socket> clients(more_than_end_in_one_piece_of_work);
    for (gyre::socket& c : clients) {
        c = make_client(stream_kind::tcp);
        ::connect(c.fileno(), to.data(), to.size());
    }
    unsigned accepted = 0;
    const auto accept = [&]() -> foreign {
        for (;; ++accepted)
            co_await listener.accept();
    };
    foreign f;
    {
        gyre::loop loop(options());
        f = accept();
    }
    EXPECT_GT(accepted, 0U);
    EXPECT_LT(accepted, clients.size() - 1) << "the last was to be accepted, and not yet taken";
    f.destroy();
    for (unsigned i = 0; i <= accepted; ++i)
        EXPECT_TRUE(wait_readable(clients[i])) << "still open: " << i;
}

TEST_P(Foreign, ALeaseThatItsLoopHadFilledGoesWithIt) {
    for (const bool late : {false, true}) {
        auto [a, b] = make_unix_pair(SOCK_SEQPACKET);
        const auto recv = [](gyre::socket& from) -> foreign {
            for (;;)
                co_await from.recv();
        };
        gyre::socket& to = b;
        foreign f;
        gyre::loop loop(options());
        if (late) { // filled when this turn looks at the kernel for the last time
            f = recv(a);
            turn(loop);
            loop.post([&] { push(to, "x"); });
            loop.poll();
        } else {
            for (int i = 0; i < 70; ++i)
                ::send(to.fileno(), "x", 1, MSG_DONTWAIT);
            f = recv(a);
        }
    }
}

TEST_P(Foreign, ASocketMayBeClosedRightBeforeTheLoopGoes) {
    auto [a, b] = make_pair(stream_kind::tcp);
    std::array<std::byte, 4> memory;
    bool resumed = false;
    const auto recv = [&]() -> foreign {
        co_await a.recv(memory);
        resumed = true;
    };
    foreign f;
    {
        gyre::loop loop(options());
        f = recv();
        turn(loop);
        a.close();
    }
    EXPECT_TRUE(wait_readable(b)) << "still open";
    f.destroy();
    EXPECT_FALSE(resumed);
}

TEST_P(Foreign, ItsLeaseIsNotLostWhenItIsDestroyedAfterTheDataHasCome) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    gyre::loop_options o = options();
    o.lease_count = 2;
    run(o, [&]() -> gyre::task<> {
        const auto recv = [&]() -> foreign { co_await a.recv(); };
        for (int i = 0; i < 4; ++i) {
            push(b, "x");
            foreign f = recv();
            f.destroy();
        }
        push(b, "y");
        gyre::lease one = co_await a.recv();
        EXPECT_TRUE(one);
        push(b, "z");
        gyre::lease two = co_await a.recv();
        EXPECT_TRUE(two);
    });
}

TEST_P(Foreign, AComputationMayBeDestroyedInTheCallbackThatBeganIt) {
    gyre::loop loop(options());
    bool ran = false;
    const auto wait = []() -> gyre::task<> { co_await gyre::sleep_for(1h); };
    const auto begin = [&]() -> foreign { co_await wait(); };
    loop.post([&] {
        foreign f = begin();
        f.destroy();
        ran = true;
    });
    turn(loop);
    EXPECT_TRUE(ran);
}

// Cancelled, its operations end through the queue, also those on a socket that no loop has yet.
TEST_P(Foreign, AComputationThatRefusesToEndMayUseNewSockets) {
    const auto refuse = [](unsigned& n) -> gyre::task<> {
        std::array<std::byte, 4> memory;
        for (;; ++n) {
            auto [a, b] = make_unix_pair(SOCK_STREAM);
            (void)co_await gyre::as_result(a.recv(memory));
        }
    };
    unsigned n = 0;
    {
        gyre::loop loop(options());
        (void)loop.start(refuse(n));
        turn(loop);
    }
    EXPECT_GT(n, 0U);
}

GYRE_ON_EACH_BACKEND(Foreign);

} // namespace
