#pragma once

#include <gyre/io/address.hpp>

#include <string>
#include <string_view>

namespace tool {

enum class protocol : unsigned char { tcp, udp, unix_stream };

/// "tcp", "udp", "unix", as --protocol has them.
std::string_view to_string(protocol p) noexcept;
/// Throws std::invalid_argument.
protocol parse_protocol(std::string_view name);

/// Where a server is: gyre's text form of an address, `udp:` before it for datagrams.
struct endpoint {
    gyre::address address;
    protocol kind = protocol::tcp;

    std::string to_string() const;
};

/// Throws std::invalid_argument, with what is wrong with the text.
endpoint parse_endpoint(std::string_view text);

/// The text to give to a server that shall choose its address: port 0, or an abstract UNIX name
/// that no other run has.
std::string fresh_address(protocol p);

/// The largest message: 65507 for datagrams, else 1 GiB.
std::size_t largest_message(protocol p) noexcept;

} // namespace tool
