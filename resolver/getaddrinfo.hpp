#pragma once

#include <gyre/core/error.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/address.hpp>

#include <netdb.h>
#include <string>
#include <string_view>
#include <vector>

namespace gyre {

/// The category of EAI_* numbers, named "getaddrinfo". gai_strerror(3).
const std::error_category& address_info_category() noexcept;

/// A look-up failed: code() is an EAI_* number of address_info_category().
class address_info_error : public error {
public:
    address_info_error(int eai, const std::string& doing);
};

/// One way to reach what was looked up: what socket::open and connect, or bind, take.
struct address_info {
    int family = AF_UNSPEC;
    int type = 0;
    int protocol = 0;
    std::string canonical_name; ///< of the first entry, where AI_CANONNAME was asked for
    gyre::address address;
};

struct address_info_hints {
    int family = AF_UNSPEC;
    int type = 0;
    int protocol = 0;
    int flags = 0; ///< AI_*
};

/// Looks up a host and a service (a name, a number, or nothing) on a thread of its own: the loop
/// goes on meanwhile. Throws address_info_error, and std::errc::invalid_argument for a NUL in
/// either. Cancelling it ends the await at once. getaddrinfo(3), RFC 6724 for the order.
task<std::vector<address_info>> getaddrinfo(std::string_view host, std::string_view service,
                                            address_info_hints hints = {});

} // namespace gyre
