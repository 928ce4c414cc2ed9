#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <sys/socket.h>

namespace gyre {

/// CMSG_LEN and CMSG_SPACE of cmsg(3): the size of a piece of ancillary data with its header, and
/// what it takes in a buffer, with padding.
constexpr std::size_t cmsg_space(std::size_t bytes) noexcept {
    constexpr std::size_t unit = sizeof(std::size_t);
    return (bytes + unit - 1) / unit * unit + (sizeof(cmsghdr) + unit - 1) / unit * unit;
}
constexpr std::size_t cmsg_len(std::size_t bytes) noexcept {
    constexpr std::size_t unit = sizeof(std::size_t);
    return bytes + (sizeof(cmsghdr) + unit - 1) / unit * unit;
}

/// Ancillary data: what travels beside the bytes of a message, as pieces that each have a level, a
/// type and bytes. recvmsg fills it, sendmsg sends it. Its memory is allocated once, and the same
/// object may serve any number of messages. cmsg(3), unix(7), ip(7).
class ancillary {
public:
    /// Room for so many bytes, headers included: the sum of cmsg_space() of what is expected.
    explicit ancillary(std::size_t capacity = 256)
        : memory_(std::make_unique<std::byte[]>(capacity)), capacity_(capacity) {}

    std::size_t capacity() const noexcept { return capacity_; }
    std::size_t size() const noexcept { return size_; }
    const std::byte* data() const noexcept { return memory_.get(); }
    std::byte* data() noexcept { return memory_.get(); }
    /// How much of it the kernel has filled.
    void resize(std::size_t size) noexcept { size_ = std::min(size, capacity_); }
    void clear() noexcept { size_ = 0; }

private:
    std::unique_ptr<std::byte[]> memory_;
    std::size_t capacity_;
    std::size_t size_ = 0;
};

} // namespace gyre
