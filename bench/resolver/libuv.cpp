#include "contender.hpp"

#include <cstdlib>
#include <uv.h>
#include <vector>

namespace resolver_bench {
namespace {

struct asker {
    uv_getaddrinfo_t request;
    uv_loop_t* loop;
    race* r;

    void ask() {
        addrinfo wanted{};
        wanted.ai_socktype = SOCK_STREAM;
        wanted.ai_protocol = IPPROTO_TCP;
        if (uv_getaddrinfo(loop, &request, &ended, r->host(), r->service().c_str(), &wanted) != 0)
            std::abort(); // out of memory
    }

    static void ended(uv_getaddrinfo_t* request, int status, addrinfo* list) {
        auto* self = static_cast<asker*>(request->data);
        if (status == 0)
            uv_freeaddrinfo(list);
        if (self->r->go_on(status == 0 ? 1 : 0))
            self->ask();
    }
};

} // namespace

void by_libuv(race& r) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    std::vector<asker> all(r.in_flight());
    for (asker& a : all) {
        a.loop = &loop;
        a.r = &r;
        a.request.data = &a;
        a.ask();
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

} // namespace resolver_bench
