#include "machine.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <system_error>
#include <unistd.h>

namespace tool {
namespace {

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        // "Model" and "Hardware" are what some ARM machines have instead.
        if (colon != line.npos && (line.starts_with("model name") || line.starts_with("Model") ||
                                   line.starts_with("Hardware")))
            return line.substr(colon + 2);
    }
    return "unknown processor";
}

std::vector<int> allowed_cores() {
    std::vector<int> cores;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int core = 0; core < CPU_SETSIZE; ++core)
            if (CPU_ISSET(static_cast<unsigned>(core), &set))
                cores.push_back(core);
    return cores;
}

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

} // namespace

std::string describe_machine() {
    utsname names{};
    uname(&names);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN); // not only those that this is pinned to
    return processor_name() + ", " + std::to_string(cores) + (cores == 1 ? " core" : " cores") +
           ", " + names.sysname + " " + names.release;
}

const std::vector<int>& usable_cores() {
    static const std::vector<int> cores = allowed_cores();
    return cores;
}

core_choice choose_cores(std::optional<int> server, std::optional<int> generator) {
    const std::vector<int>& cores = usable_cores();
    for (const std::optional<int>& wish : {server, generator})
        if (wish && std::ranges::find(cores, *wish) == cores.end())
            throw std::invalid_argument("processor " + std::to_string(*wish) +
                                        " is none that this process may use");
    if (cores.size() < 2)
        return {.remark = "only one processor: server and generator share it, and the figures "
                          "are those of both"};
    const auto other_than = [&](std::optional<int> taken) {
        return *std::ranges::find_if(cores, [&](int core) { return core != taken; });
    };
    core_choice choice;
    choice.server = server ? *server : other_than(generator);
    choice.generator = generator ? *generator : other_than(choice.server);
    return choice;
}

void pin_to(int core) {
    if (core < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(core), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        throw std::system_error(errno, std::system_category(),
                                "pin to processor " + std::to_string(core));
}

void raise_descriptor_limit(std::size_t connections) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    constexpr std::size_t others = 32; // of the loops, of the server's program
    if (connections + others > limit.rlim_cur)
        throw std::runtime_error(std::to_string(connections) + " connections need " +
                                 std::to_string(connections + others) +
                                 " descriptors, but this process may have only " +
                                 std::to_string(limit.rlim_cur) + " (ulimit -Hn)");
}

void hold_signals() {
    const sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool interrupted() {
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}

} // namespace tool
