#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/inherited_sockets.hpp>

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

// Each in a process of its own, which is given descriptors from 3 on and the variables of
// sd_listen_fds(3).

namespace {

using namespace gyre_test;

struct inheritance {
    std::vector<int> descriptors;
    const char* number = nullptr; // LISTEN_FDS
    const char* names = nullptr;  // LISTEN_FDNAMES
    const char* process = "";     // LISTEN_PID: "": the new process
};

void take_up(const inheritance& what) {
    std::vector<int> high;
    for (const int fd : what.descriptors)
        high.push_back(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    for (std::size_t n = 0; n < high.size(); ++n)
        dup2(high[n], static_cast<int>(3 + n));
    const auto set = [](const char* name, const char* value) {
        if (value != nullptr)
            setenv(name, value, 1);
    };
    const std::string self = std::to_string(getpid());
    set("LISTEN_FDS", what.number);
    set("LISTEN_FDNAMES", what.names);
    set("LISTEN_PID",
        what.process != nullptr && *what.process == '\0' ? self.c_str() : what.process);
}

/// What `f()` says in a new process that inherits that.
template <class F>
std::string in_heir(const inheritance& what, F f) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
        const int report = fcntl(ends[1], F_DUPFD_CLOEXEC, 300);
        std::string said;
        try {
            take_up(what);
            said = f();
        } catch (const gyre::error& e) {
            said = e.code().message() + ": " + e.what();
        }
        [[maybe_unused]] const ssize_t n = write(report, said.data(), said.size());
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    std::array<char, 4096> part{};
    for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;)
        said.append(part.data(), static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return status == 0 ? said : said + " (status " + std::to_string(status) + ")";
}

std::string all_of_it() {
    std::string said;
    for (auto& [name, s] : gyre::inherited_sockets())
        said += name + "=" + std::to_string(s.fileno()) + ' ';
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        if (std::getenv(name) != nullptr)
            said += std::string(name) + " is left";
    return said;
}

TEST(InheritedSockets, AreTakenOverInOrderWithTheirNames) {
    gyre::socket web = make_listener(stream_kind::tcp);
    auto [a, b] = make_udp_pair();
    const std::string said =
        in_heir({{web.fileno(), a.fileno(), b.fileno()}, "3", "web:dns:"}, [&] {
            auto all = gyre::inherited_sockets();
            std::string how = all_of_it(); // a second time there are none
            for (auto& [name, s] : all) {
                how += name + " " + std::to_string(s.fileno()) + " " + std::to_string(s.type());
                if (s.get_inheritable())
                    how += " not closed on exec";
                if ((fcntl(s.fileno(), F_GETFL) & O_NONBLOCK) == 0)
                    how += " may block";
                how += '\n';
            }
            return how;
        });
    EXPECT_EQ(said, "web 3 1\ndns 4 2\n 5 2\n");
}

TEST(InheritedSockets, WithoutNamesAreUnknown) {
    gyre::socket s = make_listener(stream_kind::unix_stream);
    EXPECT_EQ(in_heir({{s.fileno()}, "1"}, all_of_it), "unknown=3 ");
}

TEST(InheritedSockets, AreNoneWithoutTheVariablesOrForAnotherProcess) {
    EXPECT_EQ(in_heir({{}, nullptr, nullptr, nullptr}, all_of_it), "");
    EXPECT_EQ(in_heir({{}, nullptr, "web"}, all_of_it), "");
    EXPECT_EQ(in_heir({{}, "1", "web", nullptr}, all_of_it), "");
    EXPECT_EQ(in_heir({{}, "1", "web", "1"}, all_of_it), "");
}

TEST(InheritedSockets, WhatIsMalformedIsAnInvalidArgumentThatNamesTheVariable) {
    const std::string invalid = std::make_error_code(std::errc::invalid_argument).message();
    const auto refused = [&](const inheritance& what, const std::string& name) {
        const std::string said = in_heir(what, all_of_it);
        EXPECT_TRUE(said.starts_with(invalid) && said.find(name) != said.npos) << said;
    };
    for (const char* number : {"", "0", "-1", "x", "1x", " 1", "2147483647", "99999999999"})
        refused({{}, number}, "LISTEN_FDS is \"" + std::string(number));
    for (const char* process : {"0", "-1", "me", "1 "})
        refused({{}, "1", nullptr, process}, "LISTEN_PID is \"" + std::string(process));
    gyre::socket s = make_listener(stream_kind::tcp);
    for (const char* names : {"a:b", ":", "a:"})
        refused({{s.fileno()}, "1", names}, "LISTEN_FDNAMES is \"" + std::string(names));
}

TEST(InheritedSockets, WhatIsNoSocketIsAnErrorThatNamesTheDescriptor) {
    gyre::socket s = make_listener(stream_kind::tcp);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const std::string said = in_heir({{s.fileno(), null}, "2"}, all_of_it);
    EXPECT_TRUE(said.starts_with(std::make_error_code(std::errc::not_a_socket).message()));
    EXPECT_NE(said.find("descriptor 4"), said.npos) << said;
    close(null);
}

// ---- Through exec ------------------------------------------------------------------------------

/// Run by the test below, in another process.
TEST(InheritedSockets, DISABLED_AnswersOneConnection) {
    gyre::loop loop;
    const auto serve = []() -> gyre::task<> {
        auto all = gyre::inherited_sockets();
        CO_ASSERT_TRUE(all.size() == 1 && all[0].name == "web");
        std::vector<gyre::socket> sockets;
        sockets.push_back(std::move(all[0].socket));
        gyre::listener l(std::move(sockets));
        auto [peer, from] = co_await l.accept();
        co_await peer.sendall("from exec");
    };
    loop.run(gyre::with_timeout(20s, serve()));
}

TEST(InheritedSockets, SurviveExec) {
    gyre::socket web = make_listener(stream_kind::tcp);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        take_up({{web.fileno()}, "1", "web"});
        execl("/proc/self/exe", "test", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
              "--gtest_filter=*DISABLED_AnswersOneConnection", nullptr);
        _exit(127);
    }
    gyre::loop loop;
    const auto ask = [&]() -> gyre::task<std::string> {
        gyre::socket s = co_await gyre::create_connection(web.getsockname());
        std::array<std::byte, 9> memory;
        co_await s.recv_exactly(memory);
        co_return std::string(text_of(memory));
    };
    EXPECT_EQ(loop.run(gyre::with_timeout(20s, ask())), "from exec");
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

} // namespace
