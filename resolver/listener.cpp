#include <gyre/core/task_group.hpp>
#include <gyre/resolver/listener.hpp>
#include <gyre/resolver/socket_file.hpp>

#include <string>

namespace gyre {

listener::listener() noexcept = default;
listener::listener(std::vector<socket> sockets) noexcept : sockets_(std::move(sockets)) {}
listener::listener(socket s, std::unique_ptr<detail::socket_file> file) noexcept
    : file_(std::move(file)) {
    sockets_.push_back(std::move(s));
}
listener::listener(listener&& other) noexcept
    : sockets_(std::move(other.sockets_)), file_(std::move(other.file_)),
      accepted_(std::move(other.accepted_)), turn_(other.turn_) {}

listener& listener::operator=(listener&& other) noexcept {
    listener old(std::move(*this));
    sockets_ = std::move(other.sockets_);
    file_ = std::move(other.file_);
    accepted_ = std::move(other.accepted_);
    turn_ = other.turn_;
    return *this;
}

listener::~listener() {
    close();
}

// The file first: as long as the socket listens, nobody takes the path for a stale one.
void listener::close() noexcept {
    file_.reset();
    for (socket& s : sockets_) // which stay: an accept that has not begun refers to them
        s.close();
    accepted_.clear();
    if (detail::work* server = std::exchange(served_by_, nullptr))
        server->notify(*server, detail::event::cancel);
}

address listener::getsockname() const {
    if (sockets_.empty())
        throw error(errc::closed, "getsockname of a listener");
    return sockets_.front().getsockname();
}

listener::operator socket() && {
    if (sockets_.size() != 1) {
        std::string names;
        for (const socket& s : sockets_)
            names += (names.empty() ? "" : ", ") + s.getsockname().to_string();
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "take the socket of a listener: it has " + std::to_string(sockets_.size()) +
                        " (" + names + ")");
    }
    if (file_)
        file_->keep();
    file_.reset();
    accepted_.clear();
    socket s = std::move(sockets_.front());
    sockets_.clear();
    return s;
}

namespace {

task<> accept_into(std::deque<std::pair<socket, address>>& accepted, socket& from,
                   task_group& others) {
    accepted.push_back(co_await from.accept());
    others.cancel();
}

} // namespace

// What is accepted in the same turn, before the cancel is heard of, waits in `accepted_`.
task<std::pair<socket, address>> listener::accept() {
    if (sockets_.empty())
        throw error(errc::closed, "accept on a listener");
    if (sockets_.size() == 1)
        co_return co_await sockets_.front().accept();
    if (accepted_.empty()) {
        turn_ = (turn_ + 1) % sockets_.size();
        co_await with_group([&](task_group& group) -> task<> {
            for (std::size_t n = 0; n < sockets_.size(); ++n) {
                socket& s = sockets_[(turn_ + n) % sockets_.size()];
                group.spawn(accept_into(accepted_, s, group));
            }
            co_return;
        });
    }
    std::pair<socket, address> next = std::move(accepted_.front());
    accepted_.pop_front();
    co_return next;
}

} // namespace gyre
