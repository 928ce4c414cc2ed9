#include "../support/sockets.hpp"
#include "../support/test_source.hpp"

#include <gyre/core/loop_thread.hpp>

#include <csignal>
#include <numeric>
#include <optional>
#include <pthread.h>
#include <string>
#include <vector>

namespace {

using namespace gyre_test;

using addresses = std::vector<gyre::address_info>;

class Resolver : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(Resolver);

const std::error_code unknown(EAI_NONAME, gyre::address_info_category());
const std::error_code later(EAI_AGAIN, gyre::address_info_category());

gyre::future<addresses> start(test_names& names, const std::string& name) {
    return gyre::loop::current()->start(names.find(name));
}

/// Time passes only when a test says so.
std::atomic<std::int64_t> seconds_passed = 0;
gyre::clock::time_point test_time() noexcept {
    return gyre::clock::time_point(std::chrono::seconds(1'000'000 + seconds_passed.load()));
}

gyre::resolver_options with_cache(std::size_t entries) {
    gyre::resolver_options o;
    o.cache = {.entries = entries, .positive = 30s, .negative = 5s, .now = &test_time};
    return o;
}

// ---- Looking up --------------------------------------------------------------------------------

TEST_P(Resolver, AsksItsSourceOnAThreadOfItsOwn) {
    run([]() -> gyre::task<> {
        test_names names;
        const addresses found = co_await names.find("a.test");
        CO_ASSERT_TRUE(found.size() == 1);
        EXPECT_EQ(found[0].address.to_string(), "192.0.2.1:80");
        EXPECT_NE(names.source->thread(), std::this_thread::get_id());
    });
}

TEST_P(Resolver, AFailureIsOfTheKindThatItsCodeTells) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->fail("none.test", unknown);
        names.source->fail("disk.test", {EIO, std::system_category()});
        bool caught = false;
        try {
            co_await names.find("none.test");
        } catch (const gyre::address_info_error& e) {
            caught = true;
            EXPECT_EQ(e.code(), unknown);
            EXPECT_EQ(e.what(),
                      std::string("look up none.test, service 80: ") + gai_strerror(EAI_NONAME));
        }
        EXPECT_TRUE(caught);
        EXPECT_EQ(co_await outcome(names.find("disk.test")), std::errc::io_error);
    });
}

struct throwing_source : gyre::name_source {
    answer<addresses> getaddrinfo(const std::string& host, const std::string&,
                                  const gyre::address_info_hints&) override {
        if (host == "code.test")
            throw gyre::error(std::make_error_code(std::errc::permission_denied), "x");
        throw 7;
    }
};

TEST_P(Resolver, AnExceptionOfASourceIsAFailureOfTheLookUp) {
    run([]() -> gyre::task<> {
        gyre::resolver names({.source = std::make_shared<throwing_source>()});
        EXPECT_EQ(co_await outcome(names.getaddrinfo("code.test", "")),
                  std::errc::permission_denied);
        EXPECT_EQ(co_await outcome(names.getaddrinfo("any.test", "")),
                  std::error_code(EAI_FAIL, gyre::address_info_category()));
    });
}

TEST_P(Resolver, WhatCannotBeANameIsNotAskedFor) {
    run([]() -> gyre::task<> {
        test_names names;
        const std::string label(63, 'a');
        const std::string long_name =
            label + '.' + label + '.' + label + '.' + std::string(61, 'b');
        CO_ASSERT_TRUE(long_name.size() == 253);
        for (const std::string& bad :
             {label + "a.test", "b." + label + 'a', long_name + 'b', long_name + "b.",
              std::string("a..test"), std::string(".test"), std::string("."), std::string("test.."),
              std::string("b\xc3\xbc"
                          "cher.test")})
            EXPECT_EQ(co_await outcome(names.find(bad)), unknown) << bad;
        EXPECT_EQ(names.source->asked(), 0);
        for (const std::string& good : {label + ".test", long_name, long_name + '.',
                                        std::string("t."), std::string("_sip._udp.a-b.test")})
            EXPECT_EQ((co_await names.find(good)).size(), 1U) << good;
        EXPECT_EQ(names.source->asked(), 5);
    });
}

TEST_P(Resolver, ANameThatIsNotAsciiIsForThoseWhoAskForItsEncoding) {
    run([]() -> gyre::task<> {
        test_names names;
        const std::string name = "b\xc3\xbc"
                                 "cher.test";
        std::string said;
        try {
            co_await names.find(name);
        } catch (const gyre::address_info_error& e) {
            said = e.what();
        }
        EXPECT_NE(said.find("not ASCII"), said.npos) << said;
        EXPECT_NE(said.find("b\\xc3\\xbccher.test"), said.npos) << said;
        co_await names->getaddrinfo(name, "", {.flags = AI_IDN});
        EXPECT_EQ(names.source->asked(name), 1);
    });
}

TEST_P(Resolver, AMessageHoldsNoMoreOfANameThanANameMayHave) {
    run([]() -> gyre::task<> {
        test_names names;
        std::string said;
        try {
            co_await names.find(std::string(100'000, 'x'));
        } catch (const gyre::address_info_error& e) {
            said = e.what();
        }
        EXPECT_LT(said.size(), 400U);
    });
}

TEST_P(Resolver, ItsThreadsTakeNoSignals) {
    struct mask_source : gyre::name_source {
        answer<int> getprotobyname(const std::string&) override {
            sigset_t blocked;
            pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
            int open = 0;
            for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGALRM, SIGCHLD, SIGPIPE})
                open += sigismember(&blocked, s) == 0 ? 1 : 0;
            return open;
        }
    };
    run([]() -> gyre::task<> {
        gyre::resolver names({.source = std::make_shared<mask_source>()});
        EXPECT_EQ(co_await names.getprotobyname("tcp"), 0);
    });
}

// ---- Ends --------------------------------------------------------------------------------------

TEST_P(Resolver, CancelAndDeadlineEndALookUpAtOnce) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->hold("slow.test");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, names.find("slow.test"))),
                  gyre::errc::timed_out);
        auto f = start(names, "slow.test");
        co_await next_turn();
        f.cancel();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::cancelled);
    });
}

TEST_P(Resolver, AQueuedLookUpThatNobodyWaitsForNeverBegins) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 1, .stuck_after = 1h});
        names.source->hold("slow.test");
        auto slow = start(names, "slow.test");
        co_await next_turn();
        CO_ASSERT_TRUE(names.source->await_asked("slow.test", 1));
        auto one = start(names, "queued.test");
        auto two = start(names, "queued.test");
        co_await next_turn();
        EXPECT_EQ(names->statistics().queued, 1U);
        one.cancel();
        EXPECT_EQ(co_await outcome(std::move(one)), gyre::errc::cancelled);
        EXPECT_EQ(names->statistics().queued, 1U); // the other waits still
        two.cancel();
        EXPECT_EQ(co_await outcome(std::move(two)), gyre::errc::cancelled);
        EXPECT_EQ(names->statistics().queued, 0U);
        EXPECT_EQ(names->statistics().withdrawn, 1U);
        names.source->let_go("slow.test");
        co_await slow;
        co_await names.find("next.test");
        EXPECT_EQ(names.source->asked("queued.test"), 0);
    });
}

TEST_P(Resolver, DestroyingItEndsWhatIsQueuedAndWhatIsUnderWay) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 1, .stuck_after = 1h});
        names.source->hold("slow.test");
        auto slow = start(names, "slow.test");
        co_await next_turn();
        CO_ASSERT_TRUE(names.source->await_asked("slow.test", 1));
        auto queued = start(names, "queued.test");
        auto unstarted = names.find("unstarted.test");
        co_await next_turn();
        names.resolver.reset(); // though a thread of it is held
        EXPECT_EQ(co_await outcome(std::move(slow)), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(std::move(queued)), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(std::move(unstarted)), gyre::errc::closed);
        EXPECT_EQ(names.source->asked("queued.test"), 0);
    });
}

TEST_P(Resolver, ItsThreadsLetGoOfTheSourceWhenTheyComeBack) {
    run([]() -> gyre::task<> {
        auto names = std::make_unique<test_names>();
        const std::weak_ptr<test_source> source = names->source;
        names->source->hold("slow.test");
        auto f = start(*names, "slow.test");
        co_await next_turn();
        CO_ASSERT_TRUE(names->source->await_asked("slow.test", 1));
        names->resolver.reset();
        EXPECT_EQ(co_await outcome(std::move(f)), gyre::errc::closed);
        names.reset();
        while (!source.expired()) // the thread is on its way out
            std::this_thread::yield();
    });
}

TEST_P(Resolver, TheLoopMayEndWhileALookUpIsStuck) {
    test_names names;
    names.source->hold("slow.test");
    std::optional<gyre::future<addresses>> f;
    {
        gyre::loop_thread network(options());
        f = network.start(names.find("slow.test"));
        ASSERT_TRUE(names.source->await_asked("slow.test", 1));
    }
    EXPECT_EQ(thrown_by([&] { f->get(); }), gyre::errc::cancelled);
}

test_names* names_of_parent = nullptr;

TEST_P(Resolver, AChildProcessBeginsWithThreadsOfItsOwn) {
    if (sanitized && !address_sanitized)
        GTEST_SKIP() << "ThreadSanitizer lets no child of a process with threads start any";
    test_names names({.threads = 2, .stuck_after = 1h});
    gyre::loop_thread network(options());
    names.source->hold("slow.test");
    auto slow = network.start(names.find("slow.test"));
    ASSERT_TRUE(names.source->await_asked("slow.test", 1));
    network.start(names.find("quick.test")).get(); // its thread is idle now
    names_of_parent = &names;
    EXPECT_EQ(in_child(
                  [](gyre::backend_kind backend) -> std::string {
                      gyre::loop loop({.backend = backend});
                      for (const std::string name : {"one.test", "two.test", "three.test"})
                          loop.run(gyre::with_timeout(10s, names_of_parent->find(name)));
                      return "";
                  },
                  backend()),
              "");
    names.source->let_all_go();
    EXPECT_EQ(slow.get().size(), 1U);
}

// ---- Together ----------------------------------------------------------------------------------

TEST_P(Resolver, ThoseWhoAskTheSameAtTheSameTimeShareOneLookUp) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->hold("a.test");
        std::vector<gyre::future<addresses>> all;
        for (int i = 0; i < 10; ++i)
            all.push_back(start(names, "a.test"));
        auto other = gyre::loop::current()->start(
            names->getaddrinfo("a.test", "80", {.type = SOCK_DGRAM})); // is not the same
        co_await next_turn();
        CO_ASSERT_TRUE(names.source->await_asked("a.test", 2));
        EXPECT_EQ(names->statistics().shared, 9U);
        all[3].cancel(); // disturbs nobody
        EXPECT_EQ(co_await outcome(std::move(all[3])), gyre::errc::cancelled);
        all.erase(all.begin() + 3);
        names.source->let_go("a.test");
        for (auto& f : all)
            EXPECT_EQ((co_await f).size(), 1U);
        co_await other;
        EXPECT_EQ(names.source->asked("a.test"), 2);
        co_await names.find("a.test"); // nothing is under way any more
        EXPECT_EQ(names.source->asked("a.test"), 3);
    });
}

TEST_P(Resolver, TheyShareAFailureToo) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->hold("a.test");
        names.source->fail("a.test", later);
        auto one = start(names, "a.test");
        auto two = start(names, "a.test");
        co_await next_turn();
        names.source->let_go("a.test");
        EXPECT_EQ(co_await outcome(std::move(one)), later);
        EXPECT_EQ(co_await outcome(std::move(two)), later);
        EXPECT_EQ(names.source->asked("a.test"), 1);
    });
}

TEST_P(Resolver, LoopsOfSeveralThreadsShareIt) {
    test_names names({.threads = 4, .cache = {.entries = 8}});
    const auto ask = [&](int n) -> gyre::task<int> {
        int good = 0;
        for (int i = 0; i < n; ++i) {
            const std::string name = "host" + std::to_string(i % 16) + ".test";
            auto look_up = names.find(name);
            good += (co_await std::move(look_up)).size() == 1 ? 1 : 0;
        }
        co_return good;
    };
    constexpr int loops = 3;
    constexpr int each = 200;
    std::vector<std::unique_ptr<gyre::loop_thread>> threads;
    std::vector<gyre::future<int>> all;
    for (int i = 0; i < loops; ++i) {
        threads.push_back(std::make_unique<gyre::loop_thread>(options()));
        for (int j = 0; j < 4; ++j)
            all.push_back(threads.back()->start(ask(each)));
    }
    int good = 0;
    for (auto& f : all)
        good += f.get();
    EXPECT_EQ(good, loops * 4 * each);
    const auto s = names->statistics();
    EXPECT_EQ(s.in_flight + s.queued, 0U);
    EXPECT_LE(s.threads, 4U);
}

TEST_P(Resolver, ManyCancelsAtOnceDisturbNobody) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 2});
        for (int round = 0; round < 20; ++round) {
            std::vector<gyre::future<addresses>> all;
            for (int i = 0; i < 50; ++i)
                all.push_back(start(names, "host" + std::to_string(i % 25) + ".test"));
            co_await next_turn();
            for (std::size_t i = 0; i < all.size(); i += 3)
                all[i].cancel();
            for (std::size_t i = 0; i < all.size(); ++i) {
                const std::error_code code = co_await outcome(std::move(all[i]));
                const bool cancelled = code == gyre::errc::cancelled;
                EXPECT_TRUE(!code || (cancelled && i % 3 == 0)) << code.message();
            }
        }
        EXPECT_EQ(names->statistics().queued, 0U);
    });
}

// ---- Threads and the queue ---------------------------------------------------------------------

TEST_P(Resolver, BeyondItsThreadsLookUpsWaitAndBeyondItsQueueTheyFail) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 2, .stuck_after = 1h, .queue = 3});
        std::vector<gyre::future<addresses>> all;
        for (int i = 0; i < 5; ++i) {
            const std::string name = "slow" + std::to_string(i) + ".test";
            names.source->hold(name);
            all.push_back(start(names, name));
        }
        co_await next_turn();
        const std::error_code full = make_error_code(std::errc::resource_unavailable_try_again);
        std::string said;
        try {
            co_await names.find("more.test");
        } catch (const gyre::error& e) {
            EXPECT_EQ(e.code(), full);
            said = e.what();
        }
        EXPECT_NE(said.find("3 look-ups wait"), said.npos) << said;
        auto same = start(names, "slow4.test"); // one that waits already can be joined
        auto numeric = co_await names.find("127.0.0.1");
        EXPECT_EQ(numeric.size(), 1U);
        const auto s = names->statistics();
        EXPECT_EQ(s.threads, 2U);
        EXPECT_EQ(s.refused, 1U);
        names.source->let_all_go();
        for (auto& f : all)
            co_await f;
        co_await same;
        co_await names.find("more.test");
    });
}

TEST_P(Resolver, ALookUpThatIsStuckDoesNotHoldUpOthersThoughNobodyAsksAgain) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 1, .stuck_after = 1ms});
        names.source->hold("slow.test");
        auto slow = start(names, "slow.test");
        auto quick = start(names, "quick.test");
        EXPECT_EQ((co_await quick).size(), 1U);
        EXPECT_FALSE(slow.ready());
        EXPECT_EQ(names->statistics().stuck, 1U);
        names.source->let_go("slow.test");
        co_await slow;
        EXPECT_EQ(names->statistics().stuck, 0U);
    });
}

TEST_P(Resolver, TwoHundredThatAreStuckAreOvertaken) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 4, .stuck_after = 2ms});
        std::vector<gyre::future<addresses>> stuck;
        for (int i = 0; i < 200; ++i) {
            const std::string name = "slow" + std::to_string(i) + ".test";
            names.source->hold(name);
            stuck.push_back(start(names, name));
        }
        auto quick = start(names, "quick.test");
        EXPECT_EQ((co_await quick).size(), 1U);
        EXPECT_EQ(names->statistics().in_flight, 200U);
        names.source->let_all_go();
        for (auto& f : stuck)
            co_await f;
    });
}

TEST_P(Resolver, StuckThreadsAreBounded) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 2, .stuck_after = 0ns, .stuck = 3});
        std::vector<gyre::future<addresses>> held;
        for (int i = 0; i < 5; ++i) {
            const std::string name = "slow" + std::to_string(i) + ".test";
            names.source->hold(name);
            held.push_back(start(names, name));
            co_await next_turn();
            CO_ASSERT_TRUE(names.source->await_asked(name, 1));
        }
        auto last = start(names, "last.test");
        co_await next_turn();
        auto s = names->statistics();
        EXPECT_EQ(s.threads, 5U);
        EXPECT_EQ(s.stuck, 5U);
        EXPECT_EQ(s.queued, 1U);
        names.source->let_go("slow0.test"); // any that comes back takes it
        co_await last;
        names.source->let_all_go();
        for (auto& f : held)
            co_await f;
    });
}

TEST_P(Resolver, ThreadsEndWhenTheyHaveHadNothingToDo) {
    run([]() -> gyre::task<> {
        test_names names({.idle = 0ns});
        co_await names.find("a.test");
        while (names->statistics().threads != 0)
            std::this_thread::yield();
        EXPECT_EQ((co_await names.find("a.test")).size(), 1U);
    });
}

TEST_P(Resolver, ThreadsThatStoodInForStuckOnesEnd) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 1, .stuck_after = 0ns});
        std::vector<gyre::future<addresses>> held;
        for (int i = 0; i < 8; ++i) {
            const std::string name = "slow" + std::to_string(i) + ".test";
            names.source->hold(name);
            held.push_back(start(names, name));
            co_await next_turn();
            CO_ASSERT_TRUE(names.source->await_asked(name, 1));
        }
        names->configure({.threads = 1, .stuck_after = 1h, .source = names.source});
        names.source->let_all_go();
        for (auto& f : held)
            co_await f;
        while (names->statistics().threads > 1) {
            co_await names.find("again.test");
            std::this_thread::yield();
        }
    });
}

// Quick look-ups are left to few threads; that does not hold up slow ones that come after them.
TEST_P(Resolver, SlowLookUpsAfterQuickOnesGetAllThreads) {
    run([]() -> gyre::task<> {
        constexpr int threads = 8;
        test_names names({.threads = threads, .stuck_after = 1h});
        for (int i = 0; i < 50; ++i)
            co_await names.find("quick.test");
        std::vector<gyre::future<addresses>> held;
        for (int i = 0; i < threads; ++i) {
            const std::string name = "slow" + std::to_string(i) + ".test";
            names.source->hold(name);
            held.push_back(start(names, name));
        }
        co_await next_turn();
        for (int i = 0; i < threads; ++i)
            CO_ASSERT_TRUE(names.source->await_asked("slow" + std::to_string(i) + ".test", 1));
        names.source->let_all_go();
        for (auto& f : held)
            co_await f;
    });
}

// Idle threads that are too many after a change of the options end instead of taking a look-up.
// That the last one is busy with a look-up that hangs is noticed all the same.
TEST_P(Resolver, FewerThreadsAreReplacedAsEverWhenTheyAreStuck) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 3, .stuck_after = 1h});
        std::vector<gyre::future<addresses>> held;
        for (const std::string name : {"a.test", "b.test", "slow.test"}) {
            names.source->hold(name);
            held.push_back(start(names, name));
            co_await next_turn();
            CO_ASSERT_TRUE(names.source->await_asked(name, 1));
        }
        names.source->let_go("a.test");
        names.source->let_go("b.test");
        co_await held[0];
        co_await held[1];
        names->configure({.threads = 1, .stuck_after = 50ms, .source = names.source});
        EXPECT_EQ((co_await names.find("quick.test")).size(), 1U);
        names.source->let_all_go();
        co_await held[2];
    });
}

TEST_P(Resolver, CountsWhatItDoes) {
    run([]() -> gyre::task<> {
        test_names names({.threads = 1});
        names.source->fail("none.test", unknown);
        co_await names.find("a.test");
        co_await outcome(names.find("none.test"));
        const auto s = names->statistics();
        EXPECT_EQ(s.finished, 2U);
        EXPECT_EQ(s.failed, 1U);
        EXPECT_EQ(s.threads, 1U);
        EXPECT_EQ(s.in_flight, 0U);
        EXPECT_EQ(std::accumulate(s.latency.begin(), s.latency.end(), std::uint64_t{0}), 2U);
    });
}

// ---- The cache ---------------------------------------------------------------------------------

TEST_P(Resolver, WithoutACacheEachLookUpAsks) {
    run([]() -> gyre::task<> {
        test_names names;
        co_await names.find("a.test");
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("a.test"), 2);
        EXPECT_EQ(names->statistics().cache_misses, 0U);
    });
}

TEST_P(Resolver, WhatIsCachedIsNotAskedForUntilItsTimeHasPassed) {
    run([]() -> gyre::task<> {
        test_names names(with_cache(10));
        names.source->fail("none.test", unknown);
        names.source->fail("later.test", later);
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ((co_await names.find("a.test")).size(), 1U);
            EXPECT_EQ(co_await outcome(names.find("none.test")), unknown);
            EXPECT_EQ(co_await outcome(names.find("later.test")), later);
        }
        EXPECT_EQ(names.source->asked("a.test"), 1);
        EXPECT_EQ(names.source->asked("none.test"), 1);
        EXPECT_EQ(names.source->asked("later.test"), 3); // may be well at any time
        EXPECT_EQ(names->statistics().cache_entries, 2U);
        EXPECT_EQ(names->statistics().cache_hits, 4U);
        EXPECT_EQ(names->statistics().cache_misses, 5U);

        seconds_passed += 5;
        co_await outcome(names.find("none.test"));
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("none.test"), 2);
        EXPECT_EQ(names.source->asked("a.test"), 1);
        seconds_passed += 24;
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("a.test"), 1);
        seconds_passed += 1;
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("a.test"), 2);
    });
}

TEST_P(Resolver, TheCacheForgetsWhatWasNotAskedForForTheLongest) {
    run([]() -> gyre::task<> {
        test_names names(with_cache(2));
        co_await names.find("a.test");
        co_await names.find("b.test");
        co_await names.find("a.test");
        co_await names.find("c.test"); // takes the place of b
        EXPECT_EQ(names->statistics().cache_entries, 2U);
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("a.test"), 1);
        co_await names.find("b.test");
        EXPECT_EQ(names.source->asked("b.test"), 2);
    });
}

TEST_P(Resolver, ALookUpThatNobodyWaitedForIsCachedAllTheSame) {
    run([]() -> gyre::task<> {
        test_names names(with_cache(2));
        names.source->hold("slow.test");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, names.find("slow.test"))),
                  gyre::errc::timed_out);
        names.source->let_go("slow.test");
        EXPECT_EQ((co_await names.find("slow.test")).size(), 1U);
        EXPECT_EQ(names.source->asked("slow.test"), 1);
    });
}

TEST_P(Resolver, ClearingTheCacheOrAnotherSourceForgetsAll) {
    run([]() -> gyre::task<> {
        test_names names(with_cache(10));
        co_await names.find("a.test");
        names->clear_cache();
        EXPECT_EQ(names->statistics().cache_entries, 0U);
        co_await names.find("a.test");
        EXPECT_EQ(names.source->asked("a.test"), 2);
        gyre::resolver_options o = with_cache(10);
        const auto other = std::make_shared<test_source>();
        o.source = other;
        names->configure(o);
        EXPECT_EQ(names->statistics().cache_entries, 0U);
        co_await names.find("a.test");
        EXPECT_EQ(other->asked("a.test"), 1);
        o.cache.entries = 0;
        names->configure(o);
        EXPECT_EQ(names->statistics().cache_entries, 0U);
    });
}

TEST_P(Resolver, OtherLookUpsAreCachedByWhatTheyAsk) {
    run([]() -> gyre::task<> {
        test_names names(with_cache(10));
        const gyre::address one = gyre::address::from_ip("192.0.2.1", 80).value();
        const gyre::address two = gyre::address::from_ip("192.0.2.1", 81).value();
        for (int i = 0; i < 2; ++i) {
            co_await names->getnameinfo(one);
            co_await names->getnameinfo(one, NI_DGRAM);
            co_await names->getnameinfo(two);
            co_await names->gethostbyaddr(one);
            co_await names->gethostbyaddr(two); // ports are nothing to it
            co_await names->getservbyname("echo");
            co_await names->getservbyname("echo", "udp");
            co_await names->getprotobyname("echo");
        }
        EXPECT_EQ(names.source->asked("192.0.2.1:80"), 2);
        EXPECT_EQ(names.source->asked("192.0.2.1:81"), 1);
        EXPECT_EQ(names.source->asked("by address 192.0.2.1"), 1);
        EXPECT_EQ(names.source->asked("service echo"), 2);
        EXPECT_EQ(names.source->asked("protocol echo"), 1);
    });
}

} // namespace
