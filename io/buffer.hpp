#pragma once

#include <cstddef>
#include <memory>
#include <ranges>
#include <span>
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
    buffer(R&& range) noexcept
        : bytes_(reinterpret_cast<std::byte*>(std::ranges::data(range)), std::ranges::size(range)) {
    }
    buffer(void* data, std::size_t size) noexcept : bytes_(static_cast<std::byte*>(data), size) {}

    std::byte* data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }

private:
    std::span<std::byte> bytes_;
};

/// Memory to send: made from any contiguous range of bytes, or a string literal (without the NUL
/// that ends it; a constant array of characters with such an end counts as one). The memory must
/// stay until the operation that it was given to has ended.
class const_buffer {
public:
    template <detail::bytes_range R>
    const_buffer(const R& range) noexcept
        : bytes_(reinterpret_cast<const std::byte*>(std::ranges::data(range)),
                 std::ranges::size(range)) {}
    template <std::size_t N>
    const_buffer(const char (&literal)[N]) noexcept
        : bytes_(reinterpret_cast<const std::byte*>(literal), N - (literal[N - 1] == '\0')) {}
    template <std::size_t N>
    const_buffer(const char8_t (&literal)[N]) noexcept
        : bytes_(reinterpret_cast<const std::byte*>(literal), N - (literal[N - 1] == u8'\0')) {}
    template <std::size_t N>
    const_buffer(char (&array)[N]) noexcept
        : bytes_(reinterpret_cast<const std::byte*>(array), N) {}
    const_buffer(const void* data, std::size_t size) noexcept
        : bytes_(static_cast<const std::byte*>(data), size) {}

    const std::byte* data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }

private:
    std::span<const std::byte> bytes_;
};

} // namespace gyre
