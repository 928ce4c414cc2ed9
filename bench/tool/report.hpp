#pragma once

#include "load.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace tool {

/// What the numbers of a run mean for people.
struct figures {
    explicit figures(const load_result& r, std::size_t size);

    double requests_per_second = 0;
    double megabytes_per_second = 0; ///< 10^6 bytes of payload, counted once, not each way
    double cap = 0;                  ///< requests per processor second of the server; 0: unknown
};

/// 1234567.8 -> "1,234,568".
std::string grouped(double value);
/// 18500 -> "18.5 us".
std::string duration_text(std::int64_t ns);

/// "5 connections", "1 connection".
std::string counted(std::uint64_t count, std::string_view what);

/// What `gyre bench` prints.
std::string to_text(const endpoint& to, std::string_view server, const load_options& options,
                    const load_result& result);
nlohmann::ordered_json to_json(const endpoint& to, std::string_view server,
                               const load_options& options, const load_result& result);

} // namespace tool
