#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <string>

namespace {

using namespace gyre_test;

// ---- UDP ---------------------------------------------------------------------------------------

class Udp : public on_each_backend<> {
protected:
    std::array<std::byte, 2048> memory{};

    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
};

TEST_P(Udp, RecvfromGivesTheDatagramAndItsSender) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        run([&]() -> gyre::task<> {
            EXPECT_EQ(co_await b.sendto("hello", a.getsockname()), 5U);
            auto [n, from, flags] = co_await a.recvfrom(memory);
            EXPECT_EQ(received(n), "hello");
            EXPECT_EQ(from, b.getsockname());
            EXPECT_EQ(flags & MSG_TRUNC, 0);
            EXPECT_EQ(co_await a.sendto("back", from), 4U);
            EXPECT_EQ(received(co_await b.recv(memory)), "back");
        });
    }
}

TEST_P(Udp, ReceivingWaitsForADatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            const auto send = [&]() -> gyre::task<> {
                co_await next_turn();
                co_await b.sendto("later", a.getsockname());
            };
            auto [d, nothing] = co_await gyre::all(a.recvfrom(memory), send());
            EXPECT_EQ(received(d.count), "later");
            EXPECT_EQ(d.from, b.getsockname());
            auto [n, nothing2] = co_await gyre::all(a.recv(memory), send());
            EXPECT_EQ(received(n), "later");
            auto [l, nothing3] = co_await gyre::all(a.recv(), send());
            EXPECT_EQ(text_of(l.bytes()), "later");
        }
    });
}

// D1
TEST_P(Udp, OfADatagramThatIsTooLongTheRestIsLostAndRecvfromSaysSo) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        const auto few = std::span(memory).first(4);
        for (int i = 0; i < 2; ++i)
            co_await b.sendto("0123456789", a.getsockname());
        co_await b.sendto("next", a.getsockname());
        auto d = co_await a.recvfrom(few);
        EXPECT_EQ(received(d.count), "0123");
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
        EXPECT_EQ(received(co_await a.recv(few)), "0123");
        d = co_await a.recvfrom(few);
        EXPECT_EQ(received(d.count), "next");
        EXPECT_EQ(d.flags & MSG_TRUNC, 0);
    });
}

// D2
TEST_P(Udp, AnEmptyDatagramIsNotTheEnd) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(co_await b.sendto("", a.getsockname()), 0U);
            co_await b.sendto("after", a.getsockname());
            auto d = co_await a.recvfrom(memory);
            EXPECT_EQ(d.count, 0U);
            EXPECT_EQ(d.from, b.getsockname());
            EXPECT_EQ(received(co_await a.recv(memory)), "after");
        }
        const auto send = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await b.sendto("", a.getsockname());
        };
        auto [n, nothing] = co_await gyre::all(a.recv(memory), send());
        EXPECT_EQ(n, 0U);
    });
}

TEST_P(Udp, ReceivingIntoNothingTakesADatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await b.sendto("lost", a.getsockname());
        co_await b.sendto("next", a.getsockname());
        auto d = co_await a.recvfrom(gyre::buffer(nullptr, 0));
        EXPECT_EQ(d.count, 0U);
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
        EXPECT_EQ(received(co_await a.recv(memory)), "next");
    });
}

// D4
TEST_P(Udp, ReceivingIntoNothingTakesNoMoreThanOneDatagram) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await b.sendto("one", a.getsockname());
        co_await b.sendto("two", a.getsockname());
        EXPECT_EQ(co_await a.recv(gyre::buffer(nullptr, 0)), 0U);
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "two");
    });
}

TEST_P(Udp, AConnectedSocketHearsOnlyItsPeerButMaySendElsewhere) {
    auto [a, b] = make_udp_pair();
    gyre::socket stranger = gyre::socket::open(AF_INET, SOCK_DGRAM);
    stranger.bind(gyre::address::loopback_ipv4(0));
    run([&]() -> gyre::task<> {
        co_await a.connect(b.getsockname());
        EXPECT_EQ(a.getpeername(), b.getsockname());
        co_await stranger.sendto("stranger", a.getsockname());
        co_await b.sendto("peer", a.getsockname());
        EXPECT_EQ(received(co_await a.recv(memory)), "peer");
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ms)), gyre::errc::timed_out);
        co_await a.sendto("elsewhere", stranger.getsockname());
        EXPECT_EQ(received(co_await stranger.recv(memory)), "elsewhere");
        co_await a.send("to the peer");
        EXPECT_EQ(received(co_await b.recv(memory)), "to the peer");
    });
}

// C10
TEST_P(Udp, ConnectingToNoAddressDisconnects) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await a.connect(b.getsockname());
        sockaddr nowhere{};
        nowhere.sa_family = AF_UNSPEC;
        co_await a.connect(gyre::address(&nowhere, sizeof nowhere));
        EXPECT_EQ(thrown_by([&] { a.getpeername(); }), std::errc::not_connected);
        EXPECT_EQ(co_await outcome(a.send("x")), std::errc::destination_address_required);
    });
}

TEST_P(Udp, SendingToAPortWhereNobodyListensIsReportedByTheNextReceive) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        co_await a.connect(b.getsockname());
        b.close();
        co_await a.send("x");
        EXPECT_EQ(co_await outcome(a.recv(memory).within(5s)), std::errc::connection_refused);
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ms)), gyre::errc::timed_out);
    });
}

// D6
TEST_P(Udp, ADatagramOfMoreThan65507BytesIsTooLong) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        std::vector<std::byte> bytes = pattern(65'508);
        EXPECT_EQ(co_await outcome(b.sendto(bytes, a.getsockname())), std::errc::message_size);
        bytes.pop_back();
        EXPECT_EQ(co_await b.sendto(bytes, a.getsockname()), bytes.size());
        std::vector<std::byte> arrived(70'000);
        const std::size_t n = co_await a.recv(arrived);
        arrived.resize(n);
        EXPECT_EQ(hash(arrived), hash(bytes));
    });
}

// D7
TEST_P(Udp, BroadcastingNeedsItsOption) {
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        const auto everybody = gyre::address::ipv4(0x7fffffffU, 9);
        EXPECT_EQ(co_await outcome(s.sendto("x", everybody)), std::errc::permission_denied);
        s.set(gyre::option::broadcast, true);
        EXPECT_NE(co_await outcome(s.sendto("x", everybody)), std::errc::permission_denied);
    });
}

TEST_P(Udp, SendingToPortZeroIsInvalid) {
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(s.sendto("x", gyre::address::loopback_ipv4(0))),
                  std::errc::invalid_argument);
    });
}

TEST_P(Udp, ManyDatagramsArriveInOrderAndWhole) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 1000;
        unsigned seen = 0;
        const auto receive = [&]() -> gyre::task<> {
            for (; seen < total; ++seen) {
                auto d = co_await a.recvfrom(memory).within(5s);
                CO_ASSERT_TRUE(received(d.count) == std::to_string(seen));
                co_await a.sendto("ok", d.from); // one at a time: UDP may drop
            }
        };
        const auto send = [&]() -> gyre::task<> {
            std::array<std::byte, 8> answer;
            for (unsigned i = 0; i < total; ++i) {
                co_await b.sendto(std::to_string(i), a.getsockname());
                co_await b.recv(answer).within(5s);
            }
        };
        co_await gyre::all(receive(), send());
        EXPECT_EQ(seen, total);
    });
}

GYRE_ON_EACH_BACKEND(Udp);

// ---- UNIX --------------------------------------------------------------------------------------

class UnixDatagram : public Udp {
protected:
    /// When the sender has filled the queue: pattern(1000 + i, i), each whole, in order.
    gyre::task<> receive_late(gyre::socket& from, unsigned total) {
        for (int i = 0; i < 10; ++i)
            co_await next_turn();
        for (unsigned i = 0; i < total; ++i) {
            const std::size_t n = co_await from.recv(memory).within(5s);
            CO_ASSERT_TRUE(n == 1000 + i);
            CO_ASSERT_TRUE(hash(std::span(memory).first(n)) == hash(pattern(n, i)));
        }
    }
};

TEST_P(UnixDatagram, RecvfromTellsTheNameOfASenderThatHasOne) {
    gyre::socket a = make_unix_datagram();
    gyre::socket b = make_unix_datagram();
    gyre::socket unnamed = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        co_await b.sendto("named", a.getsockname());
        auto d = co_await a.recvfrom(memory);
        EXPECT_EQ(received(d.count), "named");
        EXPECT_EQ(d.from, b.getsockname());
        co_await unnamed.sendto("unnamed", a.getsockname()); // D13
        d = co_await a.recvfrom(memory);
        EXPECT_EQ(received(d.count), "unnamed");
        EXPECT_TRUE(d.from.empty() || d.from.is_unix_unnamed()) << d.from.to_string();
    });
}

// D11. Linux says EAGAIN while polling says writable; inside the ring, the datagram would arrive
// empty.
TEST_P(UnixDatagram, SendtoWaitsForAFullQueueAndArrivesWhole) {
    gyre::socket a = make_unix_datagram();
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 60; // the queue holds 11
        const auto send = [&]() -> gyre::task<> {
            gyre::socket s = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
            for (unsigned i = 0; i < total; ++i) {
                const std::vector<std::byte> bytes = pattern(1000 + i, i);
                CO_ASSERT_TRUE(co_await s.sendto(bytes, a.getsockname()) == bytes.size());
            }
        };
        co_await gyre::all(send(), receive_late(a, total));
    });
}

TEST_P(UnixDatagram, AConnectedSendWaitsForAFullQueueAndArrivesWhole) {
    for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
        auto [a, b] = make_unix_pair(type);
        run([&]() -> gyre::task<> {
            constexpr unsigned total = 300;
            const auto send = [&]() -> gyre::task<> {
                for (unsigned i = 0; i < total; ++i) {
                    const std::vector<std::byte> bytes = pattern(1000 + i, i);
                    if (i % 2 == 0)
                        CO_ASSERT_TRUE(co_await b.send(bytes) == bytes.size());
                    else
                        co_await b.sendall(bytes);
                }
            };
            co_await gyre::all(send(), receive_late(a, total));
        });
    }
}

std::string send_to_a_full_queue(gyre::backend_kind backend) {
    gyre::loop loop({.backend = backend});
    gyre::socket a = make_unix_datagram();
    std::error_code code;
    const auto send = [&]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
        while (!co_await outcome(s.sendto("filler", a.getsockname()).nonblocking())) {
        }
        count_from_here();
        code = co_await outcome(s.sendto("x", a.getsockname()).within(200ms));
        count_to_here();
    };
    loop.run(send());
    return code == gyre::errc::timed_out ? "" : "ended by: " + code.message();
}

// The pauses between the tries grow from 1 to 64 ms.
TEST_P(UnixDatagram, WaitingForAFullQueueDoesNotSpin) {
    EXPECT_TRUE(makes_at_most(100, send_to_a_full_queue, GetParam()));
}

// D12
TEST_P(UnixDatagram, SendingToAPeerThatClosedIsRefused) {
    gyre::socket a = make_unix_datagram();
    gyre::socket b = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
    const gyre::address name = a.getsockname();
    run([&]() -> gyre::task<> {
        co_await b.connect(name);
        a.close();
        EXPECT_EQ(co_await outcome(b.send("x")), std::errc::connection_refused);
        EXPECT_EQ(co_await outcome(b.sendto("x", name)), std::errc::connection_refused);
    });
}

TEST_P(UnixDatagram, AnEmptyDatagramIsNotTheEnd) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await b.send(""), 0U);
        co_await b.sendall("");
        co_await b.send("after");
        EXPECT_EQ(co_await a.recv(memory), 0U);
        gyre::lease empty = co_await a.recv();
        EXPECT_EQ(empty.size(), 0U);
        EXPECT_EQ(received(co_await a.recv(memory)), "after");
    });
}

TEST_P(UnixDatagram, TruncationIsTold) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        co_await b.send("0123456789");
        auto d = co_await a.recvfrom(std::span(memory).first(4));
        EXPECT_EQ(received(d.count), "0123");
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
    });
}

GYRE_ON_EACH_BACKEND(UnixDatagram);

} // namespace
