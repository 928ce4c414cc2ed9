#pragma once

// Options in seconds, such as --deadline 1.5, for CLI11.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <string>

/// CLI::Range lets "nan" pass, and what nanoseconds cannot count.
inline CLI::Validator seconds_from(double least, double most = 1e9) {
    return {[=](std::string& word) -> std::string {
                double value = 0;
                if (!word.empty() && CLI::detail::lexical_cast(word, value) && value >= least &&
                    value <= most)
                    return "";
                return '"' + word + "\" is no number of seconds from " +
                       CLI::detail::to_string(least) + " to " + CLI::detail::to_string(most);
            },
            "SECONDS"};
}

inline std::chrono::nanoseconds nanoseconds(double seconds) {
    return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}
