#include "../support/refuse.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace gyre_test;

constexpr std::size_t megabyte = std::size_t{1} << 20;

/// A file without a name, on a disk where /var/tmp is one; closed at the end.
class temporary_file {
public:
    explicit temporary_file(std::span<const std::byte> bytes) {
        std::string name = "/var/tmp/gyre-sendfile-XXXXXX";
        fd_ = mkostemp(name.data(), O_CLOEXEC);
        if (fd_ < 0)
            throw std::system_error(errno, std::system_category(), name);
        unlink(name.c_str());
        for (std::size_t done = 0; done < bytes.size();) {
            const ssize_t n = write(fd_, bytes.data() + done, bytes.size() - done);
            if (n <= 0)
                throw std::system_error(errno, std::system_category(), "write");
            done += static_cast<std::size_t>(n);
        }
    }
    temporary_file(const temporary_file&) = delete;
    ~temporary_file() { ::close(fd_); }
    int fd() const { return fd_; }
    /// Takes it out of the page cache; false where it is still there (no disk below).
    bool make_cold() const {
        fsync(fd_);
        posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
        void* const page = mmap(nullptr, 1, PROT_READ, MAP_SHARED, fd_, 0);
        unsigned char there = 1;
        mincore(page, 1, &there);
        munmap(page, 1);
        return (there & 1) == 0;
    }

private:
    int fd_ = -1;
};

/// Reads to the end, in small steps when `slow`, and gives the bytes.
gyre::task<std::vector<std::byte>> read_all(gyre::socket& s, bool slow = false) {
    std::vector<std::byte> all;
    std::vector<std::byte> part(slow ? 3000 : 65536);
    while (const std::size_t n = co_await s.recv(part)) {
        all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
        if (slow)
            co_await next_turn();
    }
    co_return all;
}

class Sendfile : public on_each_stream {
protected:
    /// A thread may still read for one that has ended, by a duplicate: waits until only `expected`
    /// descriptors are open.
    void wait_for_duplicates(std::size_t expected) {
        for (int i = 0; i < 5000 && opened_by_this_test().size() > expected; ++i)
            ::poll(nullptr, 0, 1);
    }
    /// Sends it, and compares what arrives with `expected`.
    void arrives(pair_of_sockets pair, int file, std::span<const std::byte> expected,
                 std::int64_t offset = 0, std::optional<std::int64_t> count = std::nullopt,
                 bool slow = false) {
        run([&]() -> gyre::task<> {
            const auto send = [&]() -> gyre::task<std::size_t> {
                const std::size_t n = co_await pair.a.sendfile(file, offset, count);
                pair.a.shutdown(SHUT_WR);
                co_return n;
            };
            auto [sent, received] = co_await gyre::all(send(), read_all(pair.b, slow));
            EXPECT_EQ(sent, expected.size());
            EXPECT_EQ(received.size(), expected.size());
            EXPECT_EQ(hash(received), hash(expected));
        });
    }
};

TEST_P(Sendfile, SendsAFileByteForByte) {
    const std::vector<std::byte> bytes = pattern(5 * megabyte + 12345);
    const temporary_file file(bytes);
    arrives(make_pair(kind()), file.fd(), bytes);
}

TEST_P(Sendfile, SendsItByteForByteThroughSmallBuffersToASlowReader) {
    const std::vector<std::byte> bytes = pattern(megabyte + megabyte / 2 + 7);
    const temporary_file file(bytes);
    arrives(make_narrow_pair(kind()), file.fd(), bytes, 0, std::nullopt, true);
}

TEST_P(Sendfile, AColdFileArrivesAllTheSame) {
    const std::vector<std::byte> bytes = pattern(4 * megabyte + 99);
    const temporary_file file(bytes);
    if (!file.make_cold())
        GTEST_SKIP() << "the files of /var/tmp cannot be taken out of memory here";
    arrives(make_pair(kind()), file.fd(), bytes);
}

TEST_P(Sendfile, AColdPieceInTheMiddleArrivesAllTheSame) {
    const std::vector<std::byte> bytes = pattern(4 * megabyte);
    const temporary_file file(bytes);
    fsync(file.fd());
    posix_fadvise(file.fd(), 2 * megabyte + 4096, 64 << 10, POSIX_FADV_DONTNEED);
    arrives(make_pair(kind()), file.fd(), bytes);
}

TEST_P(Sendfile, OffsetsAndCountsAreKept) {
    const std::vector<std::byte> bytes = pattern(2 * megabyte + 5000);
    const temporary_file file(bytes);
    const std::span all(bytes);
    constexpr std::size_t some[][2] = {
        {0, 1}, {1, 4095}, {4095, 2}, {4097, 100'000}, {megabyte, megabyte}, {777, 2 * megabyte}};
    for (const auto& [offset, count] : some)
        arrives(make_pair(kind()), file.fd(), all.subspan(offset, count),
                static_cast<std::int64_t>(offset), static_cast<std::int64_t>(count));
    arrives(make_pair(kind()), file.fd(), all.subspan(megabyte), megabyte);
}

TEST_P(Sendfile, AFileThatIsShorterThanTheCountEndsWell) {
    const std::vector<std::byte> bytes = pattern(10'000);
    const temporary_file file(bytes);
    arrives(make_pair(kind()), file.fd(), bytes, 0, 1'000'000);
    arrives(make_pair(kind()), file.fd(), std::span(bytes).subspan(9'000), 9'000, 1'001);
}

TEST_P(Sendfile, NothingToSendIsNoError) {
    const std::vector<std::byte> bytes = pattern(10);
    const temporary_file file(bytes);
    const temporary_file empty({});
    arrives(make_pair(kind()), file.fd(), {}, 0, 0);
    arrives(make_pair(kind()), file.fd(), {}, 10);
    arrives(make_pair(kind()), empty.fd(), {});
    arrives(make_pair(kind()), empty.fd(), {}, 0, 100);
}

TEST_P(Sendfile, LeavesThePositionOfTheFileAlone) {
    const std::vector<std::byte> bytes = pattern(10'000);
    const temporary_file file(bytes);
    lseek(file.fd(), 123, SEEK_SET);
    arrives(make_pair(kind()), file.fd(), bytes);
    EXPECT_EQ(lseek(file.fd(), 0, SEEK_CUR), 123);
}

TEST_P(Sendfile, WhatItCannotSendIsRefusedWithAReason) {
    const std::vector<std::byte> bytes = pattern(10);
    const temporary_file file(bytes);
    auto [a, b] = make_pair(kind());
    const int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run([&]() -> gyre::task<> {
        const auto refused = [&](int fd, std::int64_t offset,
                                 std::optional<std::int64_t> count) -> gyre::task<std::string> {
            try {
                co_await a.sendfile(fd, offset, count);
            } catch (const gyre::error& e) {
                EXPECT_EQ(e.transferred(), 0);
                co_return std::string(e.what());
            }
            co_return "not refused";
        };
        using testing::HasSubstr;
        EXPECT_THAT(co_await refused(file.fd(), -1, {}), HasSubstr("a negative offset"));
        EXPECT_THAT(co_await refused(file.fd(), 0, -1), HasSubstr("a negative count"));
        EXPECT_THAT(co_await refused(file.fd(), 11, {}), HasSubstr("beyond the end of the file"));
        EXPECT_THAT(co_await refused(folder, 0, {}), HasSubstr("a folder"));
        EXPECT_THAT(co_await refused(-1, 0, {}), HasSubstr("a closed file"));
        EXPECT_EQ(co_await outcome(a.sendfile(file.fd(), 11)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(a.sendfile(folder)), std::errc::is_a_directory);
        EXPECT_EQ(co_await outcome(a.sendfile(-1)), std::errc::bad_file_descriptor);
    });
    ::close(folder);
    EXPECT_EQ(drain(b), 0);
}

TEST_P(Sendfile, OnAClosedSocketIsClosed) {
    const temporary_file file(pattern(10));
    run([&]() -> gyre::task<> {
        gyre::socket s;
        EXPECT_EQ(co_await outcome(s.sendfile(file.fd())), gyre::errc::closed);
    });
}

TEST_P(Sendfile, TheDeadlineIsForTheWhole) {
    const temporary_file file(pattern(8 * megabyte));
    auto [a, b] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        bool over = false;
        // Something is read again and again, so that no single wait is long.
        const auto trickle = [&]() -> gyre::task<> {
            while (!over) {
                drain(b);
                co_await gyre::sleep_for(5ms);
            }
        };
        const auto send = [&]() -> gyre::task<> {
            const auto begin = gyre::clock::now();
            try {
                co_await a.sendfile(file.fd());
                ADD_FAILURE() << "all has gone";
            } catch (const gyre::timeout_error& e) {
                EXPECT_GT(e.transferred(), 0);
                EXPECT_LT(e.transferred(), 8 * megabyte);
            }
            EXPECT_GE(gyre::clock::now() - begin, 100ms);
            over = true;
        };
        a.settimeout(100ms);
        co_await gyre::all(send(), trickle());
    });
}

TEST_P(Sendfile, WithoutWaitingSendsWhatFits) {
    const std::vector<std::byte> bytes = pattern(8 * megabyte);
    const temporary_file file(bytes);
    auto [a, b] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        std::size_t sent = 0;
        try {
            co_await a.sendfile(file.fd()).nonblocking();
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::operation_would_block);
            sent = e.transferred();
        }
        EXPECT_GT(sent, 0);
        a.close();
        const std::vector<std::byte> received = co_await read_all(b);
        EXPECT_EQ(hash(received), hash(std::span(bytes).first(sent)));
    });
}

TEST_P(Sendfile, WithoutWaitingAColdFileComesAfterSomeTries) {
    const std::vector<std::byte> bytes = pattern(5'000);
    const temporary_file file(bytes);
    if (!file.make_cold())
        GTEST_SKIP() << "the files of /var/tmp cannot be taken out of memory here";
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        std::size_t tries = 0;
        std::expected<std::size_t, std::error_code> sent;
        do {
            ++tries;
            sent = co_await gyre::as_result(a.sendfile(file.fd()).nonblocking());
            co_await gyre::sleep_for(1ms);
        } while (!sent && sent.error() == std::errc::operation_would_block);
        EXPECT_GT(tries, 1U);
        EXPECT_EQ(sent, 5'000);
        a.close();
        EXPECT_EQ(hash(co_await read_all(b)), hash(bytes));
    });
    wait_for_duplicates(2);
}

TEST_P(Sendfile, CancelledTellsHowMuchWentAndSendsNoMore) {
    const std::vector<std::byte> bytes = pattern(8 * megabyte);
    const temporary_file file(bytes);
    auto [a, b] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        std::size_t sent = 0;
        const auto send = [&]() -> gyre::task<> {
            try {
                co_await a.sendfile(file.fd());
            } catch (const gyre::error& e) {
                EXPECT_EQ(e.code(), gyre::errc::cancelled);
                sent = e.transferred();
            }
        };
        co_await gyre::race(send(), next_turn());
        EXPECT_GT(sent, 0);
        a.close();
        const std::vector<std::byte> received = co_await read_all(b);
        EXPECT_EQ(received.size(), sent);
        EXPECT_EQ(hash(received), hash(std::span(bytes).first(sent)));
    });
}

TEST_P(Sendfile, CancelledWhileAThreadReadsItsFileIsCancelled) {
    const temporary_file file(pattern(4 * megabyte));
    if (!file.make_cold())
        GTEST_SKIP() << "the files of /var/tmp cannot be taken out of memory here";
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        std::error_code code;
        gyre::future<> f = gyre::loop::current()->start(
            [](gyre::socket& s, int fd, std::error_code& c) -> gyre::task<> {
                c = code_of(co_await gyre::as_result(s.sendfile(fd)));
            }(a, file.fd(), code));
        co_await next_turn();
        f.cancel();
        co_await gyre::as_result(std::move(f));
        EXPECT_EQ(code, gyre::errc::cancelled);
        std::vector<std::byte> memory(65536); // room, if the file was there before the cancel
        while (co_await gyre::as_result(b.recv(memory).nonblocking())) {
        }
        EXPECT_EQ(co_await outcome(a.sendall("free again")), std::error_code());
    });
    wait_for_duplicates(3);
}

TEST_P(Sendfile, ClosingTheSocketEndsIt) {
    const temporary_file file(pattern(8 * megabyte));
    auto [a, b] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const auto close = [&]() -> gyre::task<> {
            co_await next_turn();
            a.close();
        };
        auto [code, nothing] = co_await gyre::all(outcome(a.sendfile(file.fd())), close());
        EXPECT_EQ(code, gyre::errc::closed);
    });
}

TEST_P(Sendfile, HoldsTheSendingDirectionToItsEnd) {
    const temporary_file file(pattern(8 * megabyte));
    auto [a, b] = make_narrow_pair(kind());
    run([&]() -> gyre::task<> {
        const auto other = [&]() -> gyre::task<std::error_code> {
            co_await next_turn();
            const std::error_code code = co_await outcome(a.sendall("between"));
            a.close();
            co_return code;
        };
        auto [code, busy] = co_await gyre::all(outcome(a.sendfile(file.fd())), other());
        EXPECT_EQ(busy, gyre::errc::busy);
    });
}

TEST_P(Sendfile, LetsOthersHaveTheirTurnWhenItNeverWaits) {
    const temporary_file file(pattern(16 * megabyte));
    auto [a, b] = make_pair(kind());
    run([&]() -> gyre::task<> {
        bool over = false;
        int turns = 0;
        const auto count = [&]() -> gyre::task<> {
            while (!over) {
                ++turns;
                co_await gyre::yield();
            }
        };
        const auto send = [&]() -> gyre::task<> {
            co_await a.sendfile(file.fd());
            a.shutdown(SHUT_WR);
            over = true;
        };
        co_await gyre::all(send(), read_all(b), count());
        EXPECT_GE(turns, 10);
    });
}

TEST_P(Sendfile, APipeIsSentToItsEnd) {
    const std::vector<std::byte> bytes = pattern(30'000);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(write(ends[1], bytes.data(), bytes.size()), 30'000);
    ::close(ends[1]);
    arrives(make_pair(kind()), ends[0], bytes);
    ::close(ends[0]);
}

TEST_P(Sendfile, APipeThatFillsSlowlyIsSentToItsEndThroughSmallBuffers) {
    const std::vector<std::byte> bytes = pattern(300'000);
    auto [a, b] = make_narrow_pair(kind());
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    run([&]() -> gyre::task<> {
        const auto write_all = [&]() -> gyre::task<> {
            for (std::size_t done = 0; done < bytes.size();) {
                const ssize_t n = write(ends[1], bytes.data() + done,
                                        std::min<std::size_t>(5000, bytes.size() - done));
                if (n > 0)
                    done += static_cast<std::size_t>(n);
                co_await next_turn();
            }
            ::close(ends[1]);
        };
        const auto send = [&]() -> gyre::task<> {
            EXPECT_EQ(co_await a.sendfile(ends[0]), bytes.size());
            a.shutdown(SHUT_WR);
        };
        auto [received, x, y] = co_await gyre::all(read_all(b, true), write_all(), send());
        EXPECT_EQ(hash(received), hash(bytes));
    });
    ::close(ends[0]);
}

TEST_P(Sendfile, OfAPipeACountIsTakenAndTheRestStays) {
    auto [a, b] = make_pair(kind());
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(write(ends[1], "hello, world", 12), 12);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await a.sendfile(ends[0], 0, 5), 5);
        EXPECT_EQ(co_await a.sendfile(ends[0], 0, 2).nonblocking(), 2);
    });
    EXPECT_EQ(pull(b), "hello, ");
    std::array<char, 16> rest{};
    EXPECT_EQ(read(ends[0], rest.data(), rest.size()), 5);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_P(Sendfile, APipeIsWaitedForUnderTheDeadline) {
    auto [a, b] = make_pair(kind());
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const std::size_t before = opened_by_this_test().size();
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(a.sendfile(ends[0]).within(10ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(a.sendfile(ends[0], 1)), std::errc::invalid_seek);
        EXPECT_EQ(co_await outcome(a.sendfile(ends[0]).nonblocking()),
                  std::errc::operation_would_block);
    });
    wait_for_duplicates(before);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_P(Sendfile, FilesOfTheKernelAreSent) {
    for (const char* name :
         {"/proc/self/limits", "/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"}) {
        const int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        std::vector<std::byte> bytes(65536);
        bytes.resize(static_cast<std::size_t>(
            std::max<ssize_t>(pread(fd, bytes.data(), bytes.size(), 0), 0)));
        SCOPED_TRACE(name);
        arrives(make_pair(kind()), fd, bytes);
        ::close(fd);
    }
}

// ---- Signals -----------------------------------------------------------------------------------

std::atomic<int> sigpipes;

TEST_P(Sendfile, ToAPeerThatResetsIsAnErrorAndNoSignal) {
    struct sigaction before{};
    struct sigaction counts{};
    counts.sa_handler = [](int) { ++sigpipes; };
    sigaction(SIGPIPE, &counts, &before);
    sigpipes = 0;
    const temporary_file file(pattern(8 * megabyte));
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(write(ends[1], "hello", 5), 5);
    {
        auto [a, b] = make_narrow_pair(kind());
        run([&]() -> gyre::task<> {
            const auto reset = [&]() -> gyre::task<> {
                co_await next_turn();
                if (over_tcp())
                    reset_when_closed(b);
                b.close();
            };
            const auto send = [&]() -> gyre::task<> {
                try {
                    co_await a.sendfile(file.fd());
                    ADD_FAILURE() << "all has gone";
                } catch (const gyre::error& e) {
                    EXPECT_TRUE(e.code() == std::errc::connection_reset ||
                                e.code() == std::errc::broken_pipe)
                        << e.what();
                    EXPECT_GT(e.transferred(), 0);
                }
            };
            co_await gyre::all(send(), reset());
            EXPECT_EQ(co_await outcome(a.sendfile(file.fd())), std::errc::broken_pipe);
            EXPECT_EQ(co_await outcome(a.sendfile(ends[0])), std::errc::broken_pipe);
        });
    }
    ::close(ends[0]);
    ::close(ends[1]);
    EXPECT_EQ(sigpipes, 0);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGPIPE), 0);
    sigaction(SIGPIPE, &before, nullptr);
}

GYRE_OVER_EACH_STREAM(Sendfile);

// ---- Other sockets -----------------------------------------------------------------------------

class SendfileElsewhere : public on_each_backend<> {};

TEST_P(SendfileElsewhere, ADatagramSocketRefuses) {
    const temporary_file file(pattern(10));
    pair_of_sockets udp = make_udp_pair();
    pair_of_sockets packets = make_unix_pair(SOCK_SEQPACKET);
    run([&]() -> gyre::task<> {
        for (gyre::socket* s : {&udp.a, &packets.a})
            EXPECT_EQ(co_await outcome(s->sendfile(file.fd())), std::errc::operation_not_supported);
    });
}

TEST_P(SendfileElsewhere, AListenerIsNotConnected) {
    const temporary_file file(pattern(10));
    gyre::socket listener = make_listener(stream_kind::tcp);
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(listener.sendfile(file.fd())), std::errc::broken_pipe);
    });
}

/// On a thread to which a system call is refused, sends a cold file and then a warm one. (A process
/// that was forked would have lost the threads that read.)
void send_refused(gyre::backend_kind backend, long number, int code) {
    std::jthread([&] {
        gyre::loop_options o;
        o.backend = backend;
        gyre::loop loop(o);
        const std::vector<std::byte> bytes = pattern(3 * megabyte + 5);
        const temporary_file file(bytes);
        file.make_cold();
        if (!refuse(number, code))
            return;
        const auto test = [&]() -> gyre::task<> {
            for (int i = 0; i < 2; ++i) {
                auto [a, b] = make_pair(stream_kind::tcp);
                const auto send = [&, &from = a]() -> gyre::task<> {
                    co_await from.sendfile(file.fd());
                    from.shutdown(SHUT_WR);
                };
                auto [nothing, received] = co_await gyre::all(send(), read_all(b));
                EXPECT_EQ(hash(received), hash(bytes));
            }
        };
        EXPECT_EQ(loop.run(outcome(gyre::with_timeout(20s, test()))), std::error_code());
    }).join();
}

TEST_P(SendfileElsewhere, WhereTheKernelCannotCountThePagesInMemoryFilesArriveAllTheSame) {
    constexpr long cachestat = 451;
    send_refused(GetParam(), cachestat, ENOSYS);
}

TEST_P(SendfileElsewhere, WhereNothingTellsWhatIsInMemoryFilesArriveAllTheSame) {
    send_refused(GetParam(), SYS_preadv2, EOPNOTSUPP);
}

TEST_P(SendfileElsewhere, WhereTheKernelHasNoSendfileFilesAreReadAndSent) {
    send_refused(GetParam(), SYS_sendfile, EINVAL);
}

GYRE_ON_EACH_BACKEND(SendfileElsewhere);

} // namespace
