#include "system_call_count.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <exception>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gyre_test {
namespace {

// No calls, but the tracer sees their numbers.
constexpr long begin_mark = 0x7fff'0001;
constexpr long end_mark = 0x7fff'0002;

std::string name_of_call(long number) {
    switch (number) {
    case __NR_read: return "read";
    case __NR_write: return "write";
    case __NR_recvfrom: return "recvfrom";
    case __NR_sendto: return "sendto";
    case __NR_recvmsg: return "recvmsg";
    case __NR_epoll_wait: return "epoll_wait";
    case __NR_epoll_pwait: return "epoll_pwait";
    case __NR_epoll_pwait2: return "epoll_pwait2";
    case __NR_epoll_ctl: return "epoll_ctl";
    case __NR_io_uring_enter: return "io_uring_enter";
    case __NR_clock_gettime: return "clock_gettime";
    case __NR_mmap: return "mmap";
    case __NR_munmap: return "munmap";
    case __NR_madvise: return "madvise";
    case __NR_brk: return "brk";
    default: return "call " + std::to_string(number);
    }
}

[[noreturn]] void be_traced(std::string (*f)(gyre::backend_kind), gyre::backend_kind backend,
                            int report) {
    std::string said;
    try {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
            said = std::string("cannot be traced: ") + std::strerror(errno);
        else {
            std::raise(SIGSTOP);
            said = f(backend);
        }
    } catch (const std::exception& e) {
        said = std::string("thrown: ") + e.what();
    }
    [[maybe_unused]] const ssize_t n = write(report, said.data(), said.size());
    _exit(0);
}

void trace(pid_t child, system_call_count& count) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return;
    ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    bool counting = false;
    int signal = 0;
    while (ptrace(PTRACE_SYSCALL, child, nullptr, signal) == 0 &&
           waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            signal = WSTOPSIG(status);
            continue;
        }
        signal = 0;
        // Of <linux/ptrace.h>, which does not go together with <sys/ptrace.h>.
        struct {
            std::uint8_t op;
            std::uint8_t pad[3];
            std::uint32_t arch;
            std::uint64_t instruction_pointer;
            std::uint64_t stack_pointer;
            std::uint64_t number;
            std::uint64_t arguments[7];
        } info{};
        constexpr auto get_syscall_info = static_cast<__ptrace_request>(0x420e);
        ptrace(get_syscall_info, child, sizeof info, &info);
        if (info.op != 1) // entry
            continue;
        const auto number = static_cast<long>(info.number);
        if (number == begin_mark)
            counting = true;
        else if (number == end_mark)
            counting = false;
        else if (counting)
            ++count.calls[number];
    }
    if (WIFSIGNALED(status))
        count.wrong = std::string("ended by ") + strsignal(WTERMSIG(status));
}

} // namespace

unsigned system_call_count::total() const {
    unsigned sum = 0;
    for (const auto& [number, n] : calls)
        if (number != __NR_clock_gettime)
            sum += n;
    return sum;
}

std::string system_call_count::to_string() const {
    std::string text;
    for (const auto& [number, n] : calls)
        text += std::to_string(n) + " " + name_of_call(number) + ", ";
    return text;
}

system_call_count count_system_calls(std::string (*f)(gyre::backend_kind),
                                     gyre::backend_kind backend) {
    system_call_count count;
    int ends[2];
    if (pipe(ends) != 0)
        return {{}, "no pipe"};
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_traced(f, backend, ends[1]);
    }
    close(ends[1]);
    if (child > 0)
        trace(child, count);
    else
        count.wrong = "no process";
    std::array<char, 512> part{};
    for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;)
        count.wrong.append(part.data(), static_cast<std::size_t>(n));
    close(ends[0]);
    return count;
}

testing::AssertionResult makes_at_most(unsigned limit, std::string (*f)(gyre::backend_kind),
                                       gyre::backend_kind backend) {
    const system_call_count count = count_system_calls(f, backend);
    if (!count.wrong.empty())
        return testing::AssertionFailure() << count.wrong;
    if (count.total() > limit)
        return testing::AssertionFailure() << "more than " << limit << ": " << count.to_string();
    return testing::AssertionSuccess();
}

void count_from_here() {
    syscall(begin_mark);
}
void count_to_here() {
    syscall(end_mark);
}

} // namespace gyre_test
