#include "../support/counting_allocator.hpp"
#include "../support/sockets.hpp"
#include "../support/system_call_count.hpp"

#include <gyre/io/stream.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

// What a stream costs: allocations and system calls.

namespace {

using namespace gyre_test;

gyre::task<> answer(gyre::stream& s) {
    for (;;) {
        const std::string_view line = co_await s.read_line();
        if (line.empty())
            break;
        co_await s.write(line);
    }
}

class MakefileCost : public on_each_stream {
protected:
    /// A peer asks, and waits for the same bytes, 600 times; the first 100 may allocate.
    template <class Server>
    void expect_no_allocations(std::string_view question, Server serve) {
        if (sanitized)
            GTEST_SKIP() << "coroutine frames are not pooled in a build with a sanitizer";
        auto [client, server] = make_pair(kind());
        run([&]() -> gyre::task<> {
            gyre::stream s(std::move(server));
            const auto ask = [&]() -> gyre::task<> {
                std::array<char, 64> memory;
                for (int i = 0; i < 600; ++i) {
                    if (i == 100)
                        allocations = 0;
                    co_await client.sendall(question);
                    co_await client.recv_exactly(gyre::buffer(memory.data(), question.size()));
                }
                EXPECT_EQ(allocations, 0U);
                client.close();
            };
            co_await gyre::all(ask(), serve(s));
        });
    }
};

TEST_P(MakefileCost, AnsweringBatchesOfLinesAllocatesNothing) {
    expect_no_allocations("hello\nhello\nhello\nhello\nhello\nhello\nhello\nhello\n", answer);
}

TEST_P(MakefileCost, ReadsWithADeadlineAllocateNothing) {
    expect_no_allocations("hello\n", [](gyre::stream& s) -> gyre::task<> {
        for (;;) {
            const std::string_view line = co_await gyre::with_timeout(1h, s.read_line());
            if (line.empty())
                break;
            co_await s.write(line);
        }
    });
}

GYRE_OVER_EACH_STREAM(MakefileCost);

class MakefileSystemCalls : public on_each_backend<> {};

// As an echo of single messages, see cost_test.cpp: 16 lines share one receive and one send.
TEST_P(MakefileSystemCalls, SixteenLinesInABatchCostWhatOneDoes) {
    constexpr unsigned rounds = 100;
    const auto talk = [](gyre::backend_kind backend) -> std::string {
        gyre::loop loop({.backend = backend});
        auto [client, server] = make_pair(stream_kind::tcp);
        gyre::stream s(std::move(server));
        std::string batch;
        for (int i = 0; i < 16; ++i)
            batch += "hello\n";
        std::string memory(batch.size() + 1, '\0'); // a short read is the last
        const auto ask = [&]() -> gyre::task<> {
            for (unsigned i = 0; i < rounds + 20; ++i) {
                if (i == 20)
                    count_from_here();
                co_await client.sendall(batch);
                if (co_await client.recv(memory) != batch.size())
                    throw std::runtime_error("the answers do not come in one piece");
            }
            count_to_here();
            client.close();
        };
        const auto both = [&]() -> gyre::task<> { co_await gyre::all(ask(), answer(s)); };
        loop.run(both());
        return memory.starts_with(batch) ? "" : "wrong answer";
    };
    const system_call_count count = count_system_calls(talk, backend());
    ASSERT_EQ(count.wrong, "");
    const unsigned expected = backend() == gyre::backend_kind::epoll ? 6 : 4;
    EXPECT_LE(count.total(), expected * rounds + 10) << count.to_string();
}

GYRE_ON_EACH_BACKEND(MakefileSystemCalls);

} // namespace
