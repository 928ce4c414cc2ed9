#include "network.hpp"

#include <cstdlib>
#include <sched.h>
#include <sys/mount.h>

namespace gyre_test {

std::string set_up(const std::vector<std::string>& commands) {
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return "skip: a network namespace cannot be made (it takes root)";
    if (std::system("command -v ip tc >/dev/null 2>&1") != 0)
        return "skip: ip and tc are missing (iproute2)";
    for (const std::string& command : commands)
        if (std::system(command.c_str()) != 0)
            return "skip: this fails here: " + command;
    return "";
}

} // namespace gyre_test
