#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/address.hpp>

#include <netdb.h>
#include <string>

namespace gyre {

struct name_info {
    std::string host;    ///< a name, or where it has none, the numeric address
    std::string service; ///< a name, or where it has none, the port

    bool operator==(const name_info&) const = default;
};

/// What an address is called: `auto [host, service] = co_await gyre::getnameinfo(peer);`
///
/// `flags` are NI_*. With NI_NUMERICHOST and NI_NUMERICSERV the answer is there at once; an IPv6
/// scope is written by name, fe80::1%lo. A host without a name is numeric, unless NI_NAMEREQD:
/// then, and when the name server does not answer, throws address_info_error. So does an address
/// that is none of IP or UNIX: EAI_FAMILY. getnameinfo(3).
task<name_info> getnameinfo(const address& of, int flags = 0);

} // namespace gyre
