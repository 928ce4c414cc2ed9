// Asks a host whether it is there, by ICMP echo, as ping(8) does.
//
//     sudo build/release/examples/ping 127.0.0.1 --count 2
//     64 bytes from 127.0.0.1: icmp_seq=1 time=0.061 ms
//     64 bytes from 127.0.0.1: icmp_seq=2 time=0.058 ms
//     2 packets transmitted, 2 received, 0% packet loss, min/avg/max = 0.058/0.060/0.061 ms
//
// ADDRESS is IPv4 or IPv6. --count N: so many requests (else until SIGINT); --interval S: a request
// each S seconds (1); --timeout S: so long is a reply waited for (1). Status 1: no reply at all.

#include "seconds.hpp"

#include <gyre/gyre.hpp>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <cstring>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <unistd.h>

namespace {

using seconds = std::chrono::duration<double>;
using milliseconds = std::chrono::duration<double, std::milli>;

struct options {
    std::string address;
    std::uint64_t count = 0; // 0: until SIGINT
    double interval = 1;
    double timeout = 1;
};

struct tally {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    milliseconds least{1e9};
    milliseconds most{0};
    milliseconds sum{0};
};

using packet = std::array<std::byte, 64>; // with the 8 bytes of its header

// An echo request, RFC 792 and RFC 4443. The checksum of ICMPv6 is the kernel's affair.
packet make_request(bool v6, std::uint16_t id, std::uint16_t sequence) {
    packet p{};
    icmphdr header{};
    header.type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    header.un.echo.id = htons(id);
    header.un.echo.sequence = htons(sequence);
    std::memcpy(p.data(), &header, sizeof header);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < p.size(); i += 2) {
        std::uint16_t word;
        std::memcpy(&word, p.data() + i, sizeof word);
        sum += word;
    }
    sum = (sum >> 16) + (sum & 0xffff);
    sum += sum >> 16;
    header.checksum = v6 ? std::uint16_t{0} : static_cast<std::uint16_t>(~sum);
    std::memcpy(p.data(), &header, sizeof header);
    return p;
}

// Waits for the reply to that request, and gives its size; a raw socket hears all of ICMP.
gyre::task<std::size_t> receive(gyre::socket& s, bool v6, std::uint16_t id,
                                std::uint16_t sequence) {
    std::array<std::byte, 2048> memory;
    for (;;) {
        auto [count, from, flags] = co_await s.recvfrom(memory);
        // IPv4 comes with its header, whose size is in its first byte.
        const std::size_t begin =
            v6 ? 0 : std::size_t{4} * (std::to_integer<std::size_t>(memory[0]) & 15);
        icmphdr header{};
        if (count < begin + sizeof header)
            continue;
        std::memcpy(&header, memory.data() + begin, sizeof header);
        if (header.type == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) &&
            header.un.echo.id == htons(id) && header.un.echo.sequence == htons(sequence))
            co_return count - begin;
    }
}

gyre::task<> ping(const options& o, gyre::address to, tally& t) {
    const bool v6 = to.is_ipv6();
    const auto id = static_cast<std::uint16_t>(getpid());
    gyre::socket s = gyre::socket::open(v6 ? AF_INET6 : AF_INET, SOCK_RAW,
                                        v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});
    co_await s.connect(to); // so that it hears nobody else
    const gyre::clock::time_point begin = gyre::clock::now();
    while (o.count == 0 || t.sent < o.count) {
        const auto sequence = static_cast<std::uint16_t>(++t.sent);
        const packet request = make_request(v6, id, sequence);
        const gyre::clock::time_point asked = gyre::clock::now();
        co_await s.send(request);
        const auto size = co_await gyre::as_result(
            gyre::with_timeout(seconds(o.timeout), receive(s, v6, id, sequence)));
        const milliseconds took = gyre::clock::now() - asked;
        if (size) {
            ++t.received;
            t.least = std::min(t.least, took);
            t.most = std::max(t.most, took);
            t.sum += took;
            std::printf("%zu bytes from %s: icmp_seq=%u time=%.3f ms\n", *size, o.address.c_str(),
                        sequence, took.count());
        } else if (size.error() == gyre::errc::timed_out) {
            std::printf("no reply from %s: icmp_seq=%u\n", o.address.c_str(), sequence);
        } else {
            throw gyre::error(size.error(), "ping " + o.address);
        }
        std::fflush(stdout);
        const seconds next(o.interval * static_cast<double>(t.sent));
        if (t.sent != o.count)
            co_await gyre::sleep_until(begin + std::chrono::ceil<gyre::clock::duration>(next));
    }
}

gyre::task<> ping_until_stopped(const options& o, gyre::address to, tally& t) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), ping(o, to, t));
}

options parse_command_line(int argc, char** argv) {
    CLI::App app("Asks a host whether it is there, by ICMP echo.", "ping");
    options o;
    app.add_option("address", o.address, "127.0.0.1 or ::1")->required();
    app.add_option("--count", o.count, "so many requests")->check(CLI::Range(1, 65535));
    app.add_option("--interval", o.interval, "a request each so many seconds")
        ->check(seconds_from(1e-9));
    app.add_option("--timeout", o.timeout, "wait so many seconds for a reply")
        ->check(seconds_from(1e-9));
    try {
        app.parse(argc, argv);
        if (const auto a = gyre::address::from_ip(o.address, 0); !a)
            throw CLI::ValidationError("address", a.error().message);
    } catch (const CLI::CallForHelp& help) {
        std::exit(app.exit(help));
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "ping: %s (see --help)\n", e.what());
        std::exit(2);
    }
    return o;
}

} // namespace

int main(int argc, char** argv) try {
    const options o = parse_command_line(argc, argv);
    tally t;
    gyre::run(ping_until_stopped(o, *gyre::address::from_ip(o.address, 0), t));
    std::printf("%ju packets transmitted, %ju received, %.0f%% packet loss", std::uintmax_t{t.sent},
                std::uintmax_t{t.received},
                t.sent == 0 ? 0
                            : 100.0 * static_cast<double>(t.sent - t.received) /
                                  static_cast<double>(t.sent));
    if (t.received > 0)
        std::printf(", min/avg/max = %.3f/%.3f/%.3f ms", t.least.count(),
                    t.sum.count() / static_cast<double>(t.received), t.most.count());
    std::printf("\n");
    return t.received > 0 ? 0 : 1;
} catch (const gyre::error& e) {
    const bool forbidden =
        e.code() == std::errc::operation_not_permitted || e.code() == std::errc::permission_denied;
    std::fprintf(stderr, "ping: %s%s\n", e.what(),
                 forbidden ? " (raw sockets take root, or the capability CAP_NET_RAW)" : "");
    return 1;
} catch (const std::exception& e) {
    std::fprintf(stderr, "ping: %s\n", e.what());
    return 1;
}
