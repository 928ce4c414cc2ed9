#include "commands.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "server_process.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <iostream>

namespace tool {

int bench(const bench_command& command) {
    const core_choice cores = choose_cores(command.server_core, command.core);
    if (!command.quiet && !cores.remark.empty())
        std::fprintf(stderr, "gyre bench: %s\n", cores.remark.c_str());
    raise_descriptor_limit(command.load.connections);
    hold_signals();

    std::optional<server_process> server;
    std::string server_text;
    endpoint to;
    if (command.to) {
        to = *command.to;
    } else {
        const std::filesystem::path program =
            command.server.empty() ? gyre_echo_server() : command.server;
        std::vector<std::string> arguments = command.server_arguments;
        arguments.insert(arguments.begin(), fresh_address(command.kind));
        server.emplace(program, std::move(arguments), cores.server);
        to = parse_endpoint(server->address());
        server_text = program.filename().string();
        if (!server->remark().empty())
            server_text += " (" + server->remark() + ")";
    }
    pin_to(cores.generator);
    load_result result = run_load(to, command.load, server ? &*server : nullptr);

    if (server)
        if (const std::string end = server->how_it_ended(); !end.empty()) {
            ++result.errors;
            result.first_error = "the server " + end;
        }
    if (command.json)
        std::cout << to_json(to, server_text, command.load, result).dump(2) << '\n';
    else
        std::cout << to_text(to, server_text, command.load, result);
    std::cout.flush();
    if (result.interrupted)
        return status_interrupted;
    return result.errors > 0 ? status_failed : 0;
}

} // namespace tool
