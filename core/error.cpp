#include <gyre/core/assert.hpp>
#include <gyre/core/error.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace gyre {
namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "gyre"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::timed_out: return "Deadline exceeded";
        case errc::cancelled: return "Cancelled";
        case errc::closed: return "Socket is closed";
        case errc::busy: return "Another operation of this direction is pending";
        case errc::broken: return "The loop ended before the result was there";
        case errc::incomplete: return "The stream ended too early";
        case errc::too_long: return "Longer than the limit";
        case errc::not_found: return "Not found";
        case errc::no_source: return "No source address of this family";
        }
        return "Unknown error " + std::to_string(value);
    }
};

} // namespace

const std::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

std::error_code make_error_code(errc value) noexcept {
    return {static_cast<int>(value), error_category()};
}

error::error(std::error_code code, const std::string& doing, std::size_t transferred)
    : std::system_error(code, doing), transferred_(transferred) {}

timeout_error::timeout_error(const std::string& doing, std::size_t transferred)
    : error(errc::timed_out, doing, transferred) {}

bool is_cancelled(const std::exception_ptr& failure) noexcept {
    if (!failure)
        return false;
    try {
        if (failure == detail::cancellation())
            return true;
        std::rethrow_exception(failure);
    } catch (const error& e) {
        return e.code() == errc::cancelled;
    } catch (...) {
        return false;
    }
}

namespace detail {

std::error_code decode(int result) noexcept {
    if (result >= 0)
        return {};
    if (result <= -errc_offset)
        return make_error_code(static_cast<errc>(-result - errc_offset));
    return {-result, std::system_category()};
}

const std::exception_ptr& cancellation() {
    static const std::exception_ptr instance =
        std::make_exception_ptr(error(errc::cancelled, "operation"));
    return instance;
}

void throw_error(std::error_code code, const std::string& doing, std::size_t transferred) {
    if (code == errc::timed_out)
        throw timeout_error(doing, transferred);
    throw error(code, doing, transferred);
}

void throw_error(int result, const std::string& doing, std::size_t transferred) {
    throw_error(decode(result), doing, transferred);
}

void contract_broken(const char* what, std::source_location where) noexcept {
    std::fprintf(stderr, "%s:%u: %s: gyre contract broken: %s\n", where.file_name(),
                 static_cast<unsigned>(where.line()), where.function_name(), what);
    std::abort();
}

} // namespace detail
} // namespace gyre
