// Answers every GET with a greeting, keeping connections alive, until SIGINT or SIGTERM: for curl
// and wrk.
//
//     build/release/examples/http_hello 127.0.0.1:8080
//     curl http://127.0.0.1:8080/            hello from gyre
//     wrk -c 64 -t 1 -d 3 http://127.0.0.1:8080/

#include <gyre/gyre.hpp>

#include <cstdio>
#include <string_view>

using namespace std::chrono_literals;

namespace {

constexpr std::string_view hello = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                   "Content-Length: 16\r\n\r\nhello from gyre\n";
constexpr std::string_view refused = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"
                                     "Content-Length: 0\r\nConnection: close\r\n\r\n";
constexpr std::string_view too_long = "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                                      "Content-Length: 0\r\nConnection: close\r\n\r\n";
constexpr std::size_t header_max = 16384;

gyre::task<> converse(gyre::socket peer) try {
    peer.set(gyre::option::no_delay, true);
    peer.settimeout(30s);
    gyre::stream s(std::move(peer));
    for (bool more = true; more;) { // what is answered goes out before a read has to wait
        const auto head = co_await gyre::as_result(s.read_until("\r\n\r\n", header_max));
        if (!head && head.error() != gyre::errc::too_long)
            break; // the end, silence for too long, or a reset
        const bool get = head && head->starts_with("GET "); // it has no body
        more = get && head->find("\r\nConnection: close") == head->npos;
        co_await s.write(get ? hello : head ? refused : too_long);
    }
    co_await s.flush();
} catch (const gyre::error& e) {
    if (e.code() == gyre::errc::cancelled)
        throw;
    // It does not take its answers: the end of this conversation only.
}

gyre::task<> serve(gyre::address at) {
    gyre::listener l = co_await gyre::create_server(at);
    std::printf("http://%s/\n", l.getsockname().to_string().c_str());
    std::fflush(stdout);
    co_await gyre::serve(std::move(l), converse, {.end_input = true});
}

gyre::task<> serve_until_stopped(gyre::address at) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(at));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::fprintf(stderr, "usage: http_hello ADDRESS (such as 127.0.0.1:8080)\n");
        return 2;
    }
    gyre::run(serve_until_stopped(gyre::address::parse(argv[1])));
} catch (const std::exception& e) {
    std::fprintf(stderr, "http_hello: %s\n", e.what());
    return 1;
}
