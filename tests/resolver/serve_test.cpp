#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/serve.hpp>

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

namespace {

using namespace gyre_test;

class Serve : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Serve);

gyre::task<> echo(gyre::socket peer) {
    std::array<std::byte, 256> buffer;
    while (std::size_t n = co_await peer.recv(buffer))
        co_await peer.sendall(std::span(buffer).first(n));
}

/// What comes back for `text`; "" at the end or after a reset.
gyre::task<std::string> ask(gyre::socket& s, std::string_view text) {
    const auto sent = co_await gyre::as_result(s.sendall(text));
    std::array<std::byte, 256> buffer;
    const auto n = co_await gyre::as_result(s.recv(buffer));
    co_return sent&& n ? std::string(text_of(std::span(buffer).first(*n))) : "";
}

gyre::task<gyre::socket> connect(const gyre::address& at) {
    return gyre::create_connection(at, {.timeout = 10s});
}

/// A server that is stopped in the end, in each test.
template <class Handler>
gyre::future<> start(gyre::listener& l, Handler handler, gyre::serve_options options = {}) {
    return gyre::loop::current()->start(gyre::serve(l, handler, options));
}

/// Until it is so; a test that waits in vain ends with its patience.
template <class Condition>
gyre::task<> until(Condition holds) {
    while (!holds())
        co_await gyre::sleep_for(100us);
}

/// Until the kernel refuses: a listener is closed when what was pending at it has ended. Who comes
/// in between is reset, or let in by the accept that ends.
gyre::task<> refused_at_last(const gyre::address& at) {
    std::error_code code;
    while ((code = co_await outcome(connect(at))) != std::errc::connection_refused)
        EXPECT_TRUE(!code || code == std::errc::connection_reset) << code.message();
}

gyre::task<> stop(gyre::listener& l, gyre::future<>& server) {
    l.close();
    co_await server;
}

// ---- Handlers ----------------------------------------------------------------------------------

TEST_P(Serve, GivesEachConnectionToTheHandler) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server(gyre::server_options{});
        gyre::future<> server = start(l, echo);
        std::vector<gyre::socket> clients;
        for (gyre::socket& s : l.sockets())
            for (int i = 0; i < 3; ++i) {
                const std::uint16_t port = s.getsockname().port();
                clients.push_back(co_await connect(s.family() == AF_INET
                                                       ? gyre::address::loopback_ipv4(port)
                                                       : gyre::address::loopback_ipv6(port)));
            }
        for (gyre::socket& s : clients)
            EXPECT_EQ(co_await ask(s, "hello"), "hello");
        clients.clear();
        co_await stop(l, server);
    });
}

TEST_P(Serve, TellsTheHandlerTheAddressWhereItWantsToKnow) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gyre::address seen;
        gyre::future<> server = start(l, [&](gyre::socket, gyre::address from) -> gyre::task<> {
            seen = from;
            co_return;
        });
        gyre::socket s = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(s, ""), "");
        EXPECT_EQ(seen, s.getsockname());
        co_await stop(l, server);
    });
}

TEST_P(Serve, TheHandlerMayBeALambdaWhoseCapturesItsCoroutinesUse) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        const gyre::address at = l.getsockname();
        auto greeting = std::make_shared<std::string>("a greeting too long to lie in the string");
        const auto handler = [greeting](gyre::socket peer) -> gyre::task<> {
            co_await gyre::yield();
            co_await peer.sendall(*greeting);
        };
        gyre::future<> server = gyre::loop::current()->start(gyre::serve(std::move(l), handler));
        gyre::socket s = co_await connect(at);
        EXPECT_EQ(co_await ask(s, "?"), *greeting);
        server.cancel();
        co_await server;
    });
}

TEST_P(Serve, AwaitedWithWhatCreateServerGives) {
    run([]() -> gyre::task<> {
        const auto at = gyre::address::unix_abstract("gyre-serve-" + std::to_string(getpid()));
        const auto whole = [](gyre::address here) -> gyre::task<> {
            co_await gyre::serve(co_await gyre::create_server(here), echo, {.drain = 0s});
        };
        gyre::future<> server = gyre::loop::current()->start(whole(at));
        co_await next_turn();
        gyre::socket s = co_await connect(at);
        EXPECT_EQ(co_await ask(s, "hello"), "hello");
        server.cancel();
        co_await server;
    });
}

TEST_P(Serve, AcceptedConnectionsInheritTheOptionsOfTheListener) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        for (gyre::socket& s : l.sockets())
            s.set(gyre::option::no_delay, true);
        bool inherited = false;
        gyre::future<> server = start(l, [&](gyre::socket peer) -> gyre::task<> {
            inherited = peer.get(gyre::option::no_delay);
            co_return;
        });
        gyre::socket s = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(s, ""), "");
        EXPECT_TRUE(inherited);
        co_await stop(l, server);
    });
}

// ---- Failures ----------------------------------------------------------------------------------

std::vector<std::string> told; // on_error is a plain function

TEST_P(Serve, WhatLeavesAHandlerEndsItsConnectionAndIsTold) {
    told.clear();
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        const auto fail = [](gyre::socket peer) -> gyre::task<> {
            std::array<std::byte, 8> buffer;
            const std::size_t n = co_await peer.recv(buffer);
            if (text_of(std::span(buffer).first(n)) == "throw")
                throw std::runtime_error("thrown");
            if (text_of(std::span(buffer).first(n)) == "cancel")
                throw gyre::error(gyre::errc::cancelled, "handler");
            co_await peer.sendall("well");
        };
        gyre::future<> server =
            start(l, fail, {.on_error = [](const gyre::address& peer, std::exception_ptr e) {
                      try {
                          std::rethrow_exception(e);
                      } catch (const std::exception& what) {
                          told.push_back(peer.to_string() + " " + what.what());
                      }
                  }});
        std::vector<std::string> expected;
        for (const std::string text : {"throw", "fine", "cancel", "throw", "fine"}) {
            gyre::socket s = co_await connect(l.getsockname());
            if (text == "throw")
                expected.push_back(s.getsockname().to_string() + " thrown");
            EXPECT_EQ(co_await ask(s, text), text == "fine" ? "well" : "");
        }
        EXPECT_EQ(told, expected);
        co_await stop(l, server);
    });
}

TEST_P(Serve, WhatOnErrorThrowsEndsTheServer) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        const auto handler = [](gyre::socket peer) -> gyre::task<> {
            std::array<std::byte, 8> buffer;
            if (co_await peer.recv(buffer) == 5) // "throw"
                throw std::system_error(std::make_error_code(std::errc::io_error));
        };
        gyre::future<> server =
            start(l, handler, {.on_error = [](const gyre::address&, std::exception_ptr e) {
                      std::rethrow_exception(e);
                  }});
        gyre::socket idle = co_await connect(l.getsockname());
        gyre::socket s = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(s, "throw"), "");
        EXPECT_EQ(co_await outcome(std::move(server)), std::errc::io_error);
        EXPECT_EQ(co_await ask(idle, "hello"), "");
    });
}

TEST_P(Serve, WithoutAnyoneToTellAFailureEndsItsConnectionOnly) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gyre::future<> server = start(l, [](gyre::socket) -> gyre::task<> {
            throw std::runtime_error("before it waits for anything"); // no coroutine at all
        });
        for (int i = 0; i < 3; ++i) {
            gyre::socket s = co_await connect(l.getsockname());
            EXPECT_EQ(co_await ask(s, "?"), "");
        }
        co_await stop(l, server);
    });
}

TEST_P(Serve, WhatAcceptFailsOfIsThrownAfterDraining) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gyre::future<> server = start(l, echo, {.drain = std::nullopt});
        gyre::socket s = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(s, "hello"), "hello");
        l.sockets()[0].shutdown(SHUT_RDWR); // accept(2) says EINVAL
        EXPECT_EQ(co_await ask(s, "still there"), "still there");
        s.close();
        EXPECT_EQ(co_await outcome(std::move(server)), std::errc::invalid_argument);
    });
}

// ---- Bounds ------------------------------------------------------------------------------------

/// How many are handled at a time, at most, and how many have been.
struct gauge {
    std::size_t now = 0;
    std::size_t most = 0;
    std::size_t all = 0;

    auto handler() {
        return [this](gyre::socket peer) -> gyre::task<> {
            most = std::max(most, ++now);
            ++all;
            co_await gyre::as_result(echo(std::move(peer)));
            --now;
        };
    }
};

TEST_P(Serve, HandlesNoMoreThanItMayAndLeavesTheRestInTheQueue) {
    run([]() -> gyre::task<> {
        for (const std::size_t bound : {1U, 2U, 5U}) {
            gyre::listener l = co_await gyre::create_server(gyre::server_options{});
            const std::uint16_t port = l.getsockname().port();
            gauge g;
            gyre::future<> server = start(l, g.handler(), {.connections = bound});
            std::vector<gyre::socket> clients;
            for (int i = 0; i < 20; ++i) // connected all of them, in the kernel's queue
                clients.push_back(co_await connect(i % 2 == 0
                                                       ? gyre::address::loopback_ipv4(port)
                                                       : gyre::address::loopback_ipv6(port)));
            co_await until([&] { return g.now == bound; });
            // Each is answered in its turn, when those before it have gone.
            co_await gyre::with_group([&](gyre::task_group& group) -> gyre::task<> {
                for (gyre::socket& s : clients)
                    group.spawn([](gyre::socket& c) -> gyre::task<> {
                        EXPECT_EQ(co_await ask(c, "hello"), "hello");
                        c.close();
                    }(s));
                co_return;
            });
            EXPECT_EQ(g.all, 20U);
            EXPECT_EQ(g.most, bound);
            co_await stop(l, server);
        }
    });
}

TEST_P(Serve, AFullServerIsStoppedAtOnce) {
    run([]() -> gyre::task<> {
        for (const bool by_closing : {true, false}) {
            gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
            gauge g;
            gyre::future<> server = start(l, g.handler(), {.connections = 1, .drain = 0s});
            gyre::socket served = co_await connect(l.getsockname());
            gyre::socket queued = co_await connect(l.getsockname());
            EXPECT_EQ(co_await ask(served, "hello"), "hello");
            if (by_closing)
                l.close();
            else
                server.cancel();
            co_await server;
            EXPECT_EQ(g.all, 1U);
            EXPECT_EQ(co_await ask(served, "again"), "");
            EXPECT_EQ(co_await ask(queued, "hello"), "");
        }
    });
}

TEST_P(Serve, WithoutFreeDescriptorsConnectionsWaitUntilThereAreSome) {
    if (address_sanitized)
        GTEST_SKIP() << "the checks of UBSan need descriptors";
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gauge g;
        gyre::future<> server = start(l, g.handler());
        gyre::socket first = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(first, "one"), "one");
        gyre::socket second = co_await connect(l.getsockname());
        EXPECT_EQ(co_await ask(second, "two"), "two");
        // A third has its descriptor here, and none is left for its peer.
        gyre::socket third = gyre::socket::open();
        rlimit before{};
        getrlimit(RLIMIT_NOFILE, &before);
        const int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
        ::close(lowest);
        const rlimit none{static_cast<rlim_t>(lowest), before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        co_await third.connect(l.getsockname());
        gyre::future<std::string> answer = gyre::loop::current()->start(ask(third, "three"));
        for (int i = 0; i < 5; ++i)
            co_await next_turn();
        EXPECT_FALSE(answer.ready());
        EXPECT_EQ(co_await ask(second, "two"), "two") << "the others go on";
        first.close(); // and its peer, when the handler has seen the end
        EXPECT_EQ(co_await answer, "three");
        setrlimit(RLIMIT_NOFILE, &before);
        second.close();
        third.close();
        co_await stop(l, server);
        EXPECT_EQ(g.all, 3U);
    });
}

// ---- Stopping ----------------------------------------------------------------------------------

TEST_P(Serve, StopsAcceptingAtOnceAndLetsHandlersFinish) {
    run([]() -> gyre::task<> {
        for (const bool by_closing : {true, false}) {
            gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
            const gyre::address at = l.getsockname();
            gauge g;
            gyre::future<> server = start(l, g.handler(), {.drain = std::nullopt});
            std::vector<gyre::socket> clients;
            for (int i = 0; i < 10; ++i) {
                clients.push_back(co_await connect(at));
                EXPECT_EQ(co_await ask(clients.back(), "hello"), "hello");
            }
            if (by_closing)
                l.close();
            else
                server.cancel();
            co_await refused_at_last(at);
            EXPECT_LE(g.all, 11U);
            for (gyre::socket& s : clients) {
                EXPECT_FALSE(server.ready());
                EXPECT_EQ(co_await ask(s, "and on"), "and on");
                s.close();
            }
            co_await server; // no error, though it was cancelled
            EXPECT_EQ(g.now, 0U);
        }
    });
}

TEST_P(Serve, PastTheTimeToDrainHandlersAreCancelledAndAwaited) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        int cancelled = 0;
        const auto handler = [&](gyre::socket peer) -> gyre::task<> {
            co_await peer.sendall("x");
            const auto r = co_await gyre::as_result(gyre::sleep_for(24h));
            co_await gyre::yield(); // it takes its time to end
            cancelled += r.error() == gyre::errc::cancelled;
        };
        const auto begin = gyre::clock::now();
        gyre::future<> server = start(l, handler, {.drain = 10ms});
        std::vector<gyre::socket> clients;
        for (int i = 0; i < 5; ++i) {
            clients.push_back(co_await connect(l.getsockname()));
            EXPECT_EQ(co_await ask(clients.back(), "?"), "x");
        }
        l.close();
        co_await server;
        EXPECT_GE(gyre::clock::now() - begin, 10ms);
        EXPECT_EQ(cancelled, 5);
    });
}

TEST_P(Serve, ACancelWhileItDrainsEndsThatAtOnce) {
    run([]() -> gyre::task<> {
        for (const bool by_closing : {true, false}) {
            gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
            gauge g;
            gyre::future<> server = start(l, g.handler(), {.drain = std::nullopt});
            gyre::socket s = co_await connect(l.getsockname());
            EXPECT_EQ(co_await ask(s, "hello"), "hello");
            if (by_closing)
                l.close();
            else
                server.cancel();
            co_await next_turn();
            EXPECT_FALSE(server.ready());
            EXPECT_EQ(co_await ask(s, "still there"), "still there");
            server.cancel();
            co_await server;
            EXPECT_EQ(g.now, 0U);
            EXPECT_EQ(co_await ask(s, "again"), "");
        }
    });
}

TEST_P(Serve, AHandlerMayCloseTheListener) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server(gyre::server_options{});
        const auto at = gyre::address::loopback_ipv6(l.getsockname().port());
        const auto handler = [&](gyre::socket peer) -> gyre::task<> {
            std::array<std::byte, 8> buffer;
            if (co_await peer.recv(buffer) == 4)
                l.close();
            co_await peer.sendall("bye");
        };
        gyre::future<> server = start(l, handler);
        gyre::socket s = co_await connect(at);
        EXPECT_EQ(co_await ask(s, "stop"), "bye");
        co_await server;
        co_await refused_at_last(at);
    });
}

TEST_P(Serve, ClosingOneOfTheSocketsStopsAll) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server(gyre::server_options{});
        gyre::future<> server = start(l, echo);
        co_await next_turn();
        l.sockets()[1].close();
        co_await server;
    });
}

TEST_P(Serve, StoppedBeforeItBeginsItEnds) {
    run([]() -> gyre::task<> {
        gyre::listener closed = co_await gyre::create_server({.host = "127.0.0.1"});
        closed.close();
        co_await gyre::serve(closed, echo);
        gyre::listener none;
        co_await gyre::serve(none, echo);
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gyre::socket s = co_await connect(l.getsockname());
        gyre::future<> server = start(l, echo);
        server.cancel();
        co_await server;
        EXPECT_EQ(co_await ask(s, "hello"), "");
    });
}

TEST_P(Serve, LosingARaceStopsItAndIsWaitedFor) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
        gauge g;
        gyre::socket s = co_await connect(l.getsockname());
        const auto client = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await ask(s, "hello"), "hello");
            s.close();
        };
        const auto handler = g.handler();
        co_await gyre::race(client(), gyre::serve(l, handler));
        EXPECT_EQ(g.all, 1U);
        EXPECT_EQ(g.now, 0U);
    });
}

TEST_P(Serve, WithEndInputThoseThatWaitForARequestEndAndThoseAtWorkFinish) {
    run([]() -> gyre::task<> {
        for (const bool by_closing : {true, false}) {
            gyre::listener l = co_await gyre::create_server(gyre::server_options{});
            const std::uint16_t port = l.getsockname().port();
            bool go_on = false;
            const auto handler = [&](gyre::socket peer) -> gyre::task<> {
                std::array<std::byte, 256> buffer;
                while (std::size_t n = co_await peer.recv(buffer)) {
                    if (n == 4) // "work"
                        co_await until([&] { return go_on; });
                    co_await peer.sendall(std::span(buffer).first(n));
                }
                co_await peer.sendall("bye");
            };
            gyre::future<> server = start(l, handler, {.drain = std::nullopt, .end_input = true});
            gyre::socket idle = co_await connect(gyre::address::loopback_ipv4(port));
            EXPECT_EQ(co_await ask(idle, "hello"), "hello");
            gyre::socket gone = co_await connect(gyre::address::loopback_ipv4(port));
            EXPECT_EQ(co_await ask(gone, "hello"), "hello");
            gone.close();
            gyre::socket busy = co_await connect(gyre::address::loopback_ipv6(port));
            gyre::future<std::string> answer = gyre::loop::current()->start(ask(busy, "work"));
            for (int i = 0; i < 5; ++i)
                co_await next_turn();
            if (by_closing)
                l.close();
            else
                server.cancel();
            std::array<std::byte, 8> buffer;
            EXPECT_EQ(co_await idle.recv(buffer), 3U); // bye
            EXPECT_EQ(co_await idle.recv(buffer), 0U);
            EXPECT_FALSE(server.ready());
            push(busy, "more that has arrived");
            go_on = true;
            EXPECT_TRUE((co_await answer).starts_with("work"));
            co_await server;
        }
    });
}

TEST_P(Serve, CancelledWhileAThousandConnectItLosesNoneThatItAccepted) {
    run([]() -> gyre::task<> {
        constexpr int count = 1000;
        gyre::listener l = co_await gyre::create_server(gyre::server_options{});
        const std::uint16_t port = l.getsockname().port();
        gauge g;
        gyre::future<> server = start(l, g.handler(), {.drain = std::nullopt});
        int answered = 0;
        int refused = 0;
        bool stopped = false;
        const auto client = [&](int i) -> gyre::task<> {
            auto s =
                co_await gyre::as_result(connect(i % 2 == 0 ? gyre::address::loopback_ipv4(port)
                                                            : gyre::address::loopback_ipv6(port)));
            const std::string text = "request " + std::to_string(i);
            if (s && co_await ask(*s, text) == text)
                ++answered;
            else
                ++refused;
            if (answered == count / 4 && !std::exchange(stopped, true))
                server.cancel();
        };
        co_await gyre::with_group([&](gyre::task_group& group) -> gyre::task<> {
            for (int i = 0; i < count; ++i)
                group.spawn(client(i));
            co_return;
        });
        co_await server;
        EXPECT_EQ(answered + refused, count);
        EXPECT_EQ(static_cast<std::size_t>(answered), g.all) << "each that was accepted";
        EXPECT_GE(answered, count / 4);
    });
}

TEST_P(Serve, TheEndOfTheLoopEndsIt) {
    gauge g;
    {
        gyre::loop loop(options());
        const auto begin = [&]() -> gyre::task<> {
            gyre::listener l = co_await gyre::create_server({.host = "127.0.0.1"});
            const gyre::address at = l.getsockname();
            const auto handler = g.handler();
            const auto dropped = gyre::loop::current()->start(
                gyre::serve(std::move(l), handler, {.drain = std::nullopt}));
            gyre::socket s = co_await connect(at);
            EXPECT_EQ(co_await ask(s, "hello"), "hello");
            EXPECT_EQ(g.now, 1U);
            const auto client = gyre::loop::current()->start([](gyre::socket kept) -> gyre::task<> {
                co_await gyre::as_result(gyre::sleep_for(24h));
                kept.close();
            }(std::move(s)));
        };
        loop.run(gyre::with_timeout(20s, begin()));
    }
    EXPECT_EQ(g.now, 0U);
}

} // namespace
