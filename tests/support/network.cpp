#include "network.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <stdexcept>
#include <sys/mount.h>
#include <unistd.h>
#include <utility>

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

std::string set_up_with_peer(const std::vector<std::string>& commands) {
    std::vector<std::string> all{"mount -t tmpfs none /run", // where the name of the other one lies
                                 "ip netns add peer",
                                 "ip link add veth0 type veth peer name veth0 netns peer"};
    for (const auto& [ip, number] : {std::pair{"ip", "1"}, {"ip -n peer", "2"}})
        for (const std::string rest :
             {"link set lo up", "link set veth0 addrgenmode none", "link set veth0 up",
              "addr add 192.0.2.@/24 dev veth0", "addr add 2001:db8::@/64 dev veth0 nodad",
              "addr add fe80::@/64 dev veth0 nodad"}) {
            std::string& added = all.emplace_back(std::string(ip) + ' ' + rest);
            if (const std::size_t at = added.find('@'); at != added.npos)
                added.replace(at, 1, number);
        }
    all.insert(all.end(), commands.begin(), commands.end());
    return set_up(all);
}

namespace {

int open_namespace(const char* path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        throw std::system_error(errno, std::system_category(), path);
    return fd;
}

void enter_and_close(int network) {
    const int r = setns(network, CLONE_NEWNET);
    const int code = errno;
    close(network);
    if (r != 0)
        throw std::system_error(code, std::system_category(), "setns");
}

} // namespace

in_peer::in_peer() : home_(open_namespace("/proc/thread-self/ns/net")) {
    enter_and_close(open_namespace("/run/netns/peer"));
}

in_peer::~in_peer() {
    enter_and_close(home_);
}

void shell(const std::string& command) {
    if (std::system(command.c_str()) != 0)
        throw std::runtime_error("this fails: " + command);
}

} // namespace gyre_test
