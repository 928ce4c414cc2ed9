#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tool {

/// The machine in a line: "Intel(R) Xeon(R) Processor, 2 cores, Linux 6.18.44".
std::string describe_machine();

/// The processors that this process could use when it started, lowest number first.
const std::vector<int>& usable_cores();

/// Who runs where. Server and generator on different processors, or neither is pinned.
struct core_choice {
    int server = -1; ///< -1: wherever the kernel likes
    int generator = -1;
    std::string remark; ///< why nothing is pinned; empty when it is
};

/// The wished processors, or the first two that this process may use. Throws
/// std::invalid_argument for one that it may not.
core_choice choose_cores(std::optional<int> server, std::optional<int> generator);

/// Pins the calling thread (and what it starts later); -1 does nothing.
void pin_to(int core);

/// Raises the soft limit of descriptors to the hard one, for this process and its children. Throws
/// std::runtime_error when `connections` do not fit even then.
void raise_descriptor_limit(std::size_t connections);

/// From here on SIGINT and SIGTERM wait until somebody reads them (gyre::signal does).
void hold_signals();
/// Whether one of them is waiting.
bool interrupted();

/// What stops something that looked at interrupted(): status 130.
class interruption : public std::runtime_error {
public:
    using runtime_error::runtime_error;
};

} // namespace tool
