#include "../support/dns_server.hpp"
#include "../support/network.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/wait.hpp>
#include <gyre/resolver/resolver.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

// The resolver, the C library behind it and a name server, each of them real. The server is the
// test's: it tells what it was asked, and what it has not answered.

namespace {

using namespace gyre_test;

class Dns : public on_own_network {};
GYRE_ON_EACH_BACKEND(Dns);

/// A coroutine that runs `body(server, wrong)`, in a namespace whose name server is `server`.
template <class Body>
std::string with_server(gyre::backend_kind backend, const name_files& files, Body body) {
    std::string why = set_up({"ip link set lo up"});
    if (why.empty())
        why = set_up_names(files);
    if (!why.empty())
        return why;
    dns_server server;
    return wrong_on(backend, [&](std::string& wrong) { return body(server, wrong); });
}

gyre::task<std::vector<gyre::address_info>> look_up(std::string host, int family = AF_INET) {
    const gyre::address_info_hints hints{.family = family, .type = SOCK_STREAM};
    co_return co_await gyre::getaddrinfo(host, "80", hints);
}

std::error_code eai(int number) {
    return {number, gyre::address_info_category()};
}

std::string hosts_of(const std::vector<gyre::address_info>& found) {
    std::string all;
    for (const gyre::address_info& i : found)
        all += (all.empty() ? "" : " ") + i.address.host();
    return all;
}

void expect_equal(std::string& wrong, const std::string& got, const std::string& expected) {
    expect(wrong, got == expected, "\"" + got + "\" instead of \"" + expected + '"');
}

std::int64_t milliseconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begin)
        .count();
}

// ---- Answers
// -------------------------------------------------------------------------------------

TEST_P(Dns, GivesTheAddressesOfBothFamilies) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set("both.test", {.addresses = {"127.0.0.9", "::1"}});
            const auto found = hosts_of(co_await look_up("both.test", AF_UNSPEC));
            expect(wrong, found == "127.0.0.9 ::1" || found == "::1 127.0.0.9", found);
            expect_equal(wrong, hosts_of(co_await look_up("both.test", AF_INET)), "127.0.0.9");
            expect_equal(wrong, hosts_of(co_await look_up("both.test", AF_INET6)), "::1");
        });
    });
}

TEST_P(Dns, FollowsAnAliasToItsCanonicalName) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set("www.test", {.alias_of = "real.test"});
            dns.set("real.test", {.addresses = {"127.0.0.9"}});
            const gyre::address_info_hints hints{
                .family = AF_INET, .type = SOCK_STREAM, .flags = AI_CANONNAME};
            const auto found = co_await gyre::getaddrinfo("www.test", "80", hints);
            expect_equal(wrong, hosts_of(found), "127.0.0.9");
            expect_equal(wrong, found.at(0).canonical_name, "real.test");
        });
    });
}

TEST_P(Dns, AnAnswerTooLongForADatagramComesWholeByTcp) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns_entry many;
            for (int i = 1; i <= 200; ++i)
                many.addresses.push_back("127.0.1." + std::to_string(i));
            dns.set("many.test", many);
            const auto found = co_await look_up("many.test");
            expect_equal(wrong, std::to_string(found.size()), "200");
            expect(wrong, dns.tcp_queries("many.test") > 0, "it was not asked by TCP");
        });
    });
}

TEST_P(Dns, EachFailureHasItsCode) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set("nodata.test", {});
            dns.set("servfail.test", {.code = dns_code::servfail});
            dns.set("refused.test", {.code = dns_code::refused});
            dns.set("silent.test", {.held = true}); // timeout:1 attempts:1
            struct expected {
                const char* name;
                int code;
            };
            const auto begin = std::chrono::steady_clock::now();
            for (const auto& [name, code] :
                 {expected{"nosuch.test", EAI_NONAME}, expected{"nodata.test", EAI_NODATA},
                  expected{"servfail.test", EAI_AGAIN}, expected{"refused.test", EAI_AGAIN},
                  expected{"silent.test", EAI_AGAIN}})
                for (const int family : {AF_INET, AF_UNSPEC})
                    if (family == AF_INET || code != EAI_AGAIN)
                        expect_code(wrong, name, co_await outcome(look_up(name, family)),
                                    eai(code));
            expect(wrong, dns.held() > 0, "the silent name was answered");
            expect(wrong, milliseconds_since(begin) > 900, "it did not wait for the server");
        });
    });
}

// ---- Silence
// -------------------------------------------------------------------------------------

// The proof is that the query is still unanswered: a look-up that was waited for would have lasted
// for the 30 s that the C library gives it.
TEST_P(Dns, ACancelledLookUpEndsAtOnceAndTheOthersGoOn) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(
            backend, {.resolv_conf = patient_resolv_conf},
            [](dns_server& dns, std::string& wrong) -> gyre::task<> {
                dns.set("silent.test", {.held = true});
                dns.set("good.test", {.addresses = {"127.0.0.9"}});
                auto stuck = gyre::loop::current()->start(look_up("silent.test"));
                co_await next_turn();
                expect(wrong, dns.await_held(1), "it was not asked for");
                expect_equal(wrong, hosts_of(co_await look_up("good.test")), "127.0.0.9");
                expect_equal(wrong, hosts_of(co_await look_up("localhost")), "127.0.0.1");

                const auto begin = std::chrono::steady_clock::now();
                stuck.cancel();
                expect_code(wrong, "cancelled", co_await outcome(std::move(stuck)),
                            gyre::errc::cancelled);
                std::fprintf(
                    stderr, "a cancelled look-up ended after %lld us\n",
                    static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(
                                               std::chrono::steady_clock::now() - begin)
                                               .count()));
                expect(wrong, dns.held() == 1, "the server was asked again, or has answered");
                expect_equal(wrong, hosts_of(co_await look_up("good.test")), "127.0.0.9");
            });
    });
}

TEST_P(Dns, ADeadlineEndsALookUpThatIsStuck) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(
            backend, {.resolv_conf = patient_resolv_conf},
            [](dns_server& dns, std::string& wrong) -> gyre::task<> {
                dns.set("silent.test", {.held = true});
                expect_code(wrong, "late",
                            co_await outcome(gyre::with_timeout(20ms, look_up("silent.test"))),
                            gyre::errc::timed_out);
                expect(wrong, dns.await_held(1), "it was not asked for");
            });
    });
}

// The child leaves main() as any program does: static destructors run, LeakSanitizer looks.
TEST_P(Dns, ALookUpThatIsStuckHoldsUpNeitherItsLoopNorTheProcess) {
    in_namespace([](gyre::backend_kind backend) -> std::string {
        std::string why = set_up({"ip link set lo up"});
        if (why.empty())
            why = set_up_names({.resolv_conf = patient_resolv_conf});
        if (!why.empty())
            return why;
        int go[2];
        if (pipe(go) != 0)
            return "no pipe";
        const pid_t child = fork(); // before the server has a thread
        if (child == 0) {
            char byte = 0;
            if (read(go[0], &byte, 1) != 1)
                _exit(2);
            {
                gyre::loop loop({.backend = backend});
                auto stuck = loop.start(look_up("silent.test"));
                loop.run(gyre::wait_readable(go[0]));
            }
            close(STDOUT_FILENO); // with what the parent has not written yet
            std::exit(0);
        }
        dns_server dns;
        dns.set("silent.test", {.held = true});
        const auto send = [&] { return write(go[1], "x", 1) == 1; };
        if (!send() || !dns.await_held(1) || !send())
            return "the child does not look up";
        const auto begin = std::chrono::steady_clock::now();
        int status = -1;
        waitpid(child, &status, 0);
        const auto elapsed = milliseconds_since(begin);
        std::fprintf(stderr, "with a look-up stuck the process ended after %lld ms\n",
                     static_cast<long long>(elapsed));
        std::string wrong;
        expect(wrong, WIFEXITED(status) && WEXITSTATUS(status) == 0,
               "status " + std::to_string(status));
        expect(wrong, dns.held() == 1, "the server was asked again, or has answered");
        // The look-up would have lasted for 30 s.
        expect(wrong, elapsed < 15000,
               "it waited for the look-up: " + std::to_string(elapsed) + " ms");
        return wrong;
    });
}

// 200 names that are never answered, many more than the threads that work at once.
TEST_P(Dns, TwoHundredStuckLookUpsHoldUpNoOther) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(
            backend, {.resolv_conf = patient_resolv_conf},
            [](dns_server& dns, std::string& wrong) -> gyre::task<> {
                constexpr int n = 200;
                std::vector<gyre::future<std::vector<gyre::address_info>>> stuck;
                for (int i = 0; i < n; ++i) {
                    const std::string name = std::to_string(i) + ".silent.test";
                    dns.set(name, {.held = true});
                    stuck.push_back(gyre::loop::current()->start(look_up(name)));
                }
                co_await next_turn();
                expect_equal(wrong, hosts_of(co_await look_up("127.0.0.7")), "127.0.0.7");
                expect_equal(wrong, hosts_of(co_await look_up("localhost")), "127.0.0.1");
                expect(wrong, dns.await_held(n), "they wait for one another");
                expect_equal(wrong, hosts_of(co_await look_up("localhost")), "127.0.0.1");
                dns.set("good.test", {.addresses = {"127.0.0.9"}});
                expect_equal(wrong, hosts_of(co_await look_up("good.test")), "127.0.0.9");
                expect(wrong, dns.held() == n, "one of them was answered");
                for (auto& f : stuck)
                    f.cancel();
                for (auto& f : stuck)
                    expect_code(wrong, "cancelled", co_await outcome(std::move(f)),
                                gyre::errc::cancelled);
                expect_equal(wrong, hosts_of(co_await look_up("localhost")), "127.0.0.1");
            });
    });
}

// ---- What is not asked twice
// ---------------------------------------------------------------------

TEST_P(Dns, AHundredLookUpsOfOneNameAreOneQuery) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(
            backend, {.resolv_conf = patient_resolv_conf},
            [](dns_server& dns, std::string& wrong) -> gyre::task<> {
                dns.set("popular.test", {.addresses = {"127.0.0.9"}, .held = true});
                std::vector<gyre::future<std::vector<gyre::address_info>>> all;
                for (int i = 0; i < 100; ++i)
                    all.push_back(gyre::loop::current()->start(look_up("popular.test")));
                co_await next_turn();
                expect(wrong, dns.await_held(1), "it was not asked for");
                dns.release("popular.test");
                for (auto& f : all)
                    expect_equal(wrong, hosts_of(co_await f), "127.0.0.9");
                expect(wrong, dns.queries("popular.test") == 1, "it was asked for again");
                co_await look_up("popular.test"); // there is no cache
                expect(wrong, dns.queries("popular.test") == 2, "it was not asked for again");
            });
    });
}

TEST_P(Dns, WhatIsCachedIsNotAskedForAgain) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set("good.test", {.addresses = {"127.0.0.9"}});
            dns.set("servfail.test", {.code = dns_code::servfail});
            gyre::resolver names({.cache = {.entries = 16}});
            const auto ask = [&](const char* name) {
                return outcome(names.getaddrinfo(name, "80", {AF_INET, SOCK_STREAM, 0, 0}));
            };
            const auto ask_twice = [&](const char* name, std::error_code code) -> gyre::task<bool> {
                expect_code(wrong, name, co_await ask(name), code);
                const int before = dns.queries(name);
                expect_code(wrong, name, co_await ask(name), code);
                co_return dns.queries(name) > before;
            };
            expect(wrong, !co_await ask_twice("good.test", {}), "a known name");
            expect(wrong, !co_await ask_twice("nosuch.test", eai(EAI_NONAME)), "an unknown name");
            expect(wrong, co_await ask_twice("servfail.test", eai(EAI_AGAIN)),
                   "what may pass was kept");
            names.clear_cache();
            co_await ask("good.test");
            expect(wrong, dns.queries("good.test") == 2, "the cache was not cleared");
        });
    });
}

// ---- The older look-ups, and back from addresses to names
// ----------------------------------------

TEST_P(Dns, GetHostByNameGivesTheFirstAddressAndExAllOfThem) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set("www.test", {.alias_of = "real.test"});
            dns.set("real.test", {.addresses = {"127.0.0.9", "127.0.0.9", "::1"}});
            dns.set("six.test", {.addresses = {"::1"}});
            expect_equal(wrong, (co_await gyre::gethostbyname("real.test")).to_string(),
                         "127.0.0.9:0");
            const gyre::host_entry all = co_await gyre::gethostbyname_ex("www.test");
            expect_equal(wrong, all.name, "real.test");
            expect_equal(wrong, all.aliases.size() == 1 ? all.aliases[0] : "?", "www.test");
            expect(wrong,
                   all.addresses.size() == 2 && all.addresses[0] == all.addresses[1] &&
                       all.addresses[0].host() == "127.0.0.9",
                   "not the address twice, as the server has it");
            for (const char* unknown : {"nosuch.test", "six.test"}) {
                const int code = unknown[0] == 'n' ? EAI_NONAME : EAI_NODATA;
                expect_code(wrong, unknown, co_await outcome(gyre::gethostbyname(unknown)),
                            eai(code));
                expect_code(wrong, unknown, co_await outcome(gyre::gethostbyname_ex(unknown)),
                            eai(code));
            }
        });
    });
}

TEST_P(Dns, GetHostByAddrGivesTheNameOrWhyThereIsNone) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            const auto h_errno_is = [](int n) { return std::error_code(n, gyre::host_category()); };
            dns.set(reverse_name("192.0.2.7"), {.pointers = {"seven.test"}});
            dns.set(reverse_name("2001:db8::7"), {.pointers = {"seven.test"}});
            dns.set(reverse_name("192.0.2.8"), {.held = true});
            dns.set("seven.test", {.addresses = {"192.0.2.7"}});
            for (const char* host : {"192.0.2.7", "2001:db8::7", "seven.test"}) {
                const gyre::host_entry found = co_await gyre::gethostbyaddr(host);
                expect_equal(wrong, found.name, "seven.test");
                expect(wrong, found.addresses.size() == 1, host);
            }
            expect_code(wrong, "without a name", co_await outcome(gyre::gethostbyaddr("192.0.2.9")),
                        h_errno_is(HOST_NOT_FOUND));
            expect_code(wrong, "no answer", co_await outcome(gyre::gethostbyaddr("192.0.2.8")),
                        h_errno_is(TRY_AGAIN));
            expect_code(wrong, "unknown name", co_await outcome(gyre::gethostbyaddr("nosuch.test")),
                        eai(EAI_NONAME));
        });
    });
}

TEST_P(Dns, GetNameInfoGivesTheNameOrTheNumberUnlessANameIsRequired) {
    in_namespace([](gyre::backend_kind backend) {
        return with_server(backend, {}, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            const auto at = [](const char* host) { return *gyre::address::from_ip(host, 4711); };
            dns.set(reverse_name("192.0.2.7"), {.pointers = {"seven.test"}});
            dns.set(reverse_name("192.0.2.8"), {.held = true});
            for (const int flags : {0, NI_NAMEREQD}) {
                const auto [host, service] = co_await gyre::getnameinfo(at("192.0.2.7"), flags);
                expect_equal(wrong, host + ' ' + service, "seven.test 4711");
                expect_code(wrong, "no answer",
                            co_await outcome(gyre::getnameinfo(at("192.0.2.8"), flags)),
                            eai(EAI_AGAIN));
            }
            const auto [host, service] = co_await gyre::getnameinfo(at("192.0.2.9"));
            expect_equal(wrong, host, "192.0.2.9");
            expect_code(wrong, "without a name",
                        co_await outcome(gyre::getnameinfo(at("192.0.2.9"), NI_NAMEREQD)),
                        eai(EAI_NONAME));
            const int before = dns.queries(reverse_name("192.0.2.7"));
            co_await gyre::getnameinfo(at("192.0.2.7"), NI_NUMERICHOST);
            expect(wrong, dns.queries(reverse_name("192.0.2.7")) == before,
                   "it asked for a name that nobody wanted");
        });
    });
}

TEST_P(Dns, GetFqdnPrefersANameWithADomainAndNeverFails) {
    in_namespace([](gyre::backend_kind backend) {
        const name_files files{.hosts = "127.0.0.1 localhost\n127.0.0.8 short short.domain.test\n"};
        return with_server(backend, files, [](dns_server& dns, std::string& wrong) -> gyre::task<> {
            dns.set(reverse_name("192.0.2.7"), {.pointers = {"seven.test"}});
            dns.set("silent.test", {.held = true});
            struct expected {
                const char* host;
                const char* name;
            };
            for (const auto& [host, name] :
                 {expected{"192.0.2.7", "seven.test"}, expected{" short ", "short.domain.test"},
                  expected{"127.0.0.8", "short.domain.test"}, expected{"nosuch", "nosuch"},
                  expected{"192.0.2.9", "192.0.2.9"}, expected{"silent.test", "silent.test"}})
                expect_equal(wrong, co_await gyre::getfqdn(host), name);
        });
    });
}

} // namespace
