#pragma once

#include <gyre/resolver/name_source.hpp>
#include <gyre/resolver/resolver.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace gyre_test {

/// Answers a resolver without any server: every name has the address 192.0.2.1 and port 80, unless
/// something else was said. It can hold its answers back, and knows who was asked for.
class test_source final : public gyre::name_source {
public:
    /// The answer to look-ups of this name is this failure.
    void fail(const std::string& name, std::error_code code);
    /// Look-ups of this name do not return before let_go().
    void hold(const std::string& name);
    void let_go(const std::string& name);
    void let_all_go();

    /// How many look-ups of it have begun.
    int asked(const std::string& name) const;
    int asked() const;
    /// Returns once so many have begun (or after 10 s: false).
    bool await_asked(const std::string& name, int n) const;
    /// Where the last look-up ran.
    std::thread::id thread() const;

    answer<std::vector<gyre::address_info>>
    getaddrinfo(const std::string& host, const std::string& service,
                const gyre::address_info_hints& hints) override;
    answer<gyre::name_info> getnameinfo(const gyre::address& of, int flags) override;
    answer<gyre::host_entry> gethostbyname(const std::string& host, int family) override;
    answer<gyre::host_entry> gethostbyaddr(const gyre::address& of) override;
    answer<std::uint16_t> getservbyname(const std::string& name,
                                        const std::string& protocol) override;
    answer<std::string> getservbyport(std::uint16_t port, const std::string& protocol) override;
    answer<int> getprotobyname(const std::string& name) override;

    /// What the gethostby functions say, beside the address.
    std::string canonical = "canonical.test";
    std::vector<std::string> aliases;

private:
    std::error_code ask(const std::string& name);

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::map<std::string, int> asked_;
    std::map<std::string, std::error_code> failures_;
    std::set<std::string> held_;
    int total_ = 0;
    std::thread::id thread_;
};

/// A resolver that asks a test_source, and lets go of whom that holds at the end.
struct test_names {
    explicit test_names(gyre::resolver_options options = {})
        : source(std::make_shared<test_source>()) {
        options.source = source;
        resolver.emplace(options);
    }
    test_names(const test_names&) = delete;
    ~test_names() { source->let_all_go(); }

    gyre::task<std::vector<gyre::address_info>> find(std::string_view name) {
        return resolver->getaddrinfo(name, "80", {.type = SOCK_STREAM});
    }
    gyre::resolver* operator->() { return &*resolver; }

    std::shared_ptr<test_source> source;
    std::optional<gyre::resolver> resolver;
};

} // namespace gyre_test
