#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyre {

enum class backend_kind : unsigned char {
    automatic, ///< GYRE_BACKEND when set, else io_uring where the kernel lets it, else epoll
    epoll,
    io_uring,
};

std::string_view to_string(backend_kind kind) noexcept;

/// "epoll", "io_uring", "automatic"; throws gyre::error (std::errc::invalid_argument) naming what
/// was given and what is expected.
backend_kind parse_backend_kind(std::string_view name);

/// What the choice rests on, for people: `gyre info` prints it.
struct backend_report {
    struct feature {
        std::string name;
        std::string why_not; ///< empty: available
    };
    std::string kernel;            ///< as uname -r says
    std::vector<feature> features; ///< what gyre uses of io_uring and epoll
    backend_kind chosen;           ///< what a loop with default options takes
    std::string reason;            ///< why
};

/// Looks at the running kernel as this process is allowed to use it. Throws gyre::error when there
/// are no descriptors left to look, GYRE_BACKEND has an unknown name, or it asks for io_uring and
/// that cannot be had.
backend_report probe_backends();

/// What `automatic` means in this process; probed once. A loop that is refused its ring later on
/// takes epoll all the same: loop::backend() tells, and probe_backends() says why.
backend_kind choose_backend();

} // namespace gyre
