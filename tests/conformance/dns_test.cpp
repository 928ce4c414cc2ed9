#include "../support/dns_server.hpp"
#include "../support/network.hpp"
#include "../support/sockets.hpp"

#include <gyre/resolver/getaddrinfo.hpp>

#include <chrono>
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
            for (const auto& [name, code] :
                 {expected{"nosuch.test", EAI_NONAME}, expected{"nodata.test", EAI_NODATA},
                  expected{"servfail.test", EAI_AGAIN}, expected{"refused.test", EAI_AGAIN},
                  expected{"silent.test", EAI_AGAIN}})
                for (const int family : {AF_INET, AF_UNSPEC})
                    if (family == AF_INET || code != EAI_AGAIN)
                        expect_code(wrong, name, co_await outcome(look_up(name, family)),
                                    eai(code));
            expect(wrong, dns.held() > 0, "the silent name was answered");
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
            close(go[1]);
            if (read(go[0], &byte, 1) != 1)
                _exit(2);
            {
                gyre::loop loop({.backend = backend});
                auto stuck = loop.start(look_up("silent.test"));
                loop.run(gyre::sleep_for(50ms)); // that it has been asked, the parent checks
            }
            std::exit(0);
        }
        dns_server dns;
        dns.set("silent.test", {.held = true});
        const auto begin = std::chrono::steady_clock::now();
        if (write(go[1], "x", 1) != 1)
            return "no child";
        int status = -1;
        waitpid(child, &status, 0);
        const auto elapsed = milliseconds_since(begin);
        std::fprintf(stderr, "with a look-up stuck the process ended after %lld ms\n",
                     static_cast<long long>(elapsed));
        std::string wrong;
        expect(wrong, WIFEXITED(status) && WEXITSTATUS(status) == 0,
               "status " + std::to_string(status));
        expect(wrong, dns.await_held(1), "it was not asked for");
        expect(wrong, elapsed < 15000,
               "it waited for the look-up, or nearly: " + std::to_string(elapsed) + " ms");
        return wrong;
    });
}

} // namespace
