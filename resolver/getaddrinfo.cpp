#include <gyre/core/thread_pool.hpp>
#include <gyre/resolver/getaddrinfo.hpp>

#include <cerrno>
#include <memory>

namespace gyre {
namespace {

constexpr unsigned threads_max = 8;

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int value) const override { return gai_strerror(value); }
};

// Not destroyed at exit: a look-up may still be under way.
detail::thread_pool& pool() {
    static auto* const instance = new detail::thread_pool(threads_max);
    return *instance;
}

std::string describe(const std::string& host, const std::string& service) {
    return "look up " + (host.empty() ? "(any host)" : host) +
           (service.empty() ? "" : ", service " + service);
}

std::vector<address_info> look_up(const std::string& host, const std::string& service,
                                  const address_info_hints& hints) {
    addrinfo wanted{};
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.type;
    wanted.ai_protocol = hints.protocol;
    wanted.ai_flags = hints.flags;
    addrinfo* list = nullptr;
    const int r = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                service.empty() ? nullptr : service.c_str(), &wanted, &list);
    const int reason = errno;
    if (r == EAI_SYSTEM)
        throw error({reason, std::system_category()}, describe(host, service));
    if (r != 0)
        throw address_info_error(r, describe(host, service));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, &::freeaddrinfo);
    std::vector<address_info> found;
    for (const addrinfo* i = list; i != nullptr; i = i->ai_next)
        found.push_back({i->ai_family, i->ai_socktype, i->ai_protocol,
                         i->ai_canonname != nullptr ? i->ai_canonname : "",
                         address(i->ai_addr, i->ai_addrlen)});
    return found;
}

task<std::vector<address_info>> getaddrinfo_on_pool(std::string host, std::string service,
                                                    address_info_hints hints) {
    for (const std::string* text : {&host, &service})
        if (text->find('\0') != std::string::npos)
            throw error(std::make_error_code(std::errc::invalid_argument),
                        "look up a name with a NUL in it");
    auto call = [host = std::move(host), service = std::move(service), hints] {
        return look_up(host, service, hints);
    };
    co_return co_await detail::offload(pool(), std::move(call));
}

} // namespace

const std::error_category& address_info_category() noexcept {
    static const category instance;
    return instance;
}

address_info_error::address_info_error(int eai, const std::string& doing)
    : error({eai, address_info_category()}, doing) {}

task<std::vector<address_info>> getaddrinfo(std::string_view host, std::string_view service,
                                            address_info_hints hints) {
    return getaddrinfo_on_pool(std::string(host), std::string(service), hints);
}

} // namespace gyre
