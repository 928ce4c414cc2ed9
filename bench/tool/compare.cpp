#include "commands.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "server_process.hpp"

#include <gyre/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace tool {
namespace {

struct contender {
    std::string name;
    std::filesystem::path program;
    std::vector<std::string> arguments;
};

/// Why no loop can have this backend here; empty when one can.
std::string why_not(gyre::backend_kind backend) try {
    gyre::loop l({.backend = backend});
    return "";
} catch (const gyre::error& e) {
    return e.what();
}

/// The first is the yardstick.
std::vector<contender> contenders(const compare_command& command) {
    std::vector<contender> all{{"raw epoll", raw_echo_server(gyre::backend_kind::epoll), {}}};
    if (command.raw_io_uring)
        all.push_back({"raw io_uring", raw_echo_server(gyre::backend_kind::io_uring), {}});
    for (const gyre::backend_kind backend :
         {gyre::backend_kind::epoll, gyre::backend_kind::io_uring}) {
        const std::string name(to_string(backend));
        if (const std::string reason = why_not(backend); !reason.empty())
            std::printf("gyre on %s is left out: %s\n", name.c_str(), reason.c_str());
        else
            all.push_back({"gyre on " + name, gyre_echo_server(), {"--backend", name}});
    }
    return all;
}

double median(std::vector<double> values) {
    if (values.empty())
        return 0;
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// All rounds of one server with one number of connections.
struct series {
    std::vector<double> speed; ///< requests/s
    std::vector<double> cap;

    /// Each round against the same round of the yardstick: what slows both down cancels out.
    static double ratio(const std::vector<double>& mine, const std::vector<double>& yardstick) {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < std::min(mine.size(), yardstick.size()); ++i)
            ratios.push_back(yardstick[i] > 0 ? mine[i] / yardstick[i] : 0);
        return median(ratios);
    }
};

class comparison {
public:
    explicit comparison(const compare_command& command)
        : command_(command), cores_(choose_cores(command.server_core, command.core)),
          contenders_(contenders(command)),
          series_(command.connections.size(), std::vector<series>(contenders_.size())) {}

    int run();

private:
    void print_head() const;
    void measure_all();
    void measure(unsigned round, std::size_t count, std::size_t who);
    void print_table() const;
    void write_json() const;

    const compare_command& command_;
    const core_choice cores_;
    const std::string machine_ = describe_machine();
    const std::vector<contender> contenders_;
    std::vector<std::vector<series>> series_; // by number of connections, then by contender
    nlohmann::ordered_json runs_ = nlohmann::ordered_json::array();
};

void comparison::print_head() const {
    std::printf("%s\n", machine_.c_str());
    std::printf("%s echo of %s B", std::string(to_string(command_.kind)).c_str(),
                grouped(static_cast<double>(command_.load.size)).c_str());
    if (command_.load.depth > 1)
        std::printf(", %zu deep", command_.load.depth);
    std::printf("; %u round%s of %g s each after %g s of warm-up, servers taking turns\n",
                command_.rounds, command_.rounds == 1 ? "" : "s",
                std::chrono::duration<double>(command_.load.duration).count(),
                std::chrono::duration<double>(command_.load.warmup).count());
    if (cores_.remark.empty())
        std::printf("server on processor %d, generator on processor %d\n", cores_.server,
                    cores_.generator);
    else
        std::printf("%s\n", cores_.remark.c_str());
    std::fflush(stdout);
}

void comparison::measure(unsigned round, std::size_t count, std::size_t who) {
    const contender& c = contenders_[who];
    load_options load = command_.load;
    load.connections = command_.connections[count];
    const std::string text = "round " + std::to_string(round + 1) + ": " + c.name + ", " +
                             counted(load.connections, "connection");
    if (load.progress)
        std::fprintf(stderr, "\r\x1b[K%s", text.c_str());

    std::vector<std::string> arguments = c.arguments;
    arguments.insert(arguments.begin(), fresh_address(command_.kind));
    server_process server(c.program, std::move(arguments), cores_.server);
    const endpoint to = parse_endpoint(server.address());
    load.progress = false;
    const load_result result = run_load(to, load, &server);
    if (result.interrupted)
        throw interruption("interrupted in " + text);
    if (const std::string end = server.how_it_ended(); !end.empty())
        throw std::runtime_error(text + ": the server " + end);
    if (result.errors > 0)
        throw std::runtime_error(text + ": " + result.first_error);

    const figures f(result, load.size);
    series& s = series_[count][who];
    s.speed.push_back(f.requests_per_second);
    s.cap.push_back(f.cap);
    nlohmann::ordered_json run{{"round", round + 1}};
    run.update(to_json(to, c.name, load, result));
    runs_.push_back(std::move(run));
}

void comparison::measure_all() {
    for (unsigned round = 0; round < command_.rounds; ++round)
        for (std::size_t count = 0; count < command_.connections.size(); ++count)
            for (std::size_t who = 0; who < contenders_.size(); ++who)
                measure(round, count, who);
}

void comparison::print_table() const {
    std::printf("\n%11s  %-16s %11s  %-23s %11s  %6s %9s\n", "connections", "server", "requests/s",
                "(min - max)", "cap", "ratio", "cap ratio");
    for (std::size_t count = 0; count < series_.size(); ++count)
        for (std::size_t who = 0; who < contenders_.size(); ++who) {
            const series& s = series_[count][who];
            const series& yardstick = series_[count].front();
            if (s.speed.empty())
                continue;
            const auto [least, most] = std::ranges::minmax(s.speed);
            const std::string range = "(" + grouped(least) + " - " + grouped(most) + ")";
            const std::string connections = std::to_string(command_.connections[count]);
            std::printf("%11s  %-16s %11s  %-23s %11s  %6.2f %9.2f\n",
                        who == 0 ? connections.c_str() : "", contenders_[who].name.c_str(),
                        grouped(median(s.speed)).c_str(), range.c_str(),
                        grouped(median(s.cap)).c_str(), series::ratio(s.speed, yardstick.speed),
                        series::ratio(s.cap, yardstick.cap));
        }
    std::printf("\nrequests/s and cap (requests per CPU second of the server) are medians of the "
                "rounds;\nthe ratios are to %s in the same round, then the median. Where the "
                "generator is the\nbottleneck, only the cap tells servers apart.\n",
                contenders_.front().name.c_str());
    std::fflush(stdout);
}

void comparison::write_json() const {
    nlohmann::ordered_json summary = nlohmann::ordered_json::array();
    for (std::size_t count = 0; count < series_.size(); ++count)
        for (std::size_t who = 0; who < contenders_.size(); ++who) {
            const series& s = series_[count][who];
            const series& yardstick = series_[count].front();
            summary.push_back({{"connections", command_.connections[count]},
                               {"server", contenders_[who].name},
                               {"rounds", s.speed.size()},
                               {"requests_per_second", median(s.speed)},
                               {"cap", median(s.cap)},
                               {"ratio", series::ratio(s.speed, yardstick.speed)},
                               {"cap_ratio", series::ratio(s.cap, yardstick.cap)}});
        }
    const nlohmann::ordered_json all{
        {"machine", machine_}, {"summary", std::move(summary)}, {"runs", runs_}};
    std::ofstream file(command_.json);
    file << all.dump(2) << '\n';
    if (!file.flush())
        throw std::runtime_error(command_.json.string() + " cannot be written");
}

int comparison::run() {
    raise_descriptor_limit(std::ranges::max(command_.connections));
    hold_signals();
    print_head();
    pin_to(cores_.generator);
    // What there is, is shown in any case.
    int status = 0;
    std::string why;
    try {
        measure_all();
    } catch (const interruption& e) {
        status = status_interrupted;
        why = e.what();
    } catch (const std::exception& e) {
        status = status_failed;
        why = e.what();
    }
    if (command_.load.progress)
        std::fputs("\r\x1b[K", stderr);
    if (!runs_.empty())
        print_table();
    if (!why.empty())
        std::fprintf(stderr, "gyre compare: %s\n", why.c_str());
    if (!command_.json.empty())
        write_json();
    return status;
}

} // namespace

int compare(const compare_command& command) {
    return comparison(command).run();
}

} // namespace tool
