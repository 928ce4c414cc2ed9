#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_server.hpp>

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Servers at a path of the file system.

namespace {

using namespace gyre_test;
namespace fs = std::filesystem;

class UnixServer : public on_each_backend<> {
protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "gyre.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder = name;
        on_each_backend::SetUp();
    }
    void TearDown() override {
        fs::remove_all(folder);
        on_each_backend::TearDown();
    }

    fs::path path() const { return folder / "socket"; }
    gyre::address at() const { return gyre::address::unix_path(path().string()); }

    fs::path folder;
};
GYRE_ON_EACH_BACKEND(UnixServer);

std::uint64_t number_of(const fs::path& p) {
    struct stat s{};
    return lstat(p.c_str(), &s) == 0 ? s.st_ino : 0;
}

/// What a server leaves that was killed.
void leave_stale(const gyre::address& at, int type = SOCK_STREAM) {
    gyre::socket s = gyre::socket::open(AF_UNIX, type);
    s.bind(at);
    if (type == SOCK_STREAM)
        s.listen();
}

gyre::task<bool> answers(gyre::address at) {
    co_return (co_await gyre::as_result(gyre::create_connection(at))).has_value();
}

TEST_P(UnixServer, TheFileGoesWithTheListener) {
    run([this]() -> gyre::task<> {
        {
            gyre::listener l = co_await gyre::create_server(at());
            EXPECT_TRUE(fs::is_socket(path()));
            EXPECT_EQ(l.getsockname(), at());
            gyre::socket client = co_await gyre::create_connection(at());
            auto [peer, from] = co_await l.accept();
            gyre::listener moved = std::move(l);
            EXPECT_TRUE(fs::exists(path()));
            l = std::move(moved);
            EXPECT_TRUE(fs::exists(path()));
            l.close();
            EXPECT_FALSE(fs::exists(path()));
            l = co_await gyre::create_server(at());
            EXPECT_TRUE(fs::exists(path()));
        }
        EXPECT_FALSE(fs::exists(path()));
    });
}

TEST_P(UnixServer, TheFileOfASocketTakenFromItStays) {
    run([this]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_server(at());
        s.close();
        EXPECT_TRUE(fs::is_socket(path()));
    });
}

TEST_P(UnixServer, AStaleFileIsReplaced) {
    run([this]() -> gyre::task<> {
        for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
            leave_stale(at(), type);
            EXPECT_FALSE(co_await answers(at()));
            gyre::listener l = co_await gyre::create_server(at());
            EXPECT_TRUE(co_await answers(at()));
        }
    });
}

TEST_P(UnixServer, OneInUseIsAnErrorThatNamesThePathAndStays) {
    run([this]() -> gyre::task<> {
        gyre::listener first = co_await gyre::create_server(at(), {.backlog = 0});
        const std::uint64_t before = number_of(path());
        for (int n = 0; n < 3; ++n) { // a full backlog is a sign of life, too
            std::error_code code;
            std::string said;
            try {
                co_await gyre::create_server(at());
            } catch (const gyre::error& e) {
                code = e.code();
                said = e.what();
            }
            EXPECT_EQ(code, std::errc::address_in_use);
            EXPECT_NE(said.find(at().to_string()), said.npos) << said;
            EXPECT_EQ(number_of(path()), before);
        }
        gyre::socket datagrams = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
        const auto other = gyre::address::unix_path((folder / "datagrams").string());
        datagrams.bind(other);
        EXPECT_EQ(co_await outcome(gyre::create_server(other)), std::errc::address_in_use);
    });
}

TEST_P(UnixServer, WhatIsNoSocketIsNeverTouched) {
    run([this]() -> gyre::task<> {
        const auto refused = [this]() -> gyre::task<bool> {
            const std::uint64_t before = number_of(path());
            const bool in_use =
                co_await outcome(gyre::create_server(at())) == std::errc::address_in_use;
            co_return in_use&& before != 0 && number_of(path()) == before;
        };
        std::ofstream(path()) << "text";
        EXPECT_TRUE(co_await refused());
        EXPECT_EQ(fs::file_size(path()), 4U);
        fs::remove(path());
        fs::create_directory(path());
        EXPECT_TRUE(co_await refused());
        fs::remove(path());
        CO_ASSERT_TRUE(mkfifo(path().c_str(), 0600) == 0);
        EXPECT_TRUE(co_await refused());
        fs::remove(path());
        fs::create_symlink("nowhere", path());
        EXPECT_TRUE(co_await refused());
        fs::remove(path());
        const fs::path stale = folder / "stale";
        leave_stale(gyre::address::unix_path(stale.string()));
        fs::create_symlink("stale", path()); // not even a link to a stale one
        EXPECT_TRUE(co_await refused());
        EXPECT_TRUE(fs::is_socket(stale));
    });
}

TEST_P(UnixServer, OnlyItsOwnFileIsRemoved) {
    run([this]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server(at());
        fs::remove(path());
        gyre::listener successor = co_await gyre::create_server(at());
        const std::uint64_t its = number_of(path());
        l.close();
        EXPECT_EQ(number_of(path()), its);
        EXPECT_TRUE(co_await answers(at()));
        fs::remove(path());
        std::ofstream(path()) << "text";
        successor.close();
        EXPECT_TRUE(fs::is_regular_file(path()));
    });
}

TEST_P(UnixServer, ModeIsThatOfTheFile) {
    run([this]() -> gyre::task<> {
        for (const ::mode_t mode : {0600U, 0666U, 0000U}) {
            gyre::listener l = co_await gyre::create_server(at(), {.mode = mode});
            EXPECT_EQ(static_cast<::mode_t>(fs::status(path()).permissions()), mode);
        }
    });
}

TEST_P(UnixServer, OfSeveralThatStartAtOnceOverAStaleFileOneServes) {
    run([this]() -> gyre::task<> {
        for (int round = 0; round < 20; ++round) {
            leave_stale(at());
            int refused = 0;
            std::vector<gyre::listener> serving;
            const auto start = [&]() -> gyre::task<> {
                auto l = co_await gyre::as_result(gyre::create_server(at()));
                if (l)
                    serving.push_back(std::move(*l));
                else
                    refused += l.error() == std::errc::address_in_use;
            };
            co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
                for (int n = 0; n < 5; ++n)
                    g.spawn(start());
                co_return;
            });
            EXPECT_EQ(serving.size(), 1U);
            EXPECT_EQ(refused, 4);
            EXPECT_TRUE(co_await answers(at()));
        }
    });
}

/// In a process of its own: 0 when it served until `go_on` was closed, 1 when the path was in use.
int serve_in_child(gyre::backend_kind backend, const gyre::address& at, int go_on) {
    gyre::loop loop({.backend = backend});
    try {
        gyre::listener l = loop.run(gyre::create_server(at));
        char c = 0;
        [[maybe_unused]] const ssize_t n = read(go_on, &c, 1);
        return 0;
    } catch (const gyre::error& e) {
        return e.code() == std::errc::address_in_use ? 1 : 2;
    }
}

TEST_P(UnixServer, OfSeveralProcessesThatStartAtOnceOneServes) {
    constexpr int count = 6;
    for (int round = 0; round < 5; ++round) {
        leave_stale(at());
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        std::array<pid_t, count> children{};
        for (pid_t& child : children) {
            child = fork();
            ASSERT_GE(child, 0);
            if (child == 0) {
                ::close(ends[1]);
                _exit(serve_in_child(backend(), at(), ends[0]));
            }
        }
        ::close(ends[0]);
        // All but one give up; that one goes on until the pipe is closed.
        int refused = 0;
        for (int n = 0; n < count - 1; ++n) {
            int status = 0;
            ASSERT_GT(wait(&status), 0);
            refused += WIFEXITED(status) && WEXITSTATUS(status) == 1;
        }
        EXPECT_EQ(refused, count - 1);
        EXPECT_TRUE(fs::is_socket(path()));
        ::close(ends[1]);
        int status = 0;
        ASSERT_GT(wait(&status), 0);
        EXPECT_EQ(status, 0);
        EXPECT_FALSE(fs::exists(path()));
    }
}

TEST_P(UnixServer, WaitsForAnotherThatLooks) {
    const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(flock(lock, LOCK_EX), 0);
    run([&]() -> gyre::task<> {
        leave_stale(at());
        const std::uint64_t before = number_of(path());
        EXPECT_EQ(co_await outcome(gyre::with_timeout(5ms, gyre::create_server(at()))),
                  gyre::errc::timed_out);
        EXPECT_EQ(number_of(path()), before);
        gyre::future<gyre::listener> f = gyre::loop::current()->start(gyre::create_server(at()));
        co_await next_turn();
        EXPECT_FALSE(f.ready());
        ::close(lock);
        gyre::listener l = co_await f;
        EXPECT_TRUE(co_await answers(at()));
    });
}

TEST_P(UnixServer, InAFolderThatIsNotThereIsAnErrorThatNamesThePath) {
    run([this]() -> gyre::task<> {
        const auto there = gyre::address::unix_path((folder / "no" / "socket").string());
        std::string said;
        try {
            co_await gyre::create_server(there);
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
            said = e.what();
        }
        EXPECT_NE(said.find(there.to_string()), said.npos) << said;
    });
}

TEST_P(UnixServer, AnAbstractNameNeedsNoFile) {
    run([]() -> gyre::task<> {
        gyre::listener l = co_await gyre::create_server(gyre::address::unix_unnamed());
        EXPECT_TRUE(l.getsockname().is_unix_abstract());
        EXPECT_EQ(co_await outcome(gyre::create_server(l.getsockname())),
                  std::errc::address_in_use);
    });
}

} // namespace
