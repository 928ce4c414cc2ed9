#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <fcntl.h>
#include <sys/resource.h>

namespace {

using namespace gyre_test;

class Accept : public on_each_stream {};

TEST_P(Accept, GivesAtOnceWhoIsQueued) {
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        std::vector<gyre::socket> clients;
        for (int i = 0; i < 3; ++i) {
            clients.push_back(make_client(kind()));
            co_await clients.back().connect(listener.getsockname());
        }
        for (gyre::socket& client : clients) {
            auto [peer, from] = co_await listener.accept();
            if (over_tcp()) {
                EXPECT_EQ(from, client.getsockname());
            }
            EXPECT_EQ(peer.family(), family_of(kind()));
            EXPECT_EQ(peer.type(), SOCK_STREAM);
            EXPECT_EQ(peer.getsockname(), listener.getsockname());
        }
    });
}

TEST_P(Accept, WaitsForWhoComesLater) {
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        for (int round = 0; round < 3; ++round) {
            gyre::socket client = make_client(kind());
            const auto connect = [&]() -> gyre::task<> {
                co_await next_turn();
                co_await client.connect(listener.getsockname());
            };
            auto [peer, nothing] = co_await gyre::all(listener.accept(), connect());
            std::array<std::byte, 8> memory;
            co_await client.sendall("hello");
            EXPECT_EQ(co_await peer.first.recv(memory), 5U);
        }
    });
}

TEST_P(Accept, OnASocketThatDoesNotListenSaysSo) {
    gyre::socket s = make_client(kind());
    gyre::socket udp = gyre::socket::open(AF_INET, SOCK_DGRAM);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(s.accept()), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(udp.accept()), std::errc::operation_not_supported);
    });
}

TEST_P(Accept, ShuttingTheListenerDownEndsAPendingOne) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        const auto shut = [&]() -> gyre::task<> {
            co_await next_turn();
            listener.shutdown(SHUT_RD);
        };
        auto [code, nothing] = co_await gyre::all(outcome(listener.accept()), shut());
        EXPECT_EQ(code, std::errc::invalid_argument);
    });
}

// A2: Linux accepts it all the same; what is wrong shows in the connection.
TEST_P(Accept, AConnectionThatWasResetInTheQueueDoesNotEndTheListener) {
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        {
            gyre::socket client = make_client(kind());
            co_await client.connect(listener.getsockname());
            reset_when_closed(client);
        }
        std::array<std::byte, 8> memory;
        auto [dead, nobody] = co_await listener.accept();
        auto n = co_await gyre::as_result(dead.recv(memory));
        if (over_tcp()) {
            EXPECT_EQ(code_of(n), std::errc::connection_reset);
        }
        gyre::socket client = make_client(kind());
        co_await client.connect(listener.getsockname());
        auto [alive, somebody] = co_await listener.accept();
        co_await client.sendall("hello");
        EXPECT_EQ(co_await alive.recv(memory), 5U);
    });
}

// A4
TEST_P(Accept, ClosingTheListenerResetsWhoIsQueued) {
    gyre::socket listener = make_listener(kind());
    run([&]() -> gyre::task<> {
        gyre::socket client = make_client(kind());
        co_await client.connect(listener.getsockname());
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            listener.close();
        };
        std::array<std::byte, 8> memory;
        auto [code, nothing] = co_await gyre::all(outcome(client.recv(memory)), close());
        if (over_tcp()) {
            EXPECT_EQ(code, std::errc::connection_reset);
        }
    });
}

// A5
TEST_P(Accept, TwoListenersMayShareAPort) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    gyre::socket first = make_client(kind());
    gyre::socket second = make_client(kind());
    for (gyre::socket* s : {&first, &second})
        s->set(gyre::option::reuse_port, true);
    first.bind(kind() == stream_kind::tcp ? gyre::address::loopback_ipv4(0)
                                          : gyre::address::loopback_ipv6(0));
    second.bind(first.getsockname());
    first.listen();
    second.listen();
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 40;
        unsigned accepted = 0;
        std::vector<gyre::socket> clients;
        const auto serve = [&](gyre::socket& listener) -> gyre::task<> {
            while (accepted < total) {
                auto peer = co_await gyre::as_result(listener.accept());
                if (!peer)
                    break;
                ++accepted;
            }
            first.close();
            second.close();
        };
        const auto connect = [&]() -> gyre::task<> {
            const gyre::address to = first.getsockname();
            for (unsigned i = 0; i < total; ++i) {
                clients.push_back(make_client(kind()));
                co_await clients.back().connect(to);
            }
        };
        co_await gyre::all(serve(first), serve(second), connect());
        EXPECT_EQ(accepted, total);
    });
}

TEST_P(Accept, AThousandConnectionsAreAllAccepted) {
    gyre::socket listener = make_listener(kind(), 64);
    run([&]() -> gyre::task<> {
        constexpr unsigned total = 1000;
        unsigned answered = 0;
        const auto serve_one = [&](gyre::socket peer) -> gyre::task<> {
            std::array<std::byte, 8> memory;
            co_await peer.sendall(std::span(memory).first(co_await peer.recv(memory)));
        };
        const auto client = [&]() -> gyre::task<> {
            for (unsigned i = 0; i < total / 20; ++i) {
                gyre::socket s = make_client(kind());
                co_await s.connect(listener.getsockname());
                co_await s.sendall("ping");
                std::array<std::byte, 8> memory;
                answered += co_await s.recv(memory) == 4;
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (unsigned i = 0; i < 20; ++i)
                g.spawn(client());
            for (unsigned i = 0; i < total; ++i) {
                auto [peer, from] = co_await listener.accept();
                g.spawn(serve_one(std::move(peer)));
            }
        });
        EXPECT_EQ(answered, total);
    });
}

GYRE_OVER_EACH_STREAM(Accept);

} // namespace
