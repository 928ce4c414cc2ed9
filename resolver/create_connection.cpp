#include <gyre/core/combine.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <string>

namespace gyre {
namespace {

task<socket> connect_one(address to) {
    socket s = socket::open(to.family(), SOCK_STREAM);
    co_await s.connect(to).without_deadline();
    co_return s;
}

task<socket> connect_any(const std::string& host, std::uint16_t port, int family) {
    if (const auto numeric = address::from_ip(host, port);
        numeric && (family == AF_UNSPEC || family == numeric->family())) {
        co_return co_await connect_one(*numeric);
    }
    const address_info_hints hints{.family = family, .type = SOCK_STREAM};
    const std::string service = std::to_string(port);
    std::exception_ptr failure;
    for (const address_info& info : co_await getaddrinfo(host, service, hints)) {
        try {
            co_return co_await connect_one(info.address);
        } catch (const error& e) {
            if (e.code() == errc::cancelled)
                throw;
            failure = std::current_exception();
        }
    }
    std::rethrow_exception(failure); // getaddrinfo never gives an empty list
}

task<socket> limited(task<socket> t, connection_options options) {
    if (options.timeout)
        co_return co_await with_timeout(*options.timeout, std::move(t));
    co_return co_await t;
}

// A deadline or a cancel may come at any step: what the caller knows is whom to connect to.
[[noreturn]] void rethrow(const error& e, const std::string& to) {
    if (e.code() == errc::timed_out || e.code() == errc::cancelled)
        detail::throw_error(e.code(), "connect to " + to);
    throw;
}

std::string name_of(const std::string& host, std::uint16_t port) {
    const auto numeric = address::from_ip(host, port);
    return numeric ? numeric->to_string() : host + ':' + std::to_string(port);
}

task<socket> connect_host(std::string host, std::uint16_t port, connection_options options) {
    try {
        co_return co_await limited(connect_any(host, port, options.family), options);
    } catch (const error& e) {
        rethrow(e, name_of(host, port));
    }
}

task<socket> connect_address(address to, connection_options options) {
    try {
        co_return co_await limited(connect_one(to), options);
    } catch (const error& e) {
        rethrow(e, to.to_string());
    }
}

} // namespace

task<socket> create_connection(std::string_view host, std::uint16_t port,
                               connection_options options) {
    return connect_host(std::string(host), port, options);
}

task<socket> create_connection(address to, connection_options options) {
    return connect_address(to, options);
}

} // namespace gyre
