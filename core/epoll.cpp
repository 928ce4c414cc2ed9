#include <gyre/core/assert.hpp>
#include <gyre/core/attempt.hpp>
#include <gyre/core/backend.hpp>
#include <gyre/core/lease_pool.hpp>
#include <gyre/core/progress.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vector>

// The epoll backend.
//
// A descriptor is registered once, edge-triggered, for both directions, the first time that an
// operation on it has to wait; most operations never do, because the system call is tried first. An
// edge is news, not a state: `dry` says that a read has found nothing since the last. So the rule
// is: try, and only after "nothing there" wait for an edge; a registration reports what is there
// already, and an edge that comes in between ends `dry`.
//
// A short read of a TCP socket has emptied its queue, and the next read need not try (5 % of an
// echo). That holds unless the end, an error or urgent data is queued behind what was read: those
// make no new edge. They show in the events (RDHUP, HUP, ERR, PRI), and from then on every read
// tries. UNIX sockets end a read early at passed descriptors, so theirs always try.
//
// When an edge arrives the operation is only queued; it tries when its turn comes, right before its
// coroutine runs, while what it read is still in the cache.
//
// The kernel keeps a registration for as long as the open file lives, and that may be longer than
// our descriptor (a dup, a fork). So an event carries the number and a generation, not a pointer.

namespace gyre::detail {
namespace {

constexpr std::uint64_t wake_token = 0; // generation 0, which no descriptor has
constexpr std::uint32_t read_events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t write_events = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t sticky_events = EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

// Stands where the table has nothing: with the generation 1, which no event tells of.
descriptor no_descriptor = [] {
    descriptor d;
    d.generation = 1;
    return d;
}();

class epoll_backend final : public backend {
public:
    explicit epoll_backend(loop& owner);
    ~epoll_backend() override;

    int attempt(operation& op) noexcept override {
        if (op.code == opcode::recv_lease)
            return attempt_lease(op);
        // Where an urgent byte was, later reads stop, and no event may ever have told of it.
        if (is_reading(op.code) && (op.msg_flags & MSG_OOB) != 0)
            op.target->dry = op.target->drains = op.target->dry_after_short_read = false;
        return detail::attempt(op);
    }
    bool submit(operation& op) noexcept override { return owner_.begin(*this, op); }
    void resubmit(operation& op) noexcept override { owner_.go_on(*this, op); }
    bool must_wait(const operation& op) const noexcept {
        return is_reading(op.code) && op.target->dry && op.size != 0 && !reads_aside(op.msg_flags);
    }
    static bool rearm(operation&) noexcept { return true; } // what is dry is registered
    static bool is_plain(const operation& op) noexcept {
        return op.code == opcode::send_all || (op.code == opcode::recv && op.msg_flags == 0);
    }
    static int attempt_plain(operation& op) noexcept;
    int attempt_now(operation& op) noexcept override {
        return is_plain(op) ? attempt_plain(op) : must_wait(op) ? would_wait : attempt(op);
    }
    bool wait_for(operation& op) noexcept override;
    void cancel(operation& op) noexcept override;
    void wait(std::int64_t timeout) noexcept override;
    void wake() noexcept override;
    void end() noexcept override;
    void forget(descriptor& d) noexcept override;
    int pollable_fd() noexcept override { return epoll_; }
    lease_pool& leases() noexcept override { return *leases_; }
    void take_buffer(std::uint16_t id) noexcept override;

private:
    void close_all() noexcept;
    static int recv_unusual(operation& op, ssize_t n) noexcept;
    bool enrol(operation& op) noexcept;

    loop& owner_;
    int epoll_ = -1;
    int wake_ = -1;
    bool has_pwait2_ = true;
    std::uint32_t generation_ = 1;
    std::vector<descriptor*> by_fd_{&no_descriptor};
    std::array<epoll_event, 512> events_;
    lease_pool* leases_;
};

epoll_backend::epoll_backend(loop& owner)
    : owner_(owner),
      leases_(new lease_pool(owner.options().lease_size, owner.options().lease_count)) {
    leases_->attach(*this);
    const auto fail = [this](const char* what) {
        const std::error_code code{errno, std::system_category()};
        close_all();
        throw error(code, what);
    };
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0)
        fail("make an epoll loop: epoll_create1");
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_ < 0)
        fail("make an epoll loop: eventfd");
    // Edge-triggered, it never has to be read: each write is a new edge.
    epoll_event e{};
    e.events = EPOLLIN | EPOLLET;
    e.data.u64 = wake_token;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &e) != 0)
        fail("make an epoll loop: epoll_ctl");
}

epoll_backend::~epoll_backend() {
    close_all();
}

void epoll_backend::close_all() noexcept {
    for (int fd : {epoll_, wake_})
        if (fd >= 0)
            ::close(fd);
    lease_pool::detach(leases_);
}

[[gnu::always_inline]] inline int epoll_backend::attempt_plain(operation& op) noexcept {
    if (op.code == opcode::send_all)
        return try_send_all(static_cast<bulk_operation&>(op));
    const ssize_t n = recv_some(op);
    if (static_cast<std::size_t>(n) >= op.size || n == 0) [[unlikely]]
        return recv_unusual(op, n);
    op.target->dry = op.target->dry_after_short_read;
    return static_cast<int>(n);
}

// A full buffer, an end, an error, or no buffer.
int epoll_backend::recv_unusual(operation& op, ssize_t n) noexcept {
    if (op.size == 0 && op.target->type == SOCK_STREAM && (n >= 0 || errno == EAGAIN))
        return 0; // the kernel says the one or the other, depending on the family
    return n >= 0 ? static_cast<int>(n) : after_failure(op);
}

bool epoll_backend::wait_for(operation& op) noexcept {
    descriptor& d = *op.target;
    if (!d.registered && !enrol(op))
        return false;
    if (is_reading(op.code) && !reads_aside(op.msg_flags))
        d.dry = true;
    return true;
}

bool epoll_backend::enrol(operation& op) noexcept {
    descriptor& d = *op.target;
    const auto fd = static_cast<std::size_t>(d.fd);
    if (fd >= by_fd_.size())
        by_fd_.resize(std::max(fd + 1, 2 * by_fd_.size()), &no_descriptor);
    d.generation = ++generation_;
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    e.data.u64 = std::uint64_t{d.generation} << 32 | fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, d.fd, &e) != 0) {
        op.result = -errno;
        return false;
    }
    d.registered = true;
    d.dry_after_short_read = d.drains;
    by_fd_[fd] = &d;
    return true;
}

void epoll_backend::forget(descriptor& d) noexcept {
    if (!d.registered)
        return;
    epoll_event unused{};
    epoll_ctl(epoll_, EPOLL_CTL_DEL, d.fd, &unused);
    by_fd_[static_cast<std::size_t>(d.fd)] = &no_descriptor;
    d.registered = false;
    d.dry = d.dry_after_short_read = false;
}

void epoll_backend::cancel(operation& op) noexcept {
    owner_.finish(op, encode(op.reason));
}

void epoll_backend::wait(std::int64_t timeout) noexcept {
    int n = 0;
    if (timeout != 0 && timeout != forever && has_pwait2_) {
        const timespec t{timeout / 1'000'000'000, timeout % 1'000'000'000};
        n = epoll_pwait2(epoll_, events_.data(), static_cast<int>(events_.size()), &t, nullptr);
        if (n < 0 && errno == ENOSYS) // before Linux 5.11
            has_pwait2_ = false;
    }
    if (timeout == 0 || timeout == forever || !has_pwait2_) {
        const std::int64_t ms = timeout == forever ? -1 : (timeout + 999'999) / 1'000'000;
        n = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()),
                       static_cast<int>(std::min<std::int64_t>(ms, INT_MAX)));
    }
    const auto wake_up = [this](operation* op) {
        if (op == nullptr || op->state != operation::phase::waiting)
            return;
        op->state = operation::phase::readied;
        owner_.enqueue(*op);
    };
    for (int i = 0; i < n; ++i) {
        const epoll_event& e = events_[static_cast<std::size_t>(i)];
        const std::uint64_t token = e.data.u64;
        descriptor& d = *by_fd_[static_cast<std::uint32_t>(token)];
        if (d.generation != token >> 32)
            continue; // of an open file that outlived our descriptor; or of wake()
        if ((e.events & read_events) != 0) {
            d.dry = false;
            if ((e.events & sticky_events) != 0)
                d.dry_after_short_read = false;
            wake_up(d.pending[0]);
        }
        if ((e.events & write_events) != 0)
            wake_up(d.pending[1]);
    }
}

void epoll_backend::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_, &one, sizeof one);
}

void epoll_backend::end() noexcept {
    for (const descriptor* d : by_fd_)
        for (operation* op : {d->pending[0], d->pending[1]})
            if (op != nullptr && op->state == operation::phase::waiting)
                owner_.finish(*op, encode(errc::broken));
}

void epoll_backend::take_buffer(std::uint16_t id) noexcept {
    leases_->put(id);
    owner_.retry_soon();
}

} // namespace

std::unique_ptr<backend> make_epoll_backend(loop& owner) {
    return std::make_unique<epoll_backend>(owner);
}

} // namespace gyre::detail
