#pragma once

#include <gyre/io/socket.hpp>

#include <array>

namespace gyre {

/// Bytes in pieces of `size`, the last one perhaps shorter: the datagrams of what UDP_GRO merged.
///
///     udp.setsockopt(IPPROTO_UDP, UDP_GRO, 1);
///     auto [count, from, flags] = co_await udp.recvmsg(buffer, control);
///     for (auto datagram : gyre::segment_range(std::span(buffer).first(count), control)) ...
class segment_range {
public:
    class iterator : public detail::piece_iterator<iterator, std::span<const std::byte>> {
    public:
        iterator() = default;
        iterator(std::span<const std::byte> rest, std::size_t size) noexcept
            : piece_iterator(rest), size_(size) {}
        value_type operator*() const noexcept { return rest_.first(step()); }
        using piece_iterator::operator++;
        iterator& operator++() noexcept {
            rest_ = rest_.subspan(step());
            return *this;
        }

    private:
        std::size_t step() const noexcept { return size_ < rest_.size() ? size_ : rest_.size(); }
        std::size_t size_ = 0;
    };

    /// A size of 0: all of it is one.
    segment_range(const_buffer bytes, std::size_t size) noexcept
        : bytes_(bytes.data(), bytes.size()), size_(size != 0 ? size : bytes.size()) {}
    /// The size that recvmsg told.
    segment_range(const_buffer bytes, const ancillary& control) noexcept
        : segment_range(bytes, control.segment_size().value_or(0)) {}

    iterator begin() const noexcept { return {bytes_, size_}; }
    std::default_sentinel_t end() const noexcept { return {}; }
    std::size_t size() const noexcept {
        return size_ == 0 ? 0 : (bytes_.size() + size_ - 1) / size_;
    }

private:
    std::span<const std::byte> bytes_;
    std::size_t size_;
};

/// Of send_segments. At most 64 datagrams (128 since Linux 6.9) and 65507 bytes in one; more is
/// std::errc::invalid_argument or message_size. Where the kernel cannot do it (before 4.18): EIO or
/// EINVAL. The size is that of a datagram without headers, and must fit the MTU: udp(7),
/// UDP_SEGMENT.
class [[nodiscard]] send_segments_operation final
    : public detail::socket_operation<send_segments_operation, std::size_t,
                                      detail::message_operation> {
public:
    send_segments_operation(detail::descriptor* d, const_buffer b, std::uint16_t each,
                            const address& to, int flags) noexcept;
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        name = to_.empty() ? nullptr : to_.data();
        name_size = to_.size();
        control = control_.data();
        control_size = control_.size();
        return operation::await_suspend(awaiting);
    }
    /// Bytes: all of them.
    std::size_t value() const noexcept { return static_cast<std::size_t>(result); }

private:
    address to_;
    alignas(cmsghdr) std::array<std::byte, cmsg_space(sizeof(std::uint16_t))> control_{};
};

} // namespace gyre
