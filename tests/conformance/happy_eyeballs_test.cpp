#include "../support/dns_server.hpp"
#include "../support/network.hpp"
#include "../support/sockets.hpp"

#include <gyre/resolver/create_connection.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

// Connecting to hosts with addresses that do not work, in networks that are made so. Where a test
// says that the next attempt begins at once, the delay is an hour: nothing else can have begun it.

namespace {

using namespace gyre_test;

class HappyEyeballs : public on_own_network {};
GYRE_ON_EACH_BACKEND(HappyEyeballs);

// 2001:db8::/64 and 192.0.2.0/24 swallow what is sent to them: it comes back in through lo, for
// nobody. What is sent to the ::e there by TCP has no route, which only connecting finds out: an
// address that is known to have none comes last from getaddrinfo(3). Of the other addresses, ::1
// and 127.0.0.0/8, those are refused which have no listener.
constexpr char hosts[] =
    "127.0.0.1 localhost\n"
    "2001:db8::b  hole.test\n127.0.0.1 hole.test\n"
    "2001:db8::1:1 holes.test\n2001:db8::1:2 holes.test\n"
    "2001:db8::1:3 holes.test\n2001:db8::1:4 holes.test\n127.0.0.1 holes.test\n"
    "2001:db8::b  nowhere.test\n192.0.2.9 nowhere.test\n"
    "2001:db8::e  no-route.test\n127.0.0.1 no-route.test\n"
    "::1 refused.test\n127.0.0.1 refused.test\n"
    "2001:db8::e bad.test\n::1 bad.test\n127.0.0.1 bad.test\n";

std::string set_up_hosts() {
    std::string why =
        set_up({"ip link set lo up", "ip addr add 2001:db8::1 dev lo nodad",
                "ip -6 route add 2001:db8::/64 dev lo", "ip route add 192.0.2.0/24 dev lo",
                "ip -6 rule add to 2001:db8::e ipproto tcp unreachable"});
    return why.empty() ? set_up_names({.hosts = hosts, .resolv_conf = patient_resolv_conf}) : why;
}

/// A coroutine that runs `body(listener, port, wrong)`; the listener is on 127.0.0.1.
template <class Body>
std::string with_hosts(gyre::backend_kind backend, Body body) {
    const std::string why = set_up_hosts();
    if (!why.empty())
        return why;
    gyre::socket listener = make_listener(stream_kind::tcp);
    return wrong_on(backend, [&](std::string& wrong) {
        return body(listener, listener.getsockname().port(), wrong);
    });
}

std::size_t descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// How a connection failed: its code, and what of each attempt.
struct failure {
    std::error_code code;
    std::string text;
    std::string attempts; ///< "ADDRESS: MESSAGE\n" of each
    bool timeout = false;
};

gyre::task<failure> failure_of(gyre::task<gyre::socket> connecting) {
    failure f;
    try {
        co_await std::move(connecting);
    } catch (const gyre::connection_error& e) {
        f = {e.code(), e.what(), "", false};
        for (const gyre::connection_attempt& a : e.attempts())
            f.attempts += a.address.to_string() + ": " + a.code.message() + '\n';
    } catch (const gyre::error& e) {
        f = {e.code(), e.what(), "", dynamic_cast<const gyre::timeout_error*>(&e) != nullptr};
    }
    co_return f;
}

std::string words(std::errc code) {
    return std::make_error_code(code).message();
}

// C11.
TEST_P(HappyEyeballs, ABlackHoleDelaysTheOtherFamilyByTheDelay) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const auto begin = gyre::clock::now();
                const gyre::socket s = co_await gyre::create_connection("hole.test", port);
                const auto elapsed = gyre::clock::now() - begin;
                expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
                expect(wrong, elapsed >= 250ms, "the other family did not wait for the first");
                std::fprintf(stderr, "a black hole delayed by %lld ms, of which 250 are meant\n",
                             static_cast<long long>(elapsed / 1ms));
            });
    });
}

TEST_P(HappyEyeballs, TheOtherFamilyComesSecondHoweverManyTheFirstHas) {
    static std::atomic<int> attempts;
    attempts = 0;
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::socket s = co_await gyre::create_connection(
                    "holes.test", port,
                    {.happy_eyeballs_delay = 300ms, .prepare = [](gyre::socket&) { ++attempts; }});
                expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
                expect(wrong, attempts == 2, std::to_string(attempts) + " attempts");
            });
    });
}

TEST_P(HappyEyeballs, AfterARefusalTheNextBeginsAtOnce) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::socket s = co_await gyre::create_connection(
                    "refused.test", port, {.happy_eyeballs_delay = 1h});
                expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
            });
    });
}

TEST_P(HappyEyeballs, WithoutARouteTheNextBeginsAtOnce) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::socket s = co_await gyre::create_connection(
                    "no-route.test", port, {.happy_eyeballs_delay = 1h});
                expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
            });
    });
}

TEST_P(HappyEyeballs, WhenAllFailTheErrorTellsEachAddressAndReason) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend,
            [](gyre::socket& listener, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                listener.close();
                const failure f = co_await failure_of(
                    gyre::create_connection("bad.test", port, {.happy_eyeballs_delay = 1h}));
                expect_code(wrong, "all", f.code, std::errc::connection_refused);
                const std::string at = ":" + std::to_string(port);
                const std::string unreachable =
                    "[2001:db8::e]" + at + ": " + words(std::errc::network_unreachable);
                const std::string six = "[::1]" + at + ": " + words(std::errc::connection_refused);
                const std::string four =
                    "127.0.0.1" + at + ": " + words(std::errc::connection_refused);
                for (const std::string& one : {unreachable, six, four}) {
                    expect(wrong, f.attempts.find(one + '\n') != std::string::npos, "no " + one);
                    expect(wrong, f.text.find(one) != std::string::npos,
                           "not in the text: " + one + "; but: " + f.text);
                }
                expect(wrong, std::ranges::count(f.attempts, '\n') == 3, f.attempts);
                expect(wrong, f.text.starts_with("connect to bad.test" + at), f.text);
            });
    });
}

TEST_P(HappyEyeballs, TheLosersAreClosed) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend,
            [](gyre::socket& listener, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::connection_options options{.happy_eyeballs_delay = 5ms};
                { // so that whatever stays open for good is open
                    const gyre::socket first =
                        co_await gyre::create_connection("hole.test", port, options);
                }
                co_await next_turn();
                const std::size_t before = descriptors();
                const gyre::socket s = co_await gyre::create_connection("hole.test", port, options);
                const std::size_t connected = descriptors();
                expect(wrong, connected == before + 1,
                       std::to_string(before) + " descriptors became " + std::to_string(connected));
                listener.close();
                const failure f = co_await failure_of(gyre::create_connection(
                    "hole.test", port, {.attempt_timeout = 20ms, .happy_eyeballs_delay = 5ms}));
                expect(wrong, f.code != std::error_code(), "there was a listener");
                const std::size_t failed = descriptors();
                expect(wrong, failed == connected - 1,
                       std::to_string(connected) + " descriptors became " + std::to_string(failed));
            });
    });
}

TEST_P(HappyEyeballs, AnAttemptHasItsOwnTimeout) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::connection_options options{.attempt_timeout = 20ms,
                                                       .happy_eyeballs_delay = 1h};
                const gyre::socket s = co_await gyre::create_connection("hole.test", port, options);
                expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
                const failure f =
                    co_await failure_of(gyre::create_connection("nowhere.test", port, options));
                expect_code(wrong, "nowhere", f.code, gyre::errc::timed_out);
                const std::string late = make_error_code(gyre::errc::timed_out).message();
                const std::string at = ":" + std::to_string(port) + ": " + late + '\n';
                expect(wrong, f.attempts == "[2001:db8::b]" + at + "192.0.2.9" + at, f.attempts);
            });
    });
}

TEST_P(HappyEyeballs, TheTimeoutCoversAllAttempts) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const failure f = co_await failure_of(gyre::create_connection(
                    "nowhere.test", port, {.timeout = 50ms, .happy_eyeballs_delay = 5ms}));
                expect_code(wrong, "nowhere", f.code, gyre::errc::timed_out);
                expect(wrong, f.timeout, "no timeout_error");
                expect(wrong,
                       f.text.starts_with("connect to nowhere.test:" + std::to_string(port) + ": "),
                       f.text);
            });
    });
}

TEST_P(HappyEyeballs, TheTimeoutCoversANameServerThatIsSilent) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up_hosts();
        if (!why.empty())
            return why;
        dns_server dns;
        dns.set("silent.test", {.held = true});
        return wrong_on(backend, [&](std::string& wrong) -> gyre::task<> {
            const failure f =
                co_await failure_of(gyre::create_connection("silent.test", 80, {.timeout = 50ms}));
            expect_code(wrong, "silent", f.code, gyre::errc::timed_out);
            expect(wrong, f.timeout, "no timeout_error");
            expect(wrong, f.text.starts_with("connect to silent.test:80: "), f.text);
            expect(wrong, dns.await_held(1), "the name server was not asked");
        });
    });
}

TEST_P(HappyEyeballs, BothFamiliesComeFromTheNameServer) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        const std::string why = set_up_hosts();
        if (!why.empty())
            return why;
        dns_server dns;
        dns.set("both.test", {.addresses = {"127.0.0.1", "2001:db8::b"}});
        const gyre::socket listener = make_listener(stream_kind::tcp);
        return wrong_on(backend, [&](std::string& wrong) -> gyre::task<> {
            const gyre::socket s = co_await gyre::create_connection(
                "both.test", listener.getsockname().port(), {.happy_eyeballs_delay = 20ms});
            expect(wrong, s.getpeername().host() == "127.0.0.1", s.getpeername().to_string());
            expect(wrong, dns.queries("both.test") == 2, "not one query for each family");
        });
    });
}

TEST_P(HappyEyeballs, TheSourceIsBoundAndTheOtherFamilyPassedOver) {
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend,
            [](gyre::socket& listener, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::connection_options options{
                    .source = *gyre::address::from_ip("127.0.0.5", 0), .happy_eyeballs_delay = 1h};
                const gyre::socket s = co_await gyre::create_connection("hole.test", port, options);
                expect(wrong, s.getsockname().host() == "127.0.0.5", s.getsockname().to_string());
                const auto [peer, from] = co_await listener.accept();
                expect(wrong, from == s.getsockname(), from.to_string());
                listener.close();
                const failure f =
                    co_await failure_of(gyre::create_connection("hole.test", port, options));
                expect_code(wrong, "refused", f.code, std::errc::connection_refused);
                expect(wrong, f.attempts.starts_with("[2001:db8::b]:"), f.attempts);
            });
    });
}

TEST_P(HappyEyeballs, CancelledInTheMiddleNothingIsLeft) {
    static std::atomic<int> attempts;
    attempts = 0;
    in_namespace([](gyre::backend_kind backend) {
        return with_hosts(
            backend, [](gyre::socket&, std::uint16_t port, std::string& wrong) -> gyre::task<> {
                const gyre::connection_options options{
                    .happy_eyeballs_delay = 1ms, .prepare = [](gyre::socket&) { ++attempts; }};
                std::size_t before = 0;
                for (int i = 0; i < 2; ++i) { // the first opens what stays open for good
                    attempts = 0;
                    before = descriptors();
                    gyre::future<failure> f = gyre::loop::current()->start(
                        failure_of(gyre::create_connection("nowhere.test", port, options)));
                    while (attempts < 2)
                        co_await gyre::sleep_for(1ms);
                    f.cancel();
                    const failure how = co_await f;
                    expect_code(wrong, "cancelled", how.code, gyre::errc::cancelled);
                    expect(wrong, !how.timeout, "it is said to be late");
                }
                expect(wrong, descriptors() == before,
                       std::to_string(before) + " descriptors became " +
                           std::to_string(descriptors()));
            });
    });
}

} // namespace
