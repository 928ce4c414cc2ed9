#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/core/task_group.hpp>

#include <array>
#include <unistd.h>

namespace {

using namespace gyre_test;

class Connect : public on_each_stream {};

/// An address where nobody listens (any more).
gyre::address deserted(stream_kind kind) {
    return make_listener(kind).getsockname();
}

TEST_P(Connect, LeadsToTheListener) {
    gyre::socket listener = make_listener(kind());
    gyre::socket client = make_client(kind());
    run([&]() -> gyre::task<> {
        co_await client.connect(listener.getsockname());
        EXPECT_EQ(client.getpeername(), listener.getsockname());
        auto [peer, from] = co_await listener.accept();
        if (over_tcp())
            EXPECT_EQ(from, client.getsockname());
        else
            EXPECT_TRUE(from.is_unix_unnamed() || from.empty());
        std::array<std::byte, 8> memory;
        co_await client.sendall("hello");
        EXPECT_EQ(co_await peer.recv(memory), 5U);
    });
}

TEST_P(Connect, ExReturnsNoErrorOnSuccess) {
    gyre::socket listener = make_listener(kind());
    gyre::socket client = make_client(kind());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(listener.getsockname()), std::error_code());
    });
}

// C1
TEST_P(Connect, WhereNobodyListensIsRefused) {
    gyre::socket client = make_client(kind());
    const gyre::address to = deserted(kind());
    run([&]() -> gyre::task<> {
        std::string text;
        try {
            co_await client.connect(to);
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::connection_refused);
            text = e.what();
        }
        EXPECT_EQ(text, "connect to " + to.to_string() + ": Connection refused");
    });
}

TEST_P(Connect, ExReturnsConnectionRefused) {
    gyre::socket client = make_client(kind());
    const gyre::address to = deserted(kind());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(to), std::errc::connection_refused);
    });
}

// C2
TEST_P(Connect, ConsumesTheErrorThatItReports) {
    gyre::socket client = make_client(kind());
    const gyre::address to = deserted(kind());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(to), std::errc::connection_refused);
        EXPECT_EQ(client.get(gyre::option::pending_error), 0);
    });
}

// C3
TEST_P(Connect, ASecondTimeSaysIsConnected) {
    gyre::socket listener = make_listener(kind());
    gyre::socket client = make_client(kind());
    run([&]() -> gyre::task<> {
        co_await client.connect(listener.getsockname());
        EXPECT_EQ(co_await client.connect_ex(listener.getsockname()), std::errc::already_connected);
        EXPECT_EQ(co_await client.connect_ex(listener.getsockname()).nonblocking(),
                  std::errc::already_connected);
    });
}

TEST_P(Connect, OfAListenerFails) {
    gyre::socket listener = make_listener(kind());
    gyre::socket other = make_listener(kind());
    run([&]() -> gyre::task<> {
        const std::error_code code = co_await other.connect_ex(listener.getsockname());
        EXPECT_EQ(code, over_tcp() ? std::errc::already_connected : std::errc::invalid_argument);
    });
}

// C4: whatever the second try gives, it ends, and is the same on both backends.
TEST_P(Connect, AfterAFailureASecondTryEnds) {
    gyre::socket client = make_client(kind());
    const gyre::address to = deserted(kind());
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(to), std::errc::connection_refused);
        const std::error_code again = co_await client.connect_ex(to).within(5s);
        EXPECT_TRUE(again == std::errc::connection_refused ||
                    again == std::errc::connection_aborted)
            << again.message();
    });
}

// T5
TEST_P(Connect, ToAFullBacklogTimesOut) {
    gyre::socket listener = make_listener(kind(), 0);
    const gyre::address to = listener.getsockname();
    run([&]() -> gyre::task<> {
        const gyre::socket filler = fill_backlog(listener, kind());
        gyre::socket client = make_client(kind());
        const auto start = gyre::clock::now();
        EXPECT_EQ(co_await client.connect_ex(to).within(30ms), gyre::errc::timed_out);
        EXPECT_GE(gyre::clock::now() - start, 30ms);
    });
}

// C5: Linux says EAGAIN, and polling says writable.
TEST_P(Connect, ToAFullUnixBacklogWaitsForRoom) {
    if (over_tcp())
        GTEST_SKIP() << "UNIX only";
    gyre::socket listener = make_listener(kind(), 0);
    const gyre::address to = listener.getsockname();
    run([&]() -> gyre::task<> {
        constexpr unsigned count = 5;
        unsigned served = 0;
        const auto client = [&]() -> gyre::task<> {
            gyre::socket s = make_client(kind());
            co_await s.connect(to).within(10s);
            std::array<std::byte, 8> memory;
            EXPECT_EQ(co_await s.recv(memory), 2U);
            ++served;
        };
        const auto server = [&]() -> gyre::task<> {
            for (unsigned i = 0; i < 10; ++i)
                co_await next_turn();
            for (unsigned i = 0; i < count; ++i) {
                auto [peer, from] = co_await listener.accept();
                co_await peer.sendall("hi");
            }
        };
        co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
            for (unsigned i = 0; i < count; ++i)
                g.spawn(client());
            g.spawn(server());
            co_return;
        });
        EXPECT_EQ(served, count);
    });
}

TEST_P(Connect, NonblockingGoesOnByItselfAndASecondOneAwaitsIt) {
    gyre::socket listener = make_listener(kind());
    gyre::socket client = make_client(kind());
    run([&]() -> gyre::task<> {
        const gyre::address to = listener.getsockname();
        const std::error_code first = co_await client.connect_ex(to).nonblocking();
        if (over_tcp()) {
            EXPECT_EQ(first, std::errc::operation_in_progress);
            EXPECT_EQ(co_await client.connect_ex(to), std::error_code());
        } else {
            EXPECT_EQ(first, std::error_code());
        }
        EXPECT_EQ(client.getpeername(), to);
    });
}

// C6
TEST_P(Connect, ToPortZeroIsRefused) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    gyre::socket client = make_client(kind());
    const gyre::address to = kind() == stream_kind::tcp ? gyre::address::loopback_ipv4(0)
                                                        : gyre::address::loopback_ipv6(0);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(to), std::errc::connection_refused);
    });
}

TEST_P(Connect, ToAnotherFamilySaysSo) {
    gyre::socket client = make_client(kind());
    const gyre::address other =
        over_tcp() ? gyre::address::unix_abstract("gyre-nobody") : gyre::address::loopback_ipv4(9);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await client.connect_ex(other), std::errc::invalid_argument);
    });
}

GYRE_OVER_EACH_STREAM(Connect);

/// Abstract names are the whole machine's: no two processes may bind the same.
std::string own_name(std::string_view rest) {
    return ("gyre" + std::to_string(getpid())).append(rest);
}

class UnixConnect : public on_each_backend<> {};

TEST_P(UnixConnect, ToAPathThatIsNotThereSaysSo) {
    run([&]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await s.connect_ex(gyre::address::unix_path("/nonexistent/gyre")),
                  std::errc::no_such_file_or_directory);
    });
}

TEST_P(UnixConnect, ToAPathThatWasLeftBehindIsRefused) {
    std::string folder = "/tmp/gyre-test-XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/socket";
    {
        gyre::socket listener = gyre::socket::open(AF_UNIX);
        listener.bind(gyre::address::unix_path(path));
        listener.listen();
    }
    run([&]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await s.connect_ex(gyre::address::unix_path(path)),
                  std::errc::connection_refused);
    });
    gyre::socket again = gyre::socket::open(AF_UNIX);
    EXPECT_EQ(thrown_by([&] { again.bind(gyre::address::unix_path(path)); }),
              std::errc::address_in_use);
    unlink(path.c_str());
    rmdir(folder.c_str());
}

// N3
TEST_P(UnixConnect, NamesMayHaveAHundredAndSevenBytes) {
    std::string longest = own_name({});
    longest.resize(107, 'x');
    gyre::socket listener = gyre::socket::open(AF_UNIX);
    listener.bind(gyre::address::unix_abstract(longest));
    listener.listen();
    EXPECT_EQ(listener.getsockname().abstract_name().size(), 107U);
    EXPECT_EQ(thrown_by([&] { (void)gyre::address::unix_abstract(longest + 'x'); }),
              std::errc::filename_too_long);
    EXPECT_EQ(thrown_by([&] { (void)gyre::address::unix_path(longest + 'x'); }),
              std::errc::filename_too_long);
    run([&]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await s.connect_ex(listener.getsockname()), std::error_code());
    });
}

// N1
TEST_P(UnixConnect, AnAbstractNameMayHoldNulsAndTheLastCounts) {
    using namespace std::string_view_literals;
    const gyre::address name = gyre::address::unix_abstract(own_name("\0n\0"sv));
    const gyre::address other = gyre::address::unix_abstract(own_name("\0n"sv));
    gyre::socket listener = gyre::socket::open(AF_UNIX);
    listener.bind(name);
    listener.listen();
    EXPECT_EQ(listener.getsockname(), name);
    run([&]() -> gyre::task<> {
        gyre::socket s = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await s.connect_ex(other), std::errc::connection_refused);
        gyre::socket t = gyre::socket::open(AF_UNIX);
        EXPECT_EQ(co_await t.connect_ex(name), std::error_code());
    });
}

// N4
TEST_P(UnixConnect, BindingToNothingLetsTheKernelChoose) {
    gyre::socket a = gyre::socket::open(AF_UNIX);
    gyre::socket b = gyre::socket::open(AF_UNIX);
    a.bind(gyre::address::unix_unnamed());
    b.bind(gyre::address::unix_unnamed());
    EXPECT_EQ(a.getsockname().abstract_name().size(), 5U);
    EXPECT_NE(a.getsockname(), b.getsockname());
}

// N5
TEST_P(UnixConnect, AnUnboundSocketHasNoName) {
    gyre::socket s = gyre::socket::open(AF_UNIX);
    EXPECT_TRUE(s.getsockname().is_unix_unnamed()) << s.getsockname().to_string();
}

TEST_P(UnixConnect, SeqpacketConnectsAndKeepsRecords) {
    gyre::socket listener = gyre::socket::open(AF_UNIX, SOCK_SEQPACKET);
    listener.bind(gyre::address::unix_unnamed());
    listener.listen();
    run([&]() -> gyre::task<> {
        gyre::socket client = gyre::socket::open(AF_UNIX, SOCK_SEQPACKET);
        co_await client.connect(listener.getsockname());
        auto [peer, from] = co_await listener.accept();
        EXPECT_EQ(peer.type(), SOCK_SEQPACKET);
        co_await client.send("first");
        co_await client.sendall("second");
        std::array<std::byte, 64> memory;
        EXPECT_EQ(co_await peer.recv(memory), 5U);
        gyre::lease second = co_await peer.recv();
        EXPECT_EQ(text_of(second.bytes()), "second");
        co_await client.send("too long");
        auto d = co_await peer.recvfrom(std::span(memory).first(3));
        EXPECT_EQ(d.count, 3U);
        EXPECT_EQ(d.flags & MSG_TRUNC, MSG_TRUNC);
        client.close();
        EXPECT_EQ(co_await peer.recv(memory), 0U);
    });
}

GYRE_ON_EACH_BACKEND(UnixConnect);

} // namespace
