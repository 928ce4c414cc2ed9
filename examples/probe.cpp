// Tells which of many TCP ports can be connected to, so many at a time.
//
//     build/release/examples/probe localhost:22,80,8000-8001 --timeout 2
//     localhost:22    open       0.184 ms  127.0.0.1:22
//     localhost:80    refused    0.102 ms  127.0.0.1:80
//     localhost:8000  refused    0.093 ms  127.0.0.1:8000
//     localhost:8001  refused    0.088 ms  127.0.0.1:8001
//     4 probed in 1 ms: 1 open, 3 refused, 0 timed out, 0 errors, 0 not tried
//
// TARGETS are HOST:PORTS with PORTS like 443 or 22,80,8000-8010, and [::1]:443; --file F has more
// of them, one a line (- is the standard input). --concurrency N: so many at the same time (256);
// --timeout S: an attempt may take so many seconds (5); --deadline S: and all of it so many.
// Status 0: all are open; 1: not all.

#include "seconds.hpp"

#include <gyre/gyre.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

using milliseconds = std::chrono::duration<double, std::milli>;

enum class state { not_tried, open, refused, timed_out, error };

struct target {
    std::string host;
    std::uint16_t port = 0;
    std::string text; // host:port, as it was given
    state ended = state::not_tried;
    milliseconds took{0};
    std::string told = "-"; // the address, and what went wrong
};

struct options {
    std::vector<std::string> targets;
    std::string file;
    std::size_t concurrency = 256;
    double timeout = 5;
    double deadline = 0; // 0: none
};

// ---- What to probe -----------------------------------------------------------------------------

[[noreturn]] void refuse(std::string_view text, const char* why) {
    throw CLI::ValidationError(std::string(text), why);
}

std::uint16_t parse_port(std::string_view text, std::string_view whole) {
    unsigned port = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failure != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535)
        refuse(whole, "a port is a number from 1 to 65535");
    return static_cast<std::uint16_t>(port);
}

// "host:22,80-90" or "[::1]:22".
void add_targets(std::vector<target>& to, std::string_view whole) {
    const std::size_t colon = whole.rfind(':');
    if (colon == whole.npos || colon == 0)
        refuse(whole, "not HOST:PORTS");
    const std::string_view given = whole.substr(0, colon);
    std::string_view host = given;
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != host.npos)
        refuse(whole, "an IPv6 address stands in brackets, [::1]:80");
    std::string_view ports = whole.substr(colon + 1);
    for (bool more = true; more;) {
        const std::size_t comma = ports.find(',');
        const std::string_view range = ports.substr(0, comma);
        const std::size_t dash = range.find('-');
        const unsigned first = parse_port(range.substr(0, dash), whole);
        const unsigned last =
            dash == range.npos ? first : parse_port(range.substr(dash + 1), whole);
        if (last < first)
            refuse(whole, "a range of ports begins with the lower one");
        for (unsigned port = first; port <= last; ++port)
            to.push_back({std::string(host), static_cast<std::uint16_t>(port),
                          std::string(given) + ':' + std::to_string(port)});
        more = comma != ports.npos;
        ports.remove_prefix(more ? comma + 1 : 0);
    }
}

std::vector<target> targets_of(const options& o) {
    std::vector<target> targets;
    for (const std::string& text : o.targets)
        add_targets(targets, text);
    if (!o.file.empty()) {
        std::ifstream file;
        if (o.file != "-")
            file.open(o.file);
        std::istream& in = o.file == "-" ? std::cin : file;
        if (!in)
            refuse(o.file, "cannot be read");
        for (std::string line; std::getline(in, line);)
            if (!line.empty())
                add_targets(targets, line);
    }
    if (targets.empty())
        throw CLI::RequiredError("HOST:PORTS");
    return targets;
}

// ---- Probing -----------------------------------------------------------------------------------

gyre::task<> probe(target& t, gyre::connection_options how) {
    const auto begin = gyre::clock::now();
    try {
        const gyre::socket s = co_await gyre::create_connection(t.host, t.port, how);
        t.ended = state::open;
        t.told = s.getpeername().to_string();
    } catch (const gyre::error& e) {
        const auto* all = dynamic_cast<const gyre::connection_error*>(&e);
        if (all != nullptr)
            t.told = all->attempts().back().address.to_string();
        if (e.code() == std::errc::connection_refused) {
            t.ended = state::refused;
        } else if (e.code() == gyre::errc::timed_out || e.code() == std::errc::timed_out) {
            t.ended = state::timed_out;
        } else {
            t.ended = state::error;
            t.told += "  " + e.code().message();
        }
    }
    t.took = gyre::clock::now() - begin;
}

gyre::task<> probe_all(const options& o, std::vector<target>& targets) {
    const auto until = o.deadline == 0 ? gyre::clock::time_point::max()
                                       : gyre::clock::now() + nanoseconds(o.deadline);
    gyre::resolver names({.cache = {.entries = 4096}}); // each name once, not once a port
    auto next = targets.begin();
    auto worker = [&]() -> gyre::task<> {
        while (next != targets.end() && gyre::clock::now() < until) {
            gyre::connection_options how{.attempt_timeout = nanoseconds(o.timeout),
                                         .resolver = &names};
            if (o.deadline != 0)
                how.timeout = until - gyre::clock::now();
            co_await probe(*next++, how);
        }
    };
    co_await gyre::with_group([&](gyre::task_group& workers) -> gyre::task<> {
        for (std::size_t i = 0; i < std::min(o.concurrency, targets.size()); ++i)
            workers.spawn(worker());
        co_return;
    });
}

// ---- The table ---------------------------------------------------------------------------------

const char* name_of(state s) {
    switch (s) {
    case state::not_tried: return "not tried";
    case state::open: return "open";
    case state::refused: return "refused";
    case state::timed_out: return "timed out";
    case state::error: return "error";
    }
    return "";
}

// Whether all are open.
bool report(const std::vector<target>& targets, milliseconds took) {
    std::size_t width = 0;
    for (const target& t : targets)
        width = std::max(width, t.text.size());
    for (const target& t : targets)
        std::printf("%-*s  %-9s %8.3f ms  %s\n", static_cast<int>(width), t.text.c_str(),
                    name_of(t.ended), t.took.count(), t.told.c_str());
    const auto count = [&](state s) { return std::ranges::count(targets, s, &target::ended); };
    std::printf("%zu probed in %.0f ms: %td open, %td refused, %td timed out, %td errors, "
                "%td not tried\n",
                targets.size(), took.count(), count(state::open), count(state::refused),
                count(state::timed_out), count(state::error), count(state::not_tried));
    return count(state::open) == std::ssize(targets);
}

std::vector<target> parse_command_line(int argc, char** argv, options& o) {
    CLI::App app("Tells which of many TCP ports can be connected to.", "probe");
    app.add_option("targets", o.targets, "localhost:22,80 127.0.0.1:1-1024 [::1]:443");
    app.add_option("--file", o.file, "more of them, one a line; -: the standard input");
    app.add_option("--concurrency", o.concurrency, "so many at the same time")
        ->check(CLI::Range(1, 65535));
    app.add_option("--timeout", o.timeout, "an attempt may take so many seconds")
        ->check(seconds_from(1e-9));
    app.add_option("--deadline", o.deadline, "all of it may take so many seconds")
        ->check(seconds_from(1e-9));
    try {
        app.parse(argc, argv);
        return targets_of(o);
    } catch (const CLI::CallForHelp& help) {
        std::exit(app.exit(help));
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "probe: %s (see --help)\n", e.what());
        std::exit(2);
    }
}

} // namespace

int main(int argc, char** argv) try {
    options o;
    std::vector<target> targets = parse_command_line(argc, argv, o);
    const auto begin = gyre::clock::now();
    gyre::run(probe_all(o, targets));
    return report(targets, gyre::clock::now() - begin) ? 0 : 1;
} catch (const std::exception& e) {
    std::fprintf(stderr, "probe: %s\n", e.what());
    return 1;
}
