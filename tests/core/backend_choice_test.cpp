#include "../support/refuse.hpp"
#include "../support/sockets.hpp"

#include <gyre/core/backend_choice.hpp>
#include <gyre/core/run.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Each test is a process of its own: it chooses once, and a filter stays.

namespace {

using namespace gyre_test;
using kind = gyre::backend_kind;

constexpr kind any = kind::automatic;

/// The test `f` in a process without GYRE_BACKEND; "" when all was as it should be.
void in_process(std::string (*f)(kind)) {
    const char* before = std::getenv("GYRE_BACKEND");
    const std::string wish = before != nullptr ? before : "";
    unsetenv("GYRE_BACKEND");
    expect_in_child(f);
    if (before != nullptr)
        setenv("GYRE_BACKEND", wish.c_str(), 1);
}

#define GYRE_NEEDS_IO_URING()                                                                      \
    do {                                                                                           \
        if (const std::string reason = why_unavailable(kind::io_uring); !reason.empty())           \
            GTEST_SKIP() << "io_uring cannot be had: " << reason;                                  \
    } while (false)

gyre::loop_options by_name(kind k) {
    gyre::loop_options o;
    o.backend = k;
    return o;
}

/// Whether a new loop is of that kind, and works.
std::string loop_is(kind expected, kind asked = any) {
    gyre::loop loop(by_name(asked));
    if (loop.backend() != expected)
        return "a loop on " + std::string(to_string(loop.backend())) + "; ";
    auto [a, b] = gyre::socketpair();
    const auto talk = [](gyre::socket& x, gyre::socket& y) -> gyre::task<std::size_t> {
        std::array<std::byte, 8> memory;
        const auto late = [](gyre::socket& s) -> gyre::task<> {
            co_await next_turn();
            co_await s.sendall("data");
        };
        auto [n, nothing] = co_await gyre::all(x.recv(memory), late(y));
        co_return n;
    };
    const std::size_t n = loop.run(gyre::with_timeout(20s, talk(a, b)));
    return n == 4 ? "" : "the loop does not work; ";
}

/// Whether that is chosen, for a reason in which these words are.
std::string chosen_is(kind expected, const std::string& because) {
    const gyre::backend_report report = gyre::probe_backends();
    std::string wrong;
    if (report.chosen != expected)
        wrong += "chosen: " + std::string(to_string(report.chosen)) + "; ";
    if (report.reason.find(because) == std::string::npos)
        wrong += "the reason: " + report.reason + "; ";
    return wrong;
}

/// What it throws: "" when that is this error, with these words.
template <class F>
std::string throws(F f, std::error_code expected, const std::string& words) {
    try {
        f();
    } catch (const gyre::error& e) {
        const std::string what = e.what();
        if (e.code() == expected && what.find(words) != std::string::npos)
            return "";
        return "thrown: " + what + "; ";
    }
    return "nothing thrown; ";
}

std::error_code code_of_errno(int number) {
    return {number, std::system_category()};
}

// ---- Where nothing is asked for ----------------------------------------------------------------

TEST(BackendChoice, TakesIoUringWhereTheKernelLetsIt) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        return chosen_is(kind::io_uring, "has all") + loop_is(kind::io_uring);
    });
}

TEST(BackendChoice, TakesEpollWhereAFilterForbidsIoUring) {
    for (const auto test : {+[](kind) -> std::string {
                                if (!refuse(__NR_io_uring_setup, EPERM))
                                    return std::string(no_filters);
                                return chosen_is(kind::epoll, "seccomp") + loop_is(kind::epoll);
                            },
                            +[](kind) -> std::string {
                                if (!refuse(__NR_io_uring_setup, EACCES))
                                    return std::string(no_filters);
                                return chosen_is(kind::epoll, "seccomp") + loop_is(kind::epoll);
                            }})
        in_process(test);
}

TEST(BackendChoice, TakesEpollWhereTheKernelHasNoIoUring) {
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, ENOSYS))
            return std::string(no_filters);
        return chosen_is(kind::epoll, "no io_uring") + loop_is(kind::epoll);
    });
}

TEST(BackendChoice, TakesEpollWhereTheKernelIsTooOldForTheRing) {
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, EINVAL))
            return std::string(no_filters);
        return chosen_is(kind::epoll, "before 6.1") + loop_is(kind::epoll);
    });
}

TEST(BackendChoice, TakesEpollWhereARingMayBeMadeButNotUsed) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_enter, EPERM))
            return std::string(no_filters);
        return chosen_is(kind::epoll, "io_uring_enter: not permitted") + loop_is(kind::epoll);
    });
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_register, EPERM))
            return std::string(no_filters);
        return chosen_is(kind::epoll, "io_uring_register: not permitted") + loop_is(kind::epoll);
    });
}

TEST(BackendChoice, TakesEpollWhereTheRingOfALoopDoesNotFitIntoTheMemoryThatIsAllowed) {
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, ENOMEM, 64)) // small rings can be had
            return std::string(no_filters);
        return chosen_is(kind::epoll, "memory") + loop_is(kind::epoll);
    });
}

TEST(BackendChoice, IsWhatTheLoopGetsWhateverTheLimitOfLockedMemory) {
    in_process([](kind) -> std::string {
        const rlimit none{0, 0};
        setrlimit(RLIMIT_MEMLOCK, &none);
        return loop_is(gyre::probe_backends().chosen);
    });
}

TEST(BackendChoice, TheThreadsOfARunFallBackTogether) {
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        std::atomic<int> on_epoll = 0;
        gyre::run({.threads = 3}, [&]() -> gyre::task<> {
            on_epoll += gyre::loop::current()->backend() == kind::epoll;
            co_await next_turn();
        });
        return on_epoll == 3 ? "" : "not all of them";
    });
}

TEST(BackendChoice, ALoopThatIsRefusedItsRingLaterTakesEpollAndTheReportSaysWhy) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        const std::string before = loop_is(kind::io_uring);
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        return before + loop_is(kind::epoll) + chosen_is(kind::epoll, "seccomp");
    });
    in_process([](kind) -> std::string {
        const std::string before = loop_is(kind::io_uring);
        if (!refuse(__NR_io_uring_setup, ENOMEM))
            return std::string(no_filters);
        return before + loop_is(kind::epoll) + chosen_is(kind::epoll, "memory");
    });
}

// ---- No descriptors ----------------------------------------------------------------------------

TEST(BackendChoice, WithoutDescriptorsIsAnErrorAndNoReasonToFallBack) {
    const auto test = []<int Number>(std::integral_constant<int, Number>) {
        in_process([](kind) -> std::string {
            if (!refuse(__NR_io_uring_setup, Number))
                return std::string(no_filters);
            const std::error_code code = code_of_errno(Number);
            return throws([] { gyre::probe_backends(); }, code, "io_uring_setup") +
                   throws([] { gyre::choose_backend(); }, code, "io_uring_setup") +
                   throws([] { gyre::loop loop; }, code, "io_uring_setup") +
                   loop_is(kind::epoll, kind::epoll);
        });
    };
    test(std::integral_constant<int, EMFILE>());
    test(std::integral_constant<int, ENFILE>());
}

TEST(BackendChoice, ALoopForWhichNoDescriptorsAreLeftIsAnErrorAfterTheChoiceToo) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        const std::string before = loop_is(kind::io_uring);
        if (!refuse(__NR_io_uring_setup, EMFILE))
            return std::string(no_filters);
        return before + throws([] { gyre::loop loop; }, code_of_errno(EMFILE), "io_uring_setup");
    });
}

// One descriptor more each time: until the loop can be made that would have been made at first.
TEST(BackendChoice, WithTooFewDescriptorsNoLoopIsMadeHoweverManyThereAre) {
    GYRE_NEEDS_IO_URING();
    if (sanitized)
        GTEST_SKIP() << "the sanitizer itself needs descriptors: UBSan looks at a vptr by a pipe";
    in_process([](kind) -> std::string {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        const int next = fcntl(0, F_DUPFD, 0);
        ::close(next);
        for (int n = 0; n < 16; ++n) {
            limit.rlim_cur = static_cast<rlim_t>(next + n);
            setrlimit(RLIMIT_NOFILE, &limit);
            try {
                gyre::loop loop;
                if (loop.backend() != kind::io_uring)
                    return "with " + std::to_string(n) + " descriptors a loop on epoll";
                return n > 0 ? "" : "a loop without descriptors";
            } catch (const gyre::error& e) {
                if (e.code() != std::errc::too_many_files_open)
                    return e.what();
            }
        }
        return "no loop at all";
    });
}

TEST(BackendChoice, LoopsThatWereMadeAndEndedDoNotUseUpTheMemoryThatAUserMayLock) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        const rlimit limit{1 << 20, 1 << 20}; // a few rings
        setrlimit(RLIMIT_MEMLOCK, &limit);
        if (geteuid() == 0 && setuid(65534) != 0)
            return "skip: this root cannot become nobody, who has limits";
        for (int i = 0; i < 20; ++i)
            if (std::string wrong = loop_is(kind::io_uring, kind::io_uring); !wrong.empty())
                return wrong;
        return "";
    });
}

// ---- By name -----------------------------------------------------------------------------------

TEST(BackendChoice, AskedForByNameIoUringIsHadOrAnErrorThatSaysWhy) {
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        return throws([] { gyre::loop loop(by_name(kind::io_uring)); }, code_of_errno(EPERM),
                      "make an io_uring loop: not permitted: a seccomp filter");
    });
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, ENOSYS))
            return std::string(no_filters);
        return throws([] { gyre::loop loop(by_name(kind::io_uring)); }, code_of_errno(ENOSYS),
                      "the kernel has no io_uring");
    });
    in_process([](kind) -> std::string {
        if (!refuse(__NR_io_uring_setup, ENOMEM, 64))
            return std::string(no_filters);
        return throws([] { gyre::loop loop(by_name(kind::io_uring)); }, code_of_errno(ENOMEM),
                      "memory");
    });
}

TEST(BackendChoice, AskedForByNameEpollIsHadWhateverTheRest) {
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "io_uring", 1);
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        return loop_is(kind::epoll, kind::epoll);
    });
}

TEST(BackendChoice, ANameInTheOptionsIsStrongerThanTheEnvironment) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "epoll", 1);
        return loop_is(kind::io_uring, kind::io_uring) + loop_is(kind::epoll);
    });
}

// ---- GYRE_BACKEND ------------------------------------------------------------------------------

TEST(BackendChoice, FollowsTheEnvironment) {
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "epoll", 1);
        return chosen_is(kind::epoll, "GYRE_BACKEND") + loop_is(kind::epoll);
    });
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "io_uring", 1);
        return chosen_is(kind::io_uring, "GYRE_BACKEND") + loop_is(kind::io_uring);
    });
}

TEST(BackendChoice, AnEnvironmentThatLeavesItOpenIsNoWish) {
    GYRE_NEEDS_IO_URING();
    for (const auto test : {+[](kind) -> std::string {
                                setenv("GYRE_BACKEND", "", 1);
                                return chosen_is(kind::io_uring, "has all");
                            },
                            +[](kind) -> std::string {
                                setenv("GYRE_BACKEND", "automatic", 1);
                                return chosen_is(kind::io_uring, "has all");
                            }})
        in_process(test);
}

TEST(BackendChoice, AnUnknownNameInTheEnvironmentIsAnErrorThatNamesIt) {
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "kqueue", 1);
        const auto code = std::make_error_code(std::errc::invalid_argument);
        return throws([] { gyre::probe_backends(); }, code, "\"kqueue\"") +
               throws([] { gyre::loop loop; }, code, "\"kqueue\"");
    });
}

TEST(BackendChoice, IoUringThatTheEnvironmentAsksForAndThatIsRefusedIsAnErrorThatSaysWhy) {
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "io_uring", 1);
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        const auto code = std::make_error_code(std::errc::not_supported);
        return throws([] { gyre::probe_backends(); }, code, "seccomp") +
               throws([] { gyre::loop loop; }, code, "GYRE_BACKEND=io_uring, but");
    });
}

TEST(BackendChoice, IoUringThatTheEnvironmentAsksForAndThatIsRefusedLaterIsAnError) {
    GYRE_NEEDS_IO_URING();
    in_process([](kind) -> std::string {
        setenv("GYRE_BACKEND", "io_uring", 1);
        const std::string before = loop_is(kind::io_uring);
        if (!refuse(__NR_io_uring_setup, EPERM))
            return std::string(no_filters);
        return before + throws([] { gyre::loop loop; }, code_of_errno(EPERM), "not permitted");
    });
}

// ---- Names -------------------------------------------------------------------------------------

TEST(BackendKind, HasANameThatIsReadAsItIsWritten) {
    for (const kind k : {kind::automatic, kind::epoll, kind::io_uring})
        EXPECT_EQ(gyre::parse_backend_kind(to_string(k)), k);
}

TEST(BackendKind, OfAnUnknownNameIsAnErrorThatNamesWhatIsExpected) {
    for (const std::string name : {"", "Epoll", "epoll ", "kqueue", "io-uring"})
        EXPECT_EQ(throws([&] { gyre::parse_backend_kind(name); },
                         std::make_error_code(std::errc::invalid_argument),
                         "\"" + name + "\" (expected epoll, io_uring or automatic)"),
                  "");
}

TEST(BackendReport, NamesTheKernelAndWhatIsThere) {
    const gyre::backend_report report = gyre::probe_backends();
    EXPECT_FALSE(report.kernel.empty());
    const auto has = [&](std::string_view name) {
        return std::ranges::any_of(report.features, [&](const auto& f) { return f.name == name; });
    };
    EXPECT_TRUE(has("io_uring"));
    EXPECT_TRUE(has("epoll"));
}

} // namespace
