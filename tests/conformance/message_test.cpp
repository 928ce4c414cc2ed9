#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/combine.hpp>

#include <array>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <string>

// Messages: in several places, whole or by flags of recv(2) and send(2).

namespace {

using namespace gyre_test;

/// Cuts memory into parts of `each` bytes.
template <class Part>
std::vector<Part> cut(std::vector<std::byte>& bytes, std::size_t each) {
    std::vector<Part> parts;
    for (std::size_t at = 0; at < bytes.size(); at += each)
        parts.emplace_back(bytes.data() + at, std::min(each, bytes.size() - at));
    return parts;
}

/// How an awaitable ended, and how much it had done.
struct ending {
    std::error_code code;
    std::size_t transferred = 0;
};

template <class Awaitable>
gyre::task<ending> ending_of(Awaitable a) {
    ending e;
    try {
        co_await std::move(a);
    } catch (const gyre::error& failure) {
        e.code = failure.code();
        e.transferred = failure.transferred();
    }
    co_return e;
}

constinit std::array<std::byte, 64> scratch{};

gyre::task<std::error_code> recv_briefly(gyre::socket& s) {
    return outcome(s.recv(scratch).within(200ms));
}
gyre::task<std::error_code> recvfrom_briefly(gyre::socket& s) {
    return outcome(s.recvfrom(scratch).within(200ms));
}
gyre::task<std::error_code> recv_exactly_briefly(gyre::socket& s) {
    return outcome(s.recv_exactly(scratch).within(200ms));
}

// ---- Streams -----------------------------------------------------------------------------------

class StreamMessage : public on_each_connection {
protected:
    std::array<std::byte, 256> memory{};

    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
    std::span<std::byte> part(std::size_t at, std::size_t n) {
        return std::span(memory).subspan(at, n);
    }
};

TEST_P(StreamMessage, RecvIntoPartsFillsThemInOrder) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 4> parts{part(0, 2), part(10, 0), part(20, 3), part(30, 100)};
        push(b, "0123456789");
        EXPECT_EQ(co_await a.recv(parts), 10U);
        EXPECT_EQ(text_of(part(0, 2)), "01");
        EXPECT_EQ(text_of(part(20, 3)), "234");
        EXPECT_EQ(text_of(part(30, 5)), "56789");
        const auto write = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "abc");
        };
        auto [n, nothing] = co_await gyre::all(a.recv(parts), write());
        EXPECT_EQ(n, 3U);
        EXPECT_EQ(text_of(part(0, 2)), "ab");
        b.shutdown(SHUT_WR);
        EXPECT_EQ(co_await a.recv(parts), 0U);
    });
}

TEST_P(StreamMessage, RecvIntoNoPartsGivesZeroAtOnceAndTakesNothing) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 1> empty{part(0, 0)};
        gyre::ancillary control;
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(co_await a.recv(gyre::buffers()).within(1s), 0U);
            EXPECT_EQ(co_await a.recv(empty).within(1s), 0U);
            EXPECT_EQ((co_await a.recvfrom(part(0, 0)).within(1s)).count, 0U);
            EXPECT_EQ((co_await a.recvmsg(empty, control).within(1s)).count, 0U);
            if (round == 0)
                push(b, "kept");
        }
        EXPECT_EQ(received(co_await a.recv(memory)), "kept");
    });
}

// D3
TEST_P(StreamMessage, RecvfromAndRecvmsgOfAStreamHaveNoAddress) {
    if (!over_tcp())
        GTEST_SKIP() << "UNIX streams have names";
    run([&]() -> gyre::task<> {
        push(b, "one");
        auto d = co_await a.recvfrom(memory);
        EXPECT_EQ(received(d.count), "one");
        EXPECT_TRUE(d.from.empty()) << d.from.to_string();
        gyre::ancillary control;
        push(b, "two");
        d = co_await a.recvmsg(memory, control);
        EXPECT_EQ(received(d.count), "two");
        EXPECT_TRUE(d.from.empty());
        EXPECT_EQ(control.size(), 0U);
        EXPECT_EQ(d.flags & (MSG_TRUNC | MSG_CTRUNC | MSG_CMSG_CLOEXEC), 0);
    });
}

TEST_P(StreamMessage, SendOfPartsGathersThem) {
    run([&]() -> gyre::task<> {
        std::array<gyre::const_buffer, 4> parts{"ab", "", "cde", "f"};
        EXPECT_EQ(co_await a.send(parts), 6U);
        EXPECT_EQ(received(co_await b.recv(memory)), "abcdef");
        co_await a.sendall(parts);
        EXPECT_EQ(received(co_await b.recv(memory)), "abcdef");
        gyre::ancillary none;
        EXPECT_EQ(co_await a.sendmsg(parts, none), 6U);
        EXPECT_EQ(received(co_await b.recv(memory)), "abcdef");
        EXPECT_EQ(co_await a.send(gyre::const_buffers()), 0U);
        co_await a.sendall(gyre::const_buffers()).within(1s);
        EXPECT_EQ(co_await outcome(b.recv(memory).within(1ms)), gyre::errc::timed_out);
    });
}

// More parts than one call takes (64 here, 1024 in the kernel), through buffers that are soon full.
TEST_P(StreamMessage, SendallOfManyPartsArrivesWhole) {
    for (const std::size_t each : {1000U, 97U, 7U}) {
        auto [from, to] = make_narrow_pair(kind());
        run([&]() -> gyre::task<> {
            std::vector<std::byte> bytes = pattern(each == 7 ? 20'000 : 150'000, each);
            const std::uint64_t expected = hash(bytes);
            const auto parts = cut<gyre::const_buffer>(bytes, each);
            const auto send = [&]() -> gyre::task<> {
                co_await from.sendall(parts);
                from.shutdown(SHUT_WR);
            };
            std::uint64_t arrived = hash({});
            const auto receive = [&]() -> gyre::task<> {
                std::array<std::byte, 5000> here;
                while (std::size_t n = co_await to.recv(here))
                    arrived = hash(std::span(here).first(n), arrived);
            };
            co_await gyre::all(send(), receive());
            EXPECT_EQ(arrived, expected) << parts.size() << " parts";
        });
    }
}

// IOV_MAX is 1024; of a stream the rest is for the next call.
TEST_P(StreamMessage, SendAndRecvTakeTheFirst1024Parts) {
    run([&]() -> gyre::task<> {
        std::vector<std::byte> bytes = pattern(3000);
        const auto parts = cut<gyre::const_buffer>(bytes, 1);
        EXPECT_EQ(co_await a.send(parts), 1024U);
        std::vector<std::byte> there(3000);
        const auto places = cut<gyre::buffer>(there, 1);
        EXPECT_EQ(co_await b.recv(places, MSG_PEEK), 1024U);
        EXPECT_EQ(co_await b.recv(places), 1024U);
        EXPECT_EQ(hash(std::span(there).first(1024)), hash(std::span(bytes).first(1024)));
        co_await a.sendall(parts);
        EXPECT_EQ(co_await b.recv(places, MSG_WAITALL), 3000U);
        EXPECT_EQ(hash(there), hash(bytes));
    });
}

TEST_P(StreamMessage, SendallOfPartsThatEndsEarlySaysHowMuchHadGone) {
    auto [from, to] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        std::vector<std::byte> bytes = pattern(1'000'000);
        const auto parts = cut<gyre::const_buffer>(bytes, 1000);
        const ending e = co_await ending_of(from.sendall(parts).within(20ms));
        EXPECT_EQ(e.code, gyre::errc::timed_out);
        EXPECT_GT(e.transferred, 0U);
        from.close();
        std::vector<std::byte> there;
        std::array<std::byte, 5000> here;
        while (std::size_t n = co_await to.recv(here).within(5s))
            there.insert(there.end(), here.begin(), here.begin() + static_cast<std::ptrdiff_t>(n));
        EXPECT_EQ(there.size(), e.transferred);
        EXPECT_EQ(hash(there), hash(std::span(bytes).first(e.transferred)));
    });
}

// ---- All of it ---------------------------------------------------------------------------------

TEST_P(StreamMessage, RecvExactlyWaitsForAllOfIt) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            const auto write = [&]() -> gyre::task<> {
                for (const std::string_view s : {"01", "2345", "6789rest"}) {
                    co_await next_turn();
                    push(b, s);
                }
            };
            co_await gyre::all(a.recv_exactly(part(0, 10)), write());
            EXPECT_EQ(received(10), "0123456789");
            EXPECT_EQ(received(co_await a.recv(memory)), "rest");
            push(b, "at once");
            co_await a.recv_exactly(part(0, 7));
            EXPECT_EQ(received(7), "at once");
            co_await a.recv_exactly(part(0, 0)).within(1s);
            push(b, "results");
            const auto r = co_await gyre::as_result(a.recv_exactly(part(0, 7)));
            EXPECT_TRUE(r.has_value());
        }
    });
}

TEST_P(StreamMessage, RecvExactlyAtTheEndIsIncomplete) {
    run([&]() -> gyre::task<> {
        push(b, "half");
        const auto end = [&]() -> gyre::task<> {
            co_await next_turn();
            b.shutdown(SHUT_WR);
        };
        auto [e, nothing] = co_await gyre::all(ending_of(a.recv_exactly(part(0, 8))), end());
        EXPECT_EQ(e.code, gyre::errc::incomplete);
        EXPECT_EQ(e.transferred, 4U);
        EXPECT_EQ(received(4), "half");
        const ending none = co_await ending_of(a.recv_exactly(part(0, 8)));
        EXPECT_EQ(none.code, gyre::errc::incomplete);
        EXPECT_EQ(none.transferred, 0U);
    });
}

TEST_P(StreamMessage, RecvExactlyThatEndsEarlySaysHowMuchIsThere) {
    run([&]() -> gyre::task<> {
        push(b, "abc");
        ending e = co_await ending_of(a.recv_exactly(part(0, 8)).within(1ms));
        EXPECT_EQ(e.code, gyre::errc::timed_out);
        EXPECT_EQ(e.transferred, 3U);
        EXPECT_EQ(received(3), "abc");
        e = co_await ending_of(a.recv_exactly(part(0, 8)).within(1ms));
        EXPECT_EQ(e.transferred, 0U);
        push(b, "de");
        CO_ASSERT_TRUE(wait_readable(a));
        e = co_await ending_of(a.recv_exactly(part(3, 8)).nonblocking());
        EXPECT_EQ(e.code, std::errc::operation_would_block);
        EXPECT_EQ(e.transferred, 2U);
        const auto fill_up = [&]() -> gyre::task<> {
            co_await next_turn();
            push(b, "fg");
            co_await gyre::sleep_for(5ms);
        };
        // Cancelled in the middle: what it tells and what is still there are all that was sent.
        ending cancelled;
        const auto receive = [&]() -> gyre::task<> {
            cancelled = co_await ending_of(a.recv_exactly(part(5, 100)));
        };
        co_await gyre::race(receive(), fill_up());
        EXPECT_EQ(cancelled.code, gyre::errc::cancelled);
        EXPECT_EQ(cancelled.transferred, 2U);
        push(b, "h");
        co_await a.recv_exactly(part(5 + cancelled.transferred, 1)).within(5s);
        EXPECT_EQ(received(8), "abcdefgh");
    });
}

TEST_P(StreamMessage, RecvExactlySaysThatThePeerReset) {
    run([&]() -> gyre::task<> {
        push(b, "abc");
        push(a, "unread");
        CO_ASSERT_TRUE(wait_readable(b));
        const auto reset = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await next_turn();
            b.close();
        };
        auto [e, nothing] = co_await gyre::all(ending_of(a.recv_exactly(part(0, 8))), reset());
        EXPECT_EQ(e.code, std::errc::connection_reset);
        EXPECT_EQ(e.transferred, 3U);
        EXPECT_EQ(received(3), "abc");
    });
}

// S13
TEST_P(StreamMessage, TheFlagWaitallWaitsForAllOrTheEnd) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 3> parts{part(0, 1), part(1, 4), part(5, 3)};
        gyre::ancillary control;
        const auto write = [&]() -> gyre::task<> {
            for (const std::string_view s : {"01", "23", "4567"}) {
                co_await next_turn();
                push(b, s);
            }
        };
        const auto all_of_it = [&](int how) -> gyre::task<std::size_t> {
            switch (how) {
            case 0: co_return co_await a.recv(part(0, 8), MSG_WAITALL);
            case 1: co_return co_await a.recv(parts, MSG_WAITALL);
            case 2: co_return (co_await a.recvfrom(part(0, 8), MSG_WAITALL)).count;
            case 3: co_return (co_await a.recvmsg(parts, control, MSG_WAITALL)).count;
            default:
                co_return (co_await gyre::as_result(a.recv(part(0, 8), MSG_WAITALL))).value_or(0);
            }
        };
        for (int how = 0; how < 5; ++how) {
            memory.fill(std::byte{'-'});
            auto [n, nothing] = co_await gyre::all(all_of_it(how), write());
            EXPECT_EQ(n, 8U) << how;
            EXPECT_EQ(received(8), "01234567") << how;
        }
        for (int how = 0; how < 5; ++how) {
            auto [x, y] = make_pair(kind());
            a = std::move(x);
            b = std::move(y);
            const auto end = [&]() -> gyre::task<> {
                push(b, "ab");
                co_await next_turn();
                push(b, "c");
                co_await next_turn();
                b.shutdown(SHUT_WR);
            };
            auto [n, nothing] = co_await gyre::all(all_of_it(how), end());
            EXPECT_EQ(n, 3U) << how;
            EXPECT_EQ(received(3), "abc") << how;
        }
    });
}

TEST_P(StreamMessage, TheFlagWaitallWithoutWaitingGivesWhatIsThere) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(memory, MSG_WAITALL | MSG_DONTWAIT)),
                  std::errc::operation_would_block);
        push(b, "abc");
        CO_ASSERT_TRUE(wait_readable(a));
        EXPECT_EQ(co_await a.recv(memory, MSG_WAITALL | MSG_DONTWAIT), 3U);
        push(b, "de");
        CO_ASSERT_TRUE(wait_readable(a));
        EXPECT_EQ(co_await a.recv(memory, MSG_WAITALL).nonblocking(), 2U);
        push(b, "fgh");
        CO_ASSERT_TRUE(wait_readable(a));
        EXPECT_EQ((co_await a.recvfrom(memory, MSG_WAITALL).nonblocking()).count, 3U);
    });
}

TEST_P(StreamMessage, TheFlagWaitallThatEndsEarlySaysHowMuchIsThere) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 6)};
        push(b, "abc");
        ending e = co_await ending_of(a.recv(memory, MSG_WAITALL).within(1ms));
        EXPECT_EQ(e.code, gyre::errc::timed_out);
        EXPECT_EQ(e.transferred, 3U);
        push(b, "abc");
        e = co_await ending_of(a.recv(parts, MSG_WAITALL).within(1ms));
        EXPECT_EQ(e.code, gyre::errc::timed_out);
        EXPECT_EQ(e.transferred, 3U);
        EXPECT_EQ(received(3), "abc");
    });
}

TEST_P(StreamMessage, PeekingForAllGivesWhatIsThere) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 6)};
        push(b, "ab");
        EXPECT_EQ(co_await a.recv(part(0, 8), MSG_PEEK | MSG_WAITALL), 2U);
        EXPECT_EQ(co_await a.recv(parts, MSG_PEEK | MSG_WAITALL), 2U);
        EXPECT_EQ(received(co_await a.recv(memory)), "ab");
    });
}

// ---- Flags -------------------------------------------------------------------------------------

TEST_P(StreamMessage, PeekingIntoPartsLeavesTheBytes) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 6)};
        gyre::ancillary control;
        push(b, "peek");
        EXPECT_EQ(co_await a.recv(parts, MSG_PEEK), 4U);
        EXPECT_EQ((co_await a.recvfrom(parts, MSG_PEEK)).count, 4U);
        EXPECT_EQ((co_await a.recvmsg(parts, control, MSG_PEEK)).count, 4U);
        EXPECT_EQ(received(co_await a.recv(memory)), "peek");
    });
}

TEST_P(StreamMessage, TheFlagDontwaitOfEachDoesNotWait) {
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 6)};
        gyre::ancillary control;
        const std::errc expected = std::errc::operation_would_block;
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(co_await outcome(a.recv(parts, MSG_DONTWAIT)), expected);
            EXPECT_EQ(co_await outcome(a.recvfrom(memory, MSG_DONTWAIT)), expected);
            EXPECT_EQ(co_await outcome(a.recvfrom(parts, MSG_DONTWAIT).within(1s)), expected);
            EXPECT_EQ(co_await outcome(a.recvmsg(parts, control, MSG_DONTWAIT)), expected);
            EXPECT_EQ(co_await outcome(a.recvmsg(parts, control).nonblocking()), expected);
        }
        fill(b);
        std::array<gyre::const_buffer, 2> text{"a", "b"};
        EXPECT_EQ(co_await outcome(b.send(text, MSG_DONTWAIT)), expected);
        EXPECT_EQ(co_await outcome(b.sendall(text, MSG_DONTWAIT)), expected);
        EXPECT_EQ(co_await outcome(b.sendmsg(text, control, MSG_DONTWAIT)), expected);
    });
}

TEST_P(StreamMessage, WhatIsSentWithMoreArrivesWithTheRest) {
    run([&]() -> gyre::task<> {
        co_await a.sendall("head", MSG_MORE);
        co_await a.sendall("body");
        co_await b.recv_exactly(part(0, 8)).within(5s);
        EXPECT_EQ(received(8), "headbody");
    });
}

TEST_P(StreamMessage, UrgentDataWhereThereIsNoneIsInvalid) {
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.recv(memory, MSG_OOB).within(1s)),
                  std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(a.recv(memory, MSG_OOB).within(1s)),
                  std::errc::invalid_argument);
        push(b, "x");
        EXPECT_EQ(received(co_await a.recv(memory)), "x");
        EXPECT_EQ(co_await outcome(a.recv(memory, MSG_OOB).within(1s)),
                  std::errc::invalid_argument);
    });
}

TEST_P(StreamMessage, UrgentDataComesByItself) {
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            push(b, "12");
            co_await b.send("!", MSG_OOB);
            push(b, "34");
            std::array<std::byte, 4> urgent;
            // It may be on its way still.
            std::error_code code;
            do
                code = co_await outcome(a.recv(urgent, MSG_OOB).within(5s));
            while (code == std::errc::invalid_argument);
            EXPECT_FALSE(code) << code.message();
            EXPECT_EQ(text_of(std::span(urgent).first(1)), "!");
            std::string text;
            while (text.size() < 4)
                text += received(co_await a.recv(memory).within(5s));
            EXPECT_EQ(text, "1234");
        }
    });
}

GYRE_OVER_EACH_STREAM(StreamMessage);

// ---- Datagrams ---------------------------------------------------------------------------------

class DatagramMessage : public on_each_backend<> {
protected:
    std::array<std::byte, 2048> memory{};

    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
    std::span<std::byte> part(std::size_t at, std::size_t n) {
        return std::span(memory).subspan(at, n);
    }
};

TEST_P(DatagramMessage, PartsAreOneDatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        const gyre::address to = a.getsockname();
        std::array<gyre::const_buffer, 3> text{"ab", "", "cdef"};
        std::array<gyre::buffer, 3> parts{part(0, 1), part(1, 3), part(4, 100)};
        gyre::ancillary none;
        EXPECT_EQ(co_await b.sendto(text, to), 6U);
        EXPECT_EQ(co_await b.sendmsg(text, none, 0, to), 6U);
        co_await b.connect(to);
        EXPECT_EQ(co_await b.send(text), 6U);
        co_await b.sendall(text);
        for (int i = 0; i < 4; ++i) {
            auto d = co_await a.recvfrom(parts).within(5s);
            EXPECT_EQ(received(d.count), "abcdef") << i;
            EXPECT_EQ(d.from, b.getsockname());
            EXPECT_EQ(d.flags & MSG_TRUNC, 0);
        }
    });
}

TEST_P(DatagramMessage, ManyPartsAreOneDatagramToo) {
    for (const bool udp : {true, false}) {
        auto [a, b] = udp ? make_udp_pair() : make_unix_pair(SOCK_DGRAM);
        run([&]() -> gyre::task<> {
            if (udp)
                co_await b.connect(a.getsockname());
            std::vector<std::byte> bytes = pattern(1024);
            for (const std::size_t each : {8U, 1U}) { // 128 and 1024 parts
                co_await b.sendall(cut<gyre::const_buffer>(bytes, each)).within(5s);
                EXPECT_EQ(co_await a.recv(memory).within(5s), 1024U) << each;
                EXPECT_EQ(hash(part(0, 1024)), hash(bytes));
                EXPECT_EQ(co_await b.send(cut<gyre::const_buffer>(bytes, each)), 1024U);
                std::vector<std::byte> there(1024);
                EXPECT_EQ(co_await a.recv(cut<gyre::buffer>(there, each)), 1024U) << each;
                EXPECT_EQ(hash(there), hash(bytes));
            }
            co_await b.sendall(gyre::const_buffers()); // an empty one
            co_await b.sendall("after");
            EXPECT_EQ(co_await a.recv(memory).within(5s), 0U);
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "after");
        });
    }
}

TEST_P(DatagramMessage, MoreThan1024PartsAreTooManyForADatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await b.connect(a.getsockname());
        std::vector<std::byte> bytes = pattern(1025);
        const auto parts = cut<gyre::const_buffer>(bytes, 1);
        const auto places = cut<gyre::buffer>(bytes, 1);
        EXPECT_EQ(co_await outcome(b.send(parts)), std::errc::message_size);
        EXPECT_EQ(co_await outcome(b.sendall(parts)), std::errc::message_size);
        EXPECT_EQ(co_await outcome(b.sendto(parts, a.getsockname())), std::errc::message_size);
        EXPECT_EQ(co_await outcome(a.recv(places).within(1s)), std::errc::message_size);
    });
}

TEST_P(DatagramMessage, ConnectedPartsWaitForAFullQueueAndArriveWhole) {
    for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
        auto [a, b] = make_unix_pair(type);
        run([&]() -> gyre::task<> {
            constexpr unsigned total = 100;
            const auto send = [&]() -> gyre::task<> {
                gyre::ancillary none;
                for (unsigned i = 0; i < total; ++i) {
                    std::vector<std::byte> bytes = pattern(1000 + i, i);
                    const auto parts = cut<gyre::const_buffer>(bytes, 11);
                    if (i % 3 == 0)
                        CO_ASSERT_TRUE(co_await b.send(parts) == bytes.size());
                    else if (i % 3 == 1)
                        co_await b.sendall(parts);
                    else
                        CO_ASSERT_TRUE(co_await b.sendmsg(parts, none) == bytes.size());
                }
            };
            const auto receive = [&]() -> gyre::task<> {
                for (int i = 0; i < 10; ++i)
                    co_await next_turn();
                for (unsigned i = 0; i < total; ++i) {
                    std::size_t n = (co_await a.recvfrom(memory).within(5s)).count;
                    CO_ASSERT_TRUE(n == 1000 + i);
                    CO_ASSERT_TRUE(hash(part(0, n)) == hash(pattern(n, i)));
                }
            };
            co_await gyre::all(send(), receive());
        });
    }
}

TEST_P(DatagramMessage, TruncationIsToldInTheFlags) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        const gyre::address to = a.getsockname();
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 2)};
        gyre::ancillary control;
        for (int i = 0; i < 5; ++i)
            co_await b.sendto("0123456789", to);
        auto d = co_await a.recvfrom(parts);
        EXPECT_EQ(d.count, 4U);
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
        d = co_await a.recvmsg(parts, control);
        EXPECT_EQ(d.count, 4U);
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
        // Asked for, it is the whole length that is given, and no more than fits is written.
        memory[4] = std::byte{'-'};
        EXPECT_EQ(co_await a.recv(part(0, 4), MSG_TRUNC), 10U);
        EXPECT_EQ(co_await a.recv(parts, MSG_TRUNC), 10U);
        EXPECT_EQ((co_await a.recvfrom(part(0, 4), MSG_TRUNC)).count, 10U);
        EXPECT_EQ(received(5), "0123-");
    });
}

TEST_P(DatagramMessage, PeekingLeavesTheDatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await b.sendto("peek", a.getsockname());
        for (int i = 0; i < 2; ++i) {
            auto d = co_await a.recvfrom(memory, MSG_PEEK);
            EXPECT_EQ(received(d.count), "peek");
            EXPECT_EQ(d.from, b.getsockname());
        }
        EXPECT_EQ(received(co_await a.recv(memory)), "peek");
        EXPECT_EQ(co_await outcome(a.recvfrom(memory, MSG_PEEK).within(1ms)),
                  gyre::errc::timed_out);
        co_await b.sendto("later", a.getsockname());
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "later");
    });
}

TEST_P(DatagramMessage, TheFlagWaitallIsForStreamsOnly) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        std::array<gyre::buffer, 2> parts{part(0, 2), part(2, 200)};
        for (int i = 0; i < 3; ++i)
            push(b, "one");
        EXPECT_EQ(received(co_await a.recv(memory, MSG_WAITALL).within(5s)), "one");
        EXPECT_EQ(received(co_await a.recv(parts, MSG_WAITALL).within(5s)), "one");
        EXPECT_EQ((co_await a.recvfrom(memory, MSG_WAITALL).within(5s)).count, 3U);
    });
}

TEST_P(DatagramMessage, WhatIsSentWithMoreIsOneDatagramWithTheRest) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await b.connect(a.getsockname());
        co_await b.send("head", MSG_MORE);
        co_await b.send("body");
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "headbody");
    });
}

// ---- The queue of errors -----------------------------------------------------------------------

class ErrorQueue : public DatagramMessage {
protected:
    /// Connected to where nobody listens, and asking for details.
    static gyre::socket make_refused() {
        auto [a, b] = make_udp_pair();
        a.setsockopt(IPPROTO_IP, IP_RECVERR, 1);
        const gyre::address nobody = b.getsockname();
        ::connect(a.fileno(), nobody.data(), nobody.size());
        return std::move(a);
    }
};

TEST_P(ErrorQueue, TellsWhichDatagramWasRefused) {
    gyre::socket s = make_refused();
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        co_await s.send("refused");
        const auto d = co_await s.recvmsg(memory, control, MSG_ERRQUEUE).within(5s);
        EXPECT_EQ(received(d.count), "refused");
        EXPECT_EQ(d.flags & MSG_ERRQUEUE, MSG_ERRQUEUE);
        EXPECT_EQ(d.from, s.getpeername());
        EXPECT_GT(control.size(), 0U);
        EXPECT_EQ(co_await outcome(s.recvmsg(memory, control, MSG_ERRQUEUE | MSG_DONTWAIT)),
                  std::errc::operation_would_block);
    });
}

TEST_P(ErrorQueue, IsWaitedForAndLeavesTheDataAlone) {
    auto [a, b] = make_udp_pair();
    a.setsockopt(IPPROTO_IP, IP_RECVERR, 1);
    gyre::socket gone = gyre::socket::open(AF_INET, SOCK_DGRAM);
    gone.bind(gyre::address::loopback_ipv4(0));
    const gyre::address nobody = gone.getsockname();
    gone.close();
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        co_await b.sendto("data", a.getsockname());
        CO_ASSERT_TRUE(wait_readable(a));
        EXPECT_EQ(co_await outcome(a.recvmsg(memory, control, MSG_ERRQUEUE).within(1ms)),
                  gyre::errc::timed_out);
        const auto send = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await a.sendto("refused", nobody);
        };
        auto [d, nothing] =
            co_await gyre::all(a.recvmsg(memory, control, MSG_ERRQUEUE).within(5s), send());
        EXPECT_EQ(received(d.count), "refused");
        EXPECT_EQ(d.from, nobody);
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "data");
    });
}

std::string wait_beside_data_for_errors(gyre::backend_kind backend) {
    gyre::loop loop({.backend = backend});
    auto [a, b] = make_udp_pair();
    const gyre::address to = a.getsockname();
    ::sendto(b.fileno(), "data", 4, 0, to.data(), to.size());
    std::error_code code;
    const auto wait = [&]() -> gyre::task<> {
        gyre::ancillary control;
        count_from_here();
        code = co_await outcome(a.recvmsg(scratch, control, MSG_ERRQUEUE).within(200ms));
        count_to_here();
    };
    loop.run(wait());
    return code == gyre::errc::timed_out ? "" : "ended by: " + code.message();
}

template <gyre::task<std::error_code> (*Receive)(gyre::socket&)>
std::string wait_beside_errors(gyre::backend_kind backend) {
    gyre::loop loop({.backend = backend});
    auto [a, b] = make_udp_pair();
    a.setsockopt(IPPROTO_IP, IP_RECVERR, 1);
    const gyre::address nobody = b.getsockname();
    b.close();
    std::error_code code;
    const auto wait = [&]() -> gyre::task<> {
        co_await a.sendto("refused", nobody);
        co_await outcome(a.recv(scratch).within(1s)); // says so, and leaves the details
        count_from_here();
        code = co_await Receive(a);
        count_to_here();
    };
    loop.run(wait());
    return code == gyre::errc::timed_out ? "" : "ended by: " + code.message();
}

TEST_P(ErrorQueue, WaitingForItBesideDataDoesNotSpin) {
    EXPECT_TRUE(makes_at_most(100, wait_beside_data_for_errors, GetParam()));
}

TEST_P(ErrorQueue, WaitingForDataBesideItDoesNotSpin) {
    EXPECT_TRUE(makes_at_most(100, wait_beside_errors<recv_briefly>, GetParam()));
    EXPECT_TRUE(makes_at_most(100, wait_beside_errors<recvfrom_briefly>, GetParam()));
}

/// With an urgent byte that nobody reads, a receiver waits for other ones.
template <gyre::task<std::error_code> (*Receive)(gyre::socket&)>
std::string wait_beside_urgent(gyre::backend_kind backend) {
    gyre::loop loop({.backend = backend});
    auto [a, b] = make_pair(stream_kind::tcp);
    ::send(b.fileno(), "!", 1, MSG_OOB);
    pollfd p{a.fileno(), POLLPRI, 0};
    ::poll(&p, 1, 5000);
    std::error_code code;
    const auto wait = [&]() -> gyre::task<> {
        count_from_here();
        code = co_await Receive(a);
        count_to_here();
    };
    loop.run(wait());
    return code == gyre::errc::timed_out ? "" : "ended by: " + code.message();
}

class Urgent : public on_each_backend<> {};

TEST_P(Urgent, DataThatNobodyReadsDoesNotMakeAReceiverSpin) {
    EXPECT_TRUE(makes_at_most(100, wait_beside_urgent<recv_briefly>, GetParam()));
    EXPECT_TRUE(makes_at_most(100, wait_beside_urgent<recvfrom_briefly>, GetParam()));
    EXPECT_TRUE(makes_at_most(100, wait_beside_urgent<recv_exactly_briefly>, GetParam()));
}

GYRE_ON_EACH_BACKEND(DatagramMessage);
GYRE_ON_EACH_BACKEND(ErrorQueue);
GYRE_ON_EACH_BACKEND(Urgent);

} // namespace
