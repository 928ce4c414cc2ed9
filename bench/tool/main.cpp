// The tool gyre: what this kernel offers (info), load for an echo server (bench), and gyre beside
// hand-written code (compare). `gyre --help`, and --help after each of them, is the manual.

#include "../../examples/seconds.hpp"
#include "commands.hpp"
#include "machine.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <unistd.h>

namespace {

constexpr const char* statuses =
    "Exit status: 0; 1 when something failed (connecting, a server, a request); 2 for bad\n"
    "options; 130 after SIGINT or SIGTERM, with the results so far.";

const CLI::IsMember backends({"automatic", "epoll", "io_uring"});

constexpr double day = 86400;
const CLI::Range core_range(0, 1023);

/// The options as they are written, before they make sense together.
struct words {
    std::string address;
    std::string protocol;
    std::string server;
    std::string backend = "automatic";
    std::string server_backend;
    double seconds = 5;
    double warmup = 0.5;
    double deadline = 0;
    double server_deadline = 0;
    long busy_poll = 0;
    long server_busy_poll = 0;
    int core = -1;
    int server_core = -1;
    bool quiet = false;
    bool progress = false;
    bool spawn = false;
};

void add_common(CLI::App& app, words& w, tool::load_options& load) {
    app.add_option("--protocol", w.protocol, "tcp (default), udp or unix (stream)")
        ->check(CLI::IsMember({"tcp", "udp", "unix"}));
    app.add_option("--size", load.size, "bytes of a message")
        ->check(CLI::Range(std::size_t{1}, tool::largest_message(tool::protocol::tcp)))
        ->capture_default_str();
    app.add_option("--depth", load.depth, "messages sent before their answers are waited for")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    app.add_option("--seconds", w.seconds, "time measured")
        ->check(seconds_from(0.001, day))
        ->capture_default_str();
    app.add_option("--warmup", w.warmup, "seconds of load before")
        ->check(seconds_from(0, day))
        ->capture_default_str();
    app.add_option("--backend", w.backend, "of the generator: epoll, io_uring or automatic")
        ->check(backends)
        ->capture_default_str();
    app.add_option("--core", w.core, "processor of the generator (default: the second usable one)")
        ->check(core_range);
    app.add_option("--server-core", w.server_core,
                   "processor of the server (default: the first usable one)")
        ->check(core_range);
}

std::optional<int> core_of(int word) {
    return word < 0 ? std::nullopt : std::optional(word);
}

/// What the words of both commands mean.
void finish(const words& w, tool::load_options& load, tool::protocol kind) {
    load.duration = nanoseconds(w.seconds);
    load.warmup = nanoseconds(w.warmup);
    if (w.deadline > 0)
        load.deadline = nanoseconds(w.deadline);
    load.loop.backend = gyre::parse_backend_kind(w.backend);
    load.progress = w.progress || (!w.quiet && isatty(STDERR_FILENO) == 1);
    load.loop.busy_poll = std::chrono::microseconds(w.busy_poll);
    if (load.size > tool::largest_message(kind))
        throw std::invalid_argument("a message of " + std::to_string(load.size) +
                                    " B does not fit into a datagram (65507 B)");
    constexpr std::size_t largest_batch = std::size_t{1} << 30;
    if (load.size > largest_batch / load.depth)
        throw std::invalid_argument("--size times --depth is more than 1 GiB");
}

void finish(const words& w, tool::bench_command& c) {
    if (!w.protocol.empty())
        c.kind = tool::parse_protocol(w.protocol);
    if (!w.address.empty()) {
        c.to = tool::parse_endpoint(w.address);
        if (!w.protocol.empty() && c.to->kind != c.kind)
            throw std::invalid_argument("--protocol " + w.protocol + " does not go with " +
                                        w.address);
        c.kind = c.to->kind;
        if (w.spawn || !w.server.empty() || !w.server_backend.empty() || w.server_core >= 0 ||
            w.server_deadline > 0 || w.server_busy_poll > 0)
            throw std::invalid_argument("no server is started when ADDRESS is given, so there is "
                                        "none that --server options could be for");
    }
    finish(w, c.load, c.kind);
    c.server = w.server;
    if (!w.server_backend.empty())
        c.server_arguments.insert(c.server_arguments.end(), {"--backend", w.server_backend});
    if (w.server_deadline > 0)
        c.server_arguments.insert(c.server_arguments.end(),
                                  {"--deadline", std::to_string(w.server_deadline)});
    if (w.server_busy_poll > 0)
        c.server_arguments.insert(c.server_arguments.end(),
                                  {"--busy-poll", std::to_string(w.server_busy_poll)});
    c.core = core_of(w.core);
    c.server_core = core_of(w.server_core);
    c.quiet = w.quiet;
}

void finish(const words& w, tool::compare_command& c) {
    if (!w.protocol.empty())
        c.kind = tool::parse_protocol(w.protocol);
    if (c.raw_io_uring && c.kind == tool::protocol::udp)
        throw std::invalid_argument("--raw-io-uring does not go with --protocol udp");
    finish(w, c.load, c.kind);
    c.core = core_of(w.core);
    c.server_core = core_of(w.server_core);
}

[[noreturn]] void refuse(std::string why) {
    for (char& c : why)
        c = c == '\n' ? ' ' : c;
    std::fprintf(stderr, "gyre: %s (see --help)\n", why.c_str());
    std::exit(tool::status_bad_options);
}

} // namespace

int main(int argc, char** argv) try {
    CLI::App app("Load generator and yardstick of the gyre library.", "gyre");
    app.require_subcommand(1);
    app.footer(statuses);
    // Of an option that is given twice the last counts, so that scripts can have their defaults.
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);

    CLI::App* info =
        app.add_subcommand("info", "what this kernel lets gyre use, and what it takes");

    words bench_words;
    tool::bench_command bench_command;
    CLI::App* bench = app.add_subcommand(
        "bench", "load an echo server, check every byte, report speed and latency");
    bench->add_option("address", bench_words.address,
                      "an echo server that runs: 127.0.0.1:7000, [::1]:7000, udp:127.0.0.1:7000, "
                      "unix:/path, unix:@name; without it one is started in a process of its own");
    add_common(*bench, bench_words, bench_command.load);
    bench->add_option("--connections", bench_command.load.connections)
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    bench
        ->add_option("--deadline", bench_words.deadline,
                     "seconds, for each operation of the generator; udp: an answer that takes "
                     "longer is lost (else 0.2)")
        ->check(seconds_from(0, day));
    bench
        ->add_option("--busy-poll", bench_words.busy_poll,
                     "microseconds that the generator looks for work before it sleeps")
        ->check(CLI::Range(0L, 1'000'000L));
    bench->add_flag("--spawn", bench_words.spawn,
                    "start a server, which is what happens without ADDRESS in any case");
    bench->add_option("--server", bench_words.server,
                      "program to start, given an address and the options below that are set; it "
                      "prints \"listening on ADDRESS\" (default: ../examples/echo_server)");
    bench->add_option("--server-backend", bench_words.server_backend, "passed on as --backend")
        ->check(backends);
    bench->add_option("--server-deadline", bench_words.server_deadline, "passed on as --deadline")
        ->check(seconds_from(0, day));
    bench
        ->add_option("--server-busy-poll", bench_words.server_busy_poll, "passed on as --busy-poll")
        ->check(CLI::Range(0L, 1'000'000L));
    bench->add_flag("--json", bench_command.json, "print one JSON object");
    bench->add_flag("--quiet", bench_words.quiet, "no progress and no remarks");
    bench->add_flag("--progress", bench_words.progress,
                    "show progress even when not on a terminal");
    bench->footer("Latency is that of a whole batch of --depth messages. MB/s counts payload once. "
                  "cap is\nrequests per processor second of the server.\n" +
                  std::string(statuses));

    words compare_words;
    compare_words.seconds = 1.5;
    compare_words.warmup = 0.25;
    tool::compare_command compare_command;
    CLI::App* compare = app.add_subcommand(
        "compare", "echo on raw epoll, gyre on epoll and gyre on io_uring, taking turns");
    add_common(*compare, compare_words, compare_command.load);
    compare
        ->add_option("--connections", compare_command.connections, "numbers, with commas between")
        ->delimiter(',')
        ->take_all()
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    compare->add_option("--rounds", compare_command.rounds, "each server once in a round")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    compare->add_flag("--raw-io-uring", compare_command.raw_io_uring,
                      "a hand-written server on io_uring, too (streams only)");
    compare->add_option("--json", compare_command.json, "file for all that was measured");
    compare->add_flag("--quiet", compare_words.quiet, "no progress");
    compare->add_flag("--progress", compare_words.progress,
                      "show progress even when not on a terminal");
    compare->footer(statuses);

    try {
        app.parse(argc, argv);
        if (*bench)
            finish(bench_words, bench_command);
        if (*compare)
            finish(compare_words, compare_command);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::RequiredError&) { // nothing else is required
        refuse("expected one of the commands info, bench and compare");
    } catch (const CLI::ParseError& e) {
        refuse(e.what());
    } catch (const std::invalid_argument& e) {
        refuse(e.what());
    }
    try {
        return *info    ? tool::info()
               : *bench ? tool::bench(bench_command)
                        : tool::compare(compare_command);
    } catch (const std::invalid_argument& e) {
        refuse(e.what());
    }
} catch (const tool::interruption& e) {
    std::fprintf(stderr, "gyre: %s\n", e.what());
    return tool::status_interrupted;
} catch (const std::exception& e) {
    std::fprintf(stderr, "gyre: %s\n", e.what());
    return tool::status_failed;
}
