#include <gyre/io/address_text.hpp>
#include <gyre/io/inet.hpp>
#include <gyre/io/socket_names.hpp>

#include <arpa/inet.h>

#include <cstring>

namespace gyre {
namespace {

/// For messages: the text may come from anywhere.
std::string quoted(std::string_view text) {
    constexpr std::size_t enough = 64;
    return '"' + detail::escape(text.substr(0, enough)) + (text.size() > enough ? "...\"" : "\"");
}

[[noreturn]] void refuse(const std::string& why) {
    throw error(std::make_error_code(std::errc::invalid_argument), why);
}

std::size_t size_of_address(int family, const char* function) {
    if (family == AF_INET)
        return 4;
    if (family == AF_INET6)
        return 16;
    throw error(std::make_error_code(std::errc::address_family_not_supported),
                std::string(function) + ": the family is " + detail::family_name(family) +
                    " (expected AF_INET or AF_INET6)");
}

} // namespace

std::array<std::byte, 4> inet_aton(std::string_view text) {
    in_addr ip;
    if (text.contains('\0') || ::inet_aton(std::string(text).c_str(), &ip) == 0)
        refuse("inet_aton: " + quoted(text) +
               " is not one to four numbers with dots between them, such as 127.0.0.1");
    return std::bit_cast<std::array<std::byte, 4>>(ip);
}

std::string inet_ntoa(std::span<const std::byte> packed) {
    if (packed.size() != 4)
        refuse("inet_ntoa: " + std::to_string(packed.size()) + " bytes (expected 4)");
    return inet_ntop(AF_INET, packed);
}

std::vector<std::byte> inet_pton(int family, std::string_view text) {
    std::vector<std::byte> packed(size_of_address(family, "inet_pton"));
    if (text.contains('\0') || ::inet_pton(family, std::string(text).c_str(), packed.data()) != 1)
        refuse("inet_pton: " + quoted(text) +
               (family == AF_INET ? " is not an IPv4 address in full, such as 127.0.0.1"
                                  : " is not an IPv6 address without a scope, such as ::1"));
    return packed;
}

std::string inet_ntop(int family, std::span<const std::byte> packed) {
    const std::size_t size = size_of_address(family, "inet_ntop");
    if (packed.size() != size)
        refuse("inet_ntop: " + std::to_string(packed.size()) + " bytes (expected " +
               std::to_string(size) + " for " + detail::family_name(family) + ")");
    std::array<char, INET6_ADDRSTRLEN> text;
    return ::inet_ntop(family, packed.data(), text.data(), text.size());
}

} // namespace gyre
