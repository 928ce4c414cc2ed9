#pragma once

#include <gyre/core/combine.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/core/task.hpp>
#include <gyre/core/task_group.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

/// What every conformance test stands on: one source, run on epoll and on io_uring.

namespace gyre_test {

using namespace std::chrono_literals;

#if defined(GYRE_SANITIZED)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// With AddressSanitizer, and UndefinedBehaviorSanitizer, which comes along in every preset.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool address_sanitized = true;
#else
inline constexpr bool address_sanitized = false;
#endif
#else
inline constexpr bool address_sanitized = false;
#endif

/// Whether a test can have this backend here; else why not.
std::string why_unavailable(gyre::backend_kind backend);

/// Checks around a test: the process has as many descriptors after it as before, and it ends. A
/// test that blocks its thread (so that no deadline of a loop helps) is aborted after 60 s.
class guard {
public:
    void begin();
    void end();
    /// The numbers of those that were opened since.
    std::vector<int> opened() const;

private:
    std::map<int, std::string> before_; // number, what it is
};

/// Ends this turn of the loop: everything that began in it has been given to the kernel.
inline gyre::sleep_operation next_turn() {
    return gyre::sleep_for(1ns);
}

inline gyre::backend_kind backend_of(gyre::backend_kind k) {
    return k;
}
template <class Param>
gyre::backend_kind backend_of(const Param& p) {
    return p.backend;
}

/// A suite whose tests run on each backend. `Param` is the backend, or has a member `backend`.
template <class Param = gyre::backend_kind>
class on_each_backend : public testing::TestWithParam<Param> {
protected:
    static constexpr auto patience = 20s;

    gyre::backend_kind backend() const { return backend_of(this->GetParam()); }

    gyre::loop_options options() const {
        gyre::loop_options o;
        o.backend = backend();
        return o;
    }

    void SetUp() override {
        guard_.begin();
        if (const std::string reason = why_unavailable(backend()); !reason.empty())
            GTEST_SKIP() << gyre::to_string(backend()) << " cannot be had: " << reason;
    }
    void TearDown() override { guard_.end(); }

    /// Runs the coroutine `body()` on a new loop. That it hangs is a failure, as is an exception.
    template <class F>
    void run(F body) {
        run(options(), std::move(body));
    }
    template <class F>
    void run(gyre::loop_options o, F body) {
        o.backend = backend();
        gyre::loop loop(o);
        run_on(loop, std::move(body));
    }
    template <class F>
    void run_on(gyre::loop& loop, F body) {
        try {
            loop.run(gyre::with_timeout(patience, body()));
        } catch (const std::exception& e) {
            ADD_FAILURE() << "thrown: " << e.what();
        }
    }

    std::vector<int> opened_by_this_test() const { return guard_.opened(); }

private:
    guard guard_;
};

template <class Param>
std::string name_of_backend(const testing::TestParamInfo<Param>& info) {
    return std::string(gyre::to_string(backend_of(info.param)));
}

inline constexpr gyre::backend_kind backends[] = {gyre::backend_kind::epoll,
                                                  gyre::backend_kind::io_uring};

/// Runs `f` in a forked process, which has then no thread but this one; an empty string, or what
/// went wrong there: what `f` returned or threw, or how the process ended.
std::string in_child(std::string (*f)(gyre::backend_kind), gyre::backend_kind backend);

/// The same as the end of a test: it fails with what went wrong, or is skipped where `f` returned
/// "skip: " and why it cannot be had here.
void expect_in_child(std::string (*f)(gyre::backend_kind),
                     gyre::backend_kind backend = gyre::backend_kind::automatic);

} // namespace gyre_test

#define GYRE_ON_EACH_BACKEND(suite)                                                                \
    INSTANTIATE_TEST_SUITE_P(, suite, testing::ValuesIn(gyre_test::backends),                      \
                             gyre_test::name_of_backend<gyre::backend_kind>)

/// ASSERT_TRUE for a coroutine.
#define CO_ASSERT_TRUE(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ADD_FAILURE() << "not true: " #condition;                                              \
            co_return;                                                                             \
        }                                                                                          \
    } while (false)
