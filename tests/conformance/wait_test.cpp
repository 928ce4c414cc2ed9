#include "../support/foreign.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/wait.hpp>

#include <array>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace {

using namespace gyre_test;

/// A descriptor that gyre does not own.
class plain_fd {
public:
    explicit plain_fd(int fd) : fd_(fd) {
        if (fd < 0)
            throw std::system_error(errno, std::system_category(), "open");
    }
    plain_fd(plain_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~plain_fd() { close(); }
    void close() {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }
    operator int() const { return fd_; }

private:
    int fd_;
};

struct pipe_ends {
    plain_fd out;
    plain_fd in;
};
pipe_ends make_pipe(int flags = 0) {
    int fds[2];
    if (pipe2(fds, flags | O_CLOEXEC) != 0)
        throw std::system_error(errno, std::system_category(), "pipe");
    return {plain_fd(fds[0]), plain_fd(fds[1])};
}
void put(int fd, std::string_view text = "x") {
    ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}
void take(int fd) {
    std::array<char, 4096> memory{};
    ASSERT_GT(read(fd, memory.data(), memory.size()), 0);
}
/// A pipe that takes no more; its reader takes everything.
void fill_pipe(int in) {
    const std::vector<char> page(4096);
    const int flags = fcntl(in, F_GETFL);
    fcntl(in, F_SETFL, flags | O_NONBLOCK);
    while (write(in, page.data(), page.size()) > 0) {
    }
    fcntl(in, F_SETFL, flags);
}
void drain_pipe(int out) {
    const int flags = fcntl(out, F_GETFL);
    fcntl(out, F_SETFL, flags | O_NONBLOCK);
    std::array<char, 65536> memory{};
    while (read(out, memory.data(), memory.size()) > 0) {
    }
    fcntl(out, F_SETFL, flags);
}

class Wait : public on_each_backend<> {};

TEST_P(Wait, ForWhatIsThereAlreadyEndsAtOnce) {
    auto [out, in] = make_pipe();
    put(in);
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 3; ++i) {
            co_await gyre::wait_readable(out);
            co_await gyre::wait_readable(out).nonblocking();
            co_await gyre::wait_writable(in);
        }
    });
}

TEST_P(Wait, EndsWhenSomethingComesAgainAndAgain) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 20; ++i) {
            const auto write = [&]() -> gyre::task<> {
                co_await next_turn();
                put(in);
            };
            co_await gyre::all(gyre::wait_readable(out), write());
            take(out);
        }
    });
}

TEST_P(Wait, ForRoomEndsWhenSomeoneReads) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 3; ++i) {
            fill_pipe(in);
            EXPECT_EQ(co_await outcome(gyre::wait_writable(in).nonblocking()),
                      std::errc::operation_would_block);
            const auto read = [&]() -> gyre::task<> {
                co_await next_turn();
                drain_pipe(out);
            };
            co_await gyre::all(gyre::wait_writable(in), read());
        }
    });
}

TEST_P(Wait, EndsWithTheOtherEnd) {
    for (const bool before : {true, false}) {
        auto [out, in] = make_pipe();
        auto [out2, in2] = make_pipe();
        fill_pipe(in2);
        run([&]() -> gyre::task<> {
            const auto close = [&]() -> gyre::task<> {
                if (!before)
                    co_await next_turn();
                in.close();
                out2.close();
            };
            if (before)
                co_await close();
            co_await gyre::all(gyre::wait_readable(out), gyre::wait_writable(in2), close());
        });
    }
}

TEST_P(Wait, NonblockingSaysWouldBlock) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::wait_readable(out).nonblocking()),
                  std::errc::operation_would_block);
    });
}

TEST_P(Wait, EndsByItsDeadline) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::wait_readable(out).within(1ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::wait_readable(out).within(0s)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::wait_readable(out).until(gyre::clock::now() + 1ms)),
                  gyre::errc::timed_out);
        put(in);
        co_await gyre::wait_readable(out).within(1h);
    });
}

TEST_P(Wait, HasNoDefaultDeadline) {
    auto [out, in] = make_pipe();
    gyre::setdefaulttimeout(0s);
    run([&]() -> gyre::task<> {
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            put(in);
        };
        co_await gyre::all(gyre::wait_readable(out), write());
    });
    gyre::setdefaulttimeout(std::nullopt);
}

TEST_P(Wait, EndsByCancellation) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        const auto wait = [&]() -> gyre::task<> { co_await gyre::wait_readable(out); };
        auto f = gyre::loop::current()->start(wait());
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled);
    });
}

TEST_P(Wait, ThrowsWhatItWasDoing) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        try {
            co_await gyre::wait_readable(out).within(1ns);
            ADD_FAILURE() << "nothing thrown";
        } catch (const gyre::timeout_error& e) {
            EXPECT_NE(std::string(e.what()).find("wait until readable"), std::string::npos);
        }
    });
}

TEST_P(Wait, ForWhatIsNoDescriptorIsAnError) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::wait_readable(-1)), std::errc::bad_file_descriptor);
        EXPECT_EQ(co_await outcome(gyre::wait_writable(1 << 20)), std::errc::bad_file_descriptor);
        EXPECT_EQ(thrown_by([] { gyre::fd_watch w(-1); }), std::errc::bad_file_descriptor);
        gyre::fd_watch none;
        EXPECT_FALSE(none);
        EXPECT_EQ(co_await outcome(none.readable()), gyre::errc::closed);
    });
}

TEST_P(Wait, ForAFileEndsAtOnce) {
    plain_fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    run([&]() -> gyre::task<> {
        co_await gyre::wait_readable(file);
        co_await gyre::wait_writable(file);
    });
}

TEST_P(Wait, LeavesTheDescriptorAsItWas) {
    auto [out, in] = make_pipe();
    const int flags = fcntl(out, F_GETFL);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::wait_readable(out).within(1ms)), gyre::errc::timed_out);
        put(in);
        co_await gyre::wait_readable(out);
    });
    EXPECT_EQ(fcntl(out, F_GETFL), flags) << "still blocking";
    take(out);
}

TEST_P(Wait, ReadingAndWritingAtTheSameTime) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    fill(a);
    const plain_fd fd(fcntl(a.fileno(), F_DUPFD_CLOEXEC, 0));
    run([&]() -> gyre::task<> {
        const auto go_on = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "x");
            co_await next_turn();
            drain(b);
        };
        co_await gyre::all(gyre::wait_readable(fd), gyre::wait_writable(fd), go_on());
    });
}

TEST_P(Wait, AnyNumberMayWaitForADescriptor) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            put(in);
        };
        auto [a, b, c, d] =
            co_await gyre::all(gyre::wait_readable(out), gyre::wait_readable(out),
                               outcome(gyre::wait_readable(out).within(1ns)), write());
        EXPECT_EQ(c, gyre::errc::timed_out);
        take(out);
    });
}

TEST_P(Wait, BesideASocketOfTheLoopOnTheSameDescriptor) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "one");
        };
        auto [n, nothing, nothing2] = co_await gyre::all(
            a.recv(memory), outcome(gyre::wait_readable(a.fileno()).within(5ms)), write());
        EXPECT_EQ(n, 3U);
        push(b, "two");
        co_await gyre::wait_readable(a.fileno());
        EXPECT_EQ(co_await a.recv(memory), 3U);
    });
}

TEST_P(Wait, TheNumberMayBeUsedAgainAfterwards) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 20; ++round) {
            auto first = make_pipe();
            const int number = first.out;
            EXPECT_EQ(co_await outcome(gyre::wait_readable(first.out).within(1ns)),
                      gyre::errc::timed_out);
            put(first.in);
            first.out.close();
            auto second = make_pipe();
            EXPECT_EQ(int(second.out), number);
            EXPECT_EQ(co_await outcome(gyre::wait_readable(second.out).within(1ms)),
                      gyre::errc::timed_out);
        }
    });
}

// Whose number it is may be gone; what is waited for is the open file.
TEST_P(Wait, TheNumberMayBeClosedMeanwhile) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            out.close();
            co_await next_turn();
            put(in);
        };
        co_await gyre::all(gyre::wait_readable(out), close());
    });
}

TEST_P(Wait, ForATimer) {
    plain_fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    const itimerspec soon{{}, {0, 1'000'000}};
    ASSERT_EQ(timerfd_settime(timer, 0, &soon, nullptr), 0);
    run([&]() -> gyre::task<> {
        co_await gyre::wait_readable(timer);
        take(timer);
    });
}

TEST_P(Wait, ForAnEventCounter) {
    plain_fd counter(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    run([&]() -> gyre::task<> {
        co_await gyre::wait_writable(counter);
        const auto count = [&]() -> gyre::task<> {
            co_await next_turn();
            eventfd_write(counter, 1);
        };
        co_await gyre::all(gyre::wait_readable(counter), count());
    });
}

TEST_P(Wait, ForInotify) {
    plain_fd notes(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    ASSERT_GE(inotify_add_watch(notes, "/proc/self/exe", IN_OPEN), 0);
    run([&]() -> gyre::task<> {
        const auto touch = [&]() -> gyre::task<> {
            co_await next_turn();
            plain_fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        };
        co_await gyre::all(gyre::wait_readable(notes), touch());
        take(notes);
    });
}

TEST_P(Wait, AFrameThatIsDestroyedMeanwhileTakesItsWaitAlong) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        const auto wait = [&]() -> foreign { co_await gyre::wait_readable(out); };
        foreign one = wait();
        foreign two = wait();
        co_await next_turn();
        one.destroy();
        co_await next_turn();
        put(in);
        while (!two.done())
            co_await next_turn();
    });
}

TEST_P(Wait, AFrameMayOutliveTheLoop) {
    auto [out, in] = make_pipe();
    foreign f;
    {
        gyre::loop loop(options());
        const auto wait = [&]() -> foreign { co_await gyre::wait_readable(out); };
        f = wait();
        loop.poll();
    }
    f.destroy();
}

// ---- fd_watch ----------------------------------------------------------------------------------

TEST_P(Wait, AWatchWaitsAgainAndAgain) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        gyre::fd_watch watch(out);
        EXPECT_TRUE(watch);
        for (int i = 0; i < 20; ++i) {
            const auto write = [&]() -> gyre::task<> {
                co_await next_turn();
                put(in);
            };
            co_await gyre::all(watch.readable(), write());
            co_await watch.readable(); // what is not taken is still there
            take(out);
            EXPECT_EQ(co_await outcome(watch.readable().nonblocking()),
                      std::errc::operation_would_block);
        }
    });
}

TEST_P(Wait, AWatchHasOneOfEachDirection) {
    auto [a, b] = make_narrow_pair(stream_kind::tcp);
    fill(a);
    run([&]() -> gyre::task<> {
        gyre::fd_watch watch(a.fileno());
        const auto go_on = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(co_await outcome(watch.readable()), gyre::errc::busy);
            EXPECT_EQ(co_await outcome(watch.writable()), gyre::errc::busy);
            push(b, "x");
            drain(b);
        };
        co_await gyre::all(watch.readable(), watch.writable(), go_on());
    });
}

TEST_P(Wait, ClosingAWatchEndsItsWaitsAndNothingElse) {
    auto [out, in] = make_pipe();
    run([&]() -> gyre::task<> {
        gyre::fd_watch watch(out);
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            watch.close();
        };
        auto [code, nothing] = co_await gyre::all(outcome(watch.readable()), close());
        EXPECT_EQ(code, gyre::errc::closed);
        put(in);
        take(out);
    });
}

// ---- Of a socket -------------------------------------------------------------------------------

TEST_P(Wait, ASocketIsReadableWhenRecvWouldNotWait) {
    auto [a, b] = make_pair(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        std::array<std::byte, 8> memory;
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(co_await outcome(a.recv(memory)), gyre::errc::busy);
            push(b, "x");
        };
        co_await gyre::all(a.wait_readable(), write());
        EXPECT_EQ(co_await a.recv(memory).nonblocking(), 1U);
        EXPECT_EQ(co_await outcome(a.wait_readable().within(1ms)), gyre::errc::timed_out);
        co_await a.wait_writable();
        b.close();
        co_await a.wait_readable();
        EXPECT_EQ(co_await a.recv(memory).nonblocking(), 0U);
        a.close();
        EXPECT_EQ(co_await outcome(a.wait_readable()), gyre::errc::closed);
    });
}

GYRE_ON_EACH_BACKEND(Wait);

} // namespace
