#include "contender.hpp"

#define ASIO_STANDALONE
#define ASIO_HAS_CO_AWAIT // the Asio of Debian 12 does not see that clang has it
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>

#include <vector>

namespace resolver_bench {
namespace {

using asio::ip::tcp;

struct asker {
    tcp::resolver names;
    race& r;

    void ask() {
        names.async_resolve(
            r.host(), r.service(),
            [this](const asio::error_code& e, const tcp::resolver::results_type& f) {
                if (r.go_on(e ? 0 : f.size()))
                    ask();
            });
    }
};

asio::awaitable<void> ask(race& r) {
    tcp::resolver names(co_await asio::this_coro::executor);
    std::size_t found = 0;
    do {
        try {
            const std::string service = r.service();
            found = (co_await names.async_resolve(r.host(), service, asio::use_awaitable)).size();
        } catch (const std::system_error&) {
            found = 0;
        }
    } while (r.go_on(found));
}

} // namespace

void by_asio(race& r) {
    asio::io_context io(1);
    std::vector<asker> all;
    all.reserve(r.in_flight());
    for (unsigned i = 0; i < r.in_flight(); ++i)
        all.push_back({tcp::resolver(io), r});
    for (asker& a : all)
        a.ask();
    io.run();
}

void by_asio_coroutines(race& r) {
    asio::io_context io(1);
    for (unsigned i = 0; i < r.in_flight(); ++i)
        asio::co_spawn(io, ask(r), asio::detached);
    io.run();
}

} // namespace resolver_bench
