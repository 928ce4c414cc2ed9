#pragma once

#include <array>
#include <csignal>
#include <cstdint>

namespace gyre::detail {

/// Which signals a thread of a run with several has been told of: how often each number had been
/// read by any loop of the process. So one that waits for a signal a little later than the others
/// hears of what they have heard of since the run began.
struct signals_seen {
    std::array<std::uint64_t, NSIG> up_to{};
    /// Of this thread; nullptr where it is the only one of its run.
    static constinit thread_local signals_seen* here;
};

/// All until now.
signals_seen current_signals() noexcept;

} // namespace gyre::detail
