#include "commands.hpp"

#include <gyre/core/backend_choice.hpp>

#include <algorithm>
#include <cstdio>

namespace tool {

int info() {
    const gyre::backend_report report = gyre::probe_backends();
    std::size_t width = 0;
    for (const auto& feature : report.features)
        width = std::max(width, feature.name.size());
    std::printf("kernel: Linux %s\n", report.kernel.c_str());
    for (const auto& [name, why_not] : report.features)
        std::printf("  %-*s  %s%s\n", static_cast<int>(width), name.c_str(),
                    why_not.empty() ? "yes" : "no: ", why_not.c_str());
    std::printf("chosen: %s, because %s\n", std::string(to_string(report.chosen)).c_str(),
                report.reason.c_str());
    return 0;
}

} // namespace tool
