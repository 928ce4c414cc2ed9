#include "../support/sockets.hpp"

#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/listener.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <set>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace {

using namespace gyre_test;

class Listener : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Listener);

gyre::listener listener_of(std::initializer_list<stream_kind> kinds) {
    std::vector<gyre::socket> sockets;
    for (const stream_kind kind : kinds)
        sockets.push_back(make_listener(kind));
    return gyre::listener(std::move(sockets));
}

constexpr auto all_kinds = {stream_kind::tcp, stream_kind::tcp6, stream_kind::unix_stream};

/// Connected, around the library, to the socket with that number; it has said `text`.
gyre::socket client_of(gyre::listener& l, std::size_t number, std::string_view text = "") {
    const gyre::socket& to = l.sockets()[number];
    gyre::socket s = gyre::socket::open(to.family());
    const int fd = s.detach();
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    const gyre::address at = to.getsockname();
    if (::connect(fd, at.data(), at.size()) != 0)
        ADD_FAILURE() << "connect: " << std::strerror(errno);
    s = gyre::socket::adopt(fd);
    if (!text.empty())
        push(s, text);
    return s;
}

TEST_P(Listener, AcceptsFromEachOfItsSockets) {
    run([]() -> gyre::task<> {
        gyre::listener l = listener_of(all_kinds);
        for (const std::size_t n : {2U, 0U, 1U, 1U, 2U}) {
            gyre::future<std::pair<gyre::socket, gyre::address>> f =
                gyre::loop::current()->start(l.accept());
            co_await next_turn();
            EXPECT_FALSE(f.ready());
            gyre::socket client = client_of(l, n);
            auto [peer, from] = co_await f;
            EXPECT_EQ(peer.family(), l.sockets()[n].family());
            EXPECT_EQ(from, client.getsockname());
        }
    });
}

TEST_P(Listener, TakesThemInTurn) {
    run([]() -> gyre::task<> {
        gyre::listener l = listener_of(all_kinds);
        std::vector<gyre::socket> clients;
        for (int i = 0; i < 10; ++i)
            for (std::size_t n = 0; n < 3; ++n)
                clients.push_back(client_of(l, n));
        std::map<int, int> count;
        for (int i = 0; i < 15; ++i) {
            auto [peer, from] = co_await l.accept();
            ++count[peer.family()];
        }
        for (const int family : {AF_INET, AF_INET6, AF_UNIX})
            EXPECT_GE(count[family], 3) << family;
    });
}

TEST_P(Listener, OneSocketIsThatSocket) {
    run([]() -> gyre::task<> {
        gyre::listener l = listener_of({stream_kind::tcp});
        const gyre::address at = l.getsockname();
        gyre::socket client = client_of(l, 0);
        auto [peer, from] = co_await l.accept();
        EXPECT_EQ(from, client.getsockname());
        gyre::socket s = std::move(l);
        EXPECT_EQ(s.getsockname(), at);
        EXPECT_TRUE(l.sockets().empty()); // NOLINT(bugprone-use-after-move)
        EXPECT_EQ(co_await outcome(l.accept()), gyre::errc::closed);
    });
}

/// Whatever the moment of a cancel, each client is accepted once, and still connected.
gyre::task<> cancel_again_and_again(gyre::listener& l) {
    constexpr int count = 100; // that fit into the backlog
    std::vector<gyre::socket> clients;
    std::vector<gyre::socket> peers;
    std::set<std::string> heard;
    int cancelled = 0;
    const auto accept = [&]() -> gyre::task<> {
        auto r = co_await gyre::as_result(l.accept());
        if (r)
            peers.push_back(std::move(r->first));
        else
            ++cancelled;
    };
    const auto connect = [&] { // to all in one turn
        for (std::size_t n = 0; n < l.sockets().size(); ++n)
            clients.push_back(client_of(l, n, std::to_string(clients.size())));
    };
    for (int i = 0; i < count; ++i) {
        if (i % 2 == 0)
            connect();
        co_await gyre::with_group([&](gyre::task_group& group) -> gyre::task<> {
            group.spawn(accept());
            if (i % 2 != 0) {
                co_await next_turn();
                connect();
            }
            if (i % 3 == 0)
                co_await next_turn();
            for (int n = 0; n < i / 6; ++n) // each step from the first attempt to the end
                co_await gyre::yield();
            group.cancel();
        });
    }
    while (peers.size() < clients.size()) {
        auto [peer, from] = co_await gyre::with_timeout(10s, l.accept());
        peers.push_back(std::move(peer));
    }
    for (const gyre::socket& peer : peers)
        heard.insert(pull(peer));
    EXPECT_EQ(heard.size(), clients.size());
    EXPECT_FALSE(heard.contains(""));
    EXPECT_GT(cancelled, 0);
}

TEST_P(Listener, CancellingItLosesNoConnection) {
    run([]() -> gyre::task<> {
        gyre::listener one = listener_of({stream_kind::tcp});
        co_await cancel_again_and_again(one);
    });
}

TEST_P(Listener, CancellingItLosesNoConnectionOfSeveralSocketsThatAcceptInOneTurn) {
    run([]() -> gyre::task<> {
        gyre::listener three = listener_of(all_kinds);
        co_await cancel_again_and_again(three);
    });
}

TEST_P(Listener, ClosingItEndsWhatIsPendingAndResetsWhatWaits) {
    run([]() -> gyre::task<> {
        for (const bool begun : {true, false}) {
            gyre::listener l = listener_of(all_kinds);
            gyre::future<std::error_code> f = gyre::loop::current()->start(outcome(l.accept()));
            if (begun)
                co_await next_turn();
            l.close();
            l.close();
            EXPECT_EQ(co_await f, gyre::errc::closed);
            EXPECT_EQ(co_await outcome(l.accept()), gyre::errc::closed);
            EXPECT_EQ(thrown_by([&] { (void)l.getsockname(); }), gyre::errc::closed);
        }
        gyre::listener l = listener_of({stream_kind::tcp, stream_kind::tcp6});
        gyre::socket clients[] = {client_of(l, 0), client_of(l, 1)};
        auto [peer, from] = co_await l.accept(); // and perhaps the other one, for the next call
        l.close();
        gyre::socket& other = clients[peer.family() == AF_INET ? 1 : 0];
        std::array<std::byte, 8> memory;
        const auto n = co_await gyre::as_result(other.recv(memory));
        EXPECT_TRUE(!n || *n == 0U);
    });
}

TEST_P(Listener, TwoCallsAtATimeAreOneTooMany) {
    run([]() -> gyre::task<> {
        gyre::listener l = listener_of(all_kinds);
        gyre::future<std::error_code> first = gyre::loop::current()->start(outcome(l.accept()));
        co_await next_turn();
        EXPECT_EQ(co_await outcome(l.accept()), gyre::errc::busy);
        first.cancel();
        EXPECT_EQ(co_await first, gyre::errc::cancelled);
    });
}

TEST_P(Listener, WithoutSocketsIsClosed) {
    run([]() -> gyre::task<> {
        gyre::listener l;
        EXPECT_EQ(co_await outcome(l.accept()), gyre::errc::closed);
        EXPECT_EQ(thrown_by([&] { (void)l.getsockname(); }), gyre::errc::closed);
        l.close();
    });
}

} // namespace
