#include <gyre/io/address.hpp>
#include <gyre/io/address_text.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

namespace gyre {

namespace {

using namespace detail;

constexpr std::size_t longest_unix_name = sizeof(sockaddr_un::sun_path) - 1;

// What stands behind the host, from the colon on.
std::expected<std::uint16_t, bad_address> read_port(std::string_view text, std::string_view rest) {
    if (rest.size() < 2)
        return bad(text, "the port is missing, as in 127.0.0.1:7000 or [::1]:7000");
    if (rest[0] != ':')
        return bad(text, "after the ] a colon and the port are expected, as in [::1]:7000");
    const std::string_view digits = rest.substr(1);
    const std::string port = "port " + escape(digits.substr(0, 16));
    if (!is_decimal(digits) || (digits[0] == '0' && digits.size() > 1))
        return bad(text, port + " is not a decimal number without sign, space or leading zero");
    const auto value = number(digits);
    if (!value || *value > 65535)
        return bad(text, port + " is not in 0..65535");
    return static_cast<std::uint16_t>(*value);
}

std::optional<std::uint32_t> read_ipv4(std::string_view host) {
    if (host == "<broadcast>")
        return INADDR_BROADCAST;
    in_addr ip;
    if (host.contains('\0') || ::inet_pton(AF_INET, std::string(host).c_str(), &ip) != 1)
        return std::nullopt;
    return ntohl(ip.s_addr);
}

std::expected<address, bad_address> read_ipv6(std::string_view text, std::string_view host,
                                              std::uint16_t port) {
    const std::size_t percent = host.find('%');
    const std::string digits(host.substr(0, percent));
    std::array<std::byte, 16> ip;
    if (digits.contains('\0') || ::inet_pton(AF_INET6, digits.c_str(), ip.data()) != 1)
        return bad(text, escape(host.substr(0, 64)) + " is not an IPv6 address");
    std::uint32_t scope = 0;
    if (percent != host.npos) {
        const auto found = read_interface(text, "the scope", host.substr(percent + 1));
        if (!found)
            return std::unexpected(found.error());
        scope = *found;
    }
    return address::ipv6(ip, port, scope);
}

// `text` is what the user wrote, for the message.
std::expected<address, bad_address> make_unix(std::string_view text, std::string_view name,
                                              bool abstract) {
    if (!abstract && name.empty())
        return bad(text, "the path is empty");
    if (!abstract && name.contains('\0'))
        return bad(text, "the path holds a NUL byte, which would cut it short");
    if (name.size() > longest_unix_name)
        return bad(text,
                   "the name has " + std::to_string(name.size()) +
                       " bytes, more than the 107 that a UNIX address holds",
                   std::errc::filename_too_long);
    // A path counts the NUL behind it, an abstract name the one before it.
    sockaddr_un made{.sun_family = AF_UNIX, .sun_path = {}};
    name.copy(made.sun_path + (abstract ? 1 : 0), name.size());
    return address(reinterpret_cast<const sockaddr*>(&made),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1));
}

std::expected<address, bad_address> read_unix(std::string_view text) {
    std::string_view name = text.substr(std::strlen("unix:"));
    const bool abstract = name.starts_with('@');
    if (abstract)
        name.remove_prefix(1);
    const auto bytes = unescape(name);
    if (!bytes)
        return bad(text, how_to_escape);
    return make_unix(text, *bytes, abstract);
}

} // namespace

address::address(const sockaddr* bytes, socklen_t size) {
    if (size > capacity())
        raise({std::errc::invalid_argument,
               "a socket address of " + std::to_string(size) + " bytes is larger than 128"});
    if (size > 0 && bytes == nullptr)
        raise({std::errc::invalid_argument,
               "a socket address of " + std::to_string(size) + " bytes is at a null pointer"});
    if (size > 0)
        std::memcpy(&storage_, bytes, size);
    resize(size);
}

address address::ipv4(std::uint32_t host_order, std::uint16_t port) noexcept {
    address made;
    made.ipv4_ = {.sin_family = AF_INET,
                  .sin_port = htons(port),
                  .sin_addr = {htonl(host_order)},
                  .sin_zero = {}};
    made.size_ = sizeof(sockaddr_in);
    return made;
}

address address::ipv4(std::span<const std::byte, 4> ip, std::uint16_t port) noexcept {
    std::uint32_t network_order;
    std::memcpy(&network_order, ip.data(), ip.size());
    return ipv4(ntohl(network_order), port);
}

address address::ipv6(std::span<const std::byte, 16> ip, std::uint16_t port, std::uint32_t scope,
                      std::uint32_t flow) {
    if (flow > 0xfffff)
        raise({std::errc::invalid_argument,
               "flow information " + std::to_string(flow) + " is not in 0..1048575"});
    address made;
    made.ipv6_ = {.sin6_family = AF_INET6,
                  .sin6_port = htons(port),
                  .sin6_flowinfo = htonl(flow),
                  .sin6_addr = {},
                  .sin6_scope_id = scope};
    std::memcpy(&made.ipv6_.sin6_addr, ip.data(), ip.size());
    made.size_ = sizeof(sockaddr_in6);
    return made;
}

address address::any_ipv6(std::uint16_t port) noexcept {
    return ipv6(std::bit_cast<std::array<std::byte, 16>>(in6addr_any), port);
}

address address::loopback_ipv6(std::uint16_t port) noexcept {
    return ipv6(std::bit_cast<std::array<std::byte, 16>>(in6addr_loopback), port);
}

address address::unix_path(std::string_view path) {
    return or_raise(make_unix(path, path, false));
}

address address::unix_abstract(std::string_view name) {
    return or_raise(make_unix(name, name, true));
}

address address::unix_unnamed() noexcept {
    address made;
    made.unix_.sun_family = AF_UNIX;
    made.size_ = unix_header;
    return made;
}

address address::parse(std::string_view text) {
    return or_raise(try_parse(text));
}

std::expected<address, bad_address> address::try_parse(std::string_view text) {
    if (text.empty())
        return bad(text, "the address is empty");
    if (text.starts_with("unix:"))
        return read_unix(text);
    if (auto other = read_other_family(text))
        return *std::move(other);
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == text.npos)
            return bad(text, "the ] is missing, as in [::1]:7000");
        const auto port = read_port(text, text.substr(close + 1));
        if (!port)
            return std::unexpected(port.error());
        return read_ipv6(text, text.substr(1, close - 1), *port);
    }
    const std::size_t colon = std::min(text.find(':'), text.size());
    if (text.find(':', colon + 1) != text.npos)
        return bad(text, "an IPv6 address is written in brackets, as in [::1]:7000");
    const auto port = read_port(text, text.substr(colon));
    if (!port)
        return std::unexpected(port.error());
    const std::string_view host = text.substr(0, colon);
    const auto ip = read_ipv4(host);
    if (!ip)
        return bad(text, escape(host.substr(0, 64)) + " is not an IPv4 address in full, such as "
                                                      "127.0.0.1; names need the resolver");
    return ipv4(*ip, *port);
}

std::expected<address, bad_address> address::from_ip(std::string_view host, std::uint16_t port) {
    if (const auto ip = read_ipv4(host))
        return ipv4(*ip, port);
    if (host.contains(':'))
        return read_ipv6(host, host, port);
    return bad(host, "this is neither an IPv4 address such as 127.0.0.1 nor an IPv6 one, ::1");
}

std::string address::host() const {
    std::array<char, INET6_ADDRSTRLEN> text;
    if (is_ipv4())
        return ::inet_ntop(AF_INET, &ipv4_.sin_addr, text.data(), text.size());
    if (!is_ipv6())
        return {};
    std::string host = ::inet_ntop(AF_INET6, &ipv6_.sin6_addr, text.data(), text.size());
    if (scope_id() != 0)
        host += '%' + std::to_string(scope_id());
    return host;
}

std::string address::to_string() const {
    if (is_ipv4())
        return host() + ':' + std::to_string(port());
    if (is_ipv6())
        return '[' + host() + "]:" + std::to_string(port());
    if (is_unix_abstract())
        return "unix:@" + escape(abstract_name());
    if (is_unix_path()) {
        const std::string_view name = path();
        return "unix:" + (name[0] == '@' ? "\\x40" + escape(name.substr(1)) : escape(name));
    }
    if (is_unix_unnamed())
        return "(unnamed UNIX socket)";
    if (empty())
        return "(no address)";
    return other_family_to_string();
}

std::uint16_t address::port() const noexcept {
    if (is_ipv4())
        return ntohs(ipv4_.sin_port);
    return is_ipv6() ? ntohs(ipv6_.sin6_port) : std::uint16_t{0};
}

std::span<const std::byte> address::ip_bytes() const noexcept {
    if (is_ipv4())
        return std::as_bytes(std::span(&ipv4_.sin_addr, 1));
    if (is_ipv6())
        return std::as_bytes(std::span(&ipv6_.sin6_addr, 1));
    return {};
}

std::uint32_t address::scope_id() const noexcept {
    return is_ipv6() ? ipv6_.sin6_scope_id : 0;
}

std::uint32_t address::flow_info() const noexcept {
    return is_ipv6() ? ntohl(ipv6_.sin6_flowinfo) : 0;
}

std::string_view address::path() const noexcept {
    if (!is_unix_path())
        return {};
    return {unix_bytes(), ::strnlen(unix_bytes(), unix_size())};
}

std::string_view address::abstract_name() const noexcept {
    if (!is_unix_abstract())
        return {};
    return {unix_bytes() + 1, unix_size() - 1};
}

void address::resize(socklen_t size) noexcept {
    size_ = std::min(size, capacity());
    if (is_ipv4()) {
        size_ = sizeof(sockaddr_in);
        std::ranges::fill(ipv4_.sin_zero, 0);
    } else if (is_ipv6()) {
        size_ = sizeof(sockaddr_in6);
    } else if (is_unix_path()) {
        // One NUL behind the path, which the caller of bind may have left out. A path of 108 bytes,
        // which Linux allows, has no room for it, and the kernel, which counts it nevertheless
        // when it returns the address (size 111), would not take that size back.
        char* const begin = reinterpret_cast<char*>(&storage_) + unix_header;
        const std::size_t length =
            ::strnlen(begin, std::min(unix_size(), sizeof(sockaddr_un::sun_path)));
        begin[length] = '\0';
        size_ = static_cast<socklen_t>(std::min(unix_header + length + 1, sizeof(sockaddr_un)));
    } else {
        tidy_other_family();
    }
}

} // namespace gyre
