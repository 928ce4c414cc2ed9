#include <gyre/core/combine.hpp>
#include <gyre/resolver/addresses_of.hpp>
#include <gyre/resolver/create_datagram_endpoint.hpp>
#include <gyre/resolver/socket_file.hpp>

#include <string>
#include <vector>

namespace gyre {
namespace {

task<socket> open_endpoint(address local, address remote, datagram_options options) {
    if (local.empty() && remote.empty())
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "create_datagram_endpoint: neither a local nor a remote address");
    socket s = socket::open(local.empty() ? remote.family() : local.family(), SOCK_DGRAM);
    if (options.reuse_port)
        s.set(option::reuse_port, true);
    if (options.broadcast)
        s.set(option::broadcast, true);
    if (local.host() == "::")
        s.set(option::v6_only, !options.dualstack);
    if (options.prepare != nullptr)
        options.prepare(s);
    owned_fd lock;
    if (local.is_unix_path()) {
        lock = co_await detail::lock_folder_of(std::string(local.path()));
        if (lock)
            co_await detail::remove_stale(local);
    }
    if (!local.empty())
        s.bind(local);
    if (!remote.empty() && !options.broadcast)
        co_await s.connect(remote).without_deadline();
    co_return s;
}

// The addresses of an end; none where no host was given.
task<std::vector<address>> look_up(const std::string& host, std::uint16_t port,
                                   const datagram_options& options) {
    if (host.empty())
        co_return std::vector<address>();
    const address_info_hints hints{.family = options.family, .type = SOCK_DGRAM};
    co_return co_await detail::addresses_of(options.resolver, host, port, hints);
}

address any(int family, std::uint16_t port) {
    return family == AF_INET6 ? address::any_ipv6(port) : address::any_ipv4(port);
}

task<socket> open_by_name(std::string local_host, std::string remote_host, datagram_options o) {
    if (remote_host.empty() && o.remote_port != 0)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "create_datagram_endpoint: a remote port without a host");
    auto [locals, remotes] =
        co_await all(look_up(local_host, o.local_port, o), look_up(remote_host, o.remote_port, o));
    // The kernel chooses when it connects; who is not connected can be found only where he is
    // bound.
    const bool bound = !locals.empty() || o.local_port != 0 || remotes.empty() || o.broadcast;
    if (remotes.empty())
        remotes.emplace_back();
    std::exception_ptr failure;
    for (const address& remote : remotes) {
        std::vector<address> from = locals;
        if (from.empty())
            from.push_back(bound ? any(remote.empty() ? o.family : remote.family(), o.local_port)
                                 : address());
        for (const address& local : from) {
            if (!local.empty() && !remote.empty() && local.family() != remote.family())
                continue;
            try {
                co_return co_await open_endpoint(local, remote, o);
            } catch (const error& e) {
                if (e.code() == errc::cancelled)
                    throw;
                failure = std::current_exception();
            }
        }
    }
    if (failure)
        std::rethrow_exception(failure);
    throw error(std::make_error_code(std::errc::invalid_argument),
                "create_datagram_endpoint: " + local_host + " and " + remote_host +
                    " have no addresses of one family");
}

} // namespace

// The hosts are copied here, before the coroutine waits for anything.
task<socket> create_datagram_endpoint(datagram_options options) {
    return open_by_name(std::string(options.local_host), std::string(options.remote_host), options);
}

task<socket> detail::datagram_endpoint(const address& local, const address& remote,
                                       const datagram_options& options) {
    return open_endpoint(local, remote, options);
}

} // namespace gyre
