#pragma once

#include <netinet/in.h>

// glibc makes macros of these when it optimises; its functions stay.
#undef htons
#undef htonl
#undef ntohs
#undef ntohl

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gyre {

/// Addresses as text and as packed bytes in network order, under their names in the socket
/// interface. gyre::address reads and writes whole addresses, with port and scope, and reports bad
/// text without an exception (address::from_ip). INADDR_ANY, INADDR_LOOPBACK, INADDR_BROADCAST and
/// their kin come from <netinet/in.h>: host order, as address::ipv4 takes them.

/// IPv4 in the forms of old, which name look-ups take, too: one to four numbers, each decimal,
/// octal behind 0 or hexadecimal behind 0x, the last of which fills the bytes that are left:
/// 127.1, 0x7f000001, 0177.0.0.1. What follows behind white space is not looked at: "1.2.3.4 x".
/// For text from users inet_pton is the better choice. Throws std::errc::invalid_argument.
/// inet_aton(3).
std::array<std::byte, 4> inet_aton(std::string_view text);

/// "127.0.0.1". Throws std::errc::invalid_argument unless there are four bytes.
std::string inet_ntoa(std::span<const std::byte> packed);

/// AF_INET: four decimal numbers without leading zeros. AF_INET6: RFC 4291, without a scope. The 4
/// or 16 bytes. Throws std::errc::invalid_argument for any other text,
/// std::errc::address_family_not_supported for any other family. inet_pton(3).
std::vector<std::byte> inet_pton(int family, std::string_view text);

/// The reverse; IPv6 is written in the form of RFC 5952. Throws as inet_pton, and
/// std::errc::invalid_argument unless there are 4 bytes, or 16. inet_ntop(3).
std::string inet_ntop(int family, std::span<const std::byte> packed);

namespace detail {

template <class T, class Wire>
concept fits_unsigned =
    std::unsigned_integral<T> && !std::same_as<T, bool> && sizeof(T) <= sizeof(Wire);

template <class T>
constexpr T network_order(T value) noexcept {
    if constexpr (std::endian::native == std::endian::little)
        return std::byteswap(value);
    else
        return value;
}

} // namespace detail

/// Host order to network order and back. They take unsigned types that fit, so that nothing is cut
/// off unseen: `htons(70000)` and `htons(port)` with an int do not compile.
template <detail::fits_unsigned<std::uint16_t> T>
constexpr std::uint16_t htons(T value) noexcept {
    return detail::network_order(static_cast<std::uint16_t>(value));
}
template <detail::fits_unsigned<std::uint32_t> T>
constexpr std::uint32_t htonl(T value) noexcept {
    return detail::network_order(static_cast<std::uint32_t>(value));
}
template <detail::fits_unsigned<std::uint16_t> T>
constexpr std::uint16_t ntohs(T value) noexcept {
    return htons(value);
}
template <detail::fits_unsigned<std::uint32_t> T>
constexpr std::uint32_t ntohl(T value) noexcept {
    return htonl(value);
}

} // namespace gyre
