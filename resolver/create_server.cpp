#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <string>

namespace gyre {
namespace {

socket listen_on(const address& at, const server_options& options) {
    if (options.dualstack && !at.is_ipv6())
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "serve on " + at.to_string() + ": dualstack needs an IPv6 address");
    socket s = socket::open(at.family(), SOCK_STREAM);
    if (at.is_ipv4() || at.is_ipv6()) {
        s.set(option::reuse_address, true);
        s.set(option::reuse_port, options.reuse_port);
    }
    if (at.is_ipv6())
        s.set(option::v6_only, !options.dualstack);
    s.bind(at);
    s.listen(options.backlog);
    return s;
}

task<socket> serve_on(address at, server_options options) {
    co_return listen_on(at, options);
}

task<socket> serve_name(std::string host, server_options options) {
    if (host.empty())
        co_return listen_on(options.dualstack ? address::any_ipv6(options.port)
                                              : address::any_ipv4(options.port),
                            options);
    if (const auto numeric = address::from_ip(host, options.port))
        co_return listen_on(*numeric, options);
    const address_info_hints hints{.family = options.dualstack ? AF_INET6 : AF_UNSPEC,
                                   .type = SOCK_STREAM,
                                   .flags = AI_PASSIVE};
    const std::string service = std::to_string(options.port);
    const auto found = co_await getaddrinfo(host, service, hints);
    co_return listen_on(found.front().address, options);
}

} // namespace

// The host is copied here, before the coroutine waits for anything.
task<socket> create_server(server_options options) {
    return serve_name(std::string(options.host), options);
}

task<socket> create_server(address at, server_options options) {
    return serve_on(at, options);
}

} // namespace gyre
