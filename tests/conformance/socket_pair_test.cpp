#include "../support/sockets.hpp"

#include <array>
#include <cerrno>
#include <sys/syscall.h>
#include <unistd.h>

// A stranger who connects to a pair that is being made over the loopback, before its other end can:
// these stand in for the functions of libc, and do what another process would do at that moment.
namespace {

constinit thread_local bool strangers_come = false;
constinit thread_local int stranger = -1;

int meet_stranger(int fd, int type) {
    sockaddr_storage name{};
    auto* const to = reinterpret_cast<sockaddr*>(&name);
    socklen_t size = sizeof name;
    if (getsockname(fd, to, &size) != 0)
        return -1;
    stranger = socket(name.ss_family, type | SOCK_CLOEXEC, 0);
    if (connect(stranger, to, size) != 0)
        return -1;
    return send(stranger, "evil", 4, MSG_NOSIGNAL) == 4 ? 0 : -1;
}

bool is_of_type(int fd, int type) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) == 0 && value == type;
}

} // namespace

extern "C" int listen(int fd, int backlog) noexcept {
    if (syscall(SYS_listen, fd, backlog) != 0)
        return -1;
    return strangers_come && stranger < 0 ? meet_stranger(fd, SOCK_STREAM) : 0;
}

extern "C" int bind(int fd, const sockaddr* name, socklen_t size) noexcept {
    if (syscall(SYS_bind, fd, name, size) != 0)
        return -1;
    return strangers_come && stranger < 0 && is_of_type(fd, SOCK_DGRAM)
               ? meet_stranger(fd, SOCK_DGRAM)
               : 0;
}

namespace {

using namespace gyre_test;

class SocketPair : public on_each_backend<> {
protected:
    void SetUp() override {
        on_each_backend::SetUp();
        strangers_come = true;
        stranger = -1;
    }
    void TearDown() override {
        strangers_come = false;
        if (stranger >= 0)
            ::close(stranger);
        on_each_backend::TearDown();
    }
};

TEST_P(SocketPair, OfStreamsTurnsAStrangerAway) {
    for (const int family : {AF_INET, AF_INET6})
        run([&]() -> gyre::task<> {
            auto [a, b] = gyre::socketpair(family);
            CO_ASSERT_TRUE(stranger >= 0);
            EXPECT_EQ(a.getsockname(), b.getpeername());
            EXPECT_EQ(b.getsockname(), a.getpeername());
            std::array<std::byte, 8> memory;
            co_await a.sendall("good");
            EXPECT_EQ(text_of(std::span(memory).first(co_await b.recv(memory))), "good");
            EXPECT_LE(::recv(stranger, memory.data(), memory.size(), 0), 0) << "an end or a reset";
            ::close(std::exchange(stranger, -1));
        });
}

TEST_P(SocketPair, OfDatagramsHasNothingOfAStrangers) {
    for (const int family : {AF_INET, AF_INET6})
        run([&]() -> gyre::task<> {
            auto [a, b] = gyre::socketpair(family, SOCK_DGRAM);
            CO_ASSERT_TRUE(stranger >= 0);
            std::array<std::byte, 8> memory;
            for (gyre::socket* s : {&a, &b}) {
                EXPECT_EQ(s->bytes_readable(), 0U);
                EXPECT_EQ(co_await outcome(s->recv(memory).nonblocking()),
                          std::errc::operation_would_block);
            }
            co_await a.send("good");
            EXPECT_EQ(text_of(std::span(memory).first(co_await b.recv(memory))), "good");
            ::close(std::exchange(stranger, -1));
        });
}

GYRE_ON_EACH_BACKEND(SocketPair);

} // namespace
