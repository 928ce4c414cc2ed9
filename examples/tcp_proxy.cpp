// Passes connections on to another address until SIGINT or SIGTERM; what goes through it stays in
// the kernel.
//
//     build/release/examples/http_hello 127.0.0.1:8080
//     build/release/examples/tcp_proxy 127.0.0.1:7000 127.0.0.1:8080
//     curl http://127.0.0.1:7000/      hello from gyre
//
// and in the terminal of the proxy, once curl has gone: 127.0.0.1:47062: 78 bytes up, 80 down.
// Either may be of another family: [::1]:7000, unix:/run/service.sock, unix:@service.

#include <gyre/gyre.hpp>

#include <cinttypes>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;

namespace {

gyre::task<> pass_on(gyre::socket client, std::string name, const gyre::address& target) try {
    gyre::socket server = co_await gyre::create_connection(target, {.timeout = 10s});
    for (gyre::socket* s : {&client, &server}) {
        s->settimeout(10min); // of silence, or of not reading
        if (s->family() != AF_UNIX)
            s->set(gyre::option::no_delay, true);
    }
    const auto [up, down] = co_await gyre::relay(client, server);
    std::printf("%s: %" PRIu64 " bytes up, %" PRIu64 " down\n", name.c_str(), up, down);
    std::fflush(stdout);
} catch (const gyre::error& e) {
    if (e.code() == gyre::errc::cancelled)
        throw;
    std::printf("%s: %s\n", name.c_str(), e.what());
    std::fflush(stdout);
}

gyre::task<> serve(const gyre::address& at, const gyre::address& target) {
    gyre::listener l = co_await gyre::create_server(at);
    std::printf("listening on %s\n", l.getsockname().to_string().c_str());
    std::fflush(stdout);
    const auto handler = [&](gyre::socket client, const gyre::address& from) {
        return pass_on(std::move(client), from.to_string(), target);
    };
    co_await gyre::serve(std::move(l), handler);
}

gyre::task<> serve_until_stopped(const gyre::address& at, const gyre::address& target) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(at, target));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: tcp_proxy LISTEN TARGET (such as 127.0.0.1:7000 [::1]:80)\n");
        return 2;
    }
    const gyre::address at = gyre::address::parse(argv[1]);
    const gyre::address target = gyre::address::parse(argv[2]);
    gyre::run(serve_until_stopped(at, target));
} catch (const std::exception& e) {
    std::fprintf(stderr, "tcp_proxy: %s\n", e.what());
    return 1;
}
