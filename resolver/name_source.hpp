#pragma once

#include <gyre/resolver/getaddrinfo.hpp>
#include <gyre/resolver/gethostbyname.hpp>
#include <gyre/resolver/getnameinfo.hpp>

#include <cstdint>
#include <expected>
#include <string>
#include <system_error>
#include <vector>

namespace gyre {

/// Who answers a resolver. This one asks the C library, which goes by nsswitch.conf(5); derive from
/// it to answer some or all otherwise: for a test, from another DNS library.
///
///     struct mine : gyre::name_source {
///         answer<std::vector<gyre::address_info>>
///         getaddrinfo(const std::string& host, const std::string& service,
///                     const gyre::address_info_hints& hints) override;
///     };
///     gyre::resolver names({.source = std::make_shared<mine>()});
///
/// The functions are called on the resolver's threads, several at once, and may block for as long
/// as they like. They say what failed by a code, which becomes the exception that its category
/// tells: address_info_category(), host_category(), else gyre::error. (An exception is taken for
/// its code.) The resolver keeps the source until the last call returns, which may be long after
/// the resolver itself has gone.
class name_source {
public:
    template <class T>
    using answer = std::expected<T, std::error_code>;

    name_source() = default;
    name_source(const name_source&) = delete;
    virtual ~name_source() = default;

    /// The host is no numeric address with a numeric service; "" stands for none.
    virtual answer<std::vector<address_info>> getaddrinfo(const std::string& host,
                                                          const std::string& service,
                                                          const address_info_hints& hints);
    /// Not both of NI_NUMERICHOST and NI_NUMERICSERV.
    virtual answer<name_info> getnameinfo(const address& of, int flags);
    /// AF_INET or AF_INET6. The name has been found by getaddrinfo before.
    virtual answer<host_entry> gethostbyname(const std::string& host, int family);
    virtual answer<host_entry> gethostbyaddr(const address& of);
    /// errc::not_found where there is none; the protocol "" is any.
    virtual answer<std::uint16_t> getservbyname(const std::string& name,
                                                const std::string& protocol);
    virtual answer<std::string> getservbyport(std::uint16_t port, const std::string& protocol);
    virtual answer<int> getprotobyname(const std::string& name);
};

} // namespace gyre
