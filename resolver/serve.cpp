#include <gyre/core/task_group.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/resolver/serve.hpp>

#include <algorithm>
#include <deque>

namespace gyre::detail {

/// One serve(). Accepting and handling are children of one group, which ends by itself when the
/// last of them has; only the time to drain is kept beside it.
class server : timer {
public:
    server(listener& from, connection_handler handler, const serve_options& options) noexcept
        : timer(&on_event), from_(from), handler_(handler), options_(options) {
        from_.served_by_ = this;
    }
    ~server() {
        from_.served_by_ = nullptr;
        timing_wheel::disarm(*this);
    }

    task<> run() {
        const struct forget {
            task_group*& group;
            ~forget() { group = nullptr; }
        } at_the_end{group_};
        co_await with_group([&](task_group& group) -> task<> {
            group_ = &group;
            for (std::size_t n = 0; n < from_.sockets().size() && !stopping_; ++n)
                group.spawn(accept_from(n));
            co_return;
        });
        if (failure_)
            std::rethrow_exception(failure_);
    }

    void stop() noexcept {
        if (std::exchange(stopping_, true))
            return;
        from_.close();
        resting_.clear();
        waiting_.clear();
        for (reader* r = readers_; r != nullptr; r = r->following)
            r->end();
        if (options_.drain) {
            expiry = options_.drain->count();
            loop::current()->arm_relative(*this);
        }
    }

    void cancel() noexcept {
        if (stopping_ && group_ != nullptr)
            group_->cancel();
        stop();
    }

private:
    /// A connection whose input is to end. Its descriptor is known as long as it is handled,
    /// whatever the handler has made of the socket.
    struct reader {
        reader(server& s, const socket& peer) noexcept : owner(s), d(*socket_access::of(peer)) {
            ++d.references;
            following = s.readers_;
            if (following != nullptr)
                following->previous = this;
            s.readers_ = this;
            if (s.stopping_)
                end();
        }
        reader(const reader&) = delete;
        ~reader() {
            if (following != nullptr)
                following->previous = previous;
            (previous != nullptr ? previous->following : owner.readers_) = following;
            loop::release_reference(d);
        }
        void end() const noexcept {
            if (!d.closed && d.fd >= 0)
                kernel().shut_down(d.fd, SHUT_RD);
        }
        server& owner;
        descriptor& d;
        reader* previous = nullptr;
        reader* following;
    };

    static void on_event(work& w, event e) noexcept {
        auto& self = static_cast<server&>(static_cast<timer&>(w));
        if (e == event::cancel) // the listener was closed
            self.stop();
        else if (e == event::expire && self.group_ != nullptr)
            self.group_->cancel();
    }

    bool has_place() const noexcept {
        return options_.connections == 0 || active_ < options_.connections;
    }

    task<> accept_from(std::size_t n) {
        try {
            while (has_place()) {
                auto [peer, from] = co_await from_.sockets()[n].accept();
                admit(std::move(peer), from);
            }
            if (!stopping_)
                resting_.push_back(n);
        } catch (const error& e) {
            if (e.code() == errc::cancelled)
                throw;
            if (e.code() != errc::closed && !failure_)
                failure_ = std::current_exception();
            stop();
        }
    }

    /// Two sockets may have accepted in the same turn, with a place for one.
    void admit(socket peer, const address& from) {
        if (!has_place()) {
            waiting_.emplace_back(std::move(peer), from);
            return;
        }
        ++active_;
        group_->spawn(handle(std::move(peer), from));
    }

    task<> handle(socket peer, address from) {
        std::exception_ptr failure;
        {
            std::optional<reader> input;
            if (options_.end_input)
                input.emplace(*this, peer);
            try {
                co_await handler_.call(handler_.object, std::move(peer), from);
            } catch (...) {
                failure = std::current_exception();
            }
        }
        leave();
        if (failure && options_.on_error != nullptr && !is_cancelled(failure))
            options_.on_error(from, std::move(failure));
    }

    void leave() {
        --active_;
        if (!waiting_.empty()) {
            auto [peer, from] = std::move(waiting_.front());
            waiting_.pop_front();
            admit(std::move(peer), from);
            return;
        }
        for (const std::size_t n : std::exchange(resting_, {}))
            group_->spawn(accept_from(n));
    }

    listener& from_;
    const connection_handler handler_;
    const serve_options options_;
    task_group* group_ = nullptr;
    std::size_t active_ = 0;
    std::vector<std::size_t> resting_;               // sockets that wait for a place
    std::deque<std::pair<socket, address>> waiting_; // and connections that do
    reader* readers_ = nullptr;
    std::exception_ptr failure_;
    bool stopping_ = false;
};

task<> serve(listener& from, connection_handler handler, serve_options options) {
    server s(from, handler, options);
    co_await shielded(s.run(), [&] { s.cancel(); });
}

} // namespace gyre::detail
