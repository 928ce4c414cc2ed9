#pragma once

#include <gyre/core/error.hpp>
#include <gyre/io/address.hpp>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What the text forms of all families are read and written with.

namespace gyre::detail {

/// The one place where a bad address becomes an exception.
[[noreturn]] void raise(const bad_address& why);

template <class T>
T or_raise(std::expected<T, bad_address> result) {
    if (!result)
        raise(result.error());
    return *std::move(result);
}

/// Only printable ASCII: \xNN for all else, and for what is in `special`.
std::string escape(std::string_view bytes, std::string_view special = "\\");
std::optional<std::string> unescape(std::string_view text);
inline constexpr std::string_view how_to_escape =
    "after a backslash an x and two hexadecimal digits are expected; a backslash itself is \\x5c";

/// "\"the text\": why". The text may come from a peer: it is cut off where it gets long.
std::unexpected<bad_address> bad(std::string_view text, std::string_view why,
                                 std::errc code = std::errc::invalid_argument);

int hex_value(char c);
/// "0x1f", and "0" for 0.
std::string hex(std::uint64_t value);
bool is_decimal(std::string_view text);
/// A number in the one way of writing it: 0, or digits that do not begin with 0.
std::optional<std::uint32_t> number(std::string_view digits);

/// Whether an interface may be called so.
bool is_interface_name(std::string_view name);
/// The interface with this number (1 or more), else with this name. `what` it is, for the message.
std::expected<std::uint32_t, bad_address>
read_interface(std::string_view text, std::string_view what, std::string_view name);

/// Text that begins with the name of a family other than IP and UNIX; nullopt for any other text.
std::optional<std::expected<address, bad_address>> read_other_family(std::string_view text);

} // namespace gyre::detail
