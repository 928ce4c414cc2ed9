#include "load.hpp"

#include "content.hpp"
#include "server_process.hpp"

#include <gyre/gyre.hpp>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace tool {
namespace {

using namespace std::chrono_literals;

constexpr auto connect_patience = 10s;
constexpr std::size_t connecting_at_once = 200; // a backlog of connections is often 128 to 4096
constexpr auto loss_after = 200ms;              // UDP, unless there is a deadline
constexpr auto tick = 250ms;                    // how often progress and ends are looked at
constexpr std::size_t receive_buffer = std::size_t{256} << 10;
// A batch beyond this may not fit into what kernel and server keep, so that the server waits for
// us to read while we wait for it to read: then both are done at the same time.
constexpr std::size_t always_fits = std::size_t{32} << 10;

class generator {
public:
    generator(const endpoint& to, const load_options& options, const server_process* server)
        : to_(to), options_(options), server_(server), batch_(options.size * options.depth),
          content_(batch_), sockets_(options.connections) {}

    gyre::task<> run();

    load_result result;

private:
    gyre::task<> measure();
    gyre::task<> watch_signals();
    gyre::task<> connect_all();
    gyre::task<> connect_some();
    gyre::task<> probe_datagrams();

    gyre::task<> client(std::size_t id);
    gyre::task<> stream_client(std::size_t id);
    gyre::task<> datagram_client(std::size_t id);
    gyre::task<> receive(std::size_t id, std::uint64_t number, std::span<std::byte> memory);
    gyre::task<> sleep_until(gyre::clock::time_point end, bool measuring);

    void check(std::size_t id, std::uint64_t number, std::size_t offset,
               std::span<const std::byte> got) const;
    [[noreturn]] void fail_check(std::size_t id, std::uint64_t number) const;
    void done(gyre::clock::time_point& sent);
    void open_window();
    void close_window();
    void show_progress(bool measuring) const;

    const endpoint& to_;
    const load_options& options_;
    const server_process* server_;
    const std::size_t batch_;
    const content content_;
    std::vector<gyre::socket> sockets_;
    std::size_t next_ = 0;  // connection to be made
    std::size_t alive_ = 0; // clients
    bool open_ = false;     // the window of what counts
    gyre::clock::time_point opened_;
    std::chrono::nanoseconds server_cpu_before_{0};
};

// ---- The clients -------------------------------------------------------------------------------

gyre::task<> generator::client(std::size_t id) {
    try {
        if (to_.kind == protocol::udp)
            co_await datagram_client(id);
        else
            co_await stream_client(id);
    } catch (const gyre::error& e) {
        if (e.code() == gyre::errc::cancelled)
            throw;
        if (result.errors++ == 0)
            result.first_error = e.what();
    } catch (const std::runtime_error& e) {
        if (result.errors++ == 0)
            result.first_error = e.what();
    }
    sockets_[id].close();
    --alive_;
}

gyre::task<> generator::stream_client(std::size_t id) {
    gyre::socket& s = sockets_[id];
    std::vector<std::byte> memory(std::min(batch_, receive_buffer));
    auto sent = gyre::clock::now();
    for (std::uint64_t number = 0;; ++number) {
        const std::span<const std::byte> message = content_.message(id, number);
        if (batch_ > always_fits) {
            co_await gyre::all(s.sendall(message), receive(id, number, memory));
        } else {
            co_await s.sendall(message);
            for (std::size_t received = 0; received < batch_;) {
                const std::size_t n =
                    co_await s.recv(gyre::buffer(memory.data(), batch_ - received));
                check(id, number, received, std::span(memory).first(n));
                received += n;
            }
        }
        done(sent);
    }
}

gyre::task<> generator::receive(std::size_t id, std::uint64_t number, std::span<std::byte> memory) {
    for (std::size_t received = 0; received < batch_;) {
        const std::size_t room = std::min(memory.size(), batch_ - received);
        const std::size_t n = co_await sockets_[id].recv(memory.first(room));
        check(id, number, received, memory.first(n));
        received += n;
    }
}

gyre::task<> generator::datagram_client(std::size_t id) {
    gyre::socket& s = sockets_[id];
    const auto patience = options_.deadline.value_or(loss_after);
    std::vector<std::byte> memory(options_.size + 1); // one more: an answer too long is noticed
    std::vector<char> answered(options_.depth);
    std::uint64_t late = 0; // answers that may still come for what was sent twice
    auto sent = gyre::clock::now();
    for (std::uint64_t number = 0;; ++number) {
        const std::span<const std::byte> batch = content_.message(id, number);
        const auto part = [&](std::size_t i) {
            return batch.subspan(i * options_.size, options_.size);
        };
        std::ranges::fill(answered, false);
        for (std::size_t missing = options_.depth; missing > 0;) {
            for (std::size_t i = 0; i < options_.depth; ++i)
                if (!answered[i])
                    co_await s.send(part(i));
            std::size_t expected = 0; // answers come in order, as a rule
            while (missing > 0) {
                const auto n = co_await gyre::as_result(s.recv(memory).within(patience));
                if (!n && n.error() != gyre::errc::timed_out)
                    throw gyre::error(n.error(), "echo of " + to_.to_string());
                if (!n) {
                    result.lost += missing;
                    late += missing;
                    break;
                }
                const auto is_answer = [&](std::size_t i) {
                    return !answered[i] && *n == options_.size &&
                           std::memcmp(memory.data(), part(i).data(), *n) == 0;
                };
                std::size_t i = expected;
                for (std::size_t tried = 0; tried < options_.depth && !is_answer(i); ++tried)
                    i = (i + 1) % options_.depth;
                if (is_answer(i)) {
                    answered[i] = true;
                    --missing;
                    expected = (i + 1) % options_.depth;
                } else if (late-- == 0) {
                    fail_check(id, number);
                }
            }
        }
        done(sent);
    }
}

void generator::check(std::size_t id, std::uint64_t number, std::size_t offset,
                      std::span<const std::byte> got) const {
    if (got.empty())
        throw std::runtime_error("the server closed a connection");
    const std::span<const std::byte> message = content_.message(id, number);
    if (std::memcmp(got.data(), message.data() + offset, got.size()) != 0)
        fail_check(id, number);
}

void generator::fail_check(std::size_t id, std::uint64_t number) const {
    throw std::runtime_error("connection " + std::to_string(id) + ", message " +
                             std::to_string(number) + ": what came back is not what was sent");
}

/// A batch is back; the next one is sent at once, so one look at the clock does for both.
void generator::done(gyre::clock::time_point& sent) {
    if (!open_)
        return;
    const auto now = gyre::clock::now();
    result.requests += options_.depth;
    result.latency.add((now - sent).count());
    sent = now;
}

// ---- Connecting --------------------------------------------------------------------------------

gyre::task<> generator::connect_all() {
    co_await gyre::with_group([&](gyre::task_group& workers) -> gyre::task<> {
        for (std::size_t i = 0; i < std::min(connecting_at_once, sockets_.size()); ++i)
            workers.spawn(connect_some());
        co_return;
    });
    if (to_.kind == protocol::udp)
        co_await probe_datagrams();
}

gyre::task<> generator::connect_some() {
    while (next_ < sockets_.size()) {
        gyre::socket& s = sockets_[next_++];
        if (to_.kind == protocol::udp) {
            s = gyre::socket::open(to_.address.family(), SOCK_DGRAM);
            co_await s.connect(to_.address);
        } else {
            s = co_await gyre::create_connection(
                to_.address, {.timeout = options_.deadline.value_or(connect_patience)});
        }
        if (to_.kind == protocol::tcp)
            s.set(gyre::option::no_delay, true);
        if (options_.deadline)
            s.settimeout(*options_.deadline);
    }
}

/// A datagram goes to nobody without complaint: see whether there is somebody.
gyre::task<> generator::probe_datagrams() {
    gyre::socket s = gyre::socket::open(to_.address.family(), SOCK_DGRAM);
    co_await s.connect(to_.address);
    const std::span<const std::byte> message = content_.message(0, 0).first(options_.size);
    std::vector<std::byte> memory(options_.size);
    for (int i = 0; i < 5; ++i) {
        co_await s.send(message);
        const auto n = co_await gyre::as_result(s.recv(memory).within(loss_after));
        if (n)
            co_return;
        if (n.error() != gyre::errc::timed_out)
            throw gyre::error(n.error(), "echo of " + to_.to_string());
    }
    throw gyre::timeout_error("no answer from " + to_.to_string());
}

// ---- The run -----------------------------------------------------------------------------------

void generator::open_window() {
    result.requests = result.lost = 0;
    result.latency.clear();
    server_cpu_before_ = server_ != nullptr ? server_->cpu_time() : 0ns;
    opened_ = gyre::clock::now();
    open_ = true;
}

void generator::close_window() {
    if (!std::exchange(open_, false))
        return;
    result.seconds = std::chrono::duration<double>(gyre::clock::now() - opened_).count();
    if (server_ != nullptr)
        result.server_cpu = server_->cpu_time() - server_cpu_before_;
}

void generator::show_progress(bool measuring) const {
    const double seconds = std::chrono::duration<double>(gyre::clock::now() - opened_).count();
    std::fprintf(stderr, "\r%s %5.1f s  %10.0f requests/s  %llu errors ",
                 measuring ? "measuring" : "warming up", seconds,
                 static_cast<double>(result.requests) / std::max(seconds, 1e-9),
                 static_cast<unsigned long long>(result.errors));
}

gyre::task<> generator::sleep_until(gyre::clock::time_point end, bool measuring) {
    while (alive_ > 0 && gyre::clock::now() < end) {
        co_await gyre::sleep_until(std::min(end, gyre::clock::now() + tick));
        if (options_.progress)
            show_progress(measuring);
    }
}

gyre::task<> generator::measure() {
    co_await connect_all();
    co_await gyre::with_group([&](gyre::task_group& clients) -> gyre::task<> {
        alive_ = sockets_.size();
        for (std::size_t id = 0; id < sockets_.size(); ++id)
            clients.spawn(client(id));
        open_window();
        if (options_.warmup > 0ns) {
            co_await sleep_until(opened_ + options_.warmup, false);
            open_window();
        }
        co_await sleep_until(opened_ + options_.duration, true);
        close_window();
        clients.cancel();
    });
}

gyre::task<> generator::watch_signals() {
    co_await gyre::signal(SIGINT, SIGTERM);
    result.interrupted = true;
    close_window();
}

gyre::task<> generator::run() {
    result.backend = gyre::loop::current()->backend();
    co_await gyre::race(measure(), watch_signals());
    if (options_.progress)
        std::fputs("\r\x1b[K", stderr);
}

} // namespace

load_result run_load(const endpoint& to, const load_options& options,
                     const server_process* server) {
    generator g(to, options, server);
    gyre::run(g.run(), options.loop);
    return std::move(g.result);
}

} // namespace tool
