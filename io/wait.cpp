#include <gyre/core/backend.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/wait.hpp>

#include <cerrno>

namespace gyre {

fd_watch::fd_watch(int fd) {
    const std::string doing = "watch descriptor " + std::to_string(fd);
    socket_ = socket::own(detail::check(detail::kernel().duplicate(fd), doing), 0, 0, 0);
    socket_.settimeout(std::nullopt);
}

/// Makes what this waits on; false when that failed, the error in the result.
bool wait_operation::watch() noexcept {
    try {
        watch_ = fd_watch(fd_);
    } catch (const std::system_error& e) {
        result = -e.code().value();
        return false;
    } catch (...) {
        result = -ENOMEM;
        return false;
    }
    target = watch_.readable().target;
    return true;
}

void wait_operation::fail() const {
    detail::throw_error(result, detail::describe(*this) + ", descriptor " + std::to_string(fd_));
}

} // namespace gyre
