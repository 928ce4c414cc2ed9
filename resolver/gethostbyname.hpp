#pragma once

#include <gyre/core/error.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/address.hpp>

#include <netdb.h>
#include <string>
#include <string_view>
#include <vector>

namespace gyre {

/// The category of h_errno (HOST_NOT_FOUND, TRY_AGAIN, NO_RECOVERY, NO_DATA), named "netdb".
const std::error_category& host_category() noexcept;

/// What the gethostby family itself could not find: code() is an h_errno of host_category().
class host_error : public error {
public:
    host_error(int h_errno_value, const std::string& doing);
};

struct host_entry {
    std::string name; ///< the canonical one
    std::vector<std::string> aliases;
    std::vector<address> addresses; ///< port 0; may hold one twice, where /etc/hosts does

    bool operator==(const host_entry&) const = default;
};

/// The older look-ups, as Python's socket module has them. A host is what getaddrinfo takes, and
/// goes through it: that it is unknown is an address_info_error.

/// The first IPv4 address of a host, with port 0. "" is 0.0.0.0, "<broadcast>" 255.255.255.255; an
/// IPv6 address is EAI_ADDRFAMILY.
task<address> gethostbyname(std::string_view host);

/// The host's name, its other names, and its IPv4 addresses. Throws host_error where only
/// gethostbyname(3) fails, and, NO_RECOVERY, for the host "".
task<host_entry> gethostbyname_ex(std::string_view host);

/// The names of an address, IPv4 or IPv6; of a host that is given by name, those of its first
/// address. Throws host_error for an address without a name: HOST_NOT_FOUND, or TRY_AGAIN where the
/// name server does not answer. Another family, and the host "", are
/// std::errc::invalid_argument. gethostbyaddr(3).
task<host_entry> gethostbyaddr(std::string_view host);
task<host_entry> gethostbyaddr(const address& of);

/// The name of a host with its domain: of what gethostbyaddr calls it, the first with a dot, else
/// the first. A host that cannot be looked up is given back as it is. "", "0.0.0.0" and "::" stand
/// for this host, gethostname(); blanks around the name do not count.
task<std::string> getfqdn(std::string_view host = "");

} // namespace gyre
