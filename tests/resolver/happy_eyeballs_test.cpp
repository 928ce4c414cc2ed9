#include "../support/names.hpp"
#include "../support/sockets.hpp"

#include <gyre/io/ip_option.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/resolver.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace gyre_test;

class HappyEyeballs : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(HappyEyeballs);

constexpr auto never = std::chrono::nanoseconds::max();

gyre::address at(const std::string& host, std::uint16_t port) {
    return gyre::address::from_ip(host, port).value();
}

/// A port of this host, of all its addresses of both families, at which connections are refused but
/// where a test listens.
class port {
public:
    port() : all_(gyre::socket::open(AF_INET6, SOCK_STREAM)) {
        all_.set(gyre::option::reuse_address, true);
        all_.bind(gyre::address::any_ipv6(0));
        number = all_.getsockname().port();
    }

    gyre::socket listen(const std::string& host, int backlog = 128) const {
        gyre::socket s = gyre::socket::open(at(host, number).family(), SOCK_STREAM);
        s.set(gyre::option::reuse_address, true);
        s.bind(at(host, number));
        s.listen(backlog);
        return s;
    }

    /// A listener with a full backlog: who connects gets no answer.
    std::vector<gyre::socket> swallow(const std::string& host) const {
        std::vector<gyre::socket> sockets;
        sockets.push_back(listen(host, 0));
        const gyre::address to = sockets[0].getsockname();
        for (int i = 0; i < 2; ++i) {
            sockets.push_back(gyre::socket::open(to.family(), SOCK_STREAM));
            ::connect(sockets.back().fileno(), to.data(), to.size());
        }
        return sockets;
    }

    std::uint16_t number = 0;

private:
    gyre::socket all_;
};

/// How it failed: the attempts of a connection_error, and what it or another says.
struct failure {
    std::vector<gyre::connection_attempt> attempts;
    std::string text;
    std::error_code code;
    bool timeout_error = false;

    /// The addresses that were tried, in their order.
    std::string order() const {
        std::string all;
        for (const gyre::connection_attempt& a : attempts)
            all += (all.empty() ? "" : " ") + a.address.host();
        return all;
    }
};

gyre::task<failure> failure_of(gyre::task<gyre::socket> connecting) {
    failure f;
    try {
        co_await connecting;
        ADD_FAILURE() << "connected";
    } catch (const gyre::connection_error& e) {
        f = {{e.attempts().begin(), e.attempts().end()}, e.what(), e.code()};
    } catch (const gyre::error& e) {
        f = {{}, e.what(), e.code(), dynamic_cast<const gyre::timeout_error*>(&e) != nullptr};
    }
    co_return f;
}

std::string text_of(const gyre::connection_attempt& a) {
    return a.address.to_string() + ": " + a.code.message();
}

// ---- Order -------------------------------------------------------------------------------------

TEST_P(HappyEyeballs, TheFamiliesTakeTurns) {
    const port refused;
    let_name_be("many.test", {"::1", "::ffff:127.0.0.9", "127.0.0.1", "127.0.0.2", "127.0.0.3"});
    run([&]() -> gyre::task<> {
        failure f = co_await failure_of(gyre::create_connection("many.test", refused.number));
        EXPECT_EQ(f.order(), "::1 127.0.0.1 ::ffff:127.0.0.9 127.0.0.2 127.0.0.3");
        f = co_await failure_of(
            gyre::create_connection("many.test", refused.number, {.interleave = 2}));
        EXPECT_EQ(f.order(), "::1 ::ffff:127.0.0.9 127.0.0.1 127.0.0.2 127.0.0.3");
        f = co_await failure_of(
            gyre::create_connection("many.test", refused.number, {.family = AF_INET}));
        EXPECT_EQ(f.order(), "127.0.0.9 127.0.0.1 127.0.0.2 127.0.0.3"); // mapped: IPv4, too
    });
}

TEST_P(HappyEyeballs, WithInterleaveZeroTheOrderIsThatOfTheLookUp) {
    const port refused;
    let_name_be("order.test", {"127.0.0.2", "127.0.0.1", "::1"});
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(
            gyre::create_connection("order.test", refused.number, {.interleave = 0}));
        EXPECT_EQ(f.order(), "127.0.0.2 127.0.0.1 ::1");
    });
}

TEST_P(HappyEyeballs, AThousandAddressesAreTriedInOrder) {
    const port p;
    std::vector<std::string> addresses;
    for (int i = 0; i < 1000; ++i)
        addresses.push_back("127.1." + std::to_string(i / 250) + '.' + std::to_string(i % 250 + 1));
    let_name_be("thousand.test", addresses);
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(
            gyre::create_connection("thousand.test", p.number, {.happy_eyeballs_delay = never}));
        CO_ASSERT_TRUE(f.attempts.size() == addresses.size());
        for (std::size_t i = 0; i < addresses.size(); ++i)
            EXPECT_EQ(f.attempts[i].address.host(), addresses[i]);

        const gyre::socket listener = p.listen(addresses.back());
        gyre::socket s = co_await gyre::create_connection("thousand.test", p.number);
        EXPECT_EQ(s.getpeername().host(), addresses.back());
    });
}

struct only_127_0_0_9 : gyre::name_source {
    answer<std::vector<gyre::address_info>> getaddrinfo(const std::string&,
                                                        const std::string& service,
                                                        const gyre::address_info_hints&) override {
        const auto number = static_cast<std::uint16_t>(std::stoi(service));
        return {{{AF_INET, SOCK_STREAM, IPPROTO_TCP, "", at("127.0.0.9", number)}}};
    }
};

TEST_P(HappyEyeballs, TheResolverOfTheOptionsIsAsked) {
    const port p;
    const gyre::socket listener = p.listen("127.0.0.9");
    let_name_fail("asked.test", EAI_NONAME);
    gyre::resolver names({.source = std::make_shared<only_127_0_0_9>()});
    run([&]() -> gyre::task<> {
        gyre::socket s =
            co_await gyre::create_connection("asked.test", p.number, {.resolver = &names});
        EXPECT_EQ(s.getpeername(), at("127.0.0.9", p.number));
    });
}

// ---- The next attempt --------------------------------------------------------------------------

TEST_P(HappyEyeballs, AFailureBringsTheNextAtOnce) {
    const port p;
    const gyre::socket listener = p.listen("127.0.0.3");
    let_name_be("refused.test", {"::1", "127.0.0.1", "127.0.0.2", "127.0.0.3"});
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_connection("refused.test", p.number,
                                                          {.happy_eyeballs_delay = never});
        EXPECT_EQ(s.getpeername(), at("127.0.0.3", p.number));
    });
}

TEST_P(HappyEyeballs, TheDelayBringsTheNextBesideTheFirst) {
    const port p;
    const auto silent = p.swallow("::1");
    const gyre::socket listener = p.listen("127.0.0.1");
    let_name_be("silent.test", {"::1", "127.0.0.1"});
    run([&]() -> gyre::task<> {
        for (const auto delay : {-1ns, 0ns, 1000000ns}) {
            gyre::socket s = co_await gyre::create_connection("silent.test", p.number,
                                                              {.happy_eyeballs_delay = delay});
            EXPECT_EQ(s.getpeername(), at("127.0.0.1", p.number));
        }
    });
}

TEST_P(HappyEyeballs, WithoutTheDelayPassingTheFirstIsAlone) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const gyre::socket listener = p.listen("127.0.0.2");
    let_name_be("alone.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(gyre::create_connection(
            "alone.test", p.number, {.timeout = 500ms, .happy_eyeballs_delay = never}));
        EXPECT_TRUE(f.timeout_error);
        EXPECT_EQ(f.text, "connect to alone.test:" + std::to_string(p.number) +
                              ": Deadline exceeded (127.0.0.1:" + std::to_string(p.number) +
                              ": no answer)");
    });
}

std::vector<gyre::clock::time_point> begun;

TEST_P(HappyEyeballs, AFailureOfAnEarlierOneBringsNoneBeforeTheDelay) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const auto silent_too = p.swallow("127.0.0.2");
    const auto silent_as_well = p.swallow("127.0.0.3");
    let_name_be("earlier.test", {"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    begun.clear();
    run([&]() -> gyre::task<> {
        gyre::connection_options o{.attempt_timeout = 15ms, .happy_eyeballs_delay = 10ms};
        o.prepare = [](gyre::socket&) { begun.push_back(gyre::clock::now()); };
        co_await failure_of(gyre::create_connection("earlier.test", p.number, o));
        CO_ASSERT_TRUE(begun.size() == 3);
        for (std::size_t i = 1; i < begun.size(); ++i)
            EXPECT_GE(begun[i] - begun[i - 1], o.happy_eyeballs_delay);
    });
}

// ---- Who wins ----------------------------------------------------------------------------------

TEST_P(HappyEyeballs, TheLosersAreClosedBeforeItReturns) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const auto silent_too = p.swallow("127.0.0.2");
    const gyre::socket listener = p.listen("127.0.0.3");
    let_name_be("losers.test", {"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    // Not just any descriptors: a check of UBSan's, in a thread of the resolver's, opens a pipe.
    const auto sockets = [&] {
        std::vector<int> all = opened_by_this_test();
        std::erase_if(all, [](int fd) {
            struct stat about{};
            return fstat(fd, &about) != 0 || !S_ISSOCK(about.st_mode);
        });
        return all;
    };
    run([&]() -> gyre::task<> {
        std::vector<int> before = sockets();
        gyre::socket s = co_await gyre::create_connection("losers.test", p.number,
                                                          {.happy_eyeballs_delay = 1ns});
        before.push_back(s.fileno());
        std::ranges::sort(before);
        std::vector<int> after = sockets();
        std::ranges::sort(after);
        EXPECT_EQ(after, before);
    });
}

TEST_P(HappyEyeballs, OfSeveralThatConnectAtOnceOneIsGiven) {
    const port p;
    const gyre::socket one = p.listen("127.0.0.1");
    const gyre::socket two = p.listen("127.0.0.2");
    const gyre::socket three = p.listen("::1");
    let_name_be("all.test", {"::1", "127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        for (int i = 0; i < 20; ++i) {
            gyre::socket s = co_await gyre::create_connection("all.test", p.number,
                                                              {.happy_eyeballs_delay = 0ns});
            EXPECT_EQ(s.getpeername().port(), p.number);
        }
    });
}

// ---- Failure -----------------------------------------------------------------------------------

TEST_P(HappyEyeballs, WhenAllFailEachIsToldWithItsReason) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    let_name_be("fail.test", {"::1", "127.0.0.1"});
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(
            gyre::create_connection("fail.test", p.number, {.attempt_timeout = 5ms}));
        CO_ASSERT_TRUE(f.attempts.size() == 2);
        EXPECT_EQ(f.attempts[0].code, std::errc::connection_refused);
        EXPECT_EQ(f.attempts[1].code, gyre::errc::timed_out);
        EXPECT_EQ(f.code, gyre::errc::timed_out);
        EXPECT_EQ(f.text, "connect to fail.test:" + std::to_string(p.number) +
                              ": Deadline exceeded (" + text_of(f.attempts[0]) + "; " +
                              text_of(f.attempts[1]) + ')');
    });
}

TEST_P(HappyEyeballs, AnAttemptTimeoutGoesOnToTheNext) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const gyre::socket listener = p.listen("127.0.0.2");
    let_name_be("slow.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        gyre::socket s = co_await gyre::create_connection(
            "slow.test", p.number, {.attempt_timeout = 5ms, .happy_eyeballs_delay = never});
        EXPECT_EQ(s.getpeername(), at("127.0.0.2", p.number));
        EXPECT_EQ(s.gettimeout(), std::nullopt);
    });
}

TEST_P(HappyEyeballs, AnAttemptTimeoutHoldsForAnAddressToo) {
    for (const stream_kind kind : {stream_kind::tcp, stream_kind::unix_stream}) {
        const gyre::socket listener = make_listener(kind, 0);
        const gyre::socket filler = fill_backlog(listener, kind);
        const gyre::socket another = make_client(kind);
        const gyre::address to = listener.getsockname();
        ::connect(another.fileno(), to.data(), to.size());
        run([&]() -> gyre::task<> {
            const failure f =
                co_await failure_of(gyre::create_connection(to, {.attempt_timeout = 5ms}));
            CO_ASSERT_TRUE(f.attempts.size() == 1);
            EXPECT_EQ(f.attempts[0].address, to);
            EXPECT_EQ(f.code, gyre::errc::timed_out);
            EXPECT_EQ(f.text, "connect to " + to.to_string() + ": Deadline exceeded");
        });
    }
}

TEST_P(HappyEyeballs, ATimeoutTellsWhatWasTried) {
    const port p;
    const auto silent = p.swallow("127.0.0.2");
    let_name_be("tried.test", {"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(gyre::create_connection(
            "tried.test", p.number, {.timeout = 500ms, .happy_eyeballs_delay = never}));
        const std::string number = std::to_string(p.number);
        EXPECT_TRUE(f.timeout_error);
        EXPECT_EQ(f.text, "connect to tried.test:" + number +
                              ": Deadline exceeded (127.0.0.1:" + number +
                              ": Connection refused; 127.0.0.2:" + number + ": no answer)");
    });
}

TEST_P(HappyEyeballs, ATimeoutOfTheLookUpNamesTheHostOnly) {
    const std::string host = fresh_name();
    const held_name held(host);
    run([&]() -> gyre::task<> {
        const failure f = co_await failure_of(gyre::create_connection(host, 443, {.timeout = 5ms}));
        EXPECT_TRUE(f.timeout_error);
        EXPECT_EQ(f.text, "connect to " + host + ":443: Deadline exceeded");
    });
}

TEST_P(HappyEyeballs, RunningOutOfDescriptorsIsTold) {
    if (address_sanitized)
        GTEST_SKIP() << "the checks of UBSan need descriptors";
    const port p;
    const gyre::socket listener = p.listen("127.0.0.1");
    run([&]() -> gyre::task<> {
        rlimit before{};
        getrlimit(RLIMIT_NOFILE, &before);
        rlimit none = before;
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
        const failure f = co_await failure_of(gyre::create_connection("127.0.0.1", p.number));
        setrlimit(RLIMIT_NOFILE, &before);
        EXPECT_EQ(f.code, std::errc::too_many_files_open) << f.text;
        EXPECT_EQ(f.attempts.size(), 1U);
        co_await gyre::create_connection("127.0.0.1", p.number);
    });
}

// ---- Where from --------------------------------------------------------------------------------

TEST_P(HappyEyeballs, TheSourceIsBound) {
    const port p;
    gyre::socket four = p.listen("127.0.0.1");
    gyre::socket six = p.listen("::1");
    run([&]() -> gyre::task<> {
        gyre::socket s =
            co_await gyre::create_connection("127.0.0.1", p.number, {.source = at("127.0.0.7", 0)});
        EXPECT_EQ(s.getsockname().host(), "127.0.0.7");
        EXPECT_NE(s.getsockname().port(), 0);
        EXPECT_EQ((co_await four.accept()).second, s.getsockname());
        s = co_await gyre::create_connection(at("::1", p.number), {.source = at("::1", 0)});
        EXPECT_EQ((co_await six.accept()).second, s.getsockname());
    });
}

TEST_P(HappyEyeballs, ASourcePortServesAttemptsAtTheSameTime) {
    const port p;
    const port from;
    const auto silent = p.swallow("127.0.0.1");
    const gyre::socket listener = p.listen("127.0.0.2");
    let_name_be("from.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        const gyre::address source = at("127.0.0.7", from.number);
        gyre::socket s = co_await gyre::create_connection(
            "from.test", p.number, {.source = source, .happy_eyeballs_delay = 1ns});
        EXPECT_EQ(s.getsockname(), source);
    });
}

TEST_P(HappyEyeballs, AddressesOfAnotherFamilyThanTheSourceAreNotTried) {
    const port p;
    const gyre::socket six = p.listen("::1");
    const gyre::socket four = p.listen("127.0.0.1");
    let_name_be("both.test", {"::1", "127.0.0.1"});
    let_name_be("six.test", {"::1"});
    run([&]() -> gyre::task<> {
        const gyre::address source = at("127.0.0.7", 0);
        gyre::socket s = co_await gyre::create_connection(
            "both.test", p.number, {.source = source, .happy_eyeballs_delay = never});
        EXPECT_EQ(s.getpeername(), at("127.0.0.1", p.number));
        const failure f =
            co_await failure_of(gyre::create_connection("six.test", p.number, {.source = source}));
        EXPECT_EQ(f.code, gyre::errc::no_source);
        EXPECT_EQ(f.text, "connect to [::1]:" + std::to_string(p.number) +
                              ": No source address of this family");
    });
}

TEST_P(HappyEyeballs, ASourceThatCannotBeBoundIsTheReason) {
    const port p;
    const gyre::socket listener = p.listen("127.0.0.1");
    run([&]() -> gyre::task<> {
        failure f = co_await failure_of(
            gyre::create_connection("127.0.0.1", p.number, {.source = at("198.51.100.7", 0)}));
        EXPECT_EQ(f.code, std::errc::address_not_available);
        EXPECT_EQ(f.attempts.size(), 1U);
        f = co_await failure_of(
            gyre::create_connection("127.0.0.1", p.number, {.source = at("127.0.0.1", p.number)}));
        EXPECT_EQ(f.code, std::errc::address_in_use);
    });
}

TEST_P(HappyEyeballs, AUnixSourceIsWhatThePeerSees) {
    gyre::socket listener = make_listener(stream_kind::unix_stream);
    run([&]() -> gyre::task<> {
        const auto source = gyre::address::unix_abstract("gyre-source-" + std::to_string(getpid()));
        gyre::socket s =
            co_await gyre::create_connection(listener.getsockname(), {.source = source});
        EXPECT_EQ((co_await listener.accept()).second, source);
    });
}

// ---- Options of the socket ---------------------------------------------------------------------

int prepared = 0;

TEST_P(HappyEyeballs, EachSocketIsPreparedBeforeItIsBound) {
    const port p;
    const gyre::socket listener = p.listen("127.0.0.2");
    let_name_be("prepare.test", {"::1", "127.0.0.1", "127.0.0.2"});
    prepared = 0;
    run([&]() -> gyre::task<> {
        gyre::connection_options o;
        o.prepare = [](gyre::socket& s) {
            ++prepared;
            s.set(gyre::option::keep_alive, true);
            s.set(gyre::option::ip::free_bind, true);
        };
        gyre::socket s = co_await gyre::create_connection("prepare.test", p.number, o);
        EXPECT_TRUE(s.get(gyre::option::keep_alive));
        EXPECT_EQ(prepared, 3);
        o.source = at("198.51.100.7", 0); // free_bind lets it be bound, and nothing comes back
        o.attempt_timeout = 5ms;
        const failure f = co_await failure_of(gyre::create_connection("127.0.0.2", p.number, o));
        EXPECT_NE(f.code, std::errc::address_not_available) << f.text;
    });
}

TEST_P(HappyEyeballs, AnOptionThatFailsIsTheReasonOfThatAttempt) {
    const port p;
    const gyre::socket listener = p.listen("127.0.0.1");
    const gyre::socket six = p.listen("::1");
    let_name_be("option.test", {"127.0.0.1", "::1"});
    run([&]() -> gyre::task<> {
        gyre::connection_options o;
        o.prepare = [](gyre::socket& s) { s.set(gyre::option::v6_only, true); };
        gyre::socket s = co_await gyre::create_connection("option.test", p.number, o);
        EXPECT_EQ(s.getpeername(), at("::1", p.number));
        const failure f = co_await failure_of(gyre::create_connection("127.0.0.1", p.number, o));
        EXPECT_EQ(f.attempts.size(), 1U) << f.text;
    });
}

TEST_P(HappyEyeballs, AnotherExceptionOfThePreparationEndsAll) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    let_name_be("throws.test", {"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    prepared = 0;
    run([&]() -> gyre::task<> {
        gyre::connection_options o{.happy_eyeballs_delay = 1ns};
        o.prepare = [](gyre::socket&) {
            if (++prepared == 2)
                throw std::runtime_error("no");
        };
        std::string said;
        try {
            co_await gyre::create_connection("throws.test", p.number, o);
        } catch (const std::runtime_error& e) {
            said = e.what();
        }
        EXPECT_EQ(said, "no");
        EXPECT_EQ(prepared, 2);
    });
}

// The kernel may choose the port that nobody listens on for the socket that connects to it.
TEST_P(HappyEyeballs, ASocketThatConnectedToItselfWasRefused) {
    static gyre::address self;
    self = make_listener(stream_kind::tcp).getsockname();
    const gyre::address other = make_listener(stream_kind::tcp).getsockname();
    run([&]() -> gyre::task<> {
        gyre::connection_options o;
        o.prepare = [](gyre::socket& s) { s.bind(self); };
        const failure f = co_await failure_of(gyre::create_connection(self, o));
        EXPECT_EQ(f.code, std::errc::connection_refused) << f.text;
        gyre::socket wanted = co_await gyre::create_connection(other, {.source = other});
        EXPECT_EQ(wanted.getpeername(), wanted.getsockname());
    });
}

// ---- Cancel ------------------------------------------------------------------------------------

// What is left open after each, the fixture finds.
TEST_P(HappyEyeballs, CancellingItEndsItAtEachStep) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const auto silent_too = p.swallow("127.0.0.3");
    let_name_be("steps.test", {"127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"});
    run([&]() -> gyre::task<> {
        for (int steps = 0; steps < 30; ++steps) {
            gyre::connection_options o{.timeout = 1h, .happy_eyeballs_delay = 1ns};
            if (steps % 2 == 0)
                o.timeout = std::nullopt;
            auto f = gyre::loop::current()->start(
                failure_of(gyre::create_connection("steps.test", p.number, o)));
            for (int i = 0; i < steps / 2; ++i)
                co_await next_turn();
            f.cancel();
            const failure cancelled = co_await f;
            EXPECT_EQ(cancelled.code, gyre::errc::cancelled) << cancelled.text;
            EXPECT_EQ(cancelled.text,
                      "connect to steps.test:" + std::to_string(p.number) + ": Cancelled");
        }
    });
}

TEST_P(HappyEyeballs, DroppedWithItsLoopItLeavesNothing) {
    const port p;
    const auto silent = p.swallow("127.0.0.1");
    const auto silent_too = p.swallow("127.0.0.2");
    let_name_be("dropped.test", {"127.0.0.1", "127.0.0.2"});
    run([&]() -> gyre::task<> {
        const auto dropped = gyre::loop::current()->start(
            gyre::create_connection("dropped.test", p.number, {.happy_eyeballs_delay = 1ns}));
        for (int i = 0; i < 20; ++i)
            co_await next_turn();
    });
}

// ---- The error ---------------------------------------------------------------------------------

std::error_code code_of_all(std::initializer_list<std::error_code> codes) {
    std::vector<gyre::connection_attempt> attempts;
    for (const std::error_code& c : codes)
        attempts.push_back({at("127.0.0.1", 7), c});
    return gyre::connection_error("somewhere", attempts).code();
}

TEST(ConnectionError, ItsCodeIsThatOfTheLast) {
    const auto refused = std::make_error_code(std::errc::connection_refused);
    const auto unreachable = std::make_error_code(std::errc::host_unreachable);
    EXPECT_EQ(code_of_all({refused}), refused);
    EXPECT_EQ(code_of_all({refused, unreachable}), unreachable);
    EXPECT_EQ(code_of_all({unreachable, refused}), refused);
    EXPECT_EQ(code_of_all({refused, gyre::errc::timed_out}), gyre::errc::timed_out);
}

TEST(ConnectionError, WhatNeverLeftThisHostCountsOnlyWhereNothingElseDid) {
    const auto refused = std::make_error_code(std::errc::connection_refused);
    for (const std::error_code local :
         {std::make_error_code(std::errc::network_unreachable),
          std::make_error_code(std::errc::address_not_available),
          std::make_error_code(std::errc::address_family_not_supported),
          gyre::make_error_code(gyre::errc::no_source)}) {
        EXPECT_EQ(code_of_all({local}), local);
        EXPECT_EQ(code_of_all({refused, local}), refused);
        EXPECT_EQ(code_of_all({local, refused}), refused);
        EXPECT_EQ(code_of_all({gyre::errc::no_source, local}), local);
    }
}

TEST(ConnectionError, CopiesAreTheSameAndNeverThrow) {
    static_assert(std::is_nothrow_copy_constructible_v<gyre::connection_error>);
    const auto refused = std::make_error_code(std::errc::connection_refused);
    std::optional<gyre::connection_error> e(
        std::in_place, "example.org:7",
        std::vector<gyre::connection_attempt>{{at("::1", 7), refused},
                                              {at("127.0.0.1", 7), refused}});
    const gyre::connection_error copy = *e;
    e.reset();
    EXPECT_STREQ(copy.what(), "connect to example.org:7: Connection refused ([::1]:7: Connection "
                              "refused; 127.0.0.1:7: Connection refused)");
    EXPECT_EQ(copy.attempts().size(), 2U);
}

} // namespace
