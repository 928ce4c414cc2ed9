#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <array>
#include <string>

namespace {

using namespace gyre_test;

class CreateConnection : public on_each_stream {};

/// A listener whose backlog is full: connecting to it waits.
struct full_listener {
    explicit full_listener(stream_kind kind) : listener(make_listener(kind, 0)) {
        for (gyre::socket& s : fillers) {
            s = make_client(kind);
            ::connect(s.fileno(), to.data(), to.size());
        }
    }
    gyre::socket listener;
    const gyre::address to = listener.getsockname();
    std::array<gyre::socket, 2> fillers;
};

/// What the awaitable throws says, and its code.
struct failure {
    std::string text;
    std::error_code code;
    bool timeout_error = false;
};

gyre::task<failure> failure_of(gyre::task<gyre::socket> connecting) {
    failure f;
    try {
        co_await connecting;
    } catch (const gyre::error& e) {
        f = {e.what(), e.code(), dynamic_cast<const gyre::timeout_error*>(&e) != nullptr};
    }
    co_return f;
}

TEST_P(CreateConnection, ItsTimeoutNamesTheAddress) {
    const full_listener full(kind());
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(gyre::create_connection(full.to, {.timeout = 5ms}));
        EXPECT_EQ(f.text, "connect to " + full.to.to_string() + ": Deadline exceeded");
        EXPECT_EQ(f.code, gyre::errc::timed_out);
        EXPECT_TRUE(f.timeout_error);
    });
}

TEST_P(CreateConnection, ItsTimeoutNamesTheNumericHostAndThePort) {
    if (!over_tcp())
        GTEST_SKIP() << "TCP only";
    const full_listener full(kind());
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(
            gyre::create_connection(full.to.host(), full.to.port(), {.timeout = 5ms}));
        EXPECT_EQ(f.text, "connect to " + full.to.to_string() + ": Deadline exceeded");
        EXPECT_TRUE(f.timeout_error);
    });
}

TEST_P(CreateConnection, ItsCancellationNamesTheAddressAndIsNoTimeout) {
    const full_listener full(kind());
    run([&]() -> gyre::task<> {
        for (const bool timeout : {false, true}) {
            gyre::connection_options o;
            if (timeout)
                o.timeout = 1h;
            gyre::future<failure> f =
                gyre::loop::current()->start(failure_of(gyre::create_connection(full.to, o)));
            co_await next_turn();
            f.cancel();
            const failure cancelled = co_await f;
            EXPECT_EQ(cancelled.code, gyre::errc::cancelled);
            EXPECT_EQ(cancelled.text, "connect to " + full.to.to_string() + ": Cancelled");
            EXPECT_FALSE(cancelled.timeout_error);
        }
    });
}

TEST_P(CreateConnection, ARefusalNamesTheAddress) {
    const gyre::address to = make_listener(kind()).getsockname();
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(gyre::create_connection(to, {.timeout = 10s}));
        EXPECT_EQ(f.code, std::errc::connection_refused);
        EXPECT_EQ(f.text, "connect to " + to.to_string() + ": Connection refused");
    });
}

GYRE_OVER_EACH_STREAM(CreateConnection);

class CreateConnectionByName : public on_each_backend<> {};

TEST_P(CreateConnectionByName, ItsTimeoutNamesTheHostAndThePort) {
    const full_listener full(stream_kind::tcp);
    const std::string host = "0x7f.1"; // needs getaddrinfo, which needs nothing else for it
    ASSERT_FALSE(gyre::address::from_ip(host, 1));
    run([&]() -> gyre::task<> {
        const failure f =
            co_await failure_of(gyre::create_connection(host, full.to.port(), {.timeout = 20ms}));
        EXPECT_EQ(f.text, "connect to " + host + ":" + std::to_string(full.to.port()) +
                              ": Deadline exceeded (" + full.to.to_string() + ": no answer)");
        EXPECT_TRUE(f.timeout_error);
    });
}

TEST_P(CreateConnectionByName, AFailureNamesTheAddress) {
    const gyre::address to = make_listener(stream_kind::tcp).getsockname();
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(
            gyre::create_connection("localhost", to.port(), {.timeout = 10s, .family = AF_INET}));
        EXPECT_EQ(f.code, std::errc::connection_refused);
        EXPECT_EQ(f.text, "connect to " + to.to_string() + ": Connection refused");
    });
}

GYRE_ON_EACH_BACKEND(CreateConnectionByName);

} // namespace
