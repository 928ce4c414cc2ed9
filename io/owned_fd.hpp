#pragma once

#include <utility>

namespace gyre {

/// A file descriptor that is closed when this is destroyed: what comes with a message. On any
/// thread. A socket among them becomes one of the library by gyre::socket::adopt(fd.release()).
class owned_fd {
public:
    owned_fd() noexcept = default;
    explicit owned_fd(int fd) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    owned_fd& operator=(owned_fd&& other) noexcept {
        owned_fd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
        return *this;
    }
    ~owned_fd() {
        if (fd_ >= 0)
            close();
    }

    /// -1: none.
    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Gives it away, open.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void close() noexcept;

private:
    int fd_ = -1;
};

} // namespace gyre
