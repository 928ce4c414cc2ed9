#pragma once

#include <cstddef>
#include <ranges>
#include <span>
#include <sys/uio.h>
#include <type_traits>

namespace gyre {
namespace detail {

template <class R>
concept bytes_range = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                      sizeof(std::ranges::range_value_t<R>) == 1 &&
                      std::is_trivially_copyable_v<std::ranges::range_value_t<R>>;

} // namespace detail

/// Memory to fill: made from any contiguous range of bytes (std::byte, char, unsigned char ...).
/// The memory must stay until the operation that it was given to has ended.
class buffer {
public:
    template <detail::bytes_range R>
        requires(!std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>)
    buffer(R&& range) noexcept : part_{std::ranges::data(range), std::ranges::size(range)} {}
    buffer(void* data, std::size_t size) noexcept : part_{data, size} {}

    std::byte* data() const noexcept { return static_cast<std::byte*>(part_.iov_base); }
    std::size_t size() const noexcept { return part_.iov_len; }

private:
    iovec part_;
};

/// Memory to send: made from any contiguous range of bytes, or a string literal (without the NUL
/// that ends it; a constant array of characters with such an end counts as one). The memory must
/// stay until the operation that it was given to has ended.
class const_buffer {
public:
    template <detail::bytes_range R>
    const_buffer(const R& range) noexcept
        : const_buffer(std::ranges::data(range), std::ranges::size(range)) {}
    template <std::size_t N>
    const_buffer(const char (&literal)[N]) noexcept
        : const_buffer(literal, N - (literal[N - 1] == '\0')) {}
    template <std::size_t N>
    const_buffer(const char8_t (&literal)[N]) noexcept
        : const_buffer(literal, N - (literal[N - 1] == u8'\0')) {}
    template <std::size_t N>
    const_buffer(char (&array)[N]) noexcept : const_buffer(array, N) {}
    const_buffer(const void* data, std::size_t size) noexcept
        : part_{const_cast<void*>(data), size} {} // nobody writes through it

    const std::byte* data() const noexcept { return static_cast<const std::byte*>(part_.iov_base); }
    std::size_t size() const noexcept { return part_.iov_len; }

private:
    iovec part_;
};

/// Memory in several places: filled or sent in this order, as if it were one (readv(2)). Both the
/// memory and the array of its parts must stay until the operation has ended. A datagram has at
/// most 1024 parts (else std::errc::message_size); of more, recv and send take the first 1024 on a
/// stream, and sendall takes all.
///
///     std::array parts{gyre::const_buffer(head), gyre::const_buffer(body)};
///     co_await s.sendall(parts);
using buffers = std::span<const buffer>;
using const_buffers = std::span<const const_buffer>;

namespace detail {

/// A part is an iovec and nothing else, so that an array of them is what the kernel takes.
template <class Part>
const iovec* iovecs(std::span<const Part> parts) noexcept {
    static_assert(sizeof(Part) == sizeof(iovec) && std::is_standard_layout_v<Part>);
    return reinterpret_cast<const iovec*>(parts.data());
}

template <class Part>
std::size_t total_size(std::span<const Part> parts) noexcept {
    std::size_t sum = 0;
    for (const Part& p : parts)
        sum += p.size();
    return sum;
}

} // namespace detail

} // namespace gyre
