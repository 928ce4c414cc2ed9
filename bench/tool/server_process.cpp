#include "server_process.hpp"

#include "machine.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace tool {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 10s; // until it listens
constexpr auto grace = 2s;     // from SIGTERM to SIGKILL

[[noreturn]] void throw_errno(const std::string& doing) {
    throw std::system_error(errno, std::system_category(), doing);
}

// In the child: nothing here may allocate.
[[noreturn]] void become(char* const* words, int output, pid_t parent, int core) noexcept {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); // it died before we asked to be told
    // A Ctrl-C is for the tool alone: it still has results to print.
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    pin_to(core);
    dup2(output, STDOUT_FILENO);
    execv(words[0], words);
    // The parent's error message is the number that arrives instead of a line.
    const int error = errno;
    const char mark = '\0';
    (void)!write(STDOUT_FILENO, &mark, 1);
    (void)!write(STDOUT_FILENO, &error, sizeof error);
    _exit(127);
}

std::filesystem::path built(const std::string& from_tool, const std::string& how) {
    std::filesystem::path path = (own_folder() / from_tool).lexically_normal();
    if (!std::filesystem::exists(path))
        throw std::runtime_error(path.string() + " is not there: " + how);
    return path;
}

} // namespace

server_process::server_process(const std::filesystem::path& program,
                               std::vector<std::string> arguments, int core) {
    start(program, std::move(arguments), core);
    try {
        wait_for_line(program.string());
    } catch (...) {
        stop();
        throw;
    }
}

server_process::~server_process() {
    stop();
}

void server_process::start(const std::filesystem::path& program, std::vector<std::string> arguments,
                           int core) {
    arguments.insert(arguments.begin(), program.string());
    std::vector<char*> words;
    for (std::string& a : arguments)
        words.push_back(a.data());
    words.push_back(nullptr);

    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw_errno("pipe");
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0)
        become(words.data(), ends[1], parent, core);
    const int error = errno;
    ::close(ends[1]);
    output_ = ends[0];
    if (pid_ < 0) {
        ::close(output_);
        errno = error;
        throw_errno("fork");
    }
}

void server_process::wait_for_line(const std::string& name) {
    constexpr std::string_view greeting = "listening on ";
    const auto until = std::chrono::steady_clock::now() + patience;
    std::string text;
    for (;;) {
        if (interrupted())
            throw interruption("interrupted while " + name + " started");
        if (std::chrono::steady_clock::now() > until)
            throw std::runtime_error(name + " does not print \"listening on ADDRESS\"");
        pollfd p{output_, POLLIN, 0};
        if (poll(&p, 1, 50) <= 0)
            continue;
        char bytes[512];
        const ssize_t n = ::read(output_, bytes, sizeof bytes);
        if (n <= 0) {
            ended(true);
            throw std::runtime_error(name + " " + how_it_ended() + " before it listened");
        }
        text.append(bytes, static_cast<std::size_t>(n));
        int error = 0;
        if (text.front() == '\0' && text.size() == 1 + sizeof error) {
            std::memcpy(&error, &text[1], sizeof error);
            throw std::runtime_error(name + " cannot be run: " + std::strerror(error));
        }
        for (std::size_t end; (end = text.find('\n')) != text.npos; text.erase(0, end + 1)) {
            const std::string_view line = std::string_view(text).substr(0, end);
            if (!line.starts_with(greeting))
                continue;
            // A path may hold blanks; what a server says after it stands in parentheses.
            std::string_view rest = line.substr(greeting.size());
            const std::size_t open = rest.rfind(" (");
            if (open != rest.npos && rest.ends_with(')')) {
                remark_ = rest.substr(open + 2, rest.size() - open - 3);
                rest = rest.substr(0, open);
            }
            address_ = rest;
            return;
        }
    }
}

void server_process::stop() noexcept {
    if (pid_ > 0 && !ended(false)) {
        ::kill(pid_, SIGTERM);
        const auto until = std::chrono::steady_clock::now() + grace;
        while (!ended(false) && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(1ms);
        if (!ended(false)) {
            ::kill(pid_, SIGKILL);
            ended(true);
        }
    }
    if (output_ >= 0)
        ::close(output_);
    output_ = -1;
}

bool server_process::ended(bool wait) noexcept {
    if (!reaped_)
        reaped_ = waitpid(pid_, &status_, wait ? 0 : WNOHANG) != 0;
    return reaped_;
}

std::string server_process::how_it_ended() {
    if (!ended(false))
        return "";
    if (WIFSIGNALED(status_))
        return "ended with signal " + std::to_string(WTERMSIG(status_));
    return "ended with status " + std::to_string(WEXITSTATUS(status_));
}

std::chrono::nanoseconds server_process::cpu_time() const {
    // /proc/PID/stat tells the same in ticks of 10 ms, too coarse for runs of a second.
    clockid_t clock{};
    timespec t{};
    if (reaped_ || clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return {};
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

std::filesystem::path own_folder() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::filesystem::path gyre_echo_server() {
    return built("../examples/echo_server", "build the examples (GYRE_BUILD_EXAMPLES=ON)");
}

std::filesystem::path raw_echo_server(gyre::backend_kind backend) {
    const std::string name = "raw_echo_" + std::string(to_string(backend));
    return built(name, "build the target " + name);
}

} // namespace tool
