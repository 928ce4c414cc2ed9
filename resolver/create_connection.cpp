#include <gyre/core/combine.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/io/ip_option.hpp>
#include <gyre/resolver/addresses_of.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/interleave.hpp>

#include <algorithm>

namespace gyre {
namespace {

// Of an attempt that has not ended.
constexpr std::errc in_progress = std::errc::operation_in_progress;

bool never_left_this_host(const std::error_code& code) {
    return code == errc::no_source || code == std::errc::address_family_not_supported ||
           code == std::errc::network_unreachable || code == std::errc::address_not_available;
}

std::error_code reason_of(std::span<const connection_attempt> attempts) {
    std::error_code reason = attempts.front().code;
    for (const connection_attempt& a : attempts)
        if (!never_left_this_host(a.code) || never_left_this_host(reason))
            reason = a.code;
    return reason;
}

// "connect to example.org:443: Deadline exceeded (192.0.2.1:443: no answer)"
std::string describe(const std::string& to, const std::error_code& code,
                     std::span<const connection_attempt> attempts) {
    std::string list;
    for (const connection_attempt& a : attempts)
        list += (list.empty() ? "" : "; ") + a.address.to_string() + ": " +
                (a.code == in_progress ? "no answer" : a.code.message());
    return "connect to " + to + ": " + code.message() + (list.empty() ? "" : " (" + list + ')');
}

class connection_timeout final : public timeout_error {
public:
    connection_timeout(const std::string& to, std::span<const connection_attempt> attempts)
        : timeout_error("connect to " + to),
          text_(std::make_shared<std::string>(describe(to, code(), attempts))) {}
    const char* what() const noexcept override { return text_->c_str(); }

private:
    std::shared_ptr<const std::string> text_;
};

// One call of create_connection: what its attempts share.
struct connecting {
    std::string to;
    connection_options options;
    std::vector<address> addresses = {};           // in the order of attempts
    std::vector<connection_attempt> attempts = {}; // those that have begun
    socket winner = {};
};

socket prepared(const address& to, const connection_options& options) {
    const address& source = options.source;
    if (!source.empty() && source.family() != to.family())
        throw error(errc::no_source, "connect to " + to.to_string());
    socket s = socket::open(to.family(), SOCK_STREAM);
    if (options.prepare != nullptr)
        options.prepare(s);
    if (source.is_ipv4() || source.is_ipv6()) {
        // Without a port, one that is free for this peer; with one, no other peer keeps it busy.
        if (source.port() == 0)
            s.set(option::ip::bind_address_no_port, true);
        else
            s.set(option::reuse_address, true);
    }
    if (!source.empty())
        s.bind(source);
    return s;
}

// Where nobody listens on a port that the kernel then chooses as ours, TCP connects the two.
bool connected_to_itself(const socket& s, const address& to, const connection_options& options) {
    return (to.is_ipv4() || to.is_ipv6()) && options.source != to && s.getsockname() == to;
}

void begin_next(connecting& c, task_group& all);

task<> attempt(connecting& c, task_group& all, std::size_t mine) {
    const address to = c.addresses[mine];
    const bool last = mine + 1 == c.addresses.size();
    const auto next = [&] {
        if (!last && !c.winner && c.attempts.size() == mine + 1)
            begin_next(c, all);
    };
    const auto next_after_delay = [&]() -> task<> {
        if (co_await as_result(sleep_for(c.options.happy_eyeballs_delay)))
            next();
    };
    const auto limit = c.options.attempt_timeout.value_or(std::chrono::nanoseconds::max());
    std::error_code failure;
    try {
        socket s = prepared(to, c.options);
        co_await with_group([&](task_group& waits) -> task<> {
            if (!last)
                waits.spawn(next_after_delay());
            failure = co_await s.connect_ex(to).within(limit);
            waits.cancel();
        });
        if (!failure && connected_to_itself(s, to, c.options))
            failure = std::make_error_code(std::errc::connection_refused);
        if (!failure && !c.winner)
            c.winner = std::move(s);
    } catch (const std::system_error& e) {
        failure = e.code();
    }
    if (!failure) {
        all.cancel();
    } else if (failure != errc::cancelled) {
        c.attempts[mine].code = failure;
        next();
    }
}

void begin_next(connecting& c, task_group& all) {
    const std::size_t i = c.attempts.size();
    c.attempts.push_back({c.addresses[i], std::make_error_code(in_progress)});
    all.spawn(attempt(c, all, i));
}

task<socket> connect(connecting& c) {
    co_await with_group([&](task_group& all) -> task<> {
        begin_next(c, all);
        co_return;
    });
    if (c.winner)
        co_return std::move(c.winner);
    for (const connection_attempt& a : c.attempts)
        if (a.code == in_progress)
            throw error(errc::cancelled, "connect");
    throw connection_error(c.to, std::move(c.attempts));
}

task<socket> look_up_and_connect(connecting& c, const std::string& host, std::uint16_t port) {
    const address_info_hints hints{.family = c.options.family, .type = SOCK_STREAM};
    c.addresses = detail::interleave(
        co_await detail::addresses_of(c.options.resolver, host, port, hints), c.options.interleave);
    co_return co_await connect(c);
}

// A deadline or a cancel may come at any step: what the caller knows is whom to connect to.
task<socket> limited(connecting& c, task<socket> t) {
    try {
        if (c.options.timeout)
            co_return co_await with_timeout(*c.options.timeout, std::move(t));
        co_return co_await t;
    } catch (const connection_error&) {
        throw;
    } catch (const timeout_error&) {
        const bool known = c.attempts.size() == 1 && c.attempts[0].address.to_string() == c.to;
        throw connection_timeout(c.to, known ? std::span<connection_attempt>() : c.attempts);
    } catch (const error& e) {
        if (e.code() == errc::cancelled)
            throw error(e.code(), "connect to " + c.to);
        throw;
    }
}

task<socket> connect_host(std::string host, std::uint16_t port, connection_options options) {
    const auto numeric = address::from_ip(host, port);
    connecting c{numeric ? numeric->to_string() : host + ':' + std::to_string(port), options};
    co_return co_await limited(c, look_up_and_connect(c, host, port));
}

task<socket> connect_address(address to, connection_options options) {
    connecting c{to.to_string(), options, {to}};
    co_return co_await limited(c, connect(c));
}

} // namespace

connection_error::connection_error(const std::string& to, std::vector<connection_attempt> attempts)
    : error(reason_of(attempts), "connect to " + to) {
    std::string text = attempts.size() == 1 ? describe(attempts[0].address.to_string(), code(), {})
                                            : describe(to, code(), attempts);
    told_ = std::make_shared<told>(std::move(attempts), std::move(text));
}

// The host is copied here, before the coroutine waits for anything.
task<socket> create_connection(std::string_view host, std::uint16_t port,
                               connection_options options) {
    return connect_host(std::string(host), port, options);
}

task<socket> create_connection(address to, connection_options options) {
    return connect_address(to, options);
}

} // namespace gyre
