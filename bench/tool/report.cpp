#include "report.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <cstdio>

namespace tool {
namespace {

struct share {
    const char* name;
    const char* key;
    double value;
};

constexpr std::array<share, 3> shares{share{"p50", "p50", 0.5}, share{"p99", "p99", 0.99},
                                      share{"p99.9", "p999", 0.999}};

std::string fixed(double value, int digits) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

} // namespace

figures::figures(const load_result& r, std::size_t size) {
    const auto requests = static_cast<double>(r.requests);
    if (r.seconds > 0)
        requests_per_second = requests / r.seconds;
    megabytes_per_second = requests_per_second * static_cast<double>(size) / 1e6;
    if (r.server_cpu.count() > 0)
        cap = requests / std::chrono::duration<double>(r.server_cpu).count();
}

std::string grouped(double value) {
    std::string text = std::to_string(std::llround(value));
    for (auto i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > 0; i -= 3)
        text.insert(static_cast<std::size_t>(i), ",");
    return text;
}

std::string duration_text(std::int64_t ns) {
    const auto value = static_cast<double>(ns);
    if (ns < 1'000'000)
        return fixed(value / 1e3, 1) + " us";
    if (ns < 1'000'000'000)
        return fixed(value / 1e6, 1) + " ms";
    return fixed(value / 1e9, 2) + " s";
}

std::string counted(std::uint64_t count, std::string_view what) {
    return grouped(static_cast<double>(count)) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string to_text(const endpoint& to, std::string_view server, const load_options& options,
                    const load_result& result) {
    const figures f(result, options.size);
    std::string text = "echo of " + grouped(static_cast<double>(options.size)) + " B, " +
                       counted(options.connections, "connection");
    if (options.depth > 1)
        text += ", " + std::to_string(options.depth) + " deep";
    text += ", " + fixed(result.seconds, 2) + " s" + (result.interrupted ? " (interrupted)" : "");
    text += "\n  address     " + to.to_string();
    if (!server.empty())
        text += "\n  server      " + std::string(server);
    text += "\n  generator   " + std::string(gyre::to_string(result.backend));
    text += "\n  requests/s  " + grouped(f.requests_per_second);
    text += "\n  MB/s        " + fixed(f.megabytes_per_second, 1);
    text += "\n  latency     ";
    for (const auto& [name, key, value] : shares)
        text += std::string(name) + " " + duration_text(result.latency.percentile(value)) + ", ";
    text += "max " + duration_text(result.latency.max());
    if (f.cap > 0)
        text += "\n  server CPU  " +
                fixed(std::chrono::duration<double>(result.server_cpu).count(), 2) + " s, cap " +
                grouped(f.cap) + " requests per CPU second";
    if (to.kind == protocol::udp)
        text += "\n  lost        " + counted(result.lost, "datagram") + ", sent again";
    text += "\n  errors      " + grouped(static_cast<double>(result.errors));
    if (result.errors > 0)
        text += ", the first: " + result.first_error;
    return text + "\n";
}

nlohmann::ordered_json to_json(const endpoint& to, std::string_view server,
                               const load_options& options, const load_result& result) {
    const figures f(result, options.size);
    nlohmann::ordered_json latency;
    for (const auto& [name, key, value] : shares)
        latency[key] = static_cast<double>(result.latency.percentile(value)) / 1e3;
    latency["max"] = static_cast<double>(result.latency.max()) / 1e3;

    nlohmann::ordered_json json;
    json["address"] = to.to_string();
    json["protocol"] = to_string(to.kind);
    json["server"] = server;
    json["generator"] = gyre::to_string(result.backend);
    json["connections"] = options.connections;
    json["size"] = options.size;
    json["depth"] = options.depth;
    json["seconds"] = result.seconds;
    json["requests"] = result.requests;
    json["requests_per_second"] = f.requests_per_second;
    json["megabytes_per_second"] = f.megabytes_per_second;
    json["latency_us"] = latency;
    if (result.server_cpu.count() > 0) {
        json["server_cpu_seconds"] = std::chrono::duration<double>(result.server_cpu).count();
        json["cap"] = f.cap;
    }
    json["lost"] = result.lost;
    json["errors"] = result.errors;
    if (result.errors > 0)
        json["first_error"] = result.first_error;
    json["interrupted"] = result.interrupted;
    return json;
}

} // namespace tool
