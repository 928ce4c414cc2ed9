#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/io/datagram_batch.hpp>
#include <gyre/io/ip_option.hpp>
#include <gyre/io/pass_fds.hpp>

#include <array>
#include <netinet/in.h>
#include <netinet/udp.h>

namespace {

using namespace gyre_test;

void push_to(const gyre::socket& from, const gyre::socket& to, std::string_view text) {
    const gyre::address name = to.getsockname();
    EXPECT_EQ(::sendto(from.fileno(), text.data(), text.size(), 0, name.data(), name.size()),
              static_cast<ssize_t>(text.size()));
}

class Batch : public on_each_backend<> {
protected:
    std::array<std::byte, 4096> memory{};
    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
};

TEST_P(Batch, ReceivesWhatIsThereWithSenders) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        gyre::socket c = gyre::socket::open(family, SOCK_DGRAM);
        run([&]() -> gyre::task<> {
            gyre::datagram_batch batch(8, 10);
            for (int round = 0; round < 2; ++round) {
                co_await b.sendto("one", a.getsockname());
                co_await c.sendto("", a.getsockname());
                co_await b.sendto("0123456789too long", a.getsockname());
                CO_ASSERT_TRUE(co_await a.recv_many(batch).within(5s) == 3);
                CO_ASSERT_TRUE(batch.size() == 3);
                EXPECT_EQ(text_of(batch[0].bytes), "one");
                EXPECT_EQ(batch[0].peer, b.getsockname());
                EXPECT_EQ(batch[0].flags & MSG_TRUNC, 0);
                EXPECT_EQ(batch[1].bytes.size(), 0U);
                EXPECT_EQ(batch[1].peer.port(), c.getsockname().port());
                EXPECT_EQ(text_of(batch[2].bytes), "0123456789");
                EXPECT_EQ(batch[2].flags & MSG_TRUNC, MSG_TRUNC);
            }
            for (int i = 0; i < 10; ++i)
                co_await b.sendto(std::to_string(i), a.getsockname());
            CO_ASSERT_TRUE(co_await a.recv_many(batch) == 8);
            EXPECT_EQ(text_of(batch[7].bytes), "7");
            CO_ASSERT_TRUE(co_await a.recv_many(batch) == 2);
            EXPECT_EQ(text_of(batch[1].bytes), "9");
        });
    }
}

TEST_P(Batch, WaitsAndIsCancelledLikeTheOthers) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(8);
        EXPECT_EQ(co_await outcome(a.recv_many(batch).within(1ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(a.recv_many(batch).nonblocking()),
                  std::errc::operation_would_block);
        EXPECT_EQ(co_await outcome(a.recv_many(batch, MSG_DONTWAIT)),
                  std::errc::operation_would_block);
        std::error_code code;
        const auto receive = [&]() -> gyre::task<> {
            code = co_await outcome(a.recv_many(batch).without_deadline());
        };
        co_await gyre::race(receive(), gyre::sleep_for(1ms));
        EXPECT_EQ(code, gyre::errc::cancelled);
        for (int round = 0; round < 3; ++round) {
            const auto send = [&]() -> gyre::task<> {
                co_await next_turn();
                push_to(b, a, "later");
                push_to(b, a, "too");
            };
            auto [n, nothing] = co_await gyre::all(a.recv_many(batch), send());
            EXPECT_EQ(n, 2U);
            EXPECT_EQ(text_of(batch[1].bytes), "too");
        }
        gyre::socket closed;
        EXPECT_EQ(co_await outcome(closed.recv_many(batch)), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(closed.send_many(batch)), gyre::errc::closed);
    });
}

TEST_P(Batch, IsSentToEachAddress) {
    auto [a, b] = make_udp_pair();
    gyre::socket c = gyre::socket::open(AF_INET, SOCK_DGRAM);
    c.bind(gyre::address::loopback_ipv4(0));
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(100);
        EXPECT_EQ(co_await b.send_many(batch), 0U);
        batch.add("to a", a.getsockname());
        batch.add("to c", c.getsockname());
        batch.add("", a.getsockname());
        EXPECT_EQ(co_await b.send_many(batch), 3U);
        EXPECT_EQ(co_await b.send_many(batch), 3U); // again, as it is
        for (int i = 0; i < 2; ++i) {
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "to a");
            EXPECT_EQ(co_await a.recv(memory).within(5s), 0U);
            EXPECT_EQ(received(co_await c.recv(memory).within(5s)), "to c");
        }
        batch.clear();
        co_await b.connect(a.getsockname());
        batch.add("connected");
        EXPECT_EQ(co_await b.send_many(batch), 1U);
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "connected");
    });
}

TEST_P(Batch, ThatWasReceivedIsSentBackAsItIs) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(8, 16);
        co_await b.sendto("one", a.getsockname());
        co_await b.sendto("two", a.getsockname());
        CO_ASSERT_TRUE(co_await a.recv_many(batch).within(5s) == 2);
        EXPECT_EQ(co_await a.send_many(batch), 2U);
        EXPECT_EQ(received(co_await b.recv(memory).within(5s)), "one");
        EXPECT_EQ(received(co_await b.recv(memory).within(5s)), "two");
    });
}

TEST_P(Batch, RefusesWhatDoesNotFit) {
    EXPECT_EQ(thrown_by([] { gyre::datagram_batch none(0); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([] { gyre::datagram_batch none(1, 0); }), std::errc::invalid_argument);
    gyre::datagram_batch batch(2, 4);
    EXPECT_EQ(thrown_by([&] { batch.add("12345"); }), std::errc::message_size);
    batch.add("1234");
    batch.add("12");
    EXPECT_EQ(thrown_by([&] { batch.add("1"); }), std::errc::no_buffer_space);
    EXPECT_EQ(batch.size(), 2U);
    gyre::ancillary control;
    control.append_hop_limit(AF_INET, 7);
    gyre::datagram_batch narrow(2, 4, gyre::cmsg_len(0));
    EXPECT_EQ(thrown_by([&] { narrow.add("1", {}, control); }), std::errc::no_buffer_space);
    EXPECT_EQ(thrown_by([&] { batch.add("1", {}, control); }), std::errc::no_buffer_space);
    EXPECT_TRUE(narrow.empty());
    gyre::datagram_batch moved = std::move(batch);
    EXPECT_EQ(moved.size(), 2U);
    EXPECT_EQ(text_of(moved[0].bytes), "1234");
}

TEST_P(Batch, SaysHowManyHadGoneBeforeTheOneThatFailed) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(4);
        batch.add("good", a.getsockname());
        batch.add("good", a.getsockname());
        batch.add("bad", gyre::address::loopback_ipv4(0)); // port 0
        batch.add("good", a.getsockname());
        try {
            co_await b.send_many(batch);
            ADD_FAILURE() << "all were sent";
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::invalid_argument);
            EXPECT_EQ(e.transferred(), 2U);
        }
    });
}

TEST_P(Batch, WaitsForAFullQueueAndArrivesWhole) {
    for (const bool named : {false, true}) {
        gyre::socket a = make_unix_datagram();
        gyre::socket b = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
        run([&]() -> gyre::task<> {
            if (!named)
                co_await b.connect(a.getsockname());
            constexpr unsigned total = 100; // the queue holds 11
            gyre::datagram_batch out(total);
            for (unsigned i = 0; i < total; ++i)
                out.add(pattern(100 + i, i), named ? a.getsockname() : gyre::address());
            unsigned seen = 0;
            const auto receive = [&]() -> gyre::task<> {
                gyre::datagram_batch in(7);
                while (seen < total) {
                    const std::size_t n = co_await a.recv_many(in).within(5s);
                    for (std::size_t i = 0; i < n; ++i, ++seen)
                        CO_ASSERT_TRUE(in[i].bytes.size() == 100 + seen &&
                                       hash(in[i].bytes) == hash(pattern(100 + seen, seen)));
                }
            };
            auto [n, nothing] = co_await gyre::all(b.send_many(out), receive());
            EXPECT_EQ(n, total);
            EXPECT_EQ(seen, total);
        });
    }
}

TEST_P(Batch, OfMoreThan1024GoesInSeveralCalls) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        gyre::datagram_batch out(1500, 8);
        for (unsigned i = 0; i < 1500; ++i)
            out.add(std::to_string(i));
        unsigned seen = 0;
        const auto receive = [&]() -> gyre::task<> {
            gyre::datagram_batch in(2000, 8);
            while (seen < 1500) {
                const std::size_t n = co_await a.recv_many(in).within(5s);
                for (std::size_t i = 0; i < n; ++i, ++seen)
                    CO_ASSERT_TRUE(text_of(in[i].bytes) == std::to_string(seen));
            }
        };
        auto [n, nothing] = co_await gyre::all(b.send_many(out), receive());
        EXPECT_EQ(n, 1500U);
    });
}

TEST_P(Batch, ControlGoesWithEach) {
    auto [a, b] = make_udp_pair();
    a.set(gyre::option::ip::receive_ttl, true);
    run([&]() -> gyre::task<> {
        gyre::datagram_batch out(3, 16, 64);
        gyre::ancillary control;
        control.append_hop_limit(AF_INET, 7);
        out.add("seven", a.getsockname(), control);
        out.add("as ever", a.getsockname());
        control.clear();
        control.append_hop_limit(AF_INET, 9);
        out.add("nine", a.getsockname(), control);
        EXPECT_EQ(out[0].control.find(IPPROTO_IP, IP_TTL)->as<int>(), 7);
        gyre::datagram_batch in(3, 16, 64);
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(co_await b.send_many(out), 3U);
            CO_ASSERT_TRUE(co_await a.recv_many(in).within(5s) == 3);
            EXPECT_EQ(in[0].control.find(IPPROTO_IP, IP_TTL)->as<int>(), 7);
            EXPECT_EQ(in[1].control.find(IPPROTO_IP, IP_TTL)->as<int>(),
                      b.get(gyre::option::ip::ttl));
            EXPECT_EQ(in[2].control.find(IPPROTO_IP, IP_TTL)->as<int>(), 9);
        }
        // Sent back it goes without what came, and one more with what is said.
        in.clear();
        co_await b.sendto("came", a.getsockname());
        CO_ASSERT_TRUE(co_await a.recv_many(in).within(5s) == 1);
        in.add("more", a.getsockname(), control);
        EXPECT_EQ(co_await a.send_many(in), 2U);
        EXPECT_EQ(received(co_await b.recv(memory).within(5s)), "came");
        EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "more");
    });
}

TEST_P(Batch, DescriptorsToSendStayTheSenders) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(1, 16, 64);
        const std::array fds{a.fileno()};
        gyre::ancillary control;
        control.append_fds(fds);
        batch.add("fd", {}, control);
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(co_await b.send_many(batch), 1U);
            EXPECT_EQ((co_await gyre::recv_fds(a, memory)).fds.size(), 1U);
        }
        batch.clear();
        co_await b.send("still there");
        EXPECT_EQ(received(co_await a.recv(memory)), "still there");
    });
}

TEST_P(Batch, ControlComesWithEachAndItsDescriptorsAreClosed) {
    auto [a, b] = make_unix_pair(SOCK_DGRAM);
    a.setsockopt(SOL_SOCKET, SO_PASSCRED, 1);
    run([&]() -> gyre::task<> {
        gyre::datagram_batch batch(4, 16, 256);
        const std::array fds{a.fileno(), b.fileno()};
        for (int round = 0; round < 2; ++round) {
            co_await b.send("plain");
            co_await gyre::send_fds(b, "fds", fds);
            CO_ASSERT_TRUE(co_await a.recv_many(batch) == 2);
            EXPECT_TRUE(batch[0].control.find(SOL_SOCKET, SCM_CREDENTIALS).has_value());
            EXPECT_TRUE(batch[1].control.find(SOL_SOCKET, SCM_RIGHTS).has_value());
            EXPECT_EQ(batch[1].flags & (MSG_CTRUNC | MSG_CMSG_CLOEXEC), 0);
        }
    });
}

GYRE_ON_EACH_BACKEND(Batch);

// ---- Segments ----------------------------------------------------------------------------------

class Segments : public Batch {
protected:
    void SetUp() override {
        Batch::SetUp();
        if (IsSkipped())
            return;
        gyre::socket probe = gyre::socket::open(AF_INET, SOCK_DGRAM);
        for (const int option : {UDP_SEGMENT, UDP_GRO})
            if (thrown_by([&] { probe.setsockopt(IPPROTO_UDP, option, 0); }))
                GTEST_SKIP() << "the kernel cannot cut or merge UDP datagrams";
    }
};

TEST_P(Segments, TheKernelCutsWhatIsSentInSegments) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        run([&]() -> gyre::task<> {
            const std::vector<std::byte> bytes = pattern(1200);
            EXPECT_EQ(co_await b.send_segments(bytes, 500, a.getsockname()), 1200U);
            std::uint64_t arrived = hash({});
            for (const std::size_t expected : {500U, 500U, 200U}) {
                const std::size_t n = co_await a.recv(memory).within(5s);
                EXPECT_EQ(n, expected);
                arrived = hash(std::span(memory).first(n), arrived);
            }
            EXPECT_EQ(arrived, hash(bytes));
            // As a piece of ancillary data it is the same.
            gyre::ancillary control;
            control.append_segment_size(1000);
            co_await b.sendmsg(bytes, control, 0, a.getsockname());
            EXPECT_EQ(co_await a.recv(memory).within(5s), 1000U);
            EXPECT_EQ(co_await a.recv(memory).within(5s), 200U);
            EXPECT_EQ(co_await b.send_segments("short", 500, a.getsockname()), 5U);
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "short");
            co_await b.connect(a.getsockname());
            EXPECT_EQ(co_await b.send_segments("abcd", 2), 4U);
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "ab");
            EXPECT_EQ(received(co_await a.recv(memory).within(5s)), "cd");
        });
    }
}

TEST_P(Segments, OfNoSizeAndTooManyAreErrors) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        const gyre::address to = a.getsockname();
        EXPECT_EQ(thrown_by([&] { (void)b.send_segments("x", 0, to); }),
                  std::errc::invalid_argument);
        EXPECT_EQ(thrown_by([&] { (void)b.send_segments("x", 65'536, to); }),
                  std::errc::invalid_argument);
        EXPECT_TRUE(co_await outcome(b.send_segments(pattern(1000), 1, to)));
        gyre::socket closed;
        EXPECT_EQ(co_await outcome(closed.send_segments("x", 1, to)), gyre::errc::closed);
    });
}

TEST_P(Segments, MergedDatagramsAreToldApart) {
    auto [a, b] = make_udp_pair();
    a.setsockopt(IPPROTO_UDP, UDP_GRO, 1);
    run([&]() -> gyre::task<> {
        const std::vector<std::byte> bytes = pattern(1200);
        gyre::ancillary control;
        gyre::datagram_batch batch(4, 4096, 64);
        for (const bool many : {false, true}) {
            co_await b.send_segments(bytes, 500, a.getsockname());
            std::vector<std::size_t> sizes;
            std::uint64_t arrived = hash({});
            const auto take = [&](gyre::segment_range segments) {
                for (const auto s : segments) {
                    sizes.push_back(s.size());
                    arrived = hash(s, arrived);
                }
            };
            if (many) {
                const std::size_t n = co_await a.recv_many(batch).within(5s);
                for (std::size_t i = 0; i < n; ++i)
                    take(batch[i].segments());
            } else {
                const auto d = co_await a.recvmsg(memory, control).within(5s);
                EXPECT_EQ(d.count, 1200U);
                EXPECT_EQ(control.segment_size(), 500U);
                take(gyre::segment_range(std::span(memory).first(d.count), control));
            }
            EXPECT_EQ(sizes, (std::vector<std::size_t>{500, 500, 200}));
            EXPECT_EQ(arrived, hash(bytes));
        }
        co_await b.sendto("alone", a.getsockname());
        const auto d = co_await a.recvmsg(memory, control).within(5s);
        const gyre::segment_range one{std::span(memory).first(d.count), control};
        EXPECT_EQ(one.size(), 1U);
    });
}

GYRE_ON_EACH_BACKEND(Segments);

} // namespace
