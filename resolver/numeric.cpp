#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/numeric.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <span>

namespace gyre::detail {
namespace {

/// What glibc makes of hints that leave the type or the protocol open, in its order. A protocol of
/// -1 is any; those without `common` have to be asked for.
struct kind_of_socket {
    int type;
    int protocol;
    bool common;
};
constexpr kind_of_socket kinds[] = {
    {SOCK_STREAM, IPPROTO_TCP, true},
    {SOCK_DGRAM, IPPROTO_UDP, true},
    {SOCK_DCCP, IPPROTO_DCCP, false},
    {SOCK_DGRAM, IPPROTO_UDPLITE, false},
    {SOCK_STREAM, IPPROTO_SCTP, false},
    {SOCK_SEQPACKET, IPPROTO_SCTP, false},
    {SOCK_RAW, -1, true},
};

/// Those that ask for nothing but what is here.
constexpr int plain_flags =
    AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_V4MAPPED | AI_ALL;

const kind_of_socket* find_kind(const address_info_hints& hints) noexcept {
    const auto* const fits = std::ranges::find_if(kinds, [&](const kind_of_socket& k) {
        return (hints.type == 0 || hints.type == k.type) &&
               (hints.protocol == 0 || k.protocol == -1 || hints.protocol == k.protocol);
    });
    return fits != std::end(kinds) ? fits : nullptr;
}

/// Four decimal numbers, the form that nearly all are written in.
bool read_quad(std::string_view text, in_addr& ip) noexcept {
    std::uint32_t bytes = 0;
    const char* at = text.data();
    const char* const end = at + text.size();
    for (int part = 0; part < 4; ++part) {
        if (part != 0) {
            if (at == end || *at != '.')
                return false;
            ++at;
        }
        const char* const begin = at;
        unsigned value = 0;
        for (unsigned digit = 0; at != end; ++at) {
            digit = static_cast<unsigned char>(*at) - unsigned{'0'};
            if (digit > 9 || value > 25)
                break;
            value = value * 10 + digit;
        }
        if (at == begin || value > 255 || (*begin == '0' && at - begin > 1))
            return false;
        bytes = bytes << 8 | value;
    }
    ip.s_addr = htonl(bytes);
    return at == end;
}

/// A text that is short enough to be a numeric address, with a NUL behind it and none in it.
class terminated {
public:
    explicit terminated(std::string_view text) noexcept
        : good_(text.size() < size && !text.contains('\0')) {
        if (good_)
            *std::ranges::copy(text, bytes_.data()).out = '\0';
    }
    const char* c_str() const noexcept { return good_ ? bytes_.data() : ""; }

private:
    static constexpr std::size_t size = 64;
    bool good_;
    std::array<char, size> bytes_;
};

/// Also the older forms: 127.1, 0x7f.1, 2130706433. inet_aton(3) stops at a blank: none gets there.
bool read_ipv4(std::string_view text, in_addr& ip) noexcept {
    if (read_quad(text, ip))
        return true;
    return !text.empty() && text[0] >= '0' && text[0] <= '9' &&
           text.find_first_not_of("0123456789abcdefABCDEFxX.") == text.npos &&
           ::inet_aton(terminated(text).c_str(), &ip) != 0;
}

bool read_ipv6(std::string_view text, in6_addr& ip) noexcept {
    return ::inet_pton(AF_INET6, terminated(text).c_str(), &ip) == 1;
}

address make_address(const in_addr& ip, std::uint16_t port) noexcept {
    return address::ipv4(ntohl(ip.s_addr), port);
}
address make_address(const in6_addr& ip, std::uint16_t port) {
    return address::ipv6(std::as_bytes(std::span(ip.s6_addr)), port);
}

/// One entry for each type of socket that the hints leave open.
int give(const kind_of_socket& first, const address_info_hints& hints, std::string_view host,
         const address& at, std::vector<address_info>& found) {
    const bool one = hints.type != 0 || hints.protocol != 0;
    found.reserve(one ? 1 : 3);
    for (const kind_of_socket* k = &first; k != std::end(kinds); ++k) {
        if (!one && !k->common)
            continue;
        address_info& entry = found.emplace_back();
        entry.family = at.family();
        entry.type = k->type;
        entry.protocol = k->protocol == -1 ? hints.protocol : k->protocol;
        entry.address = at;
        if (one)
            break;
    }
    if ((hints.flags & AI_CANONNAME) != 0)
        found.front().canonical_name = host;
    return 0;
}

/// The same, of an address that may have to become one of the other family.
int give(const kind_of_socket& first, const address_info_hints& hints, std::string_view host,
         const in_addr& ip, std::uint16_t port, std::vector<address_info>& found) {
    if (hints.family != AF_INET6)
        return give(first, hints, host, make_address(ip, port), found);
    if ((hints.flags & AI_V4MAPPED) == 0)
        return EAI_ADDRFAMILY;
    in6_addr mapped{};
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    std::memcpy(&mapped.s6_addr[12], &ip, sizeof ip);
    return give(first, hints, host, make_address(mapped, port), found);
}
int give(const kind_of_socket& first, const address_info_hints& hints, std::string_view host,
         const in6_addr& ip, std::uint16_t port, std::vector<address_info>& found) {
    if (hints.family != AF_INET)
        return give(first, hints, host, make_address(ip, port), found);
    if (!IN6_IS_ADDR_V4MAPPED(&ip))
        return EAI_ADDRFAMILY;
    in_addr inner;
    std::memcpy(&inner, &ip.s6_addr[12], sizeof inner);
    return give(first, hints, host, make_address(inner, port), found);
}

/// With a scope: which of them mean something is glibc's to say.
int ask_for_scoped(std::string_view host, std::uint16_t port, address_info_hints hints,
                   std::vector<address_info>& found) {
    if (host.contains('\0'))
        return EAI_NONAME;
    hints.flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    const bool raw = hints.type == SOCK_RAW; // for which it refuses any service
    auto answer = name_source().name_source::getaddrinfo(std::string(host),
                                                         raw ? "" : std::to_string(port), hints);
    if (!answer)
        return answer.error().category() == address_info_category() ? answer.error().value()
                                                                    : EAI_NONAME;
    found = *std::move(answer);
    return 0;
}

} // namespace

service_number read_service(std::string_view text) noexcept {
    const std::size_t blanks = text.find_first_not_of(" \t\n\v\f\r");
    text.remove_prefix(blanks != text.npos ? blanks : text.size());
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+'))
        text.remove_prefix(1);
    unsigned value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9')
            return {};
        value = std::min(value * 10 + static_cast<unsigned>(c - '0'), 65536U);
    }
    return {!text.empty(), !text.empty() && !negative && value <= 65535,
            static_cast<std::uint16_t>(value)};
}

std::optional<int> numeric_addresses(std::string_view host, std::string_view service,
                                     const address_info_hints& hints,
                                     std::vector<address_info>& found) {
    // In the order in which glibc complains, save for ports that are none.
    const service_number number = read_service(service);
    if (number.is_number && !number.is_port)
        return EAI_SERVICE;
    if (host.empty() && service.empty())
        return EAI_NONAME;
    if ((hints.flags & ~plain_flags) != 0 || host == "*" || service == "*")
        return std::nullopt;
    if (host.empty() && (hints.flags & AI_CANONNAME) != 0)
        return EAI_BADFLAGS;
    if (!service.empty() && !number.is_number) {
        if ((hints.flags & AI_NUMERICSERV) != 0)
            return EAI_NONAME;
        return std::nullopt;
    }
    if (hints.family != AF_UNSPEC && hints.family != AF_INET && hints.family != AF_INET6)
        return EAI_FAMILY;
    const kind_of_socket* const kind = find_kind(hints);
    if (kind == nullptr)
        return hints.type != 0 ? EAI_SOCKTYPE : EAI_SERVICE;
    if ((hints.type != 0 || hints.protocol != 0) && kind->type == SOCK_RAW && !service.empty())
        return EAI_SERVICE;

    if (host.empty()) {
        if (hints.family == AF_UNSPEC) // which family comes first?
            return std::nullopt;
        const bool any = (hints.flags & AI_PASSIVE) != 0;
        if (hints.family == AF_INET)
            return give(*kind, hints, host,
                        address::ipv4(any ? INADDR_ANY : INADDR_LOOPBACK, number.port), found);
        return give(*kind, hints, host,
                    make_address(any ? in6addr_any : in6addr_loopback, number.port), found);
    }
    in_addr four;
    if (read_ipv4(host, four))
        return give(*kind, hints, host, four, number.port, found);
    if (!host.contains(':')) {
        if ((hints.flags & AI_NUMERICHOST) != 0)
            return EAI_NONAME;
        return std::nullopt;
    }
    if (host.contains('%'))
        return ask_for_scoped(host, number.port, hints, found);
    in6_addr six;
    if (!read_ipv6(host, six))
        return EAI_NONAME;
    return give(*kind, hints, host, six, number.port, found);
}

bool is_ascii(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return (c & 0x80) == 0; });
}

int check_host_name(std::string_view name, int flags) noexcept {
    if (!is_ascii(name)) // the limits are those of what it is encoded to
        return (flags & AI_IDN) != 0 ? 0 : EAI_NONAME;
    if (name.ends_with('.'))
        name.remove_suffix(1);
    if (name.size() > 253)
        return EAI_NONAME;
    for (std::size_t begin = 0;;) {
        const std::size_t end = std::min(name.find('.', begin), name.size());
        if (end == begin || end - begin > 63)
            return EAI_NONAME;
        if (end == name.size())
            return 0;
        begin = end + 1;
    }
}

} // namespace gyre::detail
