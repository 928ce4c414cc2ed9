#pragma once

#include "fixture.hpp"

#include <gyre/core/as_result.hpp>
#include <gyre/io/socket.hpp>

#include <cstdint>
#include <expected>
#include <ostream>
#include <string_view>
#include <system_error>
#include <vector>

/// Sockets for tests. They are made by plain system calls, so that what a test does with them is
/// all that the library does.

namespace gyre_test {

enum class stream_kind { tcp, tcp6, unix_stream };

int family_of(stream_kind kind);

/// A parameter for suites that run over each kind of stream, too.
struct stream_param {
    gyre::backend_kind backend;
    stream_kind kind;
    friend void PrintTo(const stream_param& p, std::ostream* to) {
        *to << gyre::to_string(p.backend);
    }
};

class on_each_stream : public on_each_backend<stream_param> {
protected:
    stream_kind kind() const { return GetParam().kind; }
    bool over_tcp() const { return kind() != stream_kind::unix_stream; }
};

struct pair_of_sockets {
    gyre::socket a;
    gyre::socket b;
};

/// A socket that not everybody may have, nor every kernel has; closed, and the test skipped, where
/// it cannot be had.
gyre::socket open_or_skip(int family, int type, int protocol = 0);

/// A bound and listening socket; port 0, or an abstract name that the kernel chose.
gyre::socket make_listener(stream_kind kind, int backlog = 128);
gyre::socket make_client(stream_kind kind);
/// A client that takes the only place in the queue of a listener with a backlog of 0. Another one
/// waits until it has been accepted.
gyre::socket fill_backlog(const gyre::socket& listener, stream_kind kind);

/// Connected through a listener (UNIX as well, so that it has names).
pair_of_sockets make_pair(stream_kind kind);
/// The same with buffers of a few KiB, which soon are full.
pair_of_sockets make_narrow_pair(stream_kind kind);

/// A suite over each kind of stream whose tests begin with a connection.
class on_each_connection : public on_each_stream {
protected:
    void SetUp() override {
        on_each_stream::SetUp();
        pair = make_pair(kind());
    }
    void TearDown() override {
        pair = {};
        on_each_stream::TearDown();
    }

    pair_of_sockets pair;
    gyre::socket& a = pair.a;
    gyre::socket& b = pair.b;
};

pair_of_sockets make_unix_pair(int type);
/// Two UDP sockets on the loopback, bound, not connected.
pair_of_sockets make_udp_pair(int family = AF_INET);
/// A bound UNIX datagram socket.
gyre::socket make_unix_datagram();

/// Sends into `s` until it takes no more, and gives how many bytes that was.
std::size_t fill(const gyre::socket& s);
/// Reads what is there, and gives how many bytes that was.
std::size_t drain(const gyre::socket& s);
/// Blocks until `s` has something to read (data, end or error); false after 5 s.
bool wait_readable(const gyre::socket& s);
/// Closing it will send a reset.
void reset_when_closed(gyre::socket& s);

/// For SO_LINGER: a close that waits for the peer would not come back before the watchdog.
inline constexpr ::linger an_hour{1, 3600};

/// Fills `a`, which lingers for an hour, and whose peer `b` reads only when `end()` has closed `a`:
/// that end comes back, waiting for nobody, has `b` then get everything, and the end of the stream.
template <class End>
gyre::task<> expect_an_end_without_waiting(const gyre::socket& a, gyre::socket& b, End end) {
    const std::size_t sent = fill(a);
    EXPECT_GT(a.bytes_unsent(), 0U) << "nothing to wait for";
    end();
    co_await next_turn();
    std::size_t received = 0;
    std::vector<std::byte> memory(65536);
    while (const std::size_t n = co_await b.recv(memory))
        received += n;
    EXPECT_EQ(received, sent);
}

/// A send that must succeed at once, around the library.
void push(const gyre::socket& s, std::string_view text);
/// What can be read at once, around the library.
std::string pull(const gyre::socket& s, std::size_t at_most = 4096);

/// Bytes that differ everywhere, and a hash to tell whether they arrived as sent.
std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed = 1);
std::uint64_t hash(std::span<const std::byte> bytes, std::uint64_t so_far = 14695981039346656037U);

inline std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
std::error_code code_of(const std::expected<T, std::error_code>& r) {
    return r ? std::error_code() : r.error();
}

/// How an awaitable ended.
template <class Awaitable>
gyre::task<std::error_code> outcome(Awaitable a) {
    co_return code_of(co_await gyre::as_result(std::move(a)));
}

/// What a call throws, or no error.
template <class F>
std::error_code thrown_by(F f) {
    try {
        f();
    } catch (const std::system_error& e) {
        return e.code();
    }
    return {};
}

} // namespace gyre_test

#define GYRE_OVER(prefix, suite, kind)                                                             \
    INSTANTIATE_TEST_SUITE_P(                                                                      \
        prefix, suite,                                                                             \
        testing::Values(gyre_test::stream_param{gyre::backend_kind::epoll, kind},                  \
                        gyre_test::stream_param{gyre::backend_kind::io_uring, kind}),              \
        gyre_test::name_of_backend<gyre_test::stream_param>)
#define GYRE_OVER_EACH_STREAM(suite)                                                               \
    GYRE_OVER(tcp, suite, gyre_test::stream_kind::tcp);                                            \
    GYRE_OVER(tcp6, suite, gyre_test::stream_kind::tcp6);                                          \
    GYRE_OVER(unix_stream, suite, gyre_test::stream_kind::unix_stream)
