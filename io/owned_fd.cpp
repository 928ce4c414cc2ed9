#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/io/owned_fd.hpp>

namespace gyre {

void owned_fd::close() noexcept {
    const int fd = std::exchange(fd_, -1);
    if (fd < 0)
        return;
    loop* const here = loop::current();
    if (here != nullptr)
        here->kernel().close(fd);
    else
        detail::system_calls::real().close(fd);
}

} // namespace gyre
