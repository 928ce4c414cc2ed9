#pragma once

#include "endpoint.hpp"
#include "load.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tool {

/// What the process ends with. 1, for what went wrong, comes from exceptions and failed requests.
inline constexpr int status_failed = 1;
inline constexpr int status_bad_options = 2;
inline constexpr int status_interrupted = 130; ///< as shells say it of SIGINT; also for SIGTERM

struct bench_command {
    std::optional<endpoint> to; ///< none: a server is started
    protocol kind = protocol::tcp;
    load_options load;
    std::filesystem::path server; ///< empty: gyre's echo server
    std::vector<std::string> server_arguments;
    std::optional<int> core;
    std::optional<int> server_core;
    bool json = false;
    bool quiet = false; ///< no remarks on standard error
};

struct compare_command {
    protocol kind = protocol::tcp;
    std::vector<std::size_t> connections{1, 50, 1000};
    unsigned rounds = 5;
    load_options load; ///< its number of connections does not count
    std::optional<int> core;
    std::optional<int> server_core;
    std::filesystem::path json; ///< empty: none
    bool raw_io_uring = false;  ///< the second yardstick, too
};

/// Each returns the exit status, and throws what main() says in one line: std::invalid_argument
/// for options that cannot be had, anything else for what went wrong.
int info();
int bench(const bench_command& command);
int compare(const compare_command& command);

} // namespace tool
