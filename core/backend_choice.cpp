#include <gyre/core/backend.hpp>
#include <gyre/core/backend_choice.hpp>
#include <gyre/core/error.hpp>

#include <algorithm>
#include <cstdlib>
#include <sys/utsname.h>

namespace gyre {

std::string_view to_string(backend_kind kind) noexcept {
    switch (kind) {
    case backend_kind::automatic: return "automatic";
    case backend_kind::epoll: return "epoll";
    case backend_kind::io_uring: return "io_uring";
    }
    return "?";
}

namespace {

/// What GYRE_BACKEND asks for; `automatic` when it is not set.
backend_kind wish_of_environment() {
    const char* wish = std::getenv("GYRE_BACKEND");
    return wish != nullptr && *wish != '\0' ? parse_backend_kind(wish) : backend_kind::automatic;
}

} // namespace

backend_kind parse_backend_kind(std::string_view name) {
    for (backend_kind kind : {backend_kind::automatic, backend_kind::epoll, backend_kind::io_uring})
        if (name == to_string(kind))
            return kind;
    throw error(std::make_error_code(std::errc::invalid_argument),
                "backend \"" + std::string(name) + "\" (expected epoll, io_uring or automatic)");
}

backend_report probe_backends() {
    backend_report report{};
    utsname names{};
    uname(&names);
    report.kernel = names.release;
    report.features = detail::probe_io_uring();

    // These only make it faster or tidier.
    const auto optional = [](const backend_report::feature& f) {
        return f.name == "io_uring without I/O-wait accounting" || f.name == "io_uring buffer ring";
    };
    const auto missing = std::ranges::find_if(
        report.features, [&](const auto& f) { return !f.why_not.empty() && !optional(f); });
    const bool uring = missing == report.features.end();
    report.chosen = uring ? backend_kind::io_uring : backend_kind::epoll;
    report.reason = uring ? "the kernel has all of io_uring that gyre needs"
                          : missing->name + ": " + missing->why_not;
    report.features.push_back({"epoll", ""});
    if (const backend_kind wish = wish_of_environment(); wish != backend_kind::automatic) {
        if (wish == backend_kind::io_uring && !uring)
            throw error(std::make_error_code(std::errc::not_supported),
                        "GYRE_BACKEND=io_uring, but " + report.reason);
        report.chosen = wish;
        report.reason = "GYRE_BACKEND says so";
    }
    return report;
}

backend_kind choose_backend() {
    static const backend_kind chosen = probe_backends().chosen;
    return chosen;
}

std::unique_ptr<detail::backend> detail::make_backend(loop& owner, backend_kind& kind) {
    const bool any = kind == backend_kind::automatic;
    if (any)
        kind = choose_backend();
    if (kind == backend_kind::epoll)
        return make_epoll_backend(owner);
    try {
        return make_io_uring_backend(owner);
    } catch (const error& e) {
        if (!any || wish_of_environment() != backend_kind::automatic ||
            out_of_descriptors(e.code().value()))
            throw;
    }
    kind = backend_kind::epoll;
    return make_epoll_backend(owner);
}

} // namespace gyre
