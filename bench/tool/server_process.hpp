#pragma once

#include <gyre/core/backend_choice.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace tool {

/// A server in a process of its own: any program that prints "listening on ADDRESS" to its
/// standard output once it can be reached, and ends on SIGTERM. It dies with this process, however
/// that ends. Its standard error is ours.
class server_process {
public:
    /// Starts `program` on processor `core` (-1: any) and waits up to 10 s for its line. Throws
    /// std::runtime_error: it cannot be started, ended, or said nothing; interruption: a signal is
    /// waiting (see hold_signals).
    server_process(const std::filesystem::path& program, std::vector<std::string> arguments,
                   int core);
    /// SIGTERM; and SIGKILL when it has not ended 2 s later.
    ~server_process();
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;

    /// As the server printed it.
    const std::string& address() const noexcept { return address_; }
    /// What the server printed after its address in parentheses, "io_uring" say; else "".
    const std::string& remark() const noexcept { return remark_; }

    /// The processor time of all its threads so far, those included that the kernel runs for it.
    /// Zero when it is gone.
    std::chrono::nanoseconds cpu_time() const;

    /// Empty while it runs; else how it ended: "ended with signal 11".
    std::string how_it_ended();

private:
    void start(const std::filesystem::path& program, std::vector<std::string> arguments, int core);
    void wait_for_line(const std::string& name);
    void stop() noexcept;
    bool ended(bool wait) noexcept;

    pid_t pid_ = -1;
    int output_ = -1; ///< kept open: a server that prints more must not die of it
    int status_ = 0;
    bool reaped_ = false;
    std::string address_;
    std::string remark_;
};

/// The folder of the running program.
std::filesystem::path own_folder();

/// The servers that are built beside this tool. Throw std::runtime_error when they are not there.
std::filesystem::path gyre_echo_server();
std::filesystem::path raw_echo_server(gyre::backend_kind backend);

} // namespace tool
