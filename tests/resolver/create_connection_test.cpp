#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace gyre_test;

class CreateConnection : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(CreateConnection);

/// Listens at this address of the loopback, on a port that the kernel chooses or that one.
gyre::socket listen_at(const std::string& host, std::uint16_t port = 0) {
    const gyre::address at = gyre::address::from_ip(host, port).value();
    gyre::socket s = gyre::socket::open(at.family(), SOCK_STREAM);
    s.bind(at);
    s.listen();
    return s;
}

/// An address that connections to are refused, for as long as this lives.
struct refusing {
    gyre::socket bound;
    gyre::address address;
};
refusing refuse_at(const std::string& host, std::uint16_t port = 0) {
    const gyre::address at = gyre::address::from_ip(host, port).value();
    gyre::socket s = gyre::socket::open(at.family(), SOCK_STREAM);
    s.bind(at);
    const gyre::address bound = s.getsockname();
    return {std::move(s), bound};
}

/// A listener that takes no more connections: they are left waiting.
struct full {
    explicit full(stream_kind kind) : listener(make_listener(kind, 0)) {
        address = listener.getsockname();
        for (int i = 0; i < 2; ++i) {
            fillers.push_back(make_client(kind));
            ::connect(fillers.back().fileno(), std::as_const(address).data(), address.size());
        }
    }
    gyre::socket listener;
    gyre::address address;
    std::vector<gyre::socket> fillers;
};

/// What `make` makes. It takes a port that the kernel chose for one address at others, too, where
/// somebody else may have it: then again, with another.
template <class F>
auto on_a_free_port(F make) {
    for (int tries = 0;; ++tries) {
        try {
            return make();
        } catch (const gyre::error& e) {
            if (e.code() != std::errc::address_in_use || tries == 100)
                throw;
        }
    }
}

/// How it failed, in words; "" when it did not.
template <class Awaitable>
gyre::task<std::string> words(Awaitable a) {
    try {
        co_await std::move(a);
    } catch (const std::exception& e) {
        co_return e.what();
    }
    co_return "";
}

// ---- Success -----------------------------------------------------------------------------------

TEST_P(CreateConnection, ConnectsToNumericAddressesOfBothFamilies) {
    run([]() -> gyre::task<> {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            const gyre::socket listener = listen_at(host);
            const gyre::address to = listener.getsockname();
            gyre::socket s = co_await gyre::create_connection(host, to.port());
            EXPECT_EQ(s.getpeername(), to);
            EXPECT_EQ(s.gettimeout(), std::nullopt);
        }
    });
}

TEST_P(CreateConnection, ConnectsToAName) {
    run([]() -> gyre::task<> {
        const gyre::socket listener = listen_at("127.0.0.1");
        const gyre::address to = listener.getsockname();
        gyre::socket s = co_await gyre::create_connection("localhost", to.port(), {.timeout = 10s});
        EXPECT_EQ(s.getpeername(), to);
    });
}

TEST_P(CreateConnection, ConnectsToAnAddressOfAnyFamily) {
    run([]() -> gyre::task<> {
        for (const stream_kind kind :
             {stream_kind::tcp, stream_kind::tcp6, stream_kind::unix_stream}) {
            gyre::socket listener = make_listener(kind);
            const gyre::address to = listener.getsockname();
            gyre::socket s = co_await gyre::create_connection(to, {.timeout = 10s});
            auto [peer, from] = co_await listener.accept();
            push(s, "hello");
            std::array<std::byte, 16> memory;
            EXPECT_EQ(co_await peer.recv(memory), 5U);
        }
    });
}

TEST_P(CreateConnection, KeepsACopyOfTheHost) {
    run([]() -> gyre::task<> {
        const gyre::socket listener = listen_at("127.0.0.1");
        const gyre::address to = listener.getsockname();
        std::string host = "127.0.0.1 and a text that is long enough to be on the heap";
        auto connecting = gyre::create_connection(std::string_view(host).substr(0, 9), to.port());
        host.assign(host.size(), 'x');
        EXPECT_EQ((co_await std::move(connecting)).getpeername(), to);
    });
}

TEST_P(CreateConnection, ANameMayBeLong) {
    const std::string name = "a-name-that-is-longer-than-what-a-string-has-room-for-in-itself.test";
    let_name_be(name, {"127.0.0.1"});
    run([&]() -> gyre::task<> {
        const gyre::socket listener = listen_at("127.0.0.1");
        const gyre::address to = listener.getsockname();
        gyre::socket s = co_await gyre::create_connection(name, to.port(), {.timeout = 10s});
        EXPECT_EQ(s.getpeername(), to);
    });
}

// ---- Several addresses -------------------------------------------------------------------------

TEST_P(CreateConnection, TriesTheAddressesOfANameOneAfterAnother) {
    const auto [listener, first, second] = on_a_free_port([] {
        gyre::socket l = listen_at("127.0.0.3");
        const std::uint16_t port = l.getsockname().port();
        return std::tuple(std::move(l), refuse_at("127.0.0.1", port), refuse_at("127.0.0.2", port));
    });
    const gyre::address to = listener.getsockname();
    let_name_be("third.test", {"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_connection("third.test", to.port());
        EXPECT_EQ(s.getpeername(), to);
    });
}

TEST_P(CreateConnection, TakesTheFirstThatCanBeConnectedTo) {
    const auto listeners = on_a_free_port([] {
        gyre::socket one = listen_at("127.0.0.1");
        gyre::socket two = listen_at("127.0.0.2", one.getsockname().port());
        return std::pair(std::move(one), std::move(two));
    });
    const gyre::address second = listeners.second.getsockname();
    let_name_be("two.test", {"127.0.0.2", "127.0.0.1"});
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_connection("two.test", second.port());
        EXPECT_EQ(s.getpeername(), second);
    });
}

TEST_P(CreateConnection, ThrowsAnErrorThatNamesThemWhenNoneCanBeConnectedTo) {
    const auto nobody = on_a_free_port([] {
        refusing one = refuse_at("127.0.0.1");
        refusing two = refuse_at("127.0.0.2", one.address.port());
        return std::pair(std::move(one), std::move(two));
    });
    const std::uint16_t port = nobody.first.address.port();
    let_name_be("none.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_connection("none.test", port)),
                  std::errc::connection_refused);
        const std::string said = co_await words(gyre::create_connection("none.test", port));
        EXPECT_NE(said.find("127.0.0.2:" + std::to_string(port)), said.npos) << said;
    });
}

TEST_P(CreateConnection, HeedsTheFamily) {
    const auto both = on_a_free_port([] {
        gyre::socket four = listen_at("127.0.0.1");
        refusing six = refuse_at("::1", four.getsockname().port());
        return std::pair(std::move(four), std::move(six));
    });
    const gyre::address four = both.first.getsockname();
    const std::uint16_t port = four.port();
    let_name_be("both.test", {"::1", "127.0.0.1"});
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_connection("both.test", port, {.family = AF_INET});
        EXPECT_EQ(s.getpeername(), four);
        EXPECT_EQ(
            co_await outcome(gyre::create_connection("both.test", port, {.family = AF_INET6})),
            std::errc::connection_refused);
    });
}

TEST_P(CreateConnection, ANumericAddressOfAnotherFamilyIsAnErrorOfTheLookUp) {
    run([]() -> gyre::task<> {
        const std::error_code code =
            co_await outcome(gyre::create_connection("127.0.0.1", 80, {.family = AF_INET6}));
        EXPECT_EQ(&code.category(), &gyre::address_info_category()) << code.message();
    });
}

// ---- Failure -----------------------------------------------------------------------------------

TEST_P(CreateConnection, RefusedIsThePeersErrorAndNamesIt) {
    const refusing nobody = refuse_at("127.0.0.1");
    run([&]() -> gyre::task<> {
        const std::uint16_t port = nobody.address.port();
        EXPECT_EQ(co_await outcome(gyre::create_connection("127.0.0.1", port)),
                  std::errc::connection_refused);
        EXPECT_EQ(co_await outcome(gyre::create_connection(nobody.address)),
                  std::errc::connection_refused);
        const std::string said = co_await words(gyre::create_connection("127.0.0.1", port));
        EXPECT_EQ(said, "connect to " + nobody.address.to_string() + ": Connection refused");
    });
}

TEST_P(CreateConnection, AnUnknownNameIsAnErrorOfTheLookUp) {
    let_name_fail("nobody.test", EAI_NONAME);
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_connection("nobody.test", 80)),
                  std::error_code(EAI_NONAME, gyre::address_info_category()));
        const std::string said = co_await words(gyre::create_connection("nobody.test", 80));
        EXPECT_NE(said.find("nobody.test"), said.npos) << said;
    });
}

TEST_P(CreateConnection, ANulInTheNameIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        const std::string_view host("127.0.0.1\0.test", 15);
        EXPECT_EQ(co_await outcome(gyre::create_connection(host, 80)), std::errc::invalid_argument);
    });
}

TEST_P(CreateConnection, AUnixPathThatIsNotThereSaysSo) {
    run([]() -> gyre::task<> {
        const auto to = gyre::address::unix_path("/nonexistent/socket");
        EXPECT_EQ(co_await outcome(gyre::create_connection(to)),
                  std::errc::no_such_file_or_directory);
    });
}

/// One at 127.0.0.1 that lets a client wait, and one at 127.0.0.2 on the same port that would not.
std::pair<full, gyre::socket> full_and_free() {
    full first(stream_kind::tcp);
    gyre::socket second = listen_at("127.0.0.2", first.address.port());
    return {std::move(first), std::move(second)};
}

// ---- Deadline and cancel -----------------------------------------------------------------------

TEST_P(CreateConnection, TheTimeoutCoversTheLookUp) {
    const std::string slow = fresh_name();
    const held_name held(slow);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_connection(slow, 80, {.timeout = 5ms})),
                  gyre::errc::timed_out);
        bool timeout_error = false;
        try {
            co_await gyre::create_connection(slow, 80, {.timeout = 5ms});
        } catch (const gyre::timeout_error&) {
            timeout_error = true;
        }
        EXPECT_TRUE(timeout_error);
    });
}

TEST_P(CreateConnection, TheTimeoutCoversTheConnecting) {
    for (const stream_kind kind : {stream_kind::tcp, stream_kind::unix_stream}) {
        const full listener(kind);
        run([&]() -> gyre::task<> {
            EXPECT_EQ(co_await outcome(gyre::create_connection(listener.address, {.timeout = 5ms})),
                      gyre::errc::timed_out);
        });
    }
    const full listener(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_connection("127.0.0.1", listener.address.port(),
                                                           {.timeout = 5ms})),
                  gyre::errc::timed_out);
    });
}

// That the first does not answer is no reason to go on to the second after the deadline.
TEST_P(CreateConnection, TheTimeoutCoversAllAddressesTogether) {
    const auto both = on_a_free_port(full_and_free);
    const std::uint16_t port = both.first.address.port();
    let_name_be("full.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::create_connection("full.test", port, {.timeout = 5ms})),
                  gyre::errc::timed_out);
    });
}

TEST_P(CreateConnection, ATimeoutThatDoesNotPassChangesNothing) {
    run([]() -> gyre::task<> {
        const gyre::socket listener = listen_at("127.0.0.1");
        const std::uint16_t port = listener.getsockname().port();
        gyre::socket s = co_await gyre::create_connection("127.0.0.1", port, {.timeout = 1h});
        EXPECT_EQ(s.gettimeout(), std::nullopt);
    });
}

TEST_P(CreateConnection, CancellingItEndsItWhereverItIs) {
    const std::string slow = fresh_name();
    const held_name held(slow);
    const auto both = on_a_free_port(full_and_free);
    const std::uint16_t port = both.first.address.port();
    let_name_be("full.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        for (const std::string& host : {slow, std::string("127.0.0.1"), std::string("full.test")}) {
            auto f = gyre::loop::current()->start(gyre::create_connection(host, port));
            co_await next_turn();
            co_await next_turn();
            f.cancel();
            EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled) << host;
        }
    });
}

} // namespace
