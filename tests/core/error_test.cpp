#include <gyre/core/assert.hpp>
#include <gyre/core/clock.hpp>
#include <gyre/core/error.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <limits>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;

TEST(Error, SaysWhatWasBeingDoneToWhomAndWhyItEnded) {
    const gyre::error e(std::make_error_code(std::errc::connection_refused),
                        "connect to [::1]:7000");
    EXPECT_STREQ(e.what(), "connect to [::1]:7000: Connection refused");
}

TEST(Error, IsASystemErrorAndSoARuntimeError) {
    const auto throw_one = [] { throw gyre::error(gyre::errc::closed, "recv"); };
    EXPECT_THROW(throw_one(), std::system_error);
    EXPECT_THROW(throw_one(), std::runtime_error);
}

TEST(Error, TransferredIsZeroUnlessSaid) {
    EXPECT_EQ(gyre::error(gyre::errc::closed, "send").transferred(), 0U);
    EXPECT_EQ(gyre::error(gyre::errc::closed, "sendall", 4711).transferred(), 4711U);
    EXPECT_EQ(gyre::timeout_error("sendall", 5'000'000'000).transferred(), 5'000'000'000U);
}

TEST(Error, ATimeoutErrorIsAnErrorWithTheCodeTimedOut) {
    const gyre::timeout_error e("recv from 127.0.0.1:7000");
    EXPECT_EQ(e.code(), gyre::errc::timed_out);
    EXPECT_STREQ(e.what(), "recv from 127.0.0.1:7000: Deadline exceeded");
    EXPECT_THROW(throw gyre::timeout_error("recv"), gyre::error);
}

TEST(Error, ADeadlineIsNotTheTimeoutOfTheKernel) {
    EXPECT_NE(std::error_code(gyre::errc::timed_out), std::errc::timed_out);
    EXPECT_NE(gyre::detail::decode(-ETIMEDOUT), gyre::errc::timed_out);
    EXPECT_EQ(gyre::detail::decode(-ETIMEDOUT), std::errc::timed_out);
    try {
        gyre::detail::throw_error(-ETIMEDOUT, "connect");
        FAIL() << "nothing thrown";
    } catch (const gyre::timeout_error&) {
        FAIL() << "the kernel's ETIMEDOUT shows as a deadline of gyre's";
    } catch (const gyre::error& e) {
        EXPECT_EQ(e.code(), std::errc::timed_out);
    }
}

TEST(Error, DeadlineCancelCloseAndPeerAreDifferentCodes) {
    const std::error_code codes[] = {gyre::errc::timed_out,
                                     gyre::errc::cancelled,
                                     gyre::errc::closed,
                                     gyre::errc::busy,
                                     gyre::errc::broken,
                                     std::make_error_code(std::errc::connection_reset),
                                     std::make_error_code(std::errc::operation_canceled),
                                     std::make_error_code(std::errc::timed_out)};
    for (const auto& a : codes)
        for (const auto& b : codes)
            EXPECT_EQ(a == b, &a == &b) << a.message() << " and " << b.message();
}

TEST(Error, EveryCodeHasAMessageAndNoneIsSuccess) {
    using enum gyre::errc;
    for (const gyre::errc value : {timed_out, cancelled, closed, busy, broken}) {
        const std::error_code code = value;
        EXPECT_TRUE(code) << "would count as no error";
        EXPECT_STREQ(code.category().name(), "gyre");
        EXPECT_EQ(code.message().find("Unknown"), std::string::npos);
    }
    EXPECT_EQ(gyre::error_category().message(99), "Unknown error 99");
}

TEST(Error, AResultDecodesToWhatItStandsFor) {
    using enum gyre::errc;
    EXPECT_FALSE(gyre::detail::decode(0));
    EXPECT_FALSE(gyre::detail::decode(std::numeric_limits<int>::max()));
    for (int number = 1; number < 134; ++number) {
        EXPECT_EQ(gyre::detail::decode(-number), std::error_code(number, std::system_category()));
    }
    for (const gyre::errc value : {timed_out, cancelled, closed, busy, broken})
        EXPECT_EQ(gyre::detail::decode(gyre::detail::encode(value)), value);
}

TEST(Error, ThrowErrorThrowsATimeoutErrorForADeadlineOnly) {
    EXPECT_THROW(gyre::detail::throw_error(gyre::detail::encode(gyre::errc::timed_out), "recv"),
                 gyre::timeout_error);
    try {
        gyre::detail::throw_error(gyre::detail::encode(gyre::errc::cancelled), "sendall", 7);
    } catch (const gyre::timeout_error&) {
        FAIL() << "a cancellation shows as a deadline";
    } catch (const gyre::error& e) {
        EXPECT_EQ(e.code(), gyre::errc::cancelled);
        EXPECT_EQ(e.transferred(), 7U);
    }
}

TEST(Error, IsCancelledKnowsItsOwnCodeOnly) {
    const auto is_cancelled = [](auto e) {
        return gyre::is_cancelled(std::make_exception_ptr(std::move(e)));
    };
    EXPECT_TRUE(is_cancelled(gyre::error(gyre::errc::cancelled, "recv")));
    EXPECT_FALSE(is_cancelled(gyre::error(gyre::errc::closed, "recv")));
    EXPECT_FALSE(is_cancelled(gyre::timeout_error("recv")));
    EXPECT_FALSE(is_cancelled(std::runtime_error("cancelled")));
    EXPECT_FALSE(is_cancelled(42));
    EXPECT_FALSE(gyre::is_cancelled(nullptr));
}

TEST(ErrorDeathTest, ABrokenContractSaysWhatAndWhere) {
    EXPECT_DEATH(gyre::detail::require(false, "two loops"),
                 R"(error_test\.cpp:[0-9]+: .*gyre contract broken: two loops)");
    gyre::detail::require(true, "this holds");
}

// ---- Durations, which clock.hpp turns into nanoseconds ------------------------------------------

using gyre::detail::ceil_nanoseconds;
using gyre::detail::forever;

TEST(Duration, IsRoundedUpAndNeverToZero) {
    using picoseconds = std::chrono::duration<long, std::pico>;
    EXPECT_EQ(ceil_nanoseconds(picoseconds(1)), 1);
    EXPECT_EQ(ceil_nanoseconds(picoseconds(1000)), 1);
    EXPECT_EQ(ceil_nanoseconds(picoseconds(1001)), 2);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::duration<double>(1e-10)), 1);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::duration<double>(0.25)), 250'000'000);
    EXPECT_EQ(ceil_nanoseconds(3us), 3000);
    EXPECT_EQ(ceil_nanoseconds(0s), 0);
    EXPECT_EQ(ceil_nanoseconds(-1ms), -1'000'000);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::duration<long, std::ratio<1, 3>>(1)), 333'333'334);
}

TEST(Duration, BeyondWhatFitsItSaturates) {
    EXPECT_EQ(ceil_nanoseconds(std::chrono::hours::max()), forever);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::hours::min()), -forever);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::seconds::max()), forever);
    EXPECT_EQ(ceil_nanoseconds(std::chrono::nanoseconds::max()), forever);
    using seconds = std::chrono::duration<double>;
    EXPECT_EQ(ceil_nanoseconds(seconds(std::numeric_limits<double>::infinity())), forever);
    EXPECT_EQ(ceil_nanoseconds(seconds(-std::numeric_limits<double>::infinity())), -forever);
}

TEST(Duration, OfUnsignedCountsIsNotTakenForNegative) {
    using unsigned_nanoseconds = std::chrono::duration<std::uint64_t, std::nano>;
    using unsigned_seconds = std::chrono::duration<std::uint64_t>;
    EXPECT_EQ(ceil_nanoseconds(unsigned_seconds(5)), 5'000'000'000);
    EXPECT_EQ(ceil_nanoseconds(unsigned_nanoseconds(~std::uint64_t{0})), forever);
    EXPECT_EQ(ceil_nanoseconds(unsigned_seconds(~std::uint64_t{0})), forever);
}

TEST(Duration, ThatIsNotANumberIsRefused) {
    try {
        ceil_nanoseconds(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()));
        FAIL() << "nothing thrown";
    } catch (const gyre::error& e) {
        EXPECT_EQ(e.code(), std::errc::invalid_argument);
    }
}

} // namespace
