#pragma once

#include "endpoint.hpp"
#include "histogram.hpp"

#include <gyre/core/loop.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tool {

class server_process;

struct load_options {
    std::size_t connections = 50;
    std::size_t size = 64; ///< bytes of a message
    std::size_t depth = 1; ///< messages that are sent before their answers are waited for
    std::chrono::nanoseconds warmup = std::chrono::milliseconds(500);
    std::chrono::nanoseconds duration = std::chrono::seconds(5); ///< without the warm-up
    /// On each operation of the generator. With UDP: after which an answer counts as lost.
    std::optional<std::chrono::nanoseconds> deadline;
    gyre::loop_options loop;
    bool progress = false; ///< a line on standard error that is kept up to date
};

/// What was measured, between the end of the warm-up and the end of the run (or the signal).
struct load_result {
    double seconds = 0;
    std::uint64_t requests = 0; ///< messages that came back whole and right
    histogram latency;          ///< ns, from sending a batch of `depth` to having all of it back
    std::uint64_t lost = 0;     ///< datagrams without an answer in time, which were sent again
    std::uint64_t errors = 0;   ///< connections that failed, in the warm-up or later
    std::string first_error;
    bool interrupted = false; ///< by SIGINT or SIGTERM
    gyre::backend_kind backend = gyre::backend_kind::automatic;
    std::chrono::nanoseconds server_cpu{0}; ///< zero when the server is not ours
};

/// Loads an echo server from this thread. Each connection is a coroutine that sends `depth`
/// messages, waits until they are back, checks every byte, and begins again. A connection that
/// fails is counted and not replaced; when none is left the run ends early.
///
/// SIGINT and SIGTERM (see hold_signals) end the run early. Throws gyre::error, naming the address,
/// when connecting fails or, with UDP, nobody answers.
load_result run_load(const endpoint& to, const load_options& options,
                     const server_process* server = nullptr);

} // namespace tool
