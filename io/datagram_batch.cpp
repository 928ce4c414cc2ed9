#include <gyre/core/error.hpp>
#include <gyre/io/datagram_batch.hpp>

#include <algorithm>
#include <cstdint>
#include <netinet/in.h>
#include <netinet/udp.h>

namespace gyre {
namespace {

/// `bytes`, when so much can be counted in bytes at all.
std::size_t checked_bytes(std::size_t capacity, std::size_t bytes, std::size_t control) {
    constexpr std::size_t about = 512; // for what else each has
    std::size_t all = 0;
    if (capacity == 0 || bytes == 0 || __builtin_add_overflow(bytes, control, &all) ||
        __builtin_add_overflow(all, about, &all) || __builtin_mul_overflow(all, capacity, &all) ||
        all > PTRDIFF_MAX)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "make a batch of " + std::to_string(capacity) + " datagrams of " +
                        std::to_string(bytes) + " bytes, and " + std::to_string(control) +
                        " beside (expected 1 or more, and less than fills all memory)");
    return bytes;
}

} // namespace

datagram_batch::datagram_batch(std::size_t capacity, std::size_t bytes, std::size_t control)
    : bytes_each_(checked_bytes(capacity, bytes, control)),
      control_each_(detail::cmsg_align(control)), headers_(capacity), parts_(capacity),
      peers_(capacity), control_sizes_(capacity) {
    memory_ = std::make_unique_for_overwrite<std::byte[]>(capacity * bytes_each_);
    control_ = std::make_unique<std::byte[]>(capacity * control_each_);
    for (std::size_t i = 0; i < capacity; ++i) {
        parts_[i] = {bytes_at(i), 0};
        headers_[i].msg_hdr.msg_iov = &parts_[i];
        headers_[i].msg_hdr.msg_iovlen = 1;
    }
}

segment_range datagram_batch::entry::segments() const noexcept {
    const auto piece = control.find(IPPROTO_UDP, UDP_GRO);
    const int size = piece ? piece->as<int>().value_or(0) : 0;
    return {bytes, size > 0 ? static_cast<std::size_t>(size) : 0};
}

datagram_batch::entry datagram_batch::operator[](std::size_t i) noexcept {
    return {std::span(bytes_at(i), parts_[i].iov_len), peers_[i], headers_[i].msg_hdr.msg_flags,
            ancillary_pieces(std::span<const std::byte>(control_at(i), control_sizes_[i]))};
}

void datagram_batch::clear() noexcept {
    for (std::size_t i = 0; i < received_; ++i)
        if (control_sizes_[i] != 0)
            detail::close_passed(control_at(i), control_sizes_[i]);
    received_ = size_ = 0;
}

void datagram_batch::add(const_buffer bytes, const address& to) {
    if (size_ == capacity())
        throw error(std::make_error_code(std::errc::no_buffer_space),
                    "add to a batch that has all of its " + std::to_string(size_) + " datagrams");
    if (bytes.size() > bytes_each_)
        throw error(std::make_error_code(std::errc::message_size),
                    "add " + std::to_string(bytes.size()) + " bytes to a batch of datagrams of " +
                        std::to_string(bytes_each_));
    if (bytes.size() > 0)
        std::memcpy(bytes_at(size_), bytes.data(), bytes.size());
    parts_[size_].iov_len = bytes.size();
    peers_[size_] = to;
    headers_[size_].msg_hdr.msg_flags = 0;
    control_sizes_[size_] = 0;
    ++size_;
}

void datagram_batch::add(const_buffer bytes, const address& to, const ancillary& control) {
    if (control.size() > control_each_)
        throw error(std::make_error_code(std::errc::no_buffer_space),
                    "add a datagram with " + std::to_string(control.size()) +
                        " bytes of ancillary data to a batch with room for " +
                        std::to_string(control_each_));
    add(bytes, to);
    std::copy_n(control.data(), control.size(), control_at(size_ - 1));
    control_sizes_[size_ - 1] = control.size();
}

void datagram_batch::prepare_to_receive() noexcept {
    clear();
    for (std::size_t i = 0; i < capacity(); ++i) {
        parts_[i].iov_len = bytes_each_;
        msghdr& m = headers_[i].msg_hdr;
        m.msg_name = peers_[i].data();
        m.msg_namelen = address::capacity();
        m.msg_control = control_each_ != 0 ? control_at(i) : nullptr;
        m.msg_controllen = control_each_;
        m.msg_flags = 0;
    }
}

void datagram_batch::received(std::size_t count) noexcept {
    size_ = received_ = count;
    for (std::size_t i = 0; i < count; ++i) {
        parts_[i].iov_len = std::min<std::size_t>(headers_[i].msg_len, bytes_each_); // MSG_TRUNC
        peers_[i].resize(headers_[i].msg_hdr.msg_namelen);
        control_sizes_[i] = headers_[i].msg_hdr.msg_controllen;
        headers_[i].msg_hdr.msg_flags &= ~MSG_CMSG_CLOEXEC;
    }
}

void datagram_batch::prepare_to_send() noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
        msghdr& m = headers_[i].msg_hdr;
        const bool named = peers_[i].size() > sizeof(sa_family_t);
        m.msg_name = named ? peers_[i].data() : nullptr;
        m.msg_namelen = named ? peers_[i].size() : 0;
        m.msg_controllen = i < received_ ? 0 : control_sizes_[i];
        m.msg_control = m.msg_controllen != 0 ? control_at(i) : nullptr;
    }
}

} // namespace gyre
