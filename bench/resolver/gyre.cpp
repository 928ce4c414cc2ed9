#include "contender.hpp"

#include <gyre/core/run.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/resolver/resolver.hpp>

#include <netdb.h>

namespace resolver_bench {
namespace {

constexpr gyre::address_info_hints hints{
    .family = AF_UNSPEC, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};

gyre::task<> ask(gyre::resolver& names, race& r) {
    std::size_t found = 0;
    do {
        const std::string service = r.service();
        try {
            found = (co_await names.getaddrinfo(r.host(), service, hints)).size();
        } catch (const gyre::error&) {
            found = 0;
        }
    } while (r.go_on(found));
}

gyre::task<> ask_all(gyre::resolver& names, race& r) {
    co_await gyre::with_group([&](gyre::task_group& g) -> gyre::task<> {
        for (unsigned i = 0; i < r.in_flight(); ++i)
            g.spawn(ask(names, r));
        co_return;
    });
}

} // namespace

void by_gyre(race& r) {
    gyre::run(ask_all(gyre::default_resolver(), r));
}

void by_gyre_with_cache(race& r) {
    static gyre::resolver names({.cache = {.entries = 1024}});
    gyre::run(ask_all(names, r));
}

void by_c_library(race& r) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_protocol = IPPROTO_TCP;
    std::size_t found = 0;
    do {
        addrinfo* list = nullptr;
        found = ::getaddrinfo(r.host(), r.service().c_str(), &wanted, &list) == 0 ? 1 : 0;
        if (found > 0)
            ::freeaddrinfo(list);
    } while (r.go_on(found));
}

} // namespace resolver_bench
