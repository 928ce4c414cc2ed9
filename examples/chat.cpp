// A room over TCP: each line that one says, all others read. Until SIGINT or SIGTERM.
//
//     build/release/examples/chat 127.0.0.1:7001
//     nc 127.0.0.1 7001          (in several terminals)
//
// A guest who reads too slowly is shown out: a room waits for nobody.

#include <gyre/gyre.hpp>

#include <cstdio>
#include <list>
#include <string>
#include <string_view>

using namespace std::chrono_literals;

namespace {

struct guest {
    gyre::socket connection;
    std::string name;
};

class room {
public:
    gyre::task<> host(gyre::socket s, std::string name) {
        const auto self = guests_.insert(guests_.end(), guest{std::move(s), std::move(name)});
        try {
            co_await say(self->name + " comes in\n", nullptr);
            gyre::stream words = self->connection.makefile();
            for (std::string line; !(line = co_await words.read_line()).empty();)
                co_await say(self->name + ": " + line, &*self);
        } catch (const gyre::error& e) {
            std::printf("%s is lost: %s\n", self->name.c_str(), e.what());
        }
        const std::string gone = self->name + " leaves\n";
        guests_.erase(self);
        co_await say(gone, nullptr);
    }

private:
    // Another guest may leave while one is written to: only he closes his own place in the list.
    gyre::task<> say(std::string text, const guest* speaker) {
        std::fputs(text.c_str(), stdout);
        for (guest& g : guests_) {
            if (&g == speaker)
                continue;
            const auto sent = co_await gyre::as_result(g.connection.sendall(text).nonblocking());
            if (!sent)
                g.connection.shutdown(SHUT_RDWR); // his host notices
        }
    }

    std::list<guest> guests_;
};

gyre::task<> serve(gyre::address at) {
    gyre::listener l = co_await gyre::create_server(at);
    std::printf("the room is open at %s\n", l.getsockname().to_string().c_str());
    std::fflush(stdout);
    room r;
    const auto host = [&](gyre::socket s, const gyre::address& from) {
        return r.host(std::move(s), from.to_string());
    };
    co_await gyre::serve(std::move(l), host, {.end_input = true}); // closing time: all leave
}

gyre::task<> serve_until_stopped(gyre::address at) {
    co_await gyre::race(gyre::signal(SIGINT, SIGTERM), serve(at));
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::fprintf(stderr, "usage: chat ADDRESS (such as 127.0.0.1:7001)\n");
        return 2;
    }
    gyre::run(serve_until_stopped(gyre::address::parse(argv[1])));
} catch (const std::exception& e) {
    std::fprintf(stderr, "chat: %s\n", e.what());
    return 1;
}
