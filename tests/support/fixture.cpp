#include "fixture.hpp"

#include <gyre/core/backend_choice.hpp>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gyre_test {
namespace {

std::map<int, std::string> open_descriptors() {
    std::map<int, std::string> all;
    DIR* folder = opendir("/proc/self/fd");
    if (folder == nullptr)
        return all;
    while (const dirent* entry = readdir(folder)) {
        const int number = std::atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(folder))
            continue;
        const std::string path = std::string("/proc/self/fd/") + entry->d_name;
        std::array<char, 256> target{};
        const ssize_t n = readlink(path.c_str(), target.data(), target.size() - 1);
        all[number].assign(target.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    closedir(folder);
    return all;
}

std::map<int, std::string> opened_since(const std::map<int, std::string>& before,
                                        std::map<int, std::string> after) {
    std::erase_if(after, [&](const auto& entry) {
        const auto was = before.find(entry.first);
        return was != before.end() && was->second == entry.second;
    });
    return after;
}

/// Until it is so, for a second: what is still to come is up to other threads of this process.
template <class Condition>
void await_threads(Condition holds) {
    for (int tries = 0; !holds() && tries < 1000; ++tries)
        poll(nullptr, 0, 1);
}

void on_alarm(int) {
    constexpr char text[] = "watchdog: the test has been hanging for 60 s\n";
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    std::abort();
}

} // namespace

std::string why_unavailable(gyre::backend_kind backend) {
    if (backend != gyre::backend_kind::io_uring)
        return {};
    static const std::string reason = [] {
        for (const auto& f : gyre::probe_backends().features)
            if (f.name.starts_with("io_uring") && !f.why_not.empty() &&
                f.name != "io_uring without I/O-wait accounting" &&
                f.name != "io_uring buffer ring")
                return f.name + ": " + f.why_not;
        return std::string();
    }();
    return reason;
}

void guard::begin() {
    before_ = open_descriptors();
    std::signal(SIGALRM, on_alarm);
    alarm(60);
}

std::vector<int> guard::opened() const {
    std::vector<int> numbers;
    for (const auto& [number, target] : opened_since(before_, open_descriptors()))
        numbers.push_back(number);
    return numbers;
}

void guard::end() {
    alarm(0);
    std::map<int, std::string> after;
    // A thread of the resolver's may still be at a check of UBSan's, which looks through a pipe.
    await_threads([&] {
        after = open_descriptors();
        return after.size() <= before_.size();
    });
    if (after.size() == before_.size())
        return;
    std::string leaked;
    for (const auto& [number, target] : opened_since(before_, after))
        leaked += "\n  " + std::to_string(number) + " -> " + target;
    ADD_FAILURE() << before_.size() << " descriptors before, " << after.size()
                  << " after; new are:" << leaked;
}

namespace {

/// Whether every other thread of the process sleeps.
bool alone_awake() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream file(task.path() / "stat");
        std::string text;
        std::getline(file, text);
        const bool own = task.path().filename() == std::to_string(gettid());
        const std::size_t name_ends = text.rfind(") ");
        if (!own && name_ends != text.npos && text[name_ends + 2] != 'S')
            return false;
    }
    return true;
}

} // namespace

std::string in_child(std::string (*f)(gyre::backend_kind), gyre::backend_kind backend) {
    // A thread of a pool that is at malloc or free of a sanitizer would leave its lock to a child
    // that waits for it for ever.
    await_threads(alone_awake);
    int ends[2];
    if (pipe(ends) != 0)
        return "no pipe";
    const pid_t child = fork();
    if (child < 0)
        return "no process";
    if (child == 0) {
        close(ends[0]);
        std::signal(SIGALRM, SIG_DFL);
        alarm(50);
        std::string said;
        try {
            said = f(backend);
        } catch (const std::exception& e) {
            said = std::string("thrown: ") + e.what();
        }
        [[maybe_unused]] const ssize_t n = write(ends[1], said.data(), said.size());
        _exit(said.empty() ? 0 : 1);
    }
    close(ends[1]);
    std::string said;
    std::array<char, 512> part{};
    for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;)
        said.append(part.data(), static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        said += std::string(" (ended by ") + strsignal(WTERMSIG(status)) + ")";
    else if (WEXITSTATUS(status) != 0 && said.empty())
        said = "exit status " + std::to_string(WEXITSTATUS(status));
    return said;
}

void expect_in_child(std::string (*f)(gyre::backend_kind), gyre::backend_kind backend) {
    const std::string said = in_child(f, backend);
    if (said.starts_with("skip: "))
        GTEST_SKIP() << said.substr(6);
    EXPECT_EQ(said, "");
}

} // namespace gyre_test
