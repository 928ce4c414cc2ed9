#include "../support/foreign.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/stream.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>
#include <string_view>

// The buffered stream, at the other end of which a test pushes and pulls bytes around the library.

namespace {

using namespace gyre_test;
using namespace std::string_view_literals;

/// Pushes the text at once or one byte a turn, and then perhaps the end.
gyre::task<> feed(gyre::socket& to, std::string_view text, std::size_t piece, bool end) {
    for (std::size_t at = 0; at < text.size(); at += piece) {
        push(to, text.substr(at, piece));
        co_await next_turn();
    }
    if (end)
        to.shutdown(SHUT_WR);
}

template <class Operation>
gyre::task<std::string> text(Operation o) {
    co_return std::string(co_await std::move(o));
}

/// The error that an awaitable ends with; none is a failure of the test.
template <class Awaitable>
gyre::task<std::optional<gyre::error>> failure(Awaitable a) {
    try {
        co_await std::move(a);
    } catch (const gyre::error& e) {
        co_return e;
    }
    ADD_FAILURE() << "it did not fail";
    co_return std::nullopt;
}

class Makefile : public on_each_connection {
protected:
    /// Runs `read(stream)` while `sent` arrives: in one piece, in two, and byte by byte.
    template <class F>
    void while_arrives(std::string_view sent, bool end, F read) {
        for (const std::size_t piece : {sent.size(), sent.size() / 2 + 1, std::size_t{1}}) {
            SCOPED_TRACE("in pieces of " + std::to_string(piece));
            run([&]() -> gyre::task<> {
                auto p = make_pair(kind());
                gyre::stream s(std::move(p.a));
                co_await gyre::all(feed(p.b, sent, piece, end), read(s));
            });
        }
    }
};

// ---- Reading -----------------------------------------------------------------------------------

TEST_P(Makefile, ReadLineGivesEachLineWithItsEndThenTheLastWithoutThenNothing) {
    while_arrives("one\n\ntwo\r\nlast", true, [](gyre::stream& s) -> gyre::task<> {
        for (const std::string_view expected :
             {"one\n"sv, "\n"sv, "two\r\n"sv, "last"sv, ""sv, ""sv})
            EXPECT_EQ(co_await s.read_line(), expected);
    });
}

TEST_P(Makefile, ReadUntilGivesAllUpToAndWithTheDelimiter) {
    while_arrives("GET\r\r\n\r\n\r\nX\r\n\r\n", false, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_EQ(co_await s.read_until("\r\n\r\n"), "GET\r\r\n\r\n");
        EXPECT_EQ(co_await s.read_until("\r\n\r\n"), "\r\nX\r\n\r\n");
    });
}

TEST_P(Makefile, ReadUntilOneOfSeveralStopsAtTheOneThatEndsFirst) {
    while_arrives("a;b\r\nc\nd--e", false, [](gyre::stream& s) -> gyre::task<> {
        const std::array ends{"\n"sv, "\r\n"sv, ";"sv, "--"sv};
        for (const std::string_view expected : {"a;"sv, "b\r\n"sv, "c\n"sv, "d--"sv})
            EXPECT_EQ(co_await s.read_until(ends), expected);
    });
}

TEST_P(Makefile, ADelimiterIsNeededAndNotEmpty) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        EXPECT_EQ(co_await outcome(s.read_until("")), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(s.read_until(std::span<const std::string_view>())),
                  std::errc::invalid_argument);
    });
}

TEST_P(Makefile, ReadUntilAtTheEndIsIncompleteAndLeavesWhatCame) {
    while_arrives("no end", true, [](gyre::stream& s) -> gyre::task<> {
        const auto e = co_await failure(s.read_until("\n"));
        CO_ASSERT_TRUE(e.has_value());
        EXPECT_EQ(e->code(), gyre::errc::incomplete);
        EXPECT_EQ(e->transferred(), 6U);
        EXPECT_EQ(s.readable(), 6U);
        EXPECT_EQ(co_await s.read_all(), "no end");
    });
}

TEST_P(Makefile, ReadGivesWhatIsThereUpToNAndNothingAtTheEnd) {
    while_arrives("0123456789", true, [](gyre::stream& s) -> gyre::task<> {
        std::string all;
        for (;;) {
            const std::string_view part = co_await s.read(4);
            if (part.empty())
                break;
            EXPECT_LE(part.size(), 4U);
            all += part;
        }
        EXPECT_EQ(all, "0123456789");
        EXPECT_EQ(co_await s.read(), "");
    });
}

TEST_P(Makefile, ReadOfNothingDoesNotWait) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        EXPECT_EQ(co_await s.read(0), "");
        EXPECT_EQ(co_await s.read_exactly(0), "");
        co_await s.read_exactly(gyre::buffer(nullptr, 0));
    });
}

TEST_P(Makefile, PeekTakesNothingAndGivesFewerOnlyAtTheEnd) {
    while_arrives("abcdef", true, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_EQ(co_await s.peek(3), "abc");
        EXPECT_EQ(co_await s.peek(5), "abcde");
        EXPECT_EQ(co_await s.read_exactly(4), "abcd");
        EXPECT_EQ(co_await s.peek(100), "ef");
        EXPECT_EQ(co_await s.read_all(), "ef");
        EXPECT_EQ(co_await s.peek(1), "");
    });
}

TEST_P(Makefile, ReadExactlyGivesThatManyAsAViewOrIntoMemory) {
    while_arrives("0123456789", false, [](gyre::stream& s) -> gyre::task<> {
        std::array<char, 3> memory{};
        EXPECT_EQ(co_await s.read_exactly(3), "012");
        co_await s.read_exactly(memory);
        EXPECT_EQ(std::string_view(memory.data(), 3), "345");
        EXPECT_EQ(co_await s.read_exactly(4), "6789");
    });
}

TEST_P(Makefile, ReadExactlyPastTheEndIsIncompleteAndLeavesWhatCame) {
    while_arrives("short", true, [](gyre::stream& s) -> gyre::task<> {
        std::array<char, 6> memory{};
        for (int i = 0; i < 2; ++i) {
            const auto e = co_await failure(s.read_exactly(memory));
            CO_ASSERT_TRUE(e.has_value());
            EXPECT_EQ(e->code(), gyre::errc::incomplete);
            EXPECT_EQ(e->transferred(), 5U);
        }
        EXPECT_EQ(co_await outcome(s.read_exactly(6)), gyre::errc::incomplete);
        EXPECT_EQ(co_await s.read_all(), "short");
    });
}

TEST_P(Makefile, ALargeReadExactlyGoesAroundTheBufferAndLosesNothingWhenItFails) {
    const std::vector<std::byte> sent = pattern(300'000);
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        std::vector<std::byte> memory(200'000);
        const auto write = [&]() -> gyre::task<> {
            co_await b.sendall(sent);
            b.shutdown(SHUT_WR);
        };
        const auto read = [&]() -> gyre::task<> {
            EXPECT_EQ((co_await s.peek(10)).size(), 10U); // some are in the buffer, some not
            co_await s.read_exactly(memory);
            EXPECT_TRUE(std::ranges::equal(memory, std::span(sent).first(memory.size())));
            const auto e = co_await failure(s.read_exactly(memory));
            CO_ASSERT_TRUE(e.has_value());
            EXPECT_EQ(e->code(), gyre::errc::incomplete);
            EXPECT_EQ(e->transferred(), 100'000U);
            co_await s.read_exactly(std::span(memory).first(100'000));
            EXPECT_TRUE(std::ranges::equal(std::span(memory).first(100'000),
                                           std::span(sent).subspan(200'000)));
        };
        co_await gyre::all(write(), read());
    });
}

TEST_P(Makefile, ReadAllGivesEverythingUpToTheEnd) {
    while_arrives("all of it\n", true, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_EQ(co_await s.read_all(), "all of it\n");
        EXPECT_EQ(co_await s.read_all(), "");
    });
}

// ---- Limits ------------------------------------------------------------------------------------

TEST_P(Makefile, AtEofTellsThatAReadHasMetTheEndAndAllIsTaken) {
    while_arrives("line\nrest", true, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_FALSE(s.at_eof());
        co_await s.read_line();
        EXPECT_FALSE(s.at_eof());
        EXPECT_EQ(co_await s.peek(100), "rest");
        EXPECT_FALSE(s.at_eof());
        co_await s.read_line();
        EXPECT_TRUE(s.at_eof());
        EXPECT_EQ(co_await s.read(), "");
        EXPECT_TRUE(s.at_eof());
        s.close();
        EXPECT_TRUE(s.at_eof());
    });
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_line())), gyre::errc::timed_out);
        EXPECT_FALSE(s.at_eof());
        b.shutdown(SHUT_WR);
        std::array<char, 5000> memory; // around the buffer
        EXPECT_EQ(co_await outcome(s.read_exactly(gyre::buffer(memory))), gyre::errc::incomplete);
        EXPECT_TRUE(s.at_eof());
    });
}

TEST_P(Makefile, TheLimitCountsTheBytesBeforeTheDelimiter) {
    while_arrives("1234\r\n12345\r\n", false, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_EQ(co_await s.read_until("\r\n", 4), "1234\r\n");
        EXPECT_EQ(co_await outcome(s.read_until("\r\n", 4)), gyre::errc::too_long);
        EXPECT_EQ(co_await s.read_until("\r\n", 5), "12345\r\n");
    });
}

TEST_P(Makefile, PassingALimitWaitsForNoMoreAndLosesNothing) {
    while_arrives("123456", false, [](gyre::stream& s) -> gyre::task<> {
        for (int i = 0; i < 2; ++i) {
            const auto e = co_await failure(s.read_line(4));
            CO_ASSERT_TRUE(e.has_value());
            EXPECT_EQ(e->code(), gyre::errc::too_long);
            EXPECT_GE(e->transferred(), 5U);
            EXPECT_NE(std::string_view(e->what()).find("limit 4"), std::string_view::npos)
                << e->what();
        }
        EXPECT_EQ(co_await s.read_exactly(6), "123456");
    });
}

TEST_P(Makefile, ReadAllHasALimit) {
    while_arrives("12345", true, [](gyre::stream& s) -> gyre::task<> {
        EXPECT_EQ(co_await outcome(s.read_all(4)), gyre::errc::too_long);
        EXPECT_EQ(co_await s.read_all(5), "12345");
    });
}

TEST_P(Makefile, TheLimitIs64KiBUnlessToldOtherwise) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        const std::string line(65536, 'x');
        const auto write = [&]() -> gyre::task<> {
            co_await b.sendall(line);
            co_await b.sendall("\n");
            co_await b.sendall(line);
            co_await b.sendall("x\n");
        };
        const auto read = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await s.read_line(), line + "\n");
            EXPECT_EQ(co_await outcome(s.read_line()), gyre::errc::too_long);
            EXPECT_EQ(co_await s.read_line(100'000), line + "x\n");
        };
        co_await gyre::all(write(), read());
    });
}

// ---- Deadlines and cancellation ----------------------------------------------------------------

TEST_P(Makefile, AfterATimeoutInTheMiddleTheNextReadGoesOn) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        std::array<char, 8> memory{};
        push(b, "begin ");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_line())), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_until("\r\n"))),
                  gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_exactly(8))),
                  gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_exactly(memory))),
                  gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_all())), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.peek(8))), gyre::errc::timed_out);
        push(b, "end\n");
        EXPECT_EQ(co_await gyre::with_timeout(5s, s.read_line()), "begin end\n");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read())), gyre::errc::timed_out);
        push(b, "more");
        EXPECT_EQ(co_await gyre::with_timeout(5s, s.read_exactly(4)), "more");
    });
}

TEST_P(Makefile, ALargeReadExactlyThatTimesOutGivesWhatCameToTheNext) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        std::vector<char> memory(10'000);
        push(b, "begin ");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_exactly(memory))),
                  gyre::errc::timed_out);
        push(b, "middle ");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_exactly(memory))),
                  gyre::errc::timed_out);
        push(b, "end\n");
        EXPECT_EQ(co_await s.read_line(), "begin middle end\n");
    });
}

TEST_P(Makefile, TheTimeoutOfTheSocketHoldsForEachWait) {
    run([&]() -> gyre::task<> {
        gyre::stream s = a.makefile("rw");
        a.settimeout(1ms);
        push(b, "begin ");
        const auto e = co_await failure(s.read_line());
        CO_ASSERT_TRUE(e.has_value());
        EXPECT_EQ(e->code(), gyre::errc::timed_out);
        EXPECT_EQ(e->transferred(), 6U);
        s.connection().settimeout(0s);
        EXPECT_EQ(co_await outcome(s.read_line()), std::errc::operation_would_block);
        push(b, "end\n");
        s.connection().settimeout(5s);
        EXPECT_EQ(co_await s.read_line(), "begin end\n");
    });
}

TEST_P(Makefile, ACancelInTheMiddleOfReadUntilLosesNothing) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        for (int round = 0; round < 10; ++round) {
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                const auto read = [&]() -> gyre::task<> {
                    EXPECT_EQ(co_await outcome(s.read_until("\r\n")), gyre::errc::cancelled);
                };
                g.spawn(read());
                co_await next_turn();
                push(b, "x");
                if (round % 2 == 0) // with the byte on its way, or there
                    co_await next_turn();
                g.cancel();
            });
        }
        push(b, "\r\n");
        EXPECT_EQ(co_await s.read_until("\r\n"), "xxxxxxxxxx\r\n");
    });
}

TEST_P(Makefile, ASecondReaderIsBusyAndDoesNotDisturbTheFirst) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        const auto second = [&]() -> gyre::task<> {
            co_await next_turn();
            EXPECT_EQ(co_await outcome(s.read()), gyre::errc::busy);
            EXPECT_EQ(co_await outcome(s.peek(1)), gyre::errc::busy);
            push(b, "line\n");
        };
        auto [line, nothing] = co_await gyre::all(text(s.read_line()), second());
        EXPECT_EQ(line, "line\n");
    });
}

TEST_P(Makefile, AsResultThrowsNothing) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        push(b, "one\ntwo");
        const auto line = co_await gyre::as_result(s.read_line());
        CO_ASSERT_TRUE(line.has_value());
        EXPECT_EQ(*line, "one\n");
        b.shutdown(SHUT_WR);
        EXPECT_EQ(code_of(co_await gyre::as_result(s.read_until("\n"))), gyre::errc::incomplete);
        EXPECT_TRUE((co_await gyre::as_result(s.write("x"))).has_value());
        EXPECT_TRUE((co_await gyre::as_result(s.flush())).has_value());
        EXPECT_EQ(pull(b), "x");
    });
}

// ---- Writing -----------------------------------------------------------------------------------

TEST_P(Makefile, WhatIsWrittenGoesWithFlush) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        for (int i = 0; i < 100; ++i)
            co_await s.write("0123456789");
        EXPECT_EQ(s.pending(), 1000U);
        EXPECT_EQ(pull(b), "");
        co_await s.flush();
        EXPECT_EQ(s.pending(), 0U);
        CO_ASSERT_TRUE(wait_readable(b));
        EXPECT_EQ(pull(b).size(), 1000U);
        co_await s.flush(); // of nothing
    });
}

TEST_P(Makefile, AReadThatHasToWaitFirstSendsWhatIsPending) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        push(b, "1\n2\n3\n");
        for (int i = 0; i < 3; ++i) {
            const std::string line(co_await s.read_line());
            co_await s.write("<");
            co_await s.write(line);
        }
        const auto answer = [&]() -> gyre::task<> {
            std::array<char, 100> memory;
            const std::size_t n = co_await b.recv(memory);
            EXPECT_EQ(std::string_view(memory.data(), n), "<1\n<2\n<3\n"); // in one piece
            push(b, "thanks\n");
        };
        auto [line, nothing] = co_await gyre::all(text(s.read_line()), answer());
        EXPECT_EQ(line, "thanks\n");
    });
}

TEST_P(Makefile, WriteWaitsAboveTheHighWaterMarkUntilTheLowOne) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        fill(a); // the peer does not read
        gyre::stream s(std::move(a));
        const std::string piece(1024, 'x');
        for (int i = 0; i < 64; ++i)
            co_await s.write(piece);
        EXPECT_EQ(s.pending(), 65536U);
        bool waits = true;
        const auto write = [&]() -> gyre::task<> {
            co_await s.write(piece);
            waits = false;
            EXPECT_LE(s.pending(), 16384U);
        };
        const auto read = [&]() -> gyre::task<> {
            for (int i = 0; i < 10; ++i)
                co_await next_turn();
            EXPECT_TRUE(waits);
            EXPECT_EQ(co_await outcome(s.write("x")), gyre::errc::busy);
            std::vector<char> memory(4096);
            while (waits)
                co_await b.recv(memory);
        };
        co_await gyre::all(write(), read());
    });
}

TEST_P(Makefile, TheWaterMarksCanBeSet) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        fill(a);
        gyre::stream s(std::move(a));
        EXPECT_EQ(thrown_by([&] { s.set_water_marks(1, 2); }), std::errc::invalid_argument);
        s.set_water_marks(10, 0);
        co_await s.write("0123456789");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.write("a"))), gyre::errc::timed_out);
        EXPECT_EQ(s.pending(), 11U); // taken all the same
    });
}

TEST_P(Makefile, AWriteThatIsCancelledInTheMiddleLosesAndRepeatsNothing) {
    pair = make_narrow_pair(kind());
    const std::vector<std::byte> sent = pattern(400'000);
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        std::vector<std::byte> received;
        const auto read = [&](std::size_t up_to) -> gyre::task<> {
            std::vector<std::byte> memory(3000);
            while (received.size() < up_to) {
                const std::size_t n = co_await b.recv(memory);
                received.insert(received.end(), memory.begin(),
                                memory.begin() + static_cast<std::ptrdiff_t>(n));
            }
        };
        co_await s.write(std::span(sent).first(1000));
        const auto rest = gyre::const_buffer(std::span(sent).subspan(1000, 300'000));
        EXPECT_EQ(co_await outcome(gyre::race(s.write(rest), read(20'000))), std::error_code());
        EXPECT_GT(s.pending(), 0U);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.flush())), gyre::errc::timed_out);
        const auto write = [&]() -> gyre::task<> {
            co_await s.write(std::span(sent).subspan(301'000));
            co_await s.flush();
        };
        co_await gyre::all(write(), read(sent.size()));
        EXPECT_TRUE(std::ranges::equal(received, sent));
    });
}

TEST_P(Makefile, WriteEofSendsWhatIsPendingAndThenTheEndAndReadingGoesOn) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        gyre::stream peer(std::move(b));
        co_await s.write("question");
        co_await s.write_eof();
        EXPECT_EQ(s.pending(), 0U);
        EXPECT_EQ(co_await peer.read_all(), "question");
        EXPECT_EQ(co_await outcome(s.write("more")), std::errc::broken_pipe);
        EXPECT_EQ(co_await outcome(s.flush()), std::errc::broken_pipe);
        co_await s.write_eof(); // again
        co_await peer.write("answer");
        co_await peer.write_eof();
        EXPECT_EQ(co_await s.read_all(), "answer");
        EXPECT_TRUE(s.at_eof());
        s.close();
        EXPECT_EQ(co_await outcome(s.write_eof()), gyre::errc::closed);
    });
}

TEST_P(Makefile, WriteEofWaitsForASlowReaderAndCanBeTriedAgain) {
    auto [narrow, other] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(narrow));
        s.set_water_marks(1 << 20, 1 << 20);
        const std::vector<std::byte> sent = pattern(500'000);
        co_await s.write(sent);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(2ms, s.write_eof())), gyre::errc::timed_out);
        std::vector<std::byte> there(sent.size());
        std::byte more;
        const auto receive = [&]() -> gyre::task<> {
            co_await other.recv_exactly(there);
            EXPECT_EQ(co_await other.recv(gyre::buffer(&more, 1)), 0U);
        };
        co_await gyre::all(s.write_eof(), receive());
        EXPECT_EQ(hash(there), hash(sent));
    });
}

TEST_P(Makefile, WriteEofOfWhatIsNoLongerConnectedSaysSo) {
    run([&]() -> gyre::task<> {
        if (over_tcp()) {
            gyre::stream s = a.makefile("w");
            reset_when_closed(b);
            b.close();
            CO_ASSERT_TRUE(wait_readable(a));
            const auto e = co_await failure(s.write_eof());
            CO_ASSERT_TRUE(e.has_value());
            EXPECT_EQ(e->code(), std::errc::not_connected);
            EXPECT_TRUE(std::string_view(e->what()).starts_with("write_eof: ")) << e->what();
        }
        gyre::stream s = a.makefile("rw");
        const gyre::owned_fd fd(a.detach());
        EXPECT_EQ(co_await outcome(s.write_eof()), gyre::errc::closed);
    });
}

TEST_P(Makefile, AWriteErrorStays) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        b.close();
        std::error_code first;
        for (int i = 0; i < 10 && !first; ++i) { // over TCP, the reset follows the first bytes
            co_await s.write("x");
            first = co_await outcome(s.flush());
            co_await next_turn();
        }
        EXPECT_TRUE(first == std::errc::broken_pipe || first == std::errc::connection_reset);
        EXPECT_EQ(co_await outcome(s.write("y")), first);
        EXPECT_EQ(co_await outcome(s.flush()), first);
    });
}

TEST_P(Makefile, AWriteErrorOnTheWayToAReadIsToldByTheNextWrite) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        s.connection().shutdown(SHUT_WR);
        co_await s.write("x");
        push(b, "line\n");
        EXPECT_EQ(co_await s.read_line(), "line\n");
        EXPECT_EQ(co_await outcome(s.write("y")), std::errc::broken_pipe);
    });
}

TEST_P(Makefile, AReadErrorStaysButComesAfterTheDataBeforeIt) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        push(b, "before");
        EXPECT_EQ(co_await s.peek(6), "before");
        reset_when_closed(b);
        b.close();
        for (int i = 0; i < 2; ++i) // the second would be the end of the stream to recv(2)
            EXPECT_EQ(co_await outcome(s.read_line()), std::errc::connection_reset);
        EXPECT_EQ(co_await s.read(), "before");
        EXPECT_EQ(co_await outcome(s.read()), std::errc::connection_reset);
    });
}

TEST_P(Makefile, ReadingWhileWritingIsFine) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        gyre::stream one(std::move(a));
        gyre::stream two(std::move(b));
        const auto write = [](gyre::stream& s) -> gyre::task<> {
            for (int i = 0; i < 20'000; ++i)
                co_await s.write("0123456789");
            co_await s.flush();
            s.connection().shutdown(SHUT_WR);
        };
        const auto read = [](gyre::stream& s) -> gyre::task<> {
            EXPECT_EQ((co_await s.read_all(1'000'000)).size(), 200'000U);
        };
        co_await gyre::all(write(one), read(two), write(two), read(one));
    });
}

// Both write more than the connection holds, and then read: had the read to wait until all is sent,
// both would for ever.
TEST_P(Makefile, AReadGoesOnAlthoughThePeerDoesNotTakeWhatIsPending) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        fill(a);
        gyre::stream s(std::move(a));
        co_await s.write("answer");
        push(b, "one\n");
        EXPECT_EQ(co_await s.read_line(), "one\n");
        const auto later = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "two\n");
        };
        auto [line, nothing] = co_await gyre::all(text(s.read_line()), later());
        EXPECT_EQ(line, "two\n");
        EXPECT_EQ(s.pending(), 6U);
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, s.read_line())), gyre::errc::timed_out);
        // While a read waits, what is pending goes as soon as there is room.
        const auto take = [&]() -> gyre::task<> {
            std::vector<char> memory(4096);
            while (s.pending() != 0)
                co_await b.recv(memory);
            push(b, "three\n");
        };
        auto [third, none] = co_await gyre::all(text(s.read_line()), take());
        EXPECT_EQ(third, "three\n");
    });
}

TEST_P(Makefile, AWriterTakesOverFromAReadThatSendsForIt) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const std::size_t before = fill(a);
        gyre::stream s(std::move(a));
        s.set_water_marks(10, 0);
        co_await s.write("01234");
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await s.write("56789");
            co_await s.write("abcde");
        };
        const auto take = [&]() -> gyre::task<> {
            for (int i = 0; i < 10; ++i)
                co_await next_turn();
            std::string all;
            std::vector<char> memory(4096);
            while (all.size() < before + 15)
                all.append(memory.data(), co_await b.recv(memory));
            EXPECT_EQ(all.substr(before), "0123456789abcde");
            push(b, "line\n");
        };
        auto [line, x, y] = co_await gyre::all(text(s.read_line()), write(), take());
        EXPECT_EQ(line, "line\n");
    });
}

// What never has to wait must not hold the loop, nor go on after a cancel.
TEST_P(Makefile, AWriterThatNeverWaitsLetsOthersRunAndCanBeCancelled) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        s.set_water_marks(0, 0);
        std::size_t written = 0;
        const auto write = [&]() -> gyre::task<> {
            for (;; ++written) {
                co_await s.write("x");
                pull(b); // around the loop, so that there is always room
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            g.spawn(write());
            while (written < 1000)
                co_await gyre::sleep_for(0s);
            g.cancel();
        });
        EXPECT_GE(written, 1000U);
    });
}

// ---- Modes, sharing, closing -------------------------------------------------------------------

TEST_P(Makefile, OtherModesAreRefusedByName) {
    for (const std::string_view mode : {"", "a", "rb", "wr", "x"}) {
        try {
            gyre::stream s = a.makefile(mode);
            ADD_FAILURE() << mode;
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::invalid_argument);
            const std::string_view what = e.what();
            EXPECT_NE(what.find('"' + std::string(mode) + '"'), what.npos) << what;
            EXPECT_NE(what.find("\"rw\""), what.npos) << what;
        }
    }
    EXPECT_EQ(thrown_by([] { gyre::socket().makefile(); }), gyre::errc::closed);
    EXPECT_EQ(thrown_by([&] { EXPECT_TRUE(bool(a)); }), std::error_code()); // it is still there
}

TEST_P(Makefile, TooManyStreamsOfASocketAreRefused) {
    std::vector<gyre::stream> all;
    EXPECT_EQ(thrown_by([&] {
                  for (int i = 0; i < 1000; ++i)
                      all.push_back(a.makefile());
              }),
              std::errc::too_many_files_open);
    EXPECT_EQ(all.size(), 254U);
    all.pop_back();
    all.push_back(a.makefile());
}

TEST_P(Makefile, AModeAllowsNothingElse) {
    run([&]() -> gyre::task<> {
        gyre::stream reader = a.makefile();
        gyre::stream writer = a.makefile("w");
        EXPECT_EQ(co_await outcome(reader.write("x")), std::errc::operation_not_supported);
        EXPECT_EQ(co_await outcome(reader.flush()), std::errc::operation_not_supported);
        EXPECT_EQ(co_await outcome(reader.write_eof()), std::errc::operation_not_supported);
        EXPECT_EQ(co_await outcome(writer.read()), std::errc::operation_not_supported);
        co_await writer.write("ping\n");
        co_await writer.flush();
        CO_ASSERT_TRUE(wait_readable(b));
        EXPECT_EQ(pull(b), "ping\n");
        push(b, "pong\n");
        EXPECT_EQ(co_await reader.read_line(), "pong\n");
    });
}

TEST_P(Makefile, TheDescriptorIsClosedWhenTheLastOfItsUsersIs) {
    for (int order = 0; order < 6; ++order) {
        SCOPED_TRACE(order);
        auto p = make_pair(kind());
        run([&]() -> gyre::task<> {
            gyre::stream one = p.a.makefile("r");
            gyre::stream two = p.a.makefile("w");
            const int fd = p.a.fileno();
            EXPECT_EQ(one.fileno(), fd);
            const auto close = [&](int which) {
                if (which == 0)
                    p.a.close();
                else if (which == 1)
                    one.close();
                else
                    two = gyre::stream();
            };
            constexpr int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
            std::array<char, 1> memory;
            for (int i = 0; i < 3; ++i) {
                EXPECT_EQ(co_await outcome(p.b.recv(memory).nonblocking()),
                          std::errc::operation_would_block);
                close(orders[order][i]);
                close(orders[order][i]); // twice is fine
            }
            EXPECT_EQ(co_await p.b.recv(memory).within(5s), 0U);
            EXPECT_EQ(p.a.fileno(), -1);
            EXPECT_EQ(one.fileno(), -1);
            EXPECT_FALSE(two);
        });
    }
}

TEST_P(Makefile, AfterTheSocketIsClosedItsStreamGoesOn) {
    run([&]() -> gyre::task<> {
        gyre::stream s = a.makefile("rw");
        a.close();
        EXPECT_EQ(co_await outcome(a.sendall("x")), gyre::errc::closed);
        push(b, "line\n");
        EXPECT_EQ(co_await s.read_line(), "line\n");
        EXPECT_EQ(s.connection().type(), SOCK_STREAM);
    });
}

TEST_P(Makefile, ClosingAStreamEndsItsPendingReadAndLeavesTheSocket) {
    run([&]() -> gyre::task<> {
        gyre::stream s = a.makefile("rw");
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            s = gyre::stream();
        };
        auto [code, nothing] = co_await gyre::all(outcome(s.read_line()), close());
        EXPECT_EQ(code, gyre::errc::closed);
        EXPECT_EQ(co_await outcome(s.read()), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(s.write("x")), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(s.flush()), gyre::errc::closed);
        EXPECT_EQ(thrown_by([&] { s.connection(); }), gyre::errc::closed);
        co_await a.sendall("still here");
        CO_ASSERT_TRUE(wait_readable(b));
        EXPECT_EQ(pull(b), "still here");
    });
}

TEST_P(Makefile, ClosingAStreamEndsItsPendingWrite) {
    pair = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        fill(a);
        gyre::stream s = a.makefile("rw");
        co_await s.write("x");
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            s.close();
        };
        auto [code, nothing] = co_await gyre::all(outcome(s.flush()), close());
        EXPECT_EQ(code, gyre::errc::closed);
    });
}

TEST_P(Makefile, AStreamMayMoveWhileItReads) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        gyre::stream other;
        const auto move = [&]() -> gyre::task<> {
            co_await next_turn();
            other = std::move(s);
            push(b, "line\nmore\n");
        };
        auto [line, nothing] = co_await gyre::all(text(s.read_line()), move());
        EXPECT_EQ(line, "line\n");
        EXPECT_EQ(co_await other.read_line(), "more\n");
        EXPECT_EQ(co_await outcome(s.read_line()), gyre::errc::closed);
    });
}

TEST_P(Makefile, AfterTheFrameOfAReadWasDestroyedReadsAreBrokenAndWritesAreNot) {
    run([&]() -> gyre::task<> {
        gyre::stream s(std::move(a));
        const auto read = [](gyre::stream& from) -> foreign { co_await from.read_line(); };
        {
            const foreign f = read(s);
            co_await next_turn();
            EXPECT_FALSE(f.done());
        }
        EXPECT_EQ(co_await outcome(s.read()), gyre::errc::broken);
        co_await s.write("x");
        co_await s.flush();
    });
}

TEST_P(Makefile, AStreamMayOutliveItsLoop) {
    gyre::stream s;
    run([&]() -> gyre::task<> {
        s = a.makefile("rw");
        a.close();
        push(b, "one\ntwo\n");
        EXPECT_EQ(co_await s.read_line(), "one\n");
        co_await s.write("x");
    });
    EXPECT_EQ(s.readable(), 4U);
    s.close();
    EXPECT_TRUE(wait_readable(b));
}

TEST_P(Makefile, AfterDetachItsStreamsAreClosed) {
    run([&]() -> gyre::task<> {
        gyre::stream s = a.makefile("rw");
        const int fd = a.detach();
        const gyre::socket kept = gyre::socket::adopt(fd);
        EXPECT_EQ(co_await outcome(s.read()), gyre::errc::closed);
        co_await s.write("x");
        EXPECT_EQ(co_await outcome(s.flush()), gyre::errc::closed);
    });
}

TEST_P(Makefile, AnErrorSaysWhatWasDoneAndToWhom) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    run([&]() -> gyre::task<> {
        const std::string peer = a.getpeername().to_string();
        gyre::stream s(std::move(a));
        b.shutdown(SHUT_WR);
        const auto e = co_await failure(s.read_exactly(3));
        CO_ASSERT_TRUE(e.has_value());
        EXPECT_EQ(std::string(e->what()),
                  "read_exactly(3): recv from " + peer + ": The stream ended too early");
    });
}

// ---- At random ---------------------------------------------------------------------------------

/// What a stream should do, of which all input is known.
struct model {
    std::string_view left;

    std::string_view take(std::size_t n) {
        const std::string_view taken = left.substr(0, n);
        left.remove_prefix(taken.size());
        return taken;
    }
};

TEST_P(Makefile, ReadsAgreeWithAModelHoweverTheBytesArrive) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        const auto upto = [&](std::size_t n) { return random() % (n + 1); };
        std::string sent;
        while (sent.size() < 60'000)
            sent += random() % 40 == 0 ? std::string(upto(9000), 'y')
                                       : std::string(upto(30), 'x') + "\r\n";
        run([&]() -> gyre::task<> {
            auto p = make_pair(kind());
            gyre::stream s(std::move(p.a));
            std::mt19937 pieces(seed + 1000);
            const auto write = [&]() -> gyre::task<> {
                for (std::string_view rest = sent; !rest.empty();) {
                    const std::size_t n = std::min<std::size_t>(
                        rest.size(), pieces() % 3 == 0 ? 1 + pieces() % 9000 : 1 + pieces() % 40);
                    co_await p.b.sendall(rest.substr(0, n));
                    rest.remove_prefix(n);
                    if (pieces() % 2 == 0)
                        co_await next_turn();
                }
                p.b.shutdown(SHUT_WR);
            };
            const auto read = [&]() -> gyre::task<> {
                model m{sent};
                std::vector<char> memory(10'000);
                while (!m.left.empty() && !HasFailure()) {
                    const std::size_t n = upto(random() % 4 == 0 ? 9000 : 50);
                    switch (random() % 7) {
                    case 0: {
                        const std::size_t end = m.left.find('\n');
                        const bool fits = (end == m.left.npos ? m.left.size() : end) <= n;
                        const auto line = co_await gyre::as_result(s.read_line(n));
                        EXPECT_EQ(line.has_value(), fits);
                        if (line) {
                            EXPECT_EQ(*line, m.take(end == m.left.npos ? end : end + 1));
                        } else {
                            EXPECT_EQ(line.error(), gyre::errc::too_long);
                        }
                        break;
                    }
                    case 1: {
                        const std::size_t at = m.left.find("\r\n");
                        const auto part = co_await gyre::as_result(s.read_until("\r\n", n));
                        if (part) {
                            EXPECT_EQ(*part, m.take(at + 2));
                        } else if (part.error() == gyre::errc::too_long) {
                            EXPECT_GT(at, n);
                        } else {
                            EXPECT_EQ(part.error(), gyre::errc::incomplete);
                        }
                        break;
                    }
                    case 2: {
                        const auto part = co_await gyre::as_result(s.read_exactly(n));
                        EXPECT_EQ(part.has_value(), n <= m.left.size());
                        if (part) {
                            EXPECT_EQ(*part, m.take(n));
                        }
                        break;
                    }
                    case 3: {
                        const auto filled =
                            co_await gyre::as_result(s.read_exactly(std::span(memory).first(n)));
                        EXPECT_EQ(filled.has_value(), n <= m.left.size());
                        if (filled) {
                            EXPECT_EQ(std::string_view(memory.data(), n), m.take(n));
                        }
                        break;
                    }
                    case 4: EXPECT_EQ(co_await s.peek(n), m.left.substr(0, n)); break;
                    case 5: {
                        const std::string_view part = co_await s.read(n);
                        EXPECT_EQ(part, m.take(part.size()));
                        EXPECT_LE(part.size(), n);
                        EXPECT_TRUE(n == 0 || !part.empty());
                        break;
                    }
                    case 6: {
                        const auto late = co_await gyre::as_result(
                            gyre::with_timeout(0s, s.read_exactly(n + 100)));
                        if (late) {
                            EXPECT_EQ(*late, m.take(n + 100));
                        }
                        break;
                    }
                    }
                }
                EXPECT_EQ(co_await s.read(), "");
            };
            co_await gyre::all(write(), read());
        });
    }
}

GYRE_OVER_EACH_STREAM(Makefile);

} // namespace
