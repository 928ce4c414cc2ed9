#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/io/stream.hpp>

#include <array>
#include <csignal>
#include <cstring>

namespace {

using namespace gyre_test;

class Stream : public on_each_connection {
protected:
    std::array<std::byte, 256> memory{};
    std::array<std::byte, 256> other_memory{};

    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
};

// ---- Receiving and sending ---------------------------------------------------------------------

TEST_P(Stream, RecvGivesAtOnceWhatIsThere) {
    push(b, "hello");
    ASSERT_TRUE(wait_readable(a));
    run([&]() -> gyre::task<> { EXPECT_EQ(received(co_await a.recv(memory)), "hello"); });
}

TEST_P(Stream, RecvWaitsForWhatIsSentLater) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) { // registered only once, on epoll
            const auto write = [&]() -> gyre::task<> {
                co_await next_turn();
                co_await b.sendall("later");
            };
            auto [n, nothing] = co_await gyre::all(a.recv(memory), write());
            EXPECT_EQ(received(n), "later");
        }
    });
}

TEST_P(Stream, RecvGivesNoMoreThanFitsAndTheRestLater) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            co_await b.sendall("0123456789");
            EXPECT_EQ(received(co_await a.recv(std::span(memory).first(4))), "0123");
            EXPECT_EQ(received(co_await a.recv(std::span(memory).first(4))), "4567");
            EXPECT_EQ(received(co_await a.recv(std::span(memory).first(4))), "89");
        }
    });
}

TEST_P(Stream, RecvReturnsZeroAfterThePeerShutsDown) {
    run([&]() -> gyre::task<> {
        co_await b.sendall("last");
        b.shutdown(SHUT_WR);
        EXPECT_EQ(received(co_await a.recv(memory)), "last");
        for (int i = 0; i < 3; ++i) // S9
            EXPECT_EQ(co_await a.recv(memory), 0U);
    });
}

// The short read and the end come with the same event; then there is no further one.
TEST_P(Stream, TheEndThatArrivesTogetherWithDataIsSeen) {
    run([&]() -> gyre::task<> {
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "last");
            b.shutdown(SHUT_WR);
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), write());
        EXPECT_EQ(received(n), "last");
        EXPECT_EQ(co_await a.recv(memory).within(5s), 0U);
    });
}

TEST_P(Stream, APendingRecvSeesThePeerClose) {
    run([&]() -> gyre::task<> {
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            b.close();
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), close());
        EXPECT_EQ(n, 0U);
    });
}

// S7
TEST_P(Stream, RecvIntoNothingGivesZeroAtOnceAndTakesNothing) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await a.recv(gyre::buffer(nullptr, 0)).within(1s), 0U);
        co_await b.sendall("kept");
        EXPECT_EQ(co_await a.recv(gyre::buffer(nullptr, 0)).within(1s), 0U);
        EXPECT_EQ(received(co_await a.recv(memory)), "kept");
    });
}

// S8
TEST_P(Stream, SendingNothingSendsNothing) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await a.send("").within(1s), 0U);
        co_await a.sendall("").within(1s);
        EXPECT_EQ(co_await outcome(b.recv(memory).within(1ms)), gyre::errc::timed_out);
    });
}

// S12
TEST_P(Stream, PeekingLeavesTheBytes) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
            co_await b.sendall("peek");
            EXPECT_EQ(received(co_await a.recv(memory, MSG_PEEK)), "peek");
            EXPECT_EQ(received(co_await a.recv(memory, MSG_PEEK).within(5s)), "peek");
            EXPECT_EQ(received(co_await a.recv(std::span(memory).first(2), MSG_PEEK)), "pe");
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "peek");
        }
    });
}

// S15
TEST_P(Stream, OverTcpTheFlagTruncDiscards) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        co_await b.sendall("discarded, kept");
        memory.fill(std::byte{'-'});
        EXPECT_EQ(co_await a.recv(std::span(memory).first(11), MSG_TRUNC), 11U);
        EXPECT_EQ(received(2), "--");
        EXPECT_EQ(received(co_await a.recv(memory)), "kept");
    });
}

// D3
TEST_P(Stream, RecvfromHasNoAddress) {
    run([&]() -> gyre::task<> {
        co_await b.sendall("hello");
        auto [n, from, flags] = co_await a.recvfrom(memory);
        EXPECT_EQ(received(n), "hello");
        // A UNIX stream tells the peer's name, which make_pair() has not given the client.
        EXPECT_TRUE(from.empty() || from.family() == AF_UNIX) << from.to_string();
    });
}

TEST_P(Stream, EveryWayToReceiveSeesTheSameStream) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            for (const char* text : {"one", "two", "six"})
                co_await b.sendall(gyre::const_buffer(text, 3));
            EXPECT_EQ(received(co_await a.recv(std::span(memory).first(3))), "one");
            auto d = co_await a.recvfrom(std::span(memory).first(3));
            EXPECT_EQ(received(d.count), "two");
            gyre::lease l = co_await a.recv();
            EXPECT_EQ(text_of(l.bytes()), "six");
            const auto write = [&]() -> gyre::task<> {
                co_await next_turn();
                push(b, "late");
            };
            auto [late, nothing] = co_await gyre::all(a.recv(), write());
            EXPECT_EQ(text_of(late.bytes()), "late");
        }
    });
}

// ---- Directions (law 6) ------------------------------------------------------------------------

// S16
TEST_P(Stream, BothDirectionsWorkAtTheSameTime) {
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> there = pattern(3 << 20, 1);
        const std::vector<std::byte> back = pattern(3 << 20, 2);
        const auto send = [](gyre::socket& s, std::span<const std::byte> bytes) -> gyre::task<> {
            co_await s.sendall(bytes);
            s.shutdown(SHUT_WR);
        };
        const auto receive = [](gyre::socket& s) -> gyre::task<std::uint64_t> {
            std::vector<std::byte> part(50'000);
            std::uint64_t h = hash({});
            while (const std::size_t n = co_await s.recv(part))
                h = hash(std::span(part).first(n), h);
            co_return h;
        };
        auto [n1, n2, at_a, at_b] =
            co_await gyre::all(send(a, there), send(b, back), receive(a), receive(b));
        EXPECT_EQ(at_a, hash(back));
        EXPECT_EQ(at_b, hash(there));
    });
}

TEST_P(Stream, ASecondReaderIsBusyAndTheFirstUnaffected) {
    run([&]() -> gyre::task<> {
        const auto second = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(co_await outcome(a.recv(other_memory)), gyre::errc::busy);
            EXPECT_EQ(co_await outcome(a.recv()), gyre::errc::busy);
            EXPECT_EQ(co_await outcome(a.recvfrom(other_memory)), gyre::errc::busy);
            co_await a.sendall("writing is fine");
            push(b, "for the first");
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), second());
        EXPECT_EQ(received(n), "for the first");
    });
}

TEST_P(Stream, SendingDuringASendallIsBusy) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(1 << 20);
        const auto second = [&]() -> gyre::task<std::uint64_t> {
            co_await next_turn();
            EXPECT_EQ(co_await outcome(a.send("x")), gyre::errc::busy);
            EXPECT_EQ(co_await outcome(a.sendall("x")), gyre::errc::busy);
            std::uint64_t h = hash({});
            std::vector<std::byte> part(65536);
            for (std::size_t total = 0; total < bytes.size();) {
                const std::size_t n = co_await b.recv(part);
                h = hash(std::span(part).first(n), h);
                total += n;
            }
            co_return h;
        };
        auto [nothing, h] = co_await gyre::all(a.sendall(bytes), second());
        EXPECT_EQ(h, hash(bytes));
    });
}

// ---- Partial writes ----------------------------------------------------------------------------

// S10
TEST_P(Stream, SendTakesWhatFitsAndSaysHowMuch) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(4 << 20);
        const std::size_t first = co_await a.send(bytes);
        EXPECT_GT(first, 0U);
        EXPECT_LT(first, bytes.size());
        std::size_t sent = first;
        const auto send_the_rest = [&]() -> gyre::task<> {
            while (sent < bytes.size())
                sent += co_await a.send(std::span(bytes).subspan(sent));
            a.shutdown(SHUT_WR);
        };
        std::uint64_t h = hash({});
        const auto receive = [&]() -> gyre::task<> {
            std::vector<std::byte> part(10'000);
            while (const std::size_t n = co_await b.recv(part))
                h = hash(std::span(part).first(n), h);
        };
        co_await gyre::all(send_the_rest(), receive());
        EXPECT_EQ(h, hash(bytes));
    });
}

// S19
TEST_P(Stream, AHundredMegabytesComeBackAsTheyWent) {
    constexpr std::size_t total = sanitized ? std::size_t{32} << 20 : std::size_t{100} << 20;
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> block = pattern(1 << 20);
        const auto echo = [&]() -> gyre::task<> {
            std::vector<std::byte> part(200'000);
            while (const std::size_t n = co_await b.recv(part))
                co_await b.sendall(std::span(part).first(n));
            b.shutdown(SHUT_WR);
        };
        const auto send = [&]() -> gyre::task<> {
            for (std::size_t sent = 0; sent < total; sent += block.size())
                co_await a.sendall(block);
            a.shutdown(SHUT_WR);
        };
        const auto check = [&]() -> gyre::task<> {
            std::vector<std::byte> part(150'000);
            std::size_t seen = 0;
            while (const std::size_t n = co_await a.recv(part)) {
                for (std::size_t i = 0; i < n;) { // in pieces that do not cross the block's end
                    const std::size_t at = (seen + i) % block.size();
                    const std::size_t size = std::min(n - i, block.size() - at);
                    CO_ASSERT_TRUE(std::memcmp(&part[i], &block[at], size) == 0);
                    i += size;
                }
                seen += n;
            }
            EXPECT_EQ(seen, total);
        };
        co_await gyre::all(echo(), send(), check());
    });
}

// ---- The peer ends -----------------------------------------------------------------------------

// S1. On UNIX streams the first send already fails.
TEST_P(Stream, AfterThePeerClosedCleanlyReadsGiveTheEndAndSendsBrokenPipe) {
    b.close();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await a.recv(memory), 0U);
        EXPECT_EQ(co_await a.recv(memory), 0U);
        if (over_tcp()) {
            EXPECT_EQ(co_await a.send("x"), 1U);
            wait_readable(a);
        }
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::broken_pipe);
        EXPECT_EQ(co_await outcome(a.sendall("x")), std::errc::broken_pipe);
        EXPECT_EQ(co_await outcome(a.sendall("x").nonblocking()), std::errc::broken_pipe);
    });
}

// G2
TEST_P(Stream, NoSendRaisesSigpipe) {
    static volatile std::sig_atomic_t raised = 0;
    const auto before = std::signal(SIGPIPE, [](int) { raised = 1; });
    b.close();
    gyre::stream buffered = a.makefile("w");
    const gyre::ancillary nothing(0);
    const std::array<gyre::const_buffer, 2> parts{gyre::const_buffer("x"), gyre::const_buffer("y")};
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 3; ++i) {
            co_await outcome(a.send("x"));
            co_await outcome(a.sendall("x"));
            co_await outcome(a.sendto("x", gyre::address()));
            co_await outcome(a.sendmsg("x", nothing));
            co_await outcome(a.sendall(parts));
            co_await outcome(buffered.write("x"));
            co_await outcome(buffered.flush());
        }
    });
    std::signal(SIGPIPE, before);
    EXPECT_EQ(raised, 0);
}

// S2
TEST_P(Stream, AfterThePeerClosedWithUnreadDataReadsAreReset) {
    push(a, "unread");
    ASSERT_TRUE(wait_readable(b));
    b.close();
    ASSERT_TRUE(wait_readable(a));
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(memory)), std::errc::connection_reset);
        EXPECT_EQ(co_await a.recv(memory), 0U);
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::broken_pipe);
    });
}

// S3. Linux drops what is queued when a reset arrives, unless it has been read before.
TEST_P(Stream, AResetAfterDataIsSeenAfterTheData) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        const auto reset = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "data");
            EXPECT_TRUE(wait_readable(a));
            reset_when_closed(b);
            b.close();
        };
        auto [n, nothing] = co_await gyre::all(gyre::as_result(a.recv(memory)), reset());
        if (n) {
            EXPECT_EQ(received(*n), "data");
            n = co_await gyre::as_result(a.recv(memory));
        }
        CO_ASSERT_TRUE(!n);
        EXPECT_EQ(n.error(), std::errc::connection_reset);
        EXPECT_EQ(co_await a.recv(memory), 0U);
    });
}

TEST_P(Stream, ReceivingNothingTellsOfAReset) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    reset_when_closed(b);
    b.close();
    ASSERT_TRUE(wait_readable(a));
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(gyre::buffer(nullptr, 0))), std::errc::connection_reset);
    });
}

TEST_P(Stream, APendingRecvSeesAReset) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        const auto reset = [&]() -> gyre::task<> {
            co_await next_turn();
            reset_when_closed(b);
            b.close();
        };
        auto [code, nothing] = co_await gyre::all(outcome(a.recv(memory)), reset());
        EXPECT_EQ(code, std::errc::connection_reset);
    });
}

TEST_P(Stream, ErrorsSayWhatWasBeingDoneToWhom) {
    reset_when_closed(b);
    const std::string peer = a.getpeername().to_string();
    push(a, "unread");
    b.close();
    run([&]() -> gyre::task<> {
        std::string text;
        try {
            co_await a.recv(memory);
        } catch (const gyre::error& e) {
            text = e.what();
        }
        EXPECT_TRUE(text.starts_with("recv from ")) << text;
        EXPECT_TRUE(text.ends_with(": Connection reset by peer")) << text;
    });
}

// S11
TEST_P(Stream, AResetInTheMiddleOfASendallSaysHowMuchWent) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(1 << 20);
        std::size_t gone = 0;
        std::error_code code;
        const auto send = [&]() -> gyre::task<> {
            try {
                co_await a.sendall(bytes);
            } catch (const gyre::error& e) {
                code = e.code();
                gone = e.transferred();
            }
        };
        const auto reset = [&]() -> gyre::task<> {
            std::size_t received = co_await b.recv(memory);
            received += co_await b.recv(memory);
            EXPECT_GT(received, 0U);
            reset_when_closed(b);
            b.close();
        };
        co_await gyre::all(send(), reset());
        EXPECT_TRUE(code == std::errc::connection_reset || code == std::errc::broken_pipe)
            << code.message();
        EXPECT_GT(gone, 0U);
        EXPECT_LT(gone, bytes.size());
    });
}

// ---- Shutting down -----------------------------------------------------------------------------

// S5
TEST_P(Stream, AHalfClosedConnectionStillCarriesTheOtherHalf) {
    run([&]() -> gyre::task<> {
        a.shutdown(SHUT_WR);
        EXPECT_EQ(co_await b.recv(other_memory), 0U);
        co_await b.sendall("reverse");
        EXPECT_EQ(received(co_await a.recv(memory)), "reverse");
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::broken_pipe);
    });
}

// S6
TEST_P(Stream, ShuttingDownReadsWakesAPendingRecvWithTheEnd) {
    run([&]() -> gyre::task<> {
        const auto shut = [&]() -> gyre::task<> {
            co_await next_turn();
            a.shutdown(SHUT_RD);
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), shut());
        EXPECT_EQ(n, 0U);
        if (over_tcp()) {
            push(b, "late");
            const auto until = gyre::clock::now() + 5s; // it stays readable: the end is there
            std::size_t late = 0;
            while (late == 0 && gyre::clock::now() < until)
                late = co_await a.recv(memory);
            EXPECT_EQ(received(late), "late") << "TCP delivers what comes after all the same";
        }
    });
}

TEST_P(Stream, ShuttingDownWritesTwiceIsFineOverTcp) {
    a.shutdown(SHUT_WR);
    a.shutdown(SHUT_WR);
    EXPECT_EQ(thrown_by([&] { a.shutdown(99); }), std::errc::invalid_argument);
    gyre::socket unconnected = make_client(kind());
    if (over_tcp()) {
        EXPECT_EQ(thrown_by([&] { unconnected.shutdown(SHUT_WR); }), std::errc::not_connected);
    }
}

TEST_P(Stream, AnUnconnectedSocketSaysSo) {
    gyre::socket s = make_client(kind());
    run([&]() -> gyre::task<> {
        const std::error_code reading = co_await outcome(s.recv(memory).within(1s));
        EXPECT_EQ(reading, over_tcp() ? std::errc::not_connected : std::errc::invalid_argument);
        const std::error_code writing = co_await outcome(s.send("x").within(1s));
        EXPECT_EQ(writing, over_tcp() ? std::errc::broken_pipe : std::errc::not_connected);
    });
}

// Urgent data makes its own event; the stream around it is intact.
TEST_P(Stream, OutOfBandDataDoesNotDisturbTheStream) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ns)), gyre::errc::timed_out);
        co_await b.sendall("before");
        co_await b.send("!", MSG_OOB);
        co_await b.sendall("after");
        EXPECT_TRUE(wait_readable(a));
        EXPECT_EQ(received(co_await a.recv(memory, MSG_OOB)), "!");
        std::string text;
        while (text.size() < 11) // a read stops where the urgent byte was
            text += received(co_await a.recv(memory).within(5s));
        EXPECT_EQ(text, "beforeafter");
    });
}

GYRE_OVER_EACH_STREAM(Stream);

} // namespace
