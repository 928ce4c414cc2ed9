#include <gyre/io/address_text.hpp>
#include <gyre/io/host.hpp>
#include <gyre/resolver/lookup_pool.hpp>
#include <gyre/resolver/numeric.hpp>
#include <gyre/resolver/resolver.hpp>

#include <algorithm>
#include <cstring>

namespace gyre {
namespace {

using detail::lookup_pool;

[[noreturn]] void throw_failure(std::error_code code, const std::string& doing) {
    if (code.category() == address_info_category())
        throw address_info_error(code.value(), doing);
    if (code.category() == host_category())
        throw host_error(code.value(), doing);
    detail::throw_error(code, doing);
}

/// A text that may come from a peer, as part of a message.
std::string shown(std::string_view text) {
    constexpr std::size_t enough = 256; // a name has at most 253
    return detail::escape(text.substr(0, enough)) + (text.size() > enough ? "..." : "");
}

std::string look_up_of(std::string_view host, std::string_view service) {
    return "look up " + (host.empty() ? "(any host)" : shown(host)) +
           (service.empty() ? "" : ", service " + shown(service));
}

std::string with_protocol(std::string_view what, std::string_view protocol) {
    return shown(what) + (protocol.empty() ? "" : '/' + shown(protocol));
}

// ---- What can be asked ------------------------------------------------------------------------

// Each question has a key, which tells it from all others: its kind, then numbers, then texts with
// a NUL between them, since none has one inside.

void put(std::string& key, int number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    key.append(bytes, sizeof bytes);
}

struct address_question {
    using result = std::vector<address_info>;
    std::string host;
    std::string service;
    address_info_hints hints;

    std::string key() const {
        std::string k(1, 'a');
        k.reserve(sizeof hints + host.size() + service.size() + 2);
        for (const int n : {hints.family, hints.type, hints.protocol, hints.flags})
            put(k, n);
        return k.append(host).append(1, '\0').append(service);
    }
    name_source::answer<result> ask(name_source& s) const {
        return s.getaddrinfo(host, service, hints);
    }
    std::string doing() const { return look_up_of(host, service); }
};

struct name_question {
    using result = name_info;
    address of;
    int flags;

    std::string key() const {
        std::string k(1, 'n');
        put(k, flags);
        return k.append(reinterpret_cast<const char*>(of.data()), of.size());
    }
    name_source::answer<result> ask(name_source& s) const { return s.getnameinfo(of, flags); }
    std::string doing() const { return "look up the name of " + of.to_string(); }
};

struct host_question {
    using result = host_entry;
    std::string host;

    std::string key() const { return 'h' + host; }
    name_source::answer<result> ask(name_source& s) const { return s.gethostbyname(host, AF_INET); }
    std::string doing() const { return "gethostbyname_ex " + shown(host); }
};

struct reverse_question {
    using result = host_entry;
    address of;

    std::string key() const {
        const auto ip = of.ip_bytes();
        return std::string(1, 'r').append(reinterpret_cast<const char*>(ip.data()), ip.size());
    }
    name_source::answer<result> ask(name_source& s) const { return s.gethostbyaddr(of); }
    std::string doing() const { return "gethostbyaddr " + of.host(); }
};

struct service_question {
    using result = std::uint16_t;
    std::string name;
    std::string protocol;

    std::string key() const { return 's' + name + '\0' + protocol; }
    name_source::answer<result> ask(name_source& s) const {
        return s.getservbyname(name, protocol);
    }
    std::string doing() const { return "getservbyname " + with_protocol(name, protocol); }
};

struct port_question {
    using result = std::string;
    std::uint16_t port;
    std::string protocol;

    std::string key() const { return 'p' + std::to_string(port) + '\0' + protocol; }
    name_source::answer<result> ask(name_source& s) const {
        return s.getservbyport(port, protocol);
    }
    std::string doing() const {
        return "getservbyport " + with_protocol(std::to_string(port), protocol);
    }
};

struct protocol_question {
    using result = int;
    std::string name;

    std::string key() const { return 'o' + name; }
    name_source::answer<result> ask(name_source& s) const { return s.getprotobyname(name); }
    std::string doing() const { return "getprotobyname " + shown(name); }
};

// ---- Asking -----------------------------------------------------------------------------------

template <class Question>
class asked final : public detail::flight {
public:
    asked(std::string k, Question q) : flight(std::move(k)), question(std::move(q)) {}

    void ask(name_source& source) noexcept override {
        try {
            answer = question.ask(source);
        } catch (const std::system_error& e) {
            answer = std::unexpected(e.code());
        } catch (const std::bad_alloc&) {
            answer = std::unexpected(std::make_error_code(std::errc::not_enough_memory));
        } catch (...) {
            answer = std::unexpected(std::error_code(EAI_FAIL, address_info_category()));
        }
    }
    std::error_code code() const noexcept override {
        return answer ? std::error_code() : answer.error();
    }

    const Question question;
    name_source::answer<typename Question::result> answer = std::unexpected(std::error_code());
};

struct seat {
    lookup_pool& pool;
    detail::flight& in;
    ~seat() { pool.leave(in); }
};

class landing : public detail::future_awaiter {
public:
    using future_awaiter::future_awaiter;
    void await_resume() { check(); }
};

template <class Question>
task<typename Question::result> look_up(std::shared_ptr<lookup_pool> pool, Question q) {
    std::string key = q.key();
    std::shared_ptr<detail::flight> f = pool->join(key);
    if (f == nullptr) {
        const std::string doing = q.doing();
        f = pool->begin(std::make_shared<asked<Question>>(std::move(key), std::move(q)), doing);
    }
    const seat here{*pool, *f};
    landing end(f);
    co_await end;
    auto& a = static_cast<asked<Question>&>(*f);
    if (a.closed.load(std::memory_order_relaxed))
        throw error(errc::closed, a.question.doing());
    if (!a.answer)
        throw_failure(a.answer.error(), a.question.doing());
    if (lookup_pool::alone(a))
        co_return std::move(*a.answer);
    co_return *a.answer;
}

template <class T>
task<T> failed(std::error_code code, std::string doing) {
    throw_failure(code, doing);
    co_return T();
}

template <class T>
task<T> answered(T result) {
    co_return std::move(result);
}

/// How to say that a text with a NUL in it is no name, or nothing when it has none.
bool has_nul(std::string_view text) noexcept {
    return std::memchr(text.data(), '\0', text.size()) != nullptr;
}

constexpr auto invalid = std::errc::invalid_argument;

template <class T>
task<T> refuse_nul(const std::string& doing) {
    return failed<T>(std::make_error_code(invalid), doing + ", a name with a NUL in it");
}

std::error_code eai(int number) {
    return {number, address_info_category()};
}

using addresses = std::vector<address_info>;

task<addresses> look_up_addresses(const std::shared_ptr<lookup_pool>& pool, std::string_view host,
                                  std::string_view service, const address_info_hints& hints) {
    addresses found;
    const auto known = detail::numeric_addresses(host, service, hints, found);
    if (known == 0)
        return answered(std::move(found));
    if (has_nul(host) || has_nul(service))
        return refuse_nul<addresses>(look_up_of(host, service));
    if (known)
        return failed<addresses>(eai(*known), look_up_of(host, service));
    if (!host.empty())
        if (const int wrong = detail::check_host_name(host, hints.flags); wrong != 0)
            return failed<addresses>(
                eai(wrong),
                look_up_of(host, service) +
                    (detail::is_ascii(host) ? "" : ", which is not ASCII (see AI_IDN)"));
    return look_up(pool, address_question{std::string(host), std::string(service), hints});
}

constexpr address_info_hints ipv4_streams{.family = AF_INET, .type = SOCK_STREAM};

task<address> first_address(task<addresses> t) {
    const addresses found = co_await std::move(t);
    co_return found.front().address;
}

// The text was looked up before anything else, as Python does.
task<host_entry> look_up_host(std::shared_ptr<lookup_pool> pool, std::string host,
                              task<addresses> forward) {
    co_await std::move(forward);
    auto next = look_up(std::move(pool), host_question{std::move(host)}); // not braced in co_await
    co_return co_await std::move(next);
}

task<host_entry> look_up_reverse(std::shared_ptr<lookup_pool> pool, task<addresses> forward) {
    const addresses found = co_await std::move(forward);
    auto next = look_up(std::move(pool), reverse_question{found.front().address});
    co_return co_await std::move(next);
}

std::string best_name(host_entry entry) {
    if (entry.name.contains('.'))
        return std::move(entry.name);
    for (std::string& alias : entry.aliases)
        if (alias.contains('.'))
            return std::move(alias);
    return std::move(entry.name);
}

task<std::string> full_name(std::string host, task<host_entry> t) {
    try {
        host_entry entry = co_await std::move(t);
        co_return best_name(std::move(entry));
    } catch (const error& e) {
        const std::error_category& of = e.code().category();
        if (of != address_info_category() && of != host_category() && of != std::system_category())
            throw; // not that it was not found
    }
    co_return host;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\n\v\f\r";
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

} // namespace

resolver::resolver(resolver_options options)
    : pool_(std::make_shared<lookup_pool>(std::move(options))) {}

resolver::~resolver() {
    pool_->close();
}

task<addresses> resolver::getaddrinfo(std::string_view host, std::string_view service,
                                      address_info_hints hints) {
    return look_up_addresses(pool_, host, service, hints);
}

task<name_info> resolver::getnameinfo(const address& of, int flags) {
    constexpr int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
    const name_question q{of, flags};
    if ((flags & numeric) != numeric)
        return look_up(pool_, q);
    auto known = name_source().name_source::getnameinfo(of, flags);
    if (!known)
        return failed<name_info>(known.error(), q.doing());
    return answered(*std::move(known));
}

task<address> resolver::gethostbyname(std::string_view host) {
    if (host.empty())
        return answered(address::any_ipv4(0));
    if (host == "<broadcast>")
        return answered(address::ipv4(INADDR_BROADCAST, 0));
    return first_address(look_up_addresses(pool_, host, "", ipv4_streams));
}

task<host_entry> resolver::gethostbyname_ex(std::string_view host) {
    if (host.empty())
        return failed<host_entry>({NO_RECOVERY, host_category()}, "gethostbyname_ex of no host");
    return look_up_host(pool_, std::string(host), look_up_addresses(pool_, host, "", ipv4_streams));
}

task<host_entry> resolver::gethostbyaddr(std::string_view host) {
    if (host.empty())
        return failed<host_entry>(std::make_error_code(invalid), "gethostbyaddr of no host");
    return look_up_reverse(pool_, look_up_addresses(pool_, host, "", {.type = SOCK_STREAM}));
}

task<host_entry> resolver::gethostbyaddr(const address& of) {
    if (of.ip_bytes().empty())
        return failed<host_entry>(std::make_error_code(invalid),
                                  "gethostbyaddr " + of.to_string() + ", which is not IP");
    return look_up(pool_, reverse_question{of});
}

task<std::string> resolver::getfqdn(std::string_view host) {
    const std::string own = gethostname();
    host = trimmed(host);
    if (host.empty() || host == "0.0.0.0" || host == "::")
        host = own;
    return full_name(std::string(host), gethostbyaddr(host));
}

task<std::uint16_t> resolver::getservbyname(std::string_view name, std::string_view protocol) {
    service_question q{std::string(name), std::string(protocol)};
    if (has_nul(name) || has_nul(protocol))
        return refuse_nul<std::uint16_t>(q.doing());
    return look_up(pool_, std::move(q));
}

task<std::string> resolver::getservbyport(int port, std::string_view protocol) {
    const std::string doing = "getservbyport " + with_protocol(std::to_string(port), protocol);
    if (has_nul(protocol))
        return refuse_nul<std::string>(doing);
    if (port < 0 || port > 65535)
        return failed<std::string>(std::make_error_code(invalid), doing + ", not in 0..65535");
    return look_up(pool_, port_question{static_cast<std::uint16_t>(port), std::string(protocol)});
}

task<int> resolver::getprotobyname(std::string_view name) {
    protocol_question q{std::string(name)};
    if (has_nul(name))
        return refuse_nul<int>(q.doing());
    return look_up(pool_, std::move(q));
}

void resolver::configure(resolver_options options) {
    pool_->configure(std::move(options));
}

resolver_statistics resolver::statistics() const {
    return pool_->statistics();
}

void resolver::clear_cache() {
    pool_->clear_cache();
}

// ---- The resolver of everyone -----------------------------------------------------------------

resolver& default_resolver() {
    static auto* const instance = new resolver; // a look-up may outlive main()
    return *instance;
}

task<addresses> getaddrinfo(std::string_view host, std::string_view service,
                            address_info_hints hints) {
    return default_resolver().getaddrinfo(host, service, hints);
}

task<name_info> getnameinfo(const address& of, int flags) {
    return default_resolver().getnameinfo(of, flags);
}

task<address> gethostbyname(std::string_view host) {
    return default_resolver().gethostbyname(host);
}

task<host_entry> gethostbyname_ex(std::string_view host) {
    return default_resolver().gethostbyname_ex(host);
}

task<host_entry> gethostbyaddr(std::string_view host) {
    return default_resolver().gethostbyaddr(host);
}

task<host_entry> gethostbyaddr(const address& of) {
    return default_resolver().gethostbyaddr(of);
}

task<std::string> getfqdn(std::string_view host) {
    return default_resolver().getfqdn(host);
}

task<std::uint16_t> getservbyname(std::string_view name, std::string_view protocol) {
    return default_resolver().getservbyname(name, protocol);
}

task<std::string> getservbyport(int port, std::string_view protocol) {
    return default_resolver().getservbyport(port, protocol);
}

task<int> getprotobyname(std::string_view name) {
    return default_resolver().getprotobyname(name);
}

} // namespace gyre
