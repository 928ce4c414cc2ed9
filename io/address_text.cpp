#include <gyre/io/address_text.hpp>

#include <net/if.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace gyre::detail {

void raise(const bad_address& why) {
    throw error(std::make_error_code(why.code), why.message);
}

int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static std::string escaped_byte(char c) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view digits = "0123456789abcdef";
    return {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
}

std::string escape(std::string_view bytes, std::string_view special) {
    std::string text;
    for (const char c : bytes) {
        if (c >= ' ' && c <= '~' && !special.contains(c))
            text += c;
        else
            text += escaped_byte(c);
    }
    return text;
}

std::optional<std::string> unescape(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            bytes += text[i];
            continue;
        }
        if (text.size() - i < 4 || text[i + 1] != 'x')
            return std::nullopt;
        const int high = hex_value(text[i + 2]);
        const int low = hex_value(text[i + 3]);
        if (high < 0 || low < 0)
            return std::nullopt;
        bytes += static_cast<char>(high * 16 + low);
        i += 3;
    }
    return bytes;
}

std::string hex(std::uint64_t value) {
    if (value == 0)
        return "0";
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

std::unexpected<bad_address> bad(std::string_view text, std::string_view why, std::errc code) {
    constexpr std::size_t enough = 128; // the text may come from a peer: no megabytes in a log
    std::string message = '"' + escape(text.substr(0, enough));
    message += text.size() > enough ? "...\": " : "\": ";
    message += why;
    return std::unexpected(bad_address{code, std::move(message)});
}

std::optional<std::uint32_t> number(std::string_view digits) {
    std::uint32_t value = 0;
    const char* begin = digits.data();
    const char* end = begin + digits.size();
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc{} || stop != end || (digits[0] == '0' && digits.size() > 1))
        return std::nullopt;
    return value;
}

bool is_decimal(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

// The kernel would cut "lo:1" to "lo", and nothing good comes of the rest either.
bool is_interface_name(std::string_view name) {
    return !name.empty() && name.size() < IF_NAMESIZE && name.find_first_of(":/%") == name.npos &&
           !name.contains('\0');
}

std::expected<std::uint32_t, bad_address>
read_interface(std::string_view text, std::string_view what, std::string_view name) {
    if (is_decimal(name)) {
        const auto index = number(name);
        if (!index || *index == 0)
            return bad(text, std::string(what) + " is not an interface number in 1..4294967295");
        return *index;
    }
    if (!is_interface_name(name))
        return bad(text, std::string(what) + " is neither the number nor the name of an interface");
    if (const unsigned index = ::if_nametoindex(std::string(name).c_str()))
        return index;
    const int error = errno;
    return bad(text, "interface " + escape(name) + ": " + std::generic_category().message(error),
               static_cast<std::errc>(error));
}

} // namespace gyre::detail
