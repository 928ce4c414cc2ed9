#include "../support/sockets.hpp"

#include <gyre/io/datagram_batch.hpp>
#include <gyre/io/host.hpp>
#include <gyre/io/inet.hpp>
#include <gyre/io/interface.hpp>
#include <gyre/io/ip_option.hpp>
#include <gyre/io/multicast.hpp>
#include <gyre/io/pass_fds.hpp>
#include <gyre/io/relay.hpp>
#include <gyre/io/stream.hpp>
#include <gyre/io/tcp_option.hpp>
#include <gyre/io/udp_segments.hpp>
#include <gyre/io/wait.hpp>

#include <array>
#include <cmath>
#include <fcntl.h>
#include <limits>
#include <netinet/tcp.h>
#include <source_location>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

// What nobody should ask for: each public function of io/ answers it with a gyre::error that names
// what was wrong, and leaves everything as it was.

namespace {

using namespace gyre_test;
using namespace std::string_literals;
using gyre::address;
using gyre::error;
using where = std::source_location;

/// The error has this code (a gyre::errc or a std::errc), and this in its text.
template <class Errc>
void expect_error(const error& e, Errc code, std::string_view word, const where& at) {
    EXPECT_EQ(e.code(), code) << "line " << at.line() << ": " << e.what();
    EXPECT_TRUE(std::string_view(e.what()).contains(word))
        << "line " << at.line() << ": \"" << word << "\" is not in: " << e.what();
}

/// So ends a call,
template <class F, class Errc>
void refused(F f, Errc code, std::string_view word, const where& at = where::current()) {
    try {
        f();
        ADD_FAILURE() << "line " << at.line() << ": nothing was thrown, not even about " << word;
    } catch (const error& e) {
        expect_error(e, code, word, at);
    }
}

/// and so what is awaited.
template <class Awaitable, class Errc>
gyre::task<> ends(Awaitable a, Errc code, std::string_view word,
                  const where at = where::current()) {
    try {
        co_await std::move(a);
        ADD_FAILURE() << "line " << at.line() << ": it did not fail, not even about " << word;
    } catch (const error& e) {
        expect_error(e, code, word, at);
    }
}

constexpr auto invalid = std::errc::invalid_argument;
constexpr auto too_long = std::errc::filename_too_long;
constexpr auto bad_fd = std::errc::bad_file_descriptor;
constexpr auto closed = gyre::errc::closed;

/// The number of a descriptor that is not open, nor will be soon.
int a_closed_number() {
    const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 500);
    ::close(fd);
    return fd;
}

class BadInput : public on_each_backend<> {
protected:
    std::array<std::byte, 16> memory{};
    gyre::ancillary control;
    gyre::datagram_batch batch{2, 16};
};
GYRE_ON_EACH_BACKEND(BadInput);

// ---- Sockets that are none any more ------------------------------------------------------------

TEST_P(BadInput, EveryMemberOfAClosedSocketSaysSo) {
    gyre::socket never;
    gyre::socket was = make_client(stream_kind::tcp);
    was.close();
    gyre::socket moved = make_client(stream_kind::tcp);
    const gyre::socket taken = std::move(moved);
    gyre::socket given = make_client(stream_kind::tcp);
    ::close(given.detach());
    const address to = address::loopback_ipv4(7);
    for (gyre::socket* const each : {&never, &was, &moved, &given}) {
        gyre::socket& s = *each;
        EXPECT_FALSE(s);
        EXPECT_EQ(s.fileno(), -1);
        EXPECT_EQ(s.detach(), -1);
        EXPECT_EQ(s.family(), 0);
        EXPECT_EQ(s.type(), 0);
        EXPECT_EQ(s.proto(), 0);
        s.close();
        refused([&] { (void)s.dup(); }, closed, "dup");
        refused([&] { s.bind(to); }, closed, "bind");
        refused([&] { s.listen(); }, closed, "listen");
        refused([&] { s.shutdown(SHUT_WR); }, closed, "shutdown");
        refused([&] { (void)s.makefile(); }, closed, "makefile");
        refused([&] { (void)s.getsockname(); }, closed, "getsockname");
        refused([&] { (void)s.getpeername(); }, closed, "getpeername");
        refused([&] { s.settimeout(1s); }, closed, "settimeout");
        refused([&] { s.settimeout(std::nullopt); }, closed, "settimeout");
        refused([&] { (void)s.gettimeout(); }, closed, "gettimeout");
        refused([&] { s.setblocking(true); }, closed, "settimeout");
        refused([&] { s.setblocking(false); }, closed, "settimeout");
        refused([&] { (void)s.getblocking(); }, closed, "gettimeout");
        refused([&] { (void)s.get_inheritable(); }, closed, "get_inheritable");
        refused([&] { s.set_inheritable(true); }, closed, "set_inheritable");
        refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1); }, closed, "setsockopt");
        refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, memory); }, closed, "setsockopt");
        refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, nullptr, 4); }, closed, "setsockopt");
        refused([&] { (void)s.getsockopt(SOL_SOCKET, SO_KEEPALIVE); }, closed, "getsockopt");
        refused([&] { s.getsockopt(SOL_SOCKET, SO_KEEPALIVE, memory); }, closed, "getsockopt");
        refused([&] { s.set(gyre::option::no_delay, true); }, closed, "setsockopt");
        refused([&] { s.set(gyre::option::linger, {}); }, closed, "setsockopt");
        refused([&] { s.set(gyre::option::tcp::keep_idle, 1s); }, closed, "setsockopt");
        refused([&] { s.set(gyre::option::bind_device, "lo"); }, closed, "setsockopt");
        refused([&] { (void)s.get(gyre::option::no_delay); }, closed, "getsockopt");
        refused([&] { (void)s.get(gyre::option::linger); }, closed, "getsockopt");
        refused([&] { (void)s.get(gyre::option::tcp::keep_idle); }, closed, "getsockopt");
        refused([&] { (void)s.get(gyre::option::bind_device); }, closed, "getsockopt");
        int n = 0;
        refused([&] { s.ioctl(FIONREAD, n); }, closed, "ioctl");
        refused([&] { (void)s.bytes_readable(); }, closed, "ioctl");
        refused([&] { (void)s.bytes_unsent(); }, closed, "ioctl");
        refused([&] { (void)s.at_mark(); }, closed, "ioctl");

        refused([&] { gyre::set_keepalive(s, 1s, 1s, 1); }, closed, "setsockopt");
        refused([&] { gyre::keepalive_vals(s, true, 1s, 1s); }, closed, "setsockopt");
        refused([&] { gyre::get_tcp_info(s); }, closed, "getsockopt");
        const address group = address::parse("239.255.77.1:0");
        refused([&] { gyre::join_group(s, group); }, closed, "join group 239.255.77.1");
        refused([&] { gyre::leave_group(s, group); }, closed, "leave group 239.255.77.1");
        refused([&] { gyre::join_group(s, group, to); }, closed, "join group 239.255.77.1");
        refused([&] { gyre::leave_group(s, group, to); }, closed, "leave group 239.255.77.1");
        refused([&] { gyre::block_source(s, group, to); }, closed, "block a source");
        refused([&] { gyre::unblock_source(s, group, to); }, closed, "unblock a source");
        refused([&] { gyre::set_multicast_interface(s, 1); }, closed, "interface 1");
        refused([&] { gyre::set_promiscuous(s, 1, true); }, closed, "interface 1");

        run([&]() -> gyre::task<> {
            const std::array places{gyre::buffer(memory)};
            const std::array parts{gyre::const_buffer(memory)};
            const gyre::buffers several(places);
            const gyre::const_buffers gathered(parts);
            const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
            co_await ends(s.accept(), closed, "accept");
            co_await ends(s.connect(to), closed, "connect to 127.0.0.1:7");
            EXPECT_EQ(co_await s.connect_ex(to), closed);
            co_await ends(s.recv(memory), closed, "recv from a closed socket");
            co_await ends(s.recv(), closed, "recv from a closed socket");
            co_await ends(s.recv(several), closed, "recvmsg on a closed socket");
            co_await ends(s.recv_exactly(memory), closed, "recv from a closed socket");
            co_await ends(s.recvfrom(memory), closed, "recvmsg on a closed socket");
            co_await ends(s.recvfrom(several), closed, "recvmsg on a closed socket");
            co_await ends(s.recvmsg(memory, control), closed, "recvmsg on a closed socket");
            co_await ends(s.recvmsg(several, control), closed, "recvmsg on a closed socket");
            co_await ends(s.recv_many(batch), closed, "receive datagrams on a closed socket");
            co_await ends(s.send(memory), closed, "send to a closed socket");
            co_await ends(s.send(gathered), closed, "sendto a closed socket");
            co_await ends(s.sendall(memory), closed, "sendall to a closed socket");
            co_await ends(s.sendall(gathered), closed, "sendall to a closed socket");
            co_await ends(s.sendfile(null), closed, "to a closed socket");
            co_await ends(s.sendto(memory, to), closed, "sendto 127.0.0.1:7");
            co_await ends(s.sendto(gathered, to), closed, "sendto 127.0.0.1:7");
            co_await ends(s.sendmsg(memory, control), closed, "sendto a closed socket");
            co_await ends(s.sendmsg(gathered, control), closed, "sendto a closed socket");
            co_await ends(s.send_segments(memory, 8), closed, "sendto a closed socket");
            co_await ends(s.send_many(batch), closed, "send datagrams on a closed socket");
            co_await ends(s.wait_readable(), closed, "readable");
            co_await ends(s.wait_writable(), closed, "writable");
            co_await ends(gyre::send_fds(s, memory, {&null, 1}), closed, "a closed socket");
            co_await ends(gyre::recv_fds(s, memory), closed, "a closed socket");
            std::array<gyre::owned_fd, 1> fds;
            co_await ends(gyre::recv_fds(s, memory, fds), closed, "a closed socket");
            gyre::socket open = make_client(stream_kind::tcp);
            co_await ends(gyre::relay(s, open), closed, "a closed connection");
            co_await ends(gyre::stream(std::move(s)).read(), closed, "a closed socket");
            ::close(null);
        });
    }
}

TEST_P(BadInput, EveryMemberOfAClosedStreamSaysSo) {
    auto [a, b] = make_pair(stream_kind::tcp);
    gyre::stream never;
    gyre::stream was = a.makefile("rw");
    was.close();
    gyre::stream moved = a.makefile("rw");
    const gyre::stream taken = std::move(moved);
    gyre::stream without{gyre::socket(), "rw"}; // no stream without a socket, either
    for (gyre::stream* const each : {&never, &was, &moved, &without}) {
        gyre::stream& s = *each;
        EXPECT_FALSE(s);
        EXPECT_EQ(s.fileno(), -1);
        EXPECT_EQ(s.readable(), 0U);
        EXPECT_EQ(s.pending(), 0U);
        if (each != &without) {
            refused([&] { (void)s.connection(); }, closed, "stream");
            refused([&] { s.set_water_marks(2, 1); }, closed, "stream");
        }
        run([&]() -> gyre::task<> {
            const std::array<std::string_view, 2> ends_of_lines{"\r\n", "\n"};
            const std::span<const std::string_view> several(ends_of_lines);
            co_await ends(s.read(), closed, "read: ");
            co_await ends(s.peek(1), closed, "peek: ");
            co_await ends(s.read_exactly(1), closed, "read_exactly(1): ");
            co_await ends(s.read_exactly(memory), closed, "read_exactly(16): ");
            co_await ends(s.read_until("\n"), closed, "read_until");
            co_await ends(s.read_until(several), closed, "read_until");
            co_await ends(s.read_line(), closed, "read_line");
            co_await ends(s.read_all(), closed, "read_all");
            if (each == &without)
                co_return; // what is written waits for a flush
            co_await ends(s.write("x"), closed, "write: ");
            co_await ends(s.flush(), closed, "flush: ");
        });
        s.close();
    }
}

TEST_P(BadInput, WhatWasMovedFromHoldsNothing) {
    run([&]() -> gyre::task<> {
        gyre::fd_watch never;
        co_await ends(never.readable(), closed, "readable");
        co_await ends(never.writable(), closed, "writable");
        auto [a, b] = make_udp_pair();
        gyre::fd_watch watch(a.fileno());
        const gyre::fd_watch taken = std::move(watch);
        co_await ends(watch.readable(), closed, "readable");
        watch.close();

        control.append(SOL_SOCKET, 1, "data");
        gyre::ancillary other = std::move(control);
        EXPECT_TRUE(control.empty());
        EXPECT_EQ(control.begin(), control.end());
        EXPECT_TRUE(control.take_fds().empty());
        refused([&] { control.append(SOL_SOCKET, 1, "x"); }, std::errc::no_buffer_space,
                "at most 0");
        co_await a.sendmsg("x", control, 0, b.getsockname());
        co_await b.recvmsg(memory, control);

        batch.add("x", b.getsockname());
        gyre::datagram_batch whole = std::move(batch);
        EXPECT_TRUE(batch.empty());
        refused([&] { batch.add("x"); }, std::errc::no_buffer_space, "0 datagrams");
        EXPECT_EQ(co_await a.send_many(batch), 0U);
        EXPECT_EQ(co_await b.recv_many(batch).nonblocking(), 0U);
        EXPECT_EQ(co_await a.send_many(whole), 1U);
        EXPECT_EQ(co_await b.recv_many(whole), 1U);
    });
}

// ---- Descriptors -------------------------------------------------------------------------------

TEST_P(BadInput, ADescriptorThatIsNoneIsNamed) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const int fds[] = {a_closed_number(), -1, std::numeric_limits<int>::min(),
                       std::numeric_limits<int>::max()};
    for (const int fd : fds) {
        const std::string number = std::to_string(fd);
        refused([&] { gyre::socket::adopt(fd); }, bad_fd, "adopt descriptor " + number);
        refused([&] { gyre::fromfd(fd, AF_INET, SOCK_STREAM); }, bad_fd, "fromfd " + number);
        refused([&] { gyre::dup(fd); }, bad_fd, "dup descriptor " + number);
        refused([&] { gyre::close(fd); }, bad_fd, "close descriptor " + number);
        refused([&] { gyre::fd_watch watch(fd); }, bad_fd, "watch descriptor " + number);
    }
    run([&]() -> gyre::task<> {
        for (const int fd : fds) {
            const std::string number = "descriptor " + std::to_string(fd);
            co_await ends(gyre::wait_readable(fd), bad_fd, number);
            co_await ends(gyre::wait_writable(fd), bad_fd, number);
            co_await ends(a.sendfile(fd), bad_fd, number);
            co_await ends(gyre::send_fds(a, "x", {&fd, 1}), bad_fd, "1 descriptors");
            control.clear();
            control.append_fds({&fd, 1});
            co_await ends(a.sendmsg("x", control), bad_fd, "sendto");
        }
    });
    const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    refused([&] { gyre::socket::adopt(file); }, std::errc::not_a_socket, "adopt descriptor");
    refused([&] { gyre::fromfd(file, AF_INET, SOCK_STREAM); }, std::errc::not_a_socket, "fromfd");
    refused([&] { gyre::fromfd(a.fileno(), AF_INET, SOCK_STREAM); }, invalid, "expected family 2");
    ::close(file);
}

TEST_P(BadInput, MoreDescriptorsThanAMessageCarriesAreRefused) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const std::vector<int> many(254, a.fileno());
    gyre::ancillary large(4096);
    refused([&] { large.append_fds(many); }, invalid, "254 descriptors (expected at most 253)");
    EXPECT_TRUE(large.empty());
    refused([&] { (void)gyre::send_fds(a, "x", many); }, invalid, "254 descriptors");
    refused(
        [&] { (void)gyre::send_fds(a, gyre::const_buffer(nullptr, 0), std::span(many).first(1)); },
        invalid, "no data");
    for (const int family : {AF_INET, AF_INET6})
        refused([&] { (void)gyre::send_fds(gyre::socket::open(family), "x", {many.data(), 1}); },
                invalid, "which carries no descriptors (expected AF_UNIX)");
    run([&]() -> gyre::task<> {
        co_await gyre::send_fds(a, "x", std::span(many).first(253));
        const auto all = co_await gyre::recv_fds(b, memory, 1000);
        EXPECT_EQ(all.fds.size(), 253U);
    });
}

// ---- Kinds of sockets, names and numbers -------------------------------------------------------

TEST_P(BadInput, KindsOfSocketsThatDoNotExistAreNamed) {
    const auto no_family = std::errc::address_family_not_supported;
    refused([] { gyre::socket::open(99); }, no_family, "family 99");
    refused([] { gyre::socket::open(-1); }, no_family, "family -1");
    refused([] { gyre::socket::open(AF_INET, 99); }, invalid, "type 99");
    refused([] { gyre::socket::open(AF_INET, -1); }, invalid, "type ");
    refused([] { gyre::socket::open(AF_INET, SOCK_STREAM, 99999); }, invalid, "protocol 99999");
    refused([] { gyre::socket::open(AF_INET, SOCK_STREAM, -1); }, invalid, "protocol -1");
    refused([] { gyre::socket::open(AF_INET, SOCK_STREAM, IPPROTO_UDP); },
            std::errc::protocol_not_supported, "type SOCK_STREAM, protocol 17");
    refused([] { gyre::socketpair(99); }, no_family, "family 99");
    refused([] { gyre::socketpair(-1); }, no_family, "family -1");
    refused([] { gyre::socketpair(AF_UNIX, SOCK_STREAM, 99); }, std::errc::protocol_not_supported,
            "protocol 99");
    refused([] { gyre::socketpair(AF_INET, SOCK_SEQPACKET); },
            std::error_code(ESOCKTNOSUPPORT, std::system_category()), "SOCK_SEQPACKET");
    refused([] { gyre::socketpair(AF_INET, SOCK_STREAM, IPPROTO_UDP); },
            std::errc::protocol_not_supported, "protocol 17");
}

TEST_P(BadInput, TextThatIsNoAddressIsQuotedWithAReason) {
    const std::string path107(107, 'p');
    const struct {
        std::string text;
        std::errc code;
        std::string_view word;
    } texts[] = {
        {"", invalid, "empty"},
        {"127.0.0.1", invalid, "the port is missing"},
        {"127.0.0.1:", invalid, "the port is missing"},
        {"127.0.0.1:65536", invalid, "port 65536 is not in 0..65535"},
        {"127.0.0.1:99999999999999999999", invalid, "not in 0..65535"},
        {"127.0.0.1:-1", invalid, "port -1"},
        {"127.0.0.1: 80", invalid, "port  80"},
        {"127.0.0.1:80 ", invalid, "port 80 "},
        {"127.0.0.1:080", invalid, "leading zero"},
        {"127.0.0.1:0x50", invalid, "port 0x50"},
        {"127.0.0.1:http", invalid, "port http"},
        {"127.0.0.1:8\0000"s, invalid, "\\x00"},
        {"127.0.0.1\0:80"s, invalid, "\\x00"},
        {"127.0.0:80", invalid, "not an IPv4 address"},
        {"256.0.0.1:80", invalid, "not an IPv4 address"},
        {"localhost:80", invalid, "resolver"},
        {"::1:80", invalid, "brackets"},
        {"[::1", invalid, "the ] is missing"},
        {"[::1]80", invalid, "colon"},
        {"[::1]:65536", invalid, "port 65536"},
        {"[::g]:80", invalid, "not an IPv6 address"},
        {"[::1\0]:80"s, invalid, "\\x00"},
        {"[fe80::1%]:80", invalid, "scope"},
        {"[fe80::1%4294967296]:80", invalid, "scope"},
        {"[fe80::1%nosuchif]:80", std::errc::no_such_device, "nosuchif"},
        {"unix:", invalid, "the path is empty"},
        {"unix:a\0b"s, invalid, "NUL"},
        {"unix:a\\x00b", invalid, "NUL"},
        {"unix:a\\x0", invalid, "backslash"},
        {"unix:" + path107 + 'p', too_long, "108 bytes"},
        {"unix:@" + path107 + 'p', too_long, "108 bytes"},
        {"netlink:-1/0", invalid, "pid -1"},
        {"netlink:0", invalid, "netlink:PID/GROUPS"},
        {"packet:lo/65536", invalid, "65536"},
        {"vsock:4294967296:1", invalid, "4294967296"},
        {"tipc:name:1/2@9", invalid, "scope 9"},
        {"can-isotp:0/0xffffffff/0", invalid, "0xffffffff"},
        {"alg:" + std::string(14, 't') + "/n", too_long, "14 bytes"},
    };
    for (const auto& t : texts) {
        SCOPED_TRACE(t.text);
        refused([&] { (void)address::parse(t.text); }, t.code, t.word);
    }
    EXPECT_EQ(address::parse("unix:" + path107).path(), path107);
    for (const std::string& host : {""s, "host"s, "127.1"s, "127.0.0.1\0"s, "::1\0"s, "[::1]"s})
        EXPECT_FALSE(address::from_ip(host, 80)) << host;
}

TEST_P(BadInput, AnAddressThatCannotBeMadeIsNamed) {
    const std::array<std::byte, 127> bytes{};
    sockaddr_storage raw{};
    const auto* const name = reinterpret_cast<const sockaddr*>(&raw);
    refused([&] { address(name, 129); }, invalid, "129 bytes");
    refused([&] { address(name, static_cast<socklen_t>(-1)); }, invalid, "larger than 128");
    refused([] { address(nullptr, 16); }, invalid, "null pointer");
    EXPECT_TRUE(address(nullptr, 0).empty());
    refused([&] { (void)address::ipv6(std::span(bytes).first<16>(), 0, 0, 0x100000); }, invalid,
            "flow information 1048576");
    refused([] { (void)address::unix_path(std::string(108, 'p')); }, too_long, "108 bytes");
    refused([] { (void)address::unix_path("a\0b"s); }, invalid, "NUL");
    refused([] { (void)address::unix_path(""); }, invalid, "empty");
    refused([] { (void)address::unix_abstract(std::string(108, 'p')); }, too_long, "108 bytes");
    refused([&] { (void)address::generic(AF_INET, bytes); }, invalid, "127");
    refused([&] { (void)address::generic(-1, {}); }, invalid, "-1");
    refused([&] { (void)address::generic(65536, {}); }, invalid, "65536");
    refused([&] { (void)address::packet({.hardware_address = std::span(bytes).first(9)}); },
            invalid, "9 bytes");
    refused([] { (void)address::can(1U << 31); }, invalid, "2147483648");
    refused([] { (void)address::tipc(gyre::tipc_kind{}, 1, 1); }, invalid, "TIPC");
    refused([] { (void)address::alg("", ""); }, invalid, "empty");
    refused([] { (void)address::alg("hash", std::string(64, 'n')); }, too_long, "64 bytes");
}

TEST_P(BadInput, AnAddressOfNoUseToTheSocketIsNamed) {
    const address unix_path = address::unix_path("/nonexistent/socket");
    const address ipv6 = address::loopback_ipv6(7);
    run([&]() -> gyre::task<> {
        gyre::socket tcp = make_client(stream_kind::tcp);
        gyre::socket udp = gyre::socket::open(AF_INET, SOCK_DGRAM);
        gyre::socket local = gyre::socket::open(AF_UNIX, SOCK_STREAM);
        refused([&] { tcp.bind({}); }, invalid, "bind to (no address)");
        refused([&] { tcp.bind(unix_path); }, std::errc::address_family_not_supported,
                "unix:/nonexistent/socket");
        refused([&] { local.bind(unix_path); }, std::errc::no_such_file_or_directory,
                "bind to unix:/nonexistent/socket");
        refused([&] { tcp.bind(address::ipv4(0xc0000201, 0)); }, std::errc::address_not_available,
                "bind to 192.0.2.1:0");
        co_await ends(tcp.connect({}), invalid, "connect to (no address)");
        co_await ends(tcp.connect(unix_path), std::errc::address_family_not_supported,
                      "connect to unix:/nonexistent/socket");
        co_await ends(local.connect(unix_path), std::errc::no_such_file_or_directory,
                      "connect to unix:/nonexistent/socket");
        co_await ends(local.connect(ipv6), invalid, "connect to [::1]:7");
        co_await ends(udp.sendto("x", ipv6), std::errc::address_family_not_supported,
                      "sendto [::1]:7");
        co_await ends(udp.sendto("x", {}), std::errc::destination_address_required, "sendto");
        co_await ends(udp.sendto("x", address::loopback_ipv4(0)), invalid, "sendto 127.0.0.1:0");
        co_await ends(tcp.accept(), invalid, "accept on 0.0.0.0:0");
        co_await ends(udp.accept(), std::errc::operation_not_supported, "accept on ");
        refused([&] { udp.listen(); }, std::errc::operation_not_supported, "listen");
        refused([&] { (void)udp.getpeername(); }, std::errc::not_connected, "getpeername");
        refused([&] { udp.shutdown(99); }, invalid, "shutdown 99 (expected SHUT_RD");
        refused([&] { udp.shutdown(-1); }, invalid, "shutdown -1 (expected SHUT_RD");
        refused([&] { udp.shutdown(SHUT_WR); }, std::errc::not_connected, "shutdown");
        co_await ends(tcp.recv(memory), std::errc::not_connected, "recv from the peer of");
        co_await ends(tcp.send(memory), std::errc::broken_pipe, "send to the peer of");
        tcp.listen(-5); // as many as the system lets
        int n = 1;
        refused([&] { udp.ioctl(0xffff, n); }, std::errc::inappropriate_io_control_operation,
                "ioctl 65535");
        refused([&] { udp.ioctl(FIONBIO, n); }, invalid, "ioctl FIONBIO");
        n = 0;
        refused([&] { udp.ioctl(FIONBIO, n); }, invalid, "ioctl FIONBIO");
        EXPECT_NE(fcntl(udp.fileno(), F_GETFL) & O_NONBLOCK, 0);
    });
}

TEST_P(BadInput, NamesOfHostsAndInterfacesAndNumbersAreQuoted) {
    refused([] { gyre::sethostname(std::string(65, 'h')); }, too_long, "65 bytes");
    refused([] { gyre::sethostname("a\0b"s); }, invalid, "NUL");
    refused([] { gyre::if_nametoindex(""); }, std::errc::no_such_device, "\"\"");
    refused([] { gyre::if_nametoindex("nosuchif"); }, std::errc::no_such_device, "nosuchif");
    refused([] { gyre::if_nametoindex(std::string(16, 'i')); }, too_long, "16 bytes");
    refused([] { gyre::if_nametoindex("lo\0"s); }, invalid, "NUL");
    refused([] { gyre::if_indextoname(0); }, std::errc::no_such_device_or_address, "interface 0");
    refused([] { gyre::if_indextoname(~0U); }, std::errc::no_such_device_or_address, "4294967295");
    const std::vector<std::byte> five(5);
    for (const std::string& text : {""s, "1.2.3.4.5"s, "256.1"s, "1.2.3.4\0"s, "host"s, "-1"s})
        refused([&] { gyre::inet_aton(text); }, invalid, "inet_aton: \"");
    refused([&] { gyre::inet_ntoa(five); }, invalid, "5 bytes (expected 4)");
    refused([] { gyre::inet_pton(AF_INET, "127.1"); }, invalid, "\"127.1\"");
    refused([] { gyre::inet_pton(AF_INET, "127.0.0.1\0"s); }, invalid, "\\x00");
    refused([] { gyre::inet_pton(AF_INET6, "fe80::1%1"); }, invalid, "scope");
    refused([] { gyre::inet_pton(-1, "x"); }, std::errc::address_family_not_supported, "-1");
    refused([&] { gyre::inet_ntop(AF_INET, five); }, invalid, "5 bytes (expected 4");
    refused([&] { gyre::inet_ntop(AF_INET6, {}); }, invalid, "0 bytes (expected 16");
    refused([&] { gyre::inet_ntop(AF_UNIX, five); }, std::errc::address_family_not_supported,
            "AF_UNIX");
}

// ---- Times -------------------------------------------------------------------------------------

TEST_P(BadInput, TimesThatAreNoneAreRefusedAndChangeNothing) {
    using seconds = std::chrono::duration<double>;
    const seconds nan(std::nan(""));
    const seconds infinite(HUGE_VAL);
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    s.settimeout(17s);
    for (const seconds negative : {seconds(-1e-9), seconds(-1e300), -infinite}) {
        refused([&] { s.settimeout(negative); }, invalid, "negative");
        refused([&] { gyre::setdefaulttimeout(negative); }, invalid, "negative");
    }
    refused([&] { s.settimeout(std::chrono::hours::min()); }, invalid, "negative");
    refused([&] { s.settimeout(nan); }, invalid, "not a number");
    refused([&] { gyre::setdefaulttimeout(nan); }, invalid, "not a number");
    refused([&] { (void)s.recv(memory).within(nan); }, invalid, "not a number");
    EXPECT_EQ(s.gettimeout(), 17s);
    EXPECT_EQ(gyre::getdefaulttimeout(), std::nullopt);
    s.settimeout(infinite);
    EXPECT_EQ(s.gettimeout(), std::chrono::nanoseconds::max());
    s.settimeout(std::chrono::hours::max());
    run([&]() -> gyre::task<> {
        // A deadline that has passed is one; infinity is none.
        s.bind(address::loopback_ipv4(0));
        for (const seconds past : {seconds(0), seconds(-1), seconds(-1e300), -infinite})
            co_await ends(s.recv(memory).within(past), gyre::errc::timed_out, "recv from");
        co_await ends(s.recv(memory).until(gyre::clock::time_point::min()), gyre::errc::timed_out,
                      "recv from");
        for (const seconds far : {infinite, seconds(1e300)}) {
            co_await s.sendto("x", s.getsockname());
            EXPECT_EQ(co_await s.recv(memory).within(far), 1U);
        }
        const auto recv = [&](auto limit) -> gyre::task<> {
            co_await ends(s.recv(memory).within(limit), gyre::errc::cancelled, "recv from");
        };
        co_await gyre::race(recv(infinite), next_turn());
        co_await gyre::race(recv(std::chrono::hours::max()), next_turn());
    });
}

// ---- Sizes -------------------------------------------------------------------------------------

TEST_P(BadInput, NothingAtNoPlaceIsABuffer) {
    const gyre::buffer none(nullptr, 0);
    const gyre::const_buffer nothing(nullptr, 0);
    run([&]() -> gyre::task<> {
        auto [a, b] = make_pair(stream_kind::tcp);
        EXPECT_EQ(co_await a.recv(none), 0U);
        EXPECT_EQ(co_await a.recv(none, MSG_WAITALL), 0U);
        EXPECT_EQ(co_await a.recv(gyre::buffers()), 0U);
        EXPECT_EQ(co_await a.send(nothing), 0U);
        EXPECT_EQ(co_await a.send(gyre::const_buffers()), 0U);
        co_await a.recv_exactly(none);
        co_await a.sendall(nothing);
        co_await a.sendall(gyre::const_buffers());
        gyre::stream stream = a.makefile("rw");
        co_await stream.write(nothing);
        co_await stream.flush();
        co_await stream.read_exactly(none);
        EXPECT_EQ(co_await stream.read(0), "");
        EXPECT_EQ(co_await stream.peek(0), "");
        EXPECT_EQ(co_await stream.read_exactly(0), "");
        control.append(SOL_SOCKET, 99, nothing);
        EXPECT_EQ(control.size(), gyre::cmsg_space(0));
        control.clear();

        auto [c, d] = make_udp_pair();
        const address to = d.getsockname();
        batch.add(nothing, to);
        EXPECT_EQ(co_await c.send_many(batch), 1U);
        EXPECT_EQ(co_await d.recv(none), 0U);
        EXPECT_EQ(co_await c.sendto(nothing, to), 0U);
        EXPECT_EQ((co_await d.recvfrom(none)).count, 0U);
        EXPECT_EQ(co_await c.sendto(gyre::const_buffers(), to), 0U);
        EXPECT_EQ((co_await d.recvfrom(gyre::buffers())).count, 0U);
        EXPECT_EQ(co_await c.sendmsg(nothing, control, 0, to), 0U);
        EXPECT_EQ((co_await d.recvmsg(none, control)).count, 0U);

        // Something at no place is not.
        const gyre::const_buffer wild(nullptr, 5);
        co_await ends(a.send(wild), std::errc::bad_address, "send to");
        co_await ends(a.sendall(wild), std::errc::bad_address, "sendall to");
        co_await ends(c.sendto(wild, to), std::errc::bad_address, "sendto");
        co_await b.send("x");
        co_await ends(a.recv({nullptr, 5}), std::errc::bad_address, "recv from");
    });
}

TEST_P(BadInput, SizesThatDoNotFitAreNamed) {
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    for (const auto& [capacity, bytes, beside] : {std::array<std::size_t, 3>{0, 1, 0},
                                                  {1, 0, 0},
                                                  {huge, 1, 0},
                                                  {1, huge, 0},
                                                  {1024, huge / 512, 0},
                                                  {1, 1, huge},
                                                  {1024, 1, huge / 1000},
                                                  {huge / 8, 16, 0}})
        refused([&] { gyre::datagram_batch(capacity, bytes, beside); }, invalid,
                std::to_string(capacity) + " datagrams of " + std::to_string(bytes) + " bytes");
    refused([&] { batch.add(std::string(17, 'x')); }, std::errc::message_size, "17 bytes");
    refused([&] { batch.add({nullptr, huge}); }, std::errc::message_size, std::to_string(huge));
    for (int i = 0; i < 2; ++i)
        batch.add("x");
    refused([&] { batch.add("x"); }, std::errc::no_buffer_space, "all of its 2");

    gyre::ancillary small(gyre::cmsg_space(4));
    const auto no_space = std::errc::no_buffer_space;
    for (const std::size_t n : {std::size_t{9}, huge - 100, huge - 15, huge - 7, huge})
        refused([&] { small.append(0, 0, {&n, n}); }, no_space, std::to_string(n) + " bytes");
    EXPECT_TRUE(small.empty());
    refused([&] { control.append_packet_info({}); }, invalid, "(no address) (expected an IP");
    refused([&] { control.append_packet_info({1, {}, address::unix_unnamed()}); }, invalid, "UNIX");
    for (const int family : {AF_UNIX, AF_UNSPEC, -1}) {
        refused([&] { control.append_hop_limit(family, 1); }, invalid, "(expected AF_INET or");
        refused([&] { control.append_traffic_class(family, 1); }, invalid, "(expected AF_INET or");
    }
    for (const int n : {256, -2, std::numeric_limits<int>::min()}) {
        const std::string number = ' ' + std::to_string(n) + " (expected ";
        for (const int family : {AF_INET, AF_INET6}) {
            refused([&] { control.append_hop_limit(family, n); }, invalid, "limit of" + number);
            refused([&] { control.append_traffic_class(family, n); }, invalid, "class of" + number);
        }
    }
    refused([&] { control.append_hop_limit(AF_INET, 0); }, invalid, "0 (expected 1 to 255)");
    EXPECT_TRUE(control.empty());

    run([&]() -> gyre::task<> {
        auto [a, b] = make_udp_pair();
        for (const std::size_t n : {std::size_t{0}, std::size_t{65'536}, huge})
            refused([&] { (void)a.send_segments(memory, n, b.getsockname()); }, invalid,
                    "segments of " + std::to_string(n) + " bytes (expected 1 to 65535)");
        const std::vector<std::byte> large(65'508);
        const std::vector<gyre::const_buffer> parts(1025, gyre::const_buffer(memory));
        const address to = b.getsockname();
        co_await ends(a.sendto(large, to), std::errc::message_size, "sendto " + to.to_string());
        co_await ends(a.sendto(gyre::const_buffers(parts), to), std::errc::message_size, "sendto");

        auto [c, d] = make_pair(stream_kind::tcp);
        const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        const std::string of = "descriptor " + std::to_string(file);
        co_await ends(c.sendfile(file, -1), invalid, "a negative offset");
        co_await ends(c.sendfile(file, 0, -1), invalid, "a negative count");
        co_await ends(c.sendfile(file, std::numeric_limits<std::int64_t>::max()), invalid, of);
        co_await ends(c.sendfile(file, std::numeric_limits<std::int64_t>::min()), invalid, of);
        co_await ends(a.sendfile(file), std::errc::operation_not_supported, of);
        ::close(file);
        const int folder = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        co_await ends(c.sendfile(folder), std::errc::is_a_directory, "descriptor");
        ::close(folder);
        co_await ends(gyre::relay(a, c), std::errc::operation_not_supported, "no stream");
        co_await ends(gyre::relay(c, c), gyre::errc::busy, "relay from");
    });
}

TEST_P(BadInput, AStreamNamesWhatItCannotDo) {
    auto [a, b] = make_pair(stream_kind::tcp);
    for (const char* mode : {"", "x", "wr", "rwx", "R", "rb"}) {
        refused([&] { (void)a.makefile(mode); }, invalid, '"' + std::string(mode) + '"');
        refused([&] { gyre::stream(gyre::socket(), mode); }, invalid, "(expected \"r\", \"w\"");
    }
    gyre::stream both = a.makefile("rw");
    gyre::stream reader = a.makefile("r");
    gyre::stream writer = a.makefile("w");
    refused([&] { both.set_water_marks(1, 2); }, invalid, "the low one, 2, is above");
    run([&]() -> gyre::task<> {
        const std::array<std::string_view, 2> one_empty{"\n", ""};
        const std::span<const std::string_view> several(one_empty);
        const auto no = std::errc::operation_not_supported;
        co_await ends(reader.write("x"), no, "write");
        co_await ends(reader.flush(), no, "flush");
        co_await ends(writer.read(), no, "read");
        co_await ends(writer.read_line(), no, "read_line");
        co_await ends(writer.read_exactly(memory), no, "read_exactly(16)");
        co_await ends(both.read_until(""), invalid, "without a delimiter");
        co_await ends(both.read_until(several), invalid, "without a delimiter");
        co_await ends(both.read_until(std::span<const std::string_view>()), invalid,
                      "without a delimiter");
        co_await b.sendall("too long");
        co_await ends(both.read_line(3), gyre::errc::too_long, "read_line (limit 3)");
        co_await ends(both.read_all(3), gyre::errc::too_long, "read_all (limit 3)");
        b.close();
        co_await ends(both.read_exactly(std::numeric_limits<std::size_t>::max()),
                      gyre::errc::incomplete, "read_exactly(18446744073709551615)");
        EXPECT_EQ(co_await both.read(), "too long");
    });
}

// ---- Options -----------------------------------------------------------------------------------

TEST_P(BadInput, OptionsThatDoNotExistOrHaveTheWrongSizeAreNamed) {
    gyre::socket s = make_client(stream_kind::tcp);
    const auto unknown = std::errc::no_protocol_option;
    const auto elsewhere = std::errc::operation_not_supported;
    refused([&] { s.setsockopt(SOL_SOCKET, 9999, 1); }, unknown, "level 1, option 9999, 4 bytes");
    refused([&] { (void)s.getsockopt(SOL_SOCKET, 9999); }, unknown, "level 1, option 9999");
    refused([&] { s.setsockopt(SOL_SOCKET, -1, 1); }, unknown, "option -1");
    refused([&] { s.setsockopt(9999, 1, 1); }, unknown, "level 9999");
    refused([&] { (void)s.getsockopt(9999, 1); }, elsewhere, "level 9999");
    refused([&] { s.setsockopt(IPPROTO_UDP, 1, 1); }, unknown, "level 17");
    refused([&] { s.setsockopt(SOL_SOCKET, SO_LINGER, 1); }, invalid, "option 13, 4 bytes");
    refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, {nullptr, 0}); }, invalid, "0 bytes");
    refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, {nullptr, 4}); }, std::errc::bad_address,
            "option 9");
    refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, "abc"); }, invalid, "3 bytes");
    const std::size_t huge = std::size_t{1} << 31;
    refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, {&huge, huge}); }, invalid,
            "2147483648 bytes (expected at most 2147483647)");
    refused([&] { s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, nullptr, huge); }, invalid,
            "(expected at most 2147483647)");
    refused([&] { s.getsockopt(SOL_SOCKET, SO_KEEPALIVE, {memory.data(), huge}); }, invalid,
            "(expected at most 2147483647)");
    EXPECT_EQ(s.getsockopt(SOL_SOCKET, SO_KEEPALIVE, {nullptr, 0}), 0U);

    namespace option = gyre::option;
    refused([&] { s.set(option::tcp::keep_idle, std::chrono::seconds(1L << 32)); }, invalid,
            "4294967296");
    refused([&] { s.set(option::tcp::user_timeout, -std::chrono::milliseconds(1L << 40)); },
            invalid, "-1099511627776");
    refused([&] { s.set(option::receive_low_water, 1), s.set(option::send_low_water, 2); }, unknown,
            "option 19");
    refused([&] { s.set(option::accepts, true); }, unknown, "setsockopt");
    refused([&] { s.set(option::ip::ttl, 256); }, invalid, "level 0");
    refused([&] { (void)s.get(gyre::socket_option<std::uint64_t>{SOL_SOCKET, SO_TYPE}); }, invalid,
            "option 3, 8 bytes: it has 4");

    // Text that the kernel would cut short.
    refused([&] { s.set(option::bind_device, "lo\0"s); }, invalid, "NUL");
    refused([&] { s.set(option::bind_device, "lo\0x"s); }, invalid, "NUL");
    refused([&] { s.set(option::bind_device, std::string(16, 'i')); }, too_long, "at most 15");
    refused([&] { s.set(option::bind_device, "nosuchif"); }, std::errc::no_such_device,
            "option 25");
    refused([&] { s.set(option::tcp::congestion, std::string(16, 'c')); }, too_long, "at most 15");
    refused([&] { s.set(option::tcp::congestion, "cubic\0"s); }, invalid, "NUL");
    refused([&] { s.set(option::tcp::congestion, "nosuch"); }, std::errc::no_such_file_or_directory,
            "option 13");
    refused([&] { s.set(option::tcp::upper_layer, std::string(16, 'u')); }, too_long, "at most 15");
    EXPECT_EQ(s.get(option::bind_device), "");
}

TEST_P(BadInput, TimesOfKeepaliveAreNamedAndNothingIsTurnedOn) {
    gyre::socket s = make_client(stream_kind::tcp);
    const auto idle = s.get(gyre::option::tcp::keep_idle);
    for (const std::chrono::seconds t : {0s, -1s, 32768s, std::chrono::seconds::max()}) {
        const std::string is = " is " + std::to_string(t.count()) + " (expected 1 to 32767)";
        refused([&] { gyre::set_keepalive(s, t, 1s, 1); }, invalid, "idle" + is);
        refused([&] { gyre::set_keepalive(s, 1s, t, 1); }, invalid, "interval" + is);
    }
    for (const int n : {0, -1, 128})
        refused([&] { gyre::set_keepalive(s, 1s, 1s, n); }, invalid,
                "count is " + std::to_string(n) + " (expected 1 to 127)");
    for (const std::chrono::milliseconds t : {-1ms, -1000ms, 32'767'001ms, 1ms * INT64_MAX}) {
        refused([&] { gyre::keepalive_vals(s, true, t, 1s); }, invalid, "idle is ");
        refused([&] { gyre::keepalive_vals(s, true, 1s, t); }, invalid, "interval is ");
    }
    EXPECT_FALSE(s.get(gyre::option::keep_alive));
    EXPECT_EQ(s.get(gyre::option::tcp::keep_idle), idle);
    gyre::socket udp = gyre::socket::open(AF_INET, SOCK_DGRAM);
    refused([&] { gyre::get_tcp_info(udp); }, std::errc::operation_not_supported, "level 6");
}

TEST_P(BadInput, GroupsThatAreNoneAreNamed) {
    gyre::socket s = gyre::socket::open(AF_INET, SOCK_DGRAM);
    gyre::socket s6 = gyre::socket::open(AF_INET6, SOCK_DGRAM);
    const address group = address::parse("239.255.77.1:0");
    const address group6 = address::parse("[ff05::77]:0");
    static const address from = address::loopback_ipv4(0);
    using change = void (*)(gyre::socket&, const address&, unsigned);
    const auto no_device = std::errc::no_such_device;
    const struct {
        change set;
        std::string verb;
        std::errc without_interface;
    } all[] = {
        {[](auto& on, auto& g, auto i) { gyre::join_group(on, g, i); }, "join group ", no_device},
        {[](auto& on, auto& g, auto i) { gyre::leave_group(on, g, i); }, "leave group ",
         std::errc::address_not_available},
        {[](auto& on, auto& g, auto i) { gyre::join_group(on, g, from, i); }, "join group ",
         no_device},
        {[](auto& on, auto& g, auto i) { gyre::leave_group(on, g, from, i); }, "leave group ",
         no_device},
        {[](auto& on, auto& g, auto i) { gyre::block_source(on, g, from, i); },
         "block a source of group ", no_device},
        {[](auto& on, auto& g, auto i) { gyre::unblock_source(on, g, from, i); },
         "unblock a source of group ", no_device}};
    for (const auto& [set, verb, without_interface] : all) {
        refused([&] { set(s, from, 0); }, invalid, verb + "127.0.0.1");
        refused([&] { set(s, from, 0); }, invalid, "no group (expected one of 224.0.0.0/4");
        refused([&] { set(s, group6, 0); }, invalid, "the socket's family, AF_INET");
        refused([&] { set(s6, group, 0); }, invalid, "the socket's family, AF_INET6");
        refused([&] { set(s, {}, 0); }, invalid, verb + "(no address)");
        refused([&] { set(s, address::unix_path("/x"), 0); }, invalid, "unix:/x");
        refused([&] { set(s, group, 1U << 30); }, without_interface,
                verb + "239.255.77.1 on interface 1073741824");
    }
    refused([&] { gyre::leave_group(s, group, 1); }, std::errc::address_not_available,
            "leave group 239.255.77.1 on interface 1");
    refused([&] { gyre::join_group(s6, address::loopback_ipv6(0)); }, invalid, "no group");
    refused([&] { gyre::join_group(s, group, group6); }, invalid, "[ff05::77]:0");
    for (gyre::socket* const each : {&s, &s6}) {
        const auto code = thrown_by([&] { gyre::set_multicast_interface(*each, 1U << 30); });
        EXPECT_TRUE(code == std::errc::address_not_available || code == std::errc::no_such_device)
            << code.message();
    }
    gyre::socket local = gyre::socket::open(AF_UNIX, SOCK_DGRAM);
    refused([&] { gyre::join_group(local, group); }, invalid, "the socket's family, AF_UNIX");
    refused([&] { gyre::set_promiscuous(s, 1, true); }, std::errc::no_protocol_option,
            "set_promiscuous, interface 1");
}

} // namespace
