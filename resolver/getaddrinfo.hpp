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

    bool operator==(const address_info&) const = default;
};

struct address_info_hints {
    int family = AF_UNSPEC;
    int type = 0;
    int protocol = 0;
    int flags = 0; ///< AI_*

    bool operator==(const address_info_hints&) const = default;
};

/// The addresses of a host and the port of a service, never an empty list, in the order of
/// RFC 6724. getaddrinfo(3). Asks default_resolver(); see gyre::resolver (resolver.hpp) for where
/// look-ups run, what bounds them, and how they end.
///
/// The host is a name, a numeric address ("127.0.0.1", "127.1", "::1", "fe80::1%lo"), or "" for
/// none: that is every address of this host with AI_PASSIVE, and else the loopback. The service is
/// a name ("https"), a number ("443"), or "" for none, port 0. With neither: EAI_NONAME.
///
/// A numeric host with a numeric service, or none, is answered at once, with what getaddrinfo(3)
/// would say. (Not so with AI_ADDRCONFIG or AI_IDN, nor without a host for both families: the
/// kernel is asked about its interfaces then.)
///
/// Throws address_info_error. Before anything is asked: std::errc::invalid_argument for a NUL in a
/// name; EAI_SERVICE for a port that is not in 0..65535; EAI_NONAME for what cannot be a name: more
/// than 253 characters, a label that is empty or longer than 63, or what is not ASCII. With AI_IDN
/// that is encoded (IDNA 2008, by libidn2 where it is installed, in the charset of the locale).
task<std::vector<address_info>> getaddrinfo(std::string_view host, std::string_view service,
                                            address_info_hints hints = {});

} // namespace gyre
