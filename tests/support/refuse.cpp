#include "refuse.hpp"

#include <array>
#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

namespace gyre_test {

bool refuse(long number, int error, std::uint32_t at_least) {
    constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
    constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
    constexpr std::uint16_t not_less = BPF_JMP | BPF_JGE | BPF_K;
    constexpr std::uint16_t end = BPF_RET | BPF_K;
    // The lower half of the argument: the machines that gyre runs on are little-endian.
    std::array<sock_filter, 6> code{{
        {load, 0, 0, offsetof(seccomp_data, nr)},
        {equal, 0, 3, static_cast<std::uint32_t>(number)},
        {load, 0, 0, offsetof(seccomp_data, args)},
        {not_less, 0, 1, at_least},
        {end, 0, 0, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)},
        {end, 0, 0, SECCOMP_RET_ALLOW},
    }};
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

} // namespace gyre_test
