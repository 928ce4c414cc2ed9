#pragma once

#include <gyre/resolver/getaddrinfo.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace gyre::detail {

/// What getaddrinfo(3) says where there is nothing to look up: 0 and what is `found`, or an EAI_*;
/// nullopt where it has to be asked. A text with a NUL in it finds nothing.
std::optional<int> numeric_addresses(std::string_view host, std::string_view service,
                                     const address_info_hints& hints,
                                     std::vector<address_info>& found);

/// A number as a service may be written, by itself: blanks or zeros before it, or a sign.
struct service_number {
    bool is_number = false;
    bool is_port = false; ///< in 0..65535
    std::uint16_t port = 0;
};
service_number read_service(std::string_view text) noexcept;

bool is_ascii(std::string_view text) noexcept;

/// 0, or the EAI_* of what cannot be the name of a host, so that nobody has to be asked.
int check_host_name(std::string_view name, int flags) noexcept;

} // namespace gyre::detail
