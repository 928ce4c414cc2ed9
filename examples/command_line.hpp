#pragma once

// The options of the echo server: ADDRESS [--backend epoll|io_uring] [--deadline SECONDS]
// [--drain SECONDS] [--threads N] [--busy-poll MICROSECONDS]. CLI11 does the work.

#include "seconds.hpp"

#include <gyre/gyre.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

struct command_line {
    std::string address; // without udp:
    bool datagrams = false;
    std::optional<std::chrono::nanoseconds> deadline;
    std::chrono::nanoseconds drain{};
    gyre::run_options run;
};

// Ends the process for --help (status 0) and for bad options (one line, status 2).
inline command_line parse_command_line(int argc, char** argv) {
    CLI::App app("Echoes what it receives until SIGINT or SIGTERM.", "echo_server");
    command_line line;
    std::string backend = "automatic";
    double deadline = 0;
    double drain = 5;
    long busy_poll = 0;
    app.add_option("address", line.address,
                   "127.0.0.1:7000, [::1]:7000, udp:127.0.0.1:7000, unix:/tmp/echo.sock, "
                   "unix:@echo; port 0: the kernel chooses")
        ->required();
    app.add_option("--backend", backend, "epoll or io_uring; else what gyre chooses")
        ->check(CLI::IsMember({"automatic", "epoll", "io_uring"}));
    app.add_option("--deadline", deadline, "end a connection after so many seconds of silence")
        ->check(seconds_from(1e-9));
    app.add_option("--drain", drain, "seconds that connections have to end in (5), when it stops")
        ->check(seconds_from(0));
    app.add_option("--threads", line.run.threads, "loops, each on a thread; 0: one a processor")
        ->check(CLI::Range(0, 1024));
    app.add_option("--busy-poll", busy_poll, "look for so many microseconds before sleeping")
        ->check(CLI::Range(0L, 1'000'000L));
    try {
        app.parse(argc, argv);
        line.datagrams = line.address.starts_with("udp:");
        if (line.datagrams)
            line.address.erase(0, 4);
        if (const auto a = gyre::address::try_parse(line.address); !a)
            throw CLI::ValidationError("address", a.error().message);
    } catch (const CLI::CallForHelp& help) {
        std::exit(app.exit(help));
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "echo_server: %s (see --help)\n", e.what());
        std::exit(2);
    }
    if (deadline > 0)
        line.deadline = nanoseconds(deadline);
    line.drain = nanoseconds(drain);
    line.run.loop.backend = gyre::parse_backend_kind(backend);
    line.run.loop.busy_poll = std::chrono::microseconds(busy_poll);
    return line;
}
