#include <gyre/core/sleep.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/resolver/socket_file.hpp>

#include <cerrno>
#include <sys/stat.h>

namespace gyre::detail {
namespace {

using namespace std::chrono_literals;

bool same(const struct stat& a, const struct stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

} // namespace

task<owned_fd> lock_folder_of(std::string path) {
    const auto slash = path.rfind('/');
    const std::string folder = slash == path.npos ? "." : path.substr(0, slash + 1);
    for (int tries = 0; tries < 1000; ++tries) {
        const int fd = kernel().lock_folder(folder.c_str());
        if (fd != -EWOULDBLOCK)
            co_return owned_fd(fd >= 0 ? fd : -1);
        co_await sleep_for(1ms);
    }
    co_return owned_fd();
}

task<> remove_stale(address at) {
    const std::string path(at.path());
    struct stat before{};
    if (kernel().look_at(path.c_str(), before) < 0 || !S_ISSOCK(before.st_mode))
        co_return;
    socket probe = socket::open(AF_UNIX, SOCK_STREAM);
    const auto connected = co_await as_result(probe.connect(at).nonblocking());
    if (connected || connected.error() != std::errc::connection_refused)
        co_return;
    struct stat now{};
    if (kernel().look_at(path.c_str(), now) == 0 && same(before, now))
        kernel().remove(path.c_str());
}

socket_file::socket_file(std::string path) : path_(std::move(path)) {
    struct stat now{};
    ours_ = kernel().look_at(path_.c_str(), now) == 0 && S_ISSOCK(now.st_mode);
    device_ = now.st_dev;
    number_ = now.st_ino;
}

socket_file::~socket_file() {
    struct stat now{};
    if (ours_ && kernel().look_at(path_.c_str(), now) == 0 && now.st_dev == device_ &&
        now.st_ino == number_)
        kernel().remove(path_.c_str());
}

} // namespace gyre::detail
