#include "test_source.hpp"

#include <chrono>

namespace gyre_test {

void test_source::fail(const std::string& name, std::error_code code) {
    const std::lock_guard lock(mutex_);
    failures_[name] = code;
}

void test_source::hold(const std::string& name) {
    const std::lock_guard lock(mutex_);
    held_.insert(name);
}

void test_source::let_go(const std::string& name) {
    const std::lock_guard lock(mutex_);
    held_.erase(name);
    changed_.notify_all();
}

void test_source::let_all_go() {
    const std::lock_guard lock(mutex_);
    held_.clear();
    changed_.notify_all();
}

int test_source::asked(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(name);
    return found != asked_.end() ? found->second : 0;
}

int test_source::asked() const {
    const std::lock_guard lock(mutex_);
    return total_;
}

bool test_source::await_asked(const std::string& name, int n) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
        const auto found = asked_.find(name);
        return found != asked_.end() && found->second >= n;
    });
}

std::thread::id test_source::thread() const {
    const std::lock_guard lock(mutex_);
    return thread_;
}

std::error_code test_source::ask(const std::string& name) {
    std::unique_lock lock(mutex_);
    ++asked_[name];
    ++total_;
    thread_ = std::this_thread::get_id();
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_.contains(name); });
    const auto found = failures_.find(name);
    return found != failures_.end() ? found->second : std::error_code();
}

gyre::name_source::answer<std::vector<gyre::address_info>>
test_source::getaddrinfo(const std::string& host, const std::string&,
                         const gyre::address_info_hints& hints) {
    if (const auto code = ask(host))
        return std::unexpected(code);
    return std::vector{gyre::address_info{AF_INET, hints.type, IPPROTO_TCP, "",
                                          gyre::address::from_ip("192.0.2.1", 80).value()}};
}

gyre::name_source::answer<gyre::name_info> test_source::getnameinfo(const gyre::address& of, int) {
    if (const auto code = ask(of.to_string()))
        return std::unexpected(code);
    return gyre::name_info{canonical, "service"};
}

gyre::name_source::answer<gyre::host_entry> test_source::gethostbyname(const std::string& host,
                                                                       int) {
    if (const auto code = ask("by name " + host))
        return std::unexpected(code);
    return gyre::host_entry{canonical, aliases, {gyre::address::from_ip("192.0.2.1", 0).value()}};
}

gyre::name_source::answer<gyre::host_entry> test_source::gethostbyaddr(const gyre::address& of) {
    if (const auto code = ask("by address " + of.host()))
        return std::unexpected(code);
    return gyre::host_entry{canonical, aliases, {of}};
}

gyre::name_source::answer<std::uint16_t> test_source::getservbyname(const std::string& name,
                                                                    const std::string&) {
    if (const auto code = ask("service " + name))
        return std::unexpected(code);
    return std::uint16_t{7};
}

gyre::name_source::answer<std::string> test_source::getservbyport(std::uint16_t port,
                                                                  const std::string&) {
    if (const auto code = ask("port " + std::to_string(port)))
        return std::unexpected(code);
    return "echo";
}

gyre::name_source::answer<int> test_source::getprotobyname(const std::string& name) {
    if (const auto code = ask("protocol " + name))
        return std::unexpected(code);
    return 6;
}

} // namespace gyre_test
