// Looks up many names at once, and prints what `getent ahosts` does, in the order of the names.
//
//     build/release/examples/resolve localhost example.org --deadline 3
//     127.0.0.1       STREAM localhost
//     127.0.0.1       DGRAM
//     127.0.0.1       RAW
//     resolve: example.org: Deadline exceeded
//
// NAMES are arguments, or else the lines of the standard input. --deadline S: all of it may take so
// many seconds; --service https: with the port of that service; --reverse: NAMES are addresses, and
// their names are printed as `getent hosts` does. Status 2: a name was not found (in time).

#include "seconds.hpp"

#include <gyre/gyre.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

namespace {

struct options {
    std::vector<std::string> names;
    std::string service;
    bool reverse = false;
    double deadline = 0; // 0: none
};

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text + ' ';
}

std::string type_name(int type) {
    switch (type) {
    case SOCK_STREAM: return "STREAM";
    case SOCK_DGRAM: return "DGRAM";
    case SOCK_RAW: return "RAW";
    default: return std::to_string(type);
    }
}

gyre::task<std::string> addresses_of(const std::string& name, const std::string& service) {
    const gyre::address_info_hints hints{.flags = AI_ADDRCONFIG | AI_CANONNAME};
    std::string lines;
    for (const gyre::address_info& info : co_await gyre::getaddrinfo(name, service, hints))
        lines += padded(service.empty() ? info.address.host() : info.address.to_string(), 15) +
                 padded(type_name(info.type), 6) + info.canonical_name + '\n';
    co_return lines;
}

gyre::task<std::string> names_of(const std::string& address) {
    const gyre::host_entry host = co_await gyre::gethostbyaddr(address);
    std::string line = padded(host.addresses.front().host(), 15) + host.name;
    for (const std::string& alias : host.aliases)
        line += ' ' + alias;
    co_return line + '\n';
}

// The lines to print, or why there are none.
gyre::task<std::expected<std::string, std::string>> look_up(const options& o, std::string name,
                                                            gyre::clock::time_point until) {
    gyre::task<std::string> lines = o.reverse ? names_of(name) : addresses_of(name, o.service);
    try {
        co_return co_await gyre::with_deadline(until, std::move(lines));
    } catch (const gyre::error& e) {
        co_return std::unexpected(name + ": " + e.code().message());
    }
}

gyre::task<> look_up_all(const options& o, int& status) {
    const auto until = o.deadline == 0 ? gyre::clock::time_point::max()
                                       : gyre::clock::now() + nanoseconds(o.deadline);
    std::vector<gyre::future<std::expected<std::string, std::string>>> answers;
    for (const std::string& name : o.names)
        answers.push_back(gyre::loop::current()->start(look_up(o, name, until)));
    for (auto& answer : answers) {
        const auto lines = co_await std::move(answer);
        if (lines) {
            std::fputs(lines->c_str(), stdout);
            std::fflush(stdout);
        } else {
            std::fprintf(stderr, "resolve: %s\n", lines.error().c_str());
            status = 2;
        }
    }
}

options parse_command_line(int argc, char** argv) {
    CLI::App app("Looks up many names at once, as getent ahosts does one.", "resolve");
    options o;
    app.add_option("names", o.names, "names, or with --reverse addresses; else lines of stdin");
    app.add_option("--deadline", o.deadline, "all of it may take so many seconds")
        ->check(seconds_from(1e-9));
    auto* service = app.add_option("--service", o.service, "a name or a number: with its port");
    app.add_flag("--reverse", o.reverse, "look up the names of addresses")->excludes(service);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        std::exit(app.exit(help));
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "resolve: %s (see --help)\n", e.what());
        std::exit(2);
    }
    if (o.names.empty())
        for (std::string line; std::getline(std::cin, line);)
            if (!line.empty())
                o.names.push_back(line);
    return o;
}

} // namespace

int main(int argc, char** argv) try {
    const options o = parse_command_line(argc, argv);
    gyre::default_resolver().configure({.queue = o.names.size()});
    int status = 0;
    gyre::run(look_up_all(o, status));
    return status;
} catch (const std::exception& e) {
    std::fprintf(stderr, "resolve: %s\n", e.what());
    return 1;
}
