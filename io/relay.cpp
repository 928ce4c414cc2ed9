#include <gyre/core/backend.hpp>
#include <gyre/core/combine.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/relay.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

namespace gyre {
namespace {

using detail::kernel;

constexpr int pipe_size = 1 << 20;
constexpr std::size_t copy_size = std::size_t{64} << 10;
constexpr std::size_t turn_size = std::size_t{1} << 20; // then others have their turn

class pipe {
public:
    pipe() noexcept = default;
    pipe(const pipe&) = delete;
    ~pipe() {
        for (const int fd : ends_)
            if (fd >= 0)
                kernel().close(fd);
    }
    bool open() noexcept {
        int ends[2];
        if (kernel().open_pipe(ends, pipe_size) < 0)
            return false;
        ends_ = {ends[0], ends[1]};
        return true;
    }
    int reading() const noexcept { return ends_[0]; }
    int writing() const noexcept { return ends_[1]; }

private:
    std::array<int, 2> ends_{-1, -1};
};

/// Until a socket can be read or written, or has failed.
class readiness : public detail::operation {
public:
    readiness(detail::opcode which, const socket& s) noexcept
        : operation(which, detail::socket_access::of(s)) {}
    int await_resume() const noexcept { return result; }
};

/// One direction.
class flow {
public:
    flow(socket& from, socket& to) noexcept : from_(from), to_(to) {}

    task<std::uint64_t> run() {
        // Who has not sent yet needs no pipe.
        readiness readable(detail::opcode::poll_read, from_);
        check(co_await readable, from_);
        const bool ended = pipe_.open() && co_await splice_all();
        if (!ended)
            co_await copy_all();
        kernel().shut_down(to_.fileno(), SHUT_WR); // that it is no more connected, is for others
        co_return gone_;
    }

private:
    /// False when the rest has to be copied.
    task<bool> splice_all() {
        bool told_readable = true;
        for (std::size_t turn = 0;;) {
            const int n = kernel().splice(from_.fileno(), pipe_.writing(), pipe_size);
            if (n == 0)
                co_return true;
            if (n == -EAGAIN && !told_readable) {
                readiness readable(detail::opcode::poll_read, from_);
                check(co_await readable, from_);
                told_readable = true;
                continue;
            }
            // Told that there is something, and there is nothing: only urgent data.
            if (n == -EINVAL || n == -EAGAIN)
                co_return false;
            check(n, from_);
            told_readable = false;
            if (!co_await empty_pipe(static_cast<std::size_t>(n)))
                co_return false;
            turn += static_cast<std::size_t>(n);
            if (turn >= turn_size) {
                turn = 0;
                co_await sleep_for(std::chrono::nanoseconds(0));
            }
        }
    }

    task<bool> empty_pipe(std::size_t size) {
        bool told_writable = false;
        while (size > 0) {
            const int n = kernel().splice(pipe_.reading(), to_.fileno(), size);
            if (n > 0) {
                gone_ += static_cast<std::size_t>(n);
                size -= static_cast<std::size_t>(n);
                told_writable = false;
            } else if (n == -EAGAIN && !told_writable) {
                readiness writable(detail::opcode::poll_write, to_);
                check(co_await writable, to_);
                told_writable = true;
            } else if (n == 0 || n == -EINVAL || n == -EAGAIN) {
                co_await copy_pipe(size);
                co_return false;
            } else {
                check(n, to_);
            }
        }
        co_return true;
    }

    task<> copy_pipe(std::size_t size) {
        const auto memory = std::make_unique<std::byte[]>(copy_size);
        while (size > 0) {
            const int n = kernel().read(pipe_.reading(), memory.get(), std::min(size, copy_size));
            check(n, to_);
            co_await send({memory.get(), static_cast<std::size_t>(n)});
            size -= static_cast<std::size_t>(n);
        }
    }

    task<> copy_all() {
        const auto memory = std::make_unique<std::byte[]>(copy_size);
        for (;;) {
            const auto n = co_await as_result(from_.recv(buffer(memory.get(), copy_size)));
            if (!n)
                detail::throw_error(n.error(), "relay from " + name(from_), gone_);
            if (*n == 0)
                co_return;
            co_await send({memory.get(), *n});
        }
    }

    task<> send(const_buffer data) {
        const auto sent = co_await as_result(to_.sendall(data));
        if (!sent)
            detail::throw_error(sent.error(), "relay to " + name(to_), gone_);
        gone_ += data.size();
    }

    void check(int result, const socket& of) const {
        if (result >= 0)
            return;
        if (of.fileno() < 0)
            result = detail::encode(errc::closed);
        detail::throw_error(result, (&of == &from_ ? "relay from " : "relay to ") + name(of),
                            gone_);
    }

    static std::string name(const socket& s) {
        address peer;
        if (detail::get_name(&detail::system_calls::peer_name, s.fileno(), peer) != 0)
            return "a closed connection";
        return peer.to_string();
    }

    socket& from_;
    socket& to_;
    pipe pipe_;
    std::uint64_t gone_ = 0;
};

} // namespace

task<relayed> relay(socket& first, socket& second) {
    for (const socket* s : {&first, &second})
        if (*s && s->type() != SOCK_STREAM)
            throw error(std::make_error_code(std::errc::operation_not_supported),
                        "relay with a socket that is no stream");
    flow there(first, second);
    flow back(second, first);
    auto [from_first, from_second] = co_await all(there.run(), back.run());
    co_return relayed{from_first, from_second};
}

} // namespace gyre
