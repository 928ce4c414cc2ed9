#include <gyre/io/kernel.hpp>
#include <gyre/io/tcp_option.hpp>
#include <gyre/resolver/addresses_of.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/socket_file.hpp>

#include <algorithm>
#include <string>

namespace gyre {
namespace {

constexpr int port_tries = 32; // to find one that is free at every address

void check_dualstack(const address& at, const server_options& options) {
    if (options.dualstack && !at.is_ipv6())
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "serve on " + at.to_string() + ": dualstack needs an IPv6 address");
}

socket bind_to(const address& at, const server_options& options) {
    socket s = socket::open(at.family(), SOCK_STREAM);
    if (at.is_ipv4() || at.is_ipv6()) {
        s.set(option::reuse_address, true);
        s.set(option::reuse_port, options.reuse_port);
        if (options.defer_accept.count() != 0)
            s.set(option::tcp::defer_accept, options.defer_accept);
    }
    if (at.is_ipv6())
        s.set(option::v6_only, !options.dualstack);
    s.bind(at);
    return s;
}

// Whatever fails: what the caller knows is where.
[[noreturn]] void rethrow(const error& e, const address& at) {
    detail::throw_error(e.code(), "serve on " + at.to_string());
}

socket listen_on(const address& at, const server_options& options) {
    check_dualstack(at, options);
    try {
        socket s = bind_to(at, options);
        s.listen(options.backlog);
        return s;
    } catch (const error& e) {
        rethrow(e, at);
    }
}

bool is_not_here(const std::error_code& code) noexcept {
    return code == std::errc::address_not_available ||
           code == std::errc::address_family_not_supported;
}

address with_port(address at, std::uint16_t port) {
    return at.is_ipv4() ? address::ipv4(at.ip_bytes().first<4>(), port)
                        : address::ipv6(at.ip_bytes().first<16>(), port, at.scope_id());
}

/// On each of several, or nothing where the port that the first one got is taken at another.
std::optional<std::vector<socket>> listen_on_each(const std::vector<address>& list,
                                                  const server_options& options) {
    std::vector<socket> all;
    std::exception_ptr not_here;
    std::uint16_t port = options.port;
    for (const address& at : list) {
        try {
            all.push_back(listen_on(with_port(at, port), options));
            port = all.back().getsockname().port();
        } catch (const error& e) {
            if (options.port == 0 && port != 0 && e.code() == std::errc::address_in_use)
                return std::nullopt;
            if (!is_not_here(e.code()))
                throw;
            if (!not_here)
                not_here = std::current_exception();
        }
    }
    if (all.empty())
        std::rethrow_exception(not_here);
    return all;
}

listener listen_on_all(const std::vector<address>& list, const server_options& options) {
    for (int n = 0; n < port_tries; ++n)
        if (auto all = listen_on_each(list, options))
            return listener(std::move(*all));
    throw error(std::make_error_code(std::errc::address_in_use),
                "serve on " + list.front().to_string() + " and others: no port is free on all");
}

task<std::vector<address>> addresses_to_serve(std::string host, server_options options) {
    std::vector<address> list;
    // A number is taken as it is: one of IPv4 with dualstack is no look-up that fails.
    const bool as_it_is = options.family != AF_UNSPEC || address::from_ip(host, 0).has_value();
    const int family = options.dualstack && !as_it_is ? AF_INET6 : options.family;
    if (host.empty()) {
        if (family != AF_INET6)
            list.push_back(address::any_ipv4(options.port));
        if (family != AF_INET)
            list.push_back(address::any_ipv6(options.port));
        co_return list;
    }
    const address_info_hints hints{.family = family, .type = SOCK_STREAM, .flags = AI_PASSIVE};
    for (const address& found :
         co_await detail::addresses_of(options.resolver, std::move(host), options.port, hints))
        if (std::ranges::find(list, found) == list.end())
            list.push_back(found);
    co_return list;
}

task<listener> serve_name(std::string host, server_options options) {
    co_return listen_on_all(co_await addresses_to_serve(std::move(host), options), options);
}

task<listener> serve_path(address at, server_options options) {
    check_dualstack(at, options);
    const std::string path(at.path());
    try {
        const owned_fd lock = co_await detail::lock_folder_of(path);
        if (lock)
            co_await detail::remove_stale(at);
        socket s = bind_to(at, options);
        auto file = std::make_unique<detail::socket_file>(path);
        if (options.mode) // nobody connects before it listens
            detail::check(detail::kernel().change_mode(path.c_str(), *options.mode), "chmod");
        s.listen(options.backlog);
        co_return listener(std::move(s), std::move(file));
    } catch (const error& e) {
        rethrow(e, at);
    }
}

task<listener> serve_on(address at, server_options options) {
    co_return listener(listen_on(at, options), nullptr);
}

} // namespace

// The host is copied here, before the coroutine waits for anything.
task<listener> create_server(server_options options) {
    return serve_name(std::string(options.host), options);
}

task<listener> detail::serve_at(const address& at, const server_options& options) {
    return at.is_unix_path() ? serve_path(at, options) : serve_on(at, options);
}

} // namespace gyre
