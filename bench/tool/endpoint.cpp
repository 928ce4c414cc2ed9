#include "endpoint.hpp"

#include <cstddef>
#include <stdexcept>
#include <unistd.h>

namespace tool {

std::string_view to_string(protocol p) noexcept {
    switch (p) {
    case protocol::tcp: return "tcp";
    case protocol::udp: return "udp";
    case protocol::unix_stream: return "unix";
    }
    return "?";
}

protocol parse_protocol(std::string_view name) {
    for (const protocol p : {protocol::tcp, protocol::udp, protocol::unix_stream})
        if (name == to_string(p))
            return p;
    throw std::invalid_argument("protocol \"" + std::string(name) +
                                "\" (expected tcp, udp or unix)");
}

std::string endpoint::to_string() const {
    return (kind == protocol::udp ? "udp:" : "") + address.to_string();
}

endpoint parse_endpoint(std::string_view text) {
    const bool datagrams = text.starts_with("udp:");
    const auto address = gyre::address::try_parse(text.substr(datagrams ? 4 : 0));
    if (!address)
        throw std::invalid_argument(address.error().message);
    if (address->family() != AF_UNIX)
        return {*address, datagrams ? protocol::udp : protocol::tcp};
    if (datagrams)
        throw std::invalid_argument("\"" + std::string(text) + "\": udp: goes with an IP address");
    return {*address, protocol::unix_stream};
}

std::string fresh_address(protocol p) {
    static int number = 0;
    switch (p) {
    case protocol::tcp: return "127.0.0.1:0";
    case protocol::udp: return "udp:127.0.0.1:0";
    case protocol::unix_stream: break;
    }
    return "unix:@gyre-bench-" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

std::size_t largest_message(protocol p) noexcept {
    return p == protocol::udp ? 65507 : std::size_t{1} << 30;
}

} // namespace tool
