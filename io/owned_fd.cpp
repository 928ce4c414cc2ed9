#include <gyre/io/kernel.hpp>
#include <gyre/io/owned_fd.hpp>

namespace gyre {

void owned_fd::close() noexcept {
    const int fd = std::exchange(fd_, -1);
    if (fd >= 0)
        detail::kernel().close(fd);
}

} // namespace gyre
