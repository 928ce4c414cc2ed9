#include <gyre/resolver/addresses_of.hpp>
#include <gyre/resolver/resolver.hpp>

namespace gyre::detail {

task<std::vector<address>> addresses_of(resolver* names, std::string host, std::uint16_t port,
                                        address_info_hints hints) {
    std::vector<address> found;
    if (const auto numeric = address::from_ip(host, port);
        numeric && (hints.family == AF_UNSPEC || hints.family == numeric->family())) {
        found.push_back(*numeric);
        co_return found;
    }
    const std::string service = std::to_string(port);
    resolver& asked = names != nullptr ? *names : default_resolver();
    for (const address_info& info : co_await asked.getaddrinfo(host, service, hints))
        found.push_back(info.address);
    co_return found;
}

} // namespace gyre::detail
