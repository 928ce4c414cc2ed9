#include <gyre/resolver/name_source.hpp>

#include <array>
#include <cerrno>
#include <memory>
#include <span>

namespace gyre {
namespace {

class gai_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int value) const override { return ::gai_strerror(value); }
};

class netdb_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "netdb"; }
    std::string message(int value) const override { return ::hstrerror(value); }
};

/// EAI_SYSTEM says to look at errno.
std::error_code code_of(int eai, int reason) noexcept {
    if (eai == EAI_SYSTEM)
        return {reason, std::system_category()};
    return {eai, address_info_category()};
}

/// Calls one of the functions of netdb.h that end with _r: `call(memory, size)`, with more memory
/// for as long as it says ERANGE. Gives what it returned.
template <class Call>
int with_enough_memory(std::vector<char>& memory, Call call) {
    constexpr std::size_t first = 1024;
    constexpr std::size_t limit = std::size_t{16} << 20;
    int r = ERANGE;
    for (std::size_t size = first; r == ERANGE && size <= limit; size *= 2) {
        memory.resize(size);
        r = call(memory.data(), memory.size());
    }
    return r;
}

/// errno of a failed call; 0 and ENOENT are how databases say that there is no such entry.
std::error_code database_code(int r) noexcept {
    if (r == 0 || r == ENOENT)
        return errc::not_found;
    return {r, std::system_category()};
}

std::vector<std::string> texts(char** list) {
    std::vector<std::string> all;
    for (; list != nullptr && *list != nullptr; ++list)
        all.emplace_back(*list);
    return all;
}

name_source::answer<host_entry> entry_of(int r, const hostent* found, int why) {
    if (found == nullptr) {
        if (why == NETDB_INTERNAL || why == NETDB_SUCCESS)
            return std::unexpected(std::error_code(r != 0 ? r : errno, std::system_category()));
        return std::unexpected(std::error_code(why, host_category()));
    }
    host_entry entry{found->h_name, texts(found->h_aliases), {}};
    for (char** a = found->h_addr_list; a != nullptr && *a != nullptr; ++a) {
        const auto bytes = std::as_bytes(std::span(*a, static_cast<std::size_t>(found->h_length)));
        if (found->h_addrtype == AF_INET && bytes.size() == 4)
            entry.addresses.push_back(address::ipv4(bytes.first<4>(), 0));
        else if (found->h_addrtype == AF_INET6 && bytes.size() == 16)
            entry.addresses.push_back(address::ipv6(bytes.first<16>(), 0));
    }
    return entry;
}

const char* or_none(const std::string& text) noexcept {
    return text.empty() ? nullptr : text.c_str();
}

} // namespace

const std::error_category& address_info_category() noexcept {
    static const gai_category instance;
    return instance;
}

const std::error_category& host_category() noexcept {
    static const netdb_category instance;
    return instance;
}

address_info_error::address_info_error(int eai, const std::string& doing)
    : error({eai, address_info_category()}, doing) {}

host_error::host_error(int h_errno_value, const std::string& doing)
    : error({h_errno_value, host_category()}, doing) {}

name_source::answer<std::vector<address_info>>
name_source::getaddrinfo(const std::string& host, const std::string& service,
                         const address_info_hints& hints) {
    addrinfo wanted{};
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.type;
    wanted.ai_protocol = hints.protocol;
    wanted.ai_flags = hints.flags;
    addrinfo* list = nullptr;
    const int r = ::getaddrinfo(or_none(host), or_none(service), &wanted, &list);
    if (r != 0)
        return std::unexpected(code_of(r, errno));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, &::freeaddrinfo);
    std::vector<address_info> found;
    for (const addrinfo* i = list; i != nullptr; i = i->ai_next)
        found.push_back({i->ai_family, i->ai_socktype, i->ai_protocol,
                         i->ai_canonname != nullptr ? i->ai_canonname : "",
                         address(i->ai_addr, i->ai_addrlen)});
    return found;
}

name_source::answer<name_info> name_source::getnameinfo(const address& of, int flags) {
    std::array<char, NI_MAXHOST> host;
    std::array<char, NI_MAXSERV> service;
    const int r = ::getnameinfo(of.data(), of.size(), host.data(), host.size(), service.data(),
                                service.size(), flags);
    if (r != 0)
        return std::unexpected(code_of(r, errno));
    return name_info{host.data(), service.data()};
}

name_source::answer<host_entry> name_source::gethostbyname(const std::string& host, int family) {
    std::vector<char> memory;
    hostent entry;
    hostent* found = nullptr;
    int why = 0;
    const int r = with_enough_memory(memory, [&](char* bytes, std::size_t size) {
        return ::gethostbyname2_r(host.c_str(), family, &entry, bytes, size, &found, &why);
    });
    return entry_of(r, found, why);
}

name_source::answer<host_entry> name_source::gethostbyaddr(const address& of) {
    std::vector<char> memory;
    hostent entry;
    hostent* found = nullptr;
    int why = 0;
    const auto ip = of.ip_bytes();
    const int r = with_enough_memory(memory, [&](char* bytes, std::size_t size) {
        return ::gethostbyaddr_r(ip.data(), static_cast<socklen_t>(ip.size()), of.family(), &entry,
                                 bytes, size, &found, &why);
    });
    return entry_of(r, found, why);
}

name_source::answer<std::uint16_t> name_source::getservbyname(const std::string& name,
                                                              const std::string& protocol) {
    std::vector<char> memory;
    servent entry;
    servent* found = nullptr;
    const int r = with_enough_memory(memory, [&](char* bytes, std::size_t size) {
        return ::getservbyname_r(name.c_str(), or_none(protocol), &entry, bytes, size, &found);
    });
    if (found == nullptr)
        return std::unexpected(database_code(r));
    return ntohs(static_cast<std::uint16_t>(found->s_port));
}

name_source::answer<std::string> name_source::getservbyport(std::uint16_t port,
                                                            const std::string& protocol) {
    std::vector<char> memory;
    servent entry;
    servent* found = nullptr;
    const int r = with_enough_memory(memory, [&](char* bytes, std::size_t size) {
        return ::getservbyport_r(htons(port), or_none(protocol), &entry, bytes, size, &found);
    });
    if (found == nullptr)
        return std::unexpected(database_code(r));
    return found->s_name;
}

name_source::answer<int> name_source::getprotobyname(const std::string& name) {
    std::vector<char> memory;
    protoent entry;
    protoent* found = nullptr;
    const int r = with_enough_memory(memory, [&](char* bytes, std::size_t size) {
        return ::getprotobyname_r(name.c_str(), &entry, bytes, size, &found);
    });
    if (found == nullptr)
        return std::unexpected(database_code(r));
    return found->p_proto;
}

} // namespace gyre
