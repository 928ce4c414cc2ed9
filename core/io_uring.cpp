#include <gyre/core/assert.hpp>
#include <gyre/core/attempt.hpp>
#include <gyre/core/backend.hpp>
#include <gyre/core/lease_pool.hpp>
#include <gyre/core/progress.hpp>
#include <gyre/core/uring_abi.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

// The io_uring backend.
//
// Receiving is what a server waits for, so receiving is what the ring does: a RECV per operation,
// into the user's buffer or one of the lent ones, begun by a poll (POLL_FIRST) unless the last
// receive told that more is queued. Everything else is tried with a plain system call first, which
// nearly always succeeds at once (an SQE would cost more, and on UNIX streams the peer would wait
// for our turn to end); only what has to wait becomes a poll on the ring, then is tried again. So
// errors and partial results are those of the system calls, on both backends, and the quirks of
// sends inside the ring (datagrams cut to nothing, swallowed resets) cannot happen.
//
// An operation is the kernel's from its SQE to its CQE: `user_data` points to it, and its frame
// stays. Cancelling is an SQE, too; its own completion says nothing that matters. With no room in
// the submission queue, operations and cancels wait in `deferred_` and go first in the next turn.
//
// SINGLE_ISSUER and DEFER_TASKRUN: completions are made when this thread asks for them, in one
// system call a turn that also submits. TASKRUN_FLAG lets a look without one.

namespace gyre::detail {
namespace {

constexpr unsigned entries = 1024;
constexpr unsigned completions = 8192;
constexpr std::uint64_t ignored_token = 0; // of cancels
constexpr std::uint64_t wake_token = 1;
constexpr int lease_group = 0;

constexpr unsigned setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                                 IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;

// The kernel takes the memory of a ring off what its user may lock (ulimit -l) only some
// milliseconds after the ring was closed, by whatever process: so this is tried for a while.
int open_ring(io_uring& ring) noexcept {
    for (int tries = 200;;) {
        io_uring_params params{};
        params.flags = setup_flags;
        params.cq_entries = completions;
        const int r = io_uring_queue_init_params(entries, &ring, &params);
        if (r != -ENOMEM || --tries == 0)
            return r;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// What a system call of io_uring that failed with `code` says of this kernel, for people.
std::string why_refused(int code) {
    switch (code) {
    case ENOSYS: return "the kernel has no io_uring (before 5.1, or not built in)";
    case EPERM:
    case EACCES:
        return "not permitted: a seccomp filter (containers), or sysctl kernel.io_uring_disabled";
    case ENOMEM: return "no memory for its rings (ulimit -l, or the limit of a control group)";
    case EINVAL: return "the kernel lacks SINGLE_ISSUER and DEFER_TASKRUN (before 6.1)";
    default: return std::system_category().message(code);
    }
}

unsigned load_acquire(const unsigned* at) noexcept {
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

// liburing maps and unmaps around libc, so ThreadSanitizer takes the ring of one thread for that of
// another which had the same address before: this tells it which came first.
constinit std::atomic<unsigned> rings_closed = 0;

class io_uring_backend final : public backend {
public:
    explicit io_uring_backend(loop& owner);
    ~io_uring_backend() override;

    int attempt(operation& op) noexcept override;
    bool submit(operation& op) noexcept override { return owner_.begin(*this, op); }
    void resubmit(operation& op) noexcept override { owner_.go_on(*this, op); }
    bool must_wait(const operation& op) const noexcept {
        return op.code == opcode::recv && op.msg_flags == 0 && op.size != 0; // that is the ring's
    }
    bool rearm(operation& op) noexcept { return io_uring_backend::wait_for(op); }
    static bool is_plain(const operation& op) noexcept { return op.code == opcode::send_all; }
    static int attempt_plain(operation& op) noexcept {
        return try_send_all(static_cast<bulk_operation&>(op));
    }
    int attempt_now(operation& op) noexcept override;
    bool wait_for(operation& op) noexcept override;
    void cancel(operation& op) noexcept override;
    void wait(std::int64_t timeout) noexcept override;
    void wake() noexcept override;
    void end() noexcept override;
    void forget(descriptor&) noexcept override {}
    int pollable_fd() noexcept override;
    lease_pool& leases() noexcept override { return *leases_; }
    void take_buffer(std::uint16_t id) noexcept override;

private:
    void close_all() noexcept;
    io_uring_sqe* next_sqe() noexcept;
    bool make_room() noexcept;
    bool start_recv(operation& op) noexcept;
    bool start(operation& op) noexcept;
    bool start_cancel(operation& op) noexcept;
    void start_deferred() noexcept;
    void arm_wake() noexcept;
    int enter(std::int64_t timeout) noexcept;
    bool take_news() noexcept;
    unsigned reap() noexcept;
    void woken(unsigned flags) noexcept;
    void complete(operation& op, int result, unsigned flags) noexcept;
    void complete_unusual(operation& op, int result, unsigned flags) noexcept;
    bool ring_lends() noexcept;
    void give_buffer(std::uint16_t id) noexcept;

    loop& owner_;
    io_uring ring_{};
    int wake_ = -1;
    std::atomic<int> news_ = -1; // the ring and wake() signal it; only for a foreign loop
    bool wake_armed_ = false;
    unsigned sq_end_ = 0;     // the tail that the submission queue has when it is full
    std::size_t pending_ = 0; // operations that are the kernel's
    work_queue deferred_;
    lease_pool* leases_;
    io_uring_buf_ring* buffers_ = nullptr; // nullptr: not made yet, or the kernel would not
    enum : std::uint8_t { untried, made, refused } lending_ = untried;
};

io_uring_backend::io_uring_backend(loop& owner)
    : owner_(owner),
      leases_(new lease_pool(owner.options().lease_size, owner.options().lease_count)) {
    leases_->attach(*this);
    ring_.ring_fd = -1;
    const auto fail = [this](int code, const std::string& what) {
        close_all();
        throw error({code, std::system_category()}, "make an io_uring loop: " + what);
    };
    if (const int r = open_ring(ring_); r < 0)
        fail(-r, out_of_descriptors(-r) ? "io_uring_setup" : why_refused(-r));
    (void)rings_closed.load(std::memory_order_acquire);
    // Slot i of the queue is always SQE i.
    for (unsigned i = 0; i < ring_.sq.ring_entries; ++i)
        ring_.sq.array[i] = i;
    sq_end_ = ring_.sq.ring_entries;
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_ < 0)
        fail(errno, "eventfd");
}

io_uring_backend::~io_uring_backend() {
    close_all();
}

void io_uring_backend::close_all() noexcept {
    if (ring_.ring_fd >= 0) {
        rings_closed.fetch_add(1, std::memory_order_release);
        io_uring_queue_exit(&ring_);
    }
    for (int fd : {wake_, news_.load()})
        if (fd >= 0)
            ::close(fd);
    if (buffers_ != nullptr)
        munmap(buffers_, leases_->count() * sizeof(io_uring_buf));
    lease_pool::detach(leases_);
}

// ---- Starting ---------------------------------------------------------------------------------

int io_uring_backend::attempt_now(operation& op) noexcept {
    if (is_plain(op))
        return attempt_plain(op);
    if (must_wait(op))
        return would_wait;
    if (op.code != opcode::recv_lease) {
        const int r = detail::attempt(op);
        if (!op.target->vain || !is_reading(op.code))
            return r;
        op.target->vain = r == would_wait;
        return r == would_wait ? retrying(op, op.result) : r;
    }
    if (!ring_lends())
        return attempt_lease(op);
    return leases_->lent() == leases_->count() ? retrying(op, -ENOBUFS) : would_wait;
}

[[gnu::always_inline]] inline bool io_uring_backend::wait_for(operation& op) noexcept {
    if (!(must_wait(op) ? start_recv(op) : start(op))) [[unlikely]] {
        op.state = operation::phase::unsent;
        deferred_.push(op);
    }
    return true;
}

// A lease without waiting, where the ring has the buffers: one round through the ring.
int io_uring_backend::attempt(operation& op) noexcept {
    if (op.code != opcode::recv_lease)
        return detail::attempt(op);
    if (!ring_lends())
        return attempt_lease(op);
    op.state = operation::phase::waiting;
    op.result = -EAGAIN;
    if (!start(op)) {
        op.state = operation::phase::idle;
        return would_wait;
    }
    while (op.state == operation::phase::waiting) {
        enter(0);
        reap();
    }
    owner_.unready(op);
    op.state = operation::phase::idle;
    return op.result;
}

// The next free SQE, after submitting what is queued when there is none; nullptr while the kernel
// takes no more.
inline io_uring_sqe* io_uring_backend::next_sqe() noexcept {
    if (ring_.sq.sqe_tail == sq_end_ && !make_room()) [[unlikely]]
        return nullptr;
    return &ring_.sq.sqes[ring_.sq.sqe_tail++ & ring_.sq.ring_mask];
}

bool io_uring_backend::make_room() noexcept {
    enter(0);
    return ring_.sq.sqe_tail != sq_end_;
}

// What must_wait() speaks of, written at once: it is half of all that a server submits.
[[gnu::always_inline]] inline bool io_uring_backend::start_recv(operation& op) noexcept {
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) [[unlikely]]
        return false;
    *sqe = {};
    sqe->opcode = IORING_OP_RECV;
    sqe->ioprio = op.target->dry ? IORING_RECVSEND_POLL_FIRST : 0;
    sqe->fd = op.target->fd;
    sqe->addr = reinterpret_cast<std::uint64_t>(op.data);
    sqe->len = static_cast<std::uint32_t>(std::min<std::size_t>(op.size, INT_MAX));
    sqe->user_data = reinterpret_cast<std::uint64_t>(&op);
    ++pending_;
    return true;
}

// What a poll tells is a state, not news: it must be asked for nothing that the operation does not
// take away, or it would be told again and again.
unsigned events_for(const operation& op) noexcept {
    if (op.code == opcode::poll_read)
        return POLLIN | POLLPRI | POLLRDHUP;
    if ((op.msg_flags & MSG_ERRQUEUE) != 0)
        return POLLERR;
    if ((op.msg_flags & MSG_OOB) != 0)
        return POLLPRI;
    return POLLIN | POLLRDHUP;
}

bool io_uring_backend::start(operation& op) noexcept {
    if (must_wait(op))
        return start_recv(op);
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr)
        return false;
    const int fd = op.target->fd;
    switch (op.code) {
    case opcode::recv_lease:
        if (lending_ == made) {
            const bool now = op.when == timing::immediate;
            io_uring_prep_recv(sqe, fd, nullptr, leases_->size(), now ? MSG_DONTWAIT : 0);
            if (op.target->dry && !now)
                sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
            sqe->flags |= IOSQE_BUFFER_SELECT;
            sqe->buf_group = lease_group;
        } else {
            io_uring_prep_poll_add(sqe, fd, POLLIN | POLLRDHUP);
        }
        break;
    case opcode::recv:
    case opcode::recv_all:
    case opcode::poll_read:
    case opcode::accept:
    case opcode::recv_msg:
    case opcode::recv_many: io_uring_prep_poll_add(sqe, fd, events_for(op)); break;
    case opcode::poll_write:
    case opcode::connect:
    case opcode::send:
    case opcode::send_all:
    case opcode::send_msg:
    case opcode::send_parts:
    case opcode::send_many:
    case opcode::send_file:
        // A poll on the ring always tells of the peer's end and of errors, too, and at once: where
        // that is old news, one is needed that goes on to what comes later.
        io_uring_prep_poll_add(sqe, fd, POLLOUT);
        if (op.target->write_vain)
            sqe->len |= IORING_POLL_ADD_MULTI;
        break;
    case opcode::sleep: break;
    }
    io_uring_sqe_set_data(sqe, &op);
    ++pending_;
    return true;
}

void io_uring_backend::cancel(operation& op) noexcept {
    if (op.state == operation::phase::unsent) { // the kernel has not seen it
        deferred_.remove(op);
        owner_.finish(op, encode(op.reason));
        return;
    }
    op.state = operation::phase::cancelling;
    if (!start_cancel(op)) {
        op.state = operation::phase::uncancelled;
        deferred_.push(op);
    }
}

bool io_uring_backend::start_cancel(operation& op) noexcept {
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr)
        return false;
    io_uring_prep_cancel(sqe, &op, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = ignored_token;
    return true;
}

void io_uring_backend::start_deferred() noexcept {
    while (!deferred_.empty()) {
        auto& op = static_cast<operation&>(deferred_.front());
        const bool to_cancel = op.state == operation::phase::uncancelled;
        if (!(to_cancel ? start_cancel(op) : start(op)))
            return;
        deferred_.pop();
        op.state = to_cancel ? operation::phase::cancelling : operation::phase::waiting;
    }
}

// ---- Waiting ----------------------------------------------------------------------------------

void io_uring_backend::arm_wake() noexcept {
    if (io_uring_sqe* sqe = next_sqe()) {
        io_uring_prep_poll_multishot(sqe, wake_, POLLIN);
        sqe->user_data = wake_token;
        wake_armed_ = true;
    }
}

void io_uring_backend::wait(std::int64_t timeout) noexcept {
    start_deferred();
    if (!wake_armed_)
        arm_wake();
    if (reap() > 0)
        timeout = 0; // but submit
    const bool unsubmitted = ring_.sq.sqe_tail != load_acquire(ring_.sq.khead);
    const bool kernel_has_work =
        (load_acquire(ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
    if (timeout == 0 && !unsubmitted && !kernel_has_work && news_ < 0)
        return;
    enter(deferred_.empty() ? timeout : 0);
    reap();
    while (news_ >= 0 && take_news())
        reap();
}

// With DEFER_TASKRUN a ring that was polled and found idle tells the poll nothing of later work:
// only an eventfd is signalled. True when there is work that came before the signal was taken.
bool io_uring_backend::take_news() noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(news_, &count, sizeof count);
    if ((load_acquire(ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0)
        return enter(0) == 0;
    return *ring_.cq.khead != load_acquire(ring_.cq.ktail);
}

int io_uring_backend::pollable_fd() noexcept {
    if (news_ >= 0)
        return news_;
    const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd >= 0 && io_uring_register_eventfd(&ring_, fd) != 0) {
        ::close(fd);
        return -1;
    }
    return news_ = fd;
}

int io_uring_backend::enter(std::int64_t timeout) noexcept {
    io_uring_sq& sq = ring_.sq;
    sq.sqe_head = sq.sqe_tail;
    __atomic_store_n(sq.ktail, sq.sqe_tail, __ATOMIC_RELEASE);
    const unsigned to_submit = sq.sqe_tail - load_acquire(sq.khead);

    unsigned flags = IORING_ENTER_GETEVENTS;
    if ((ring_.features & IORING_FEAT_NO_IOWAIT) != 0)
        flags |= IORING_ENTER_NO_IOWAIT; // an idle server is not waiting for a disk
    __kernel_timespec t{};
    io_uring_getevents_arg argument{};
    const void* extra = nullptr;
    std::size_t extra_size = 0;
    if (timeout != 0 && timeout != forever) {
        t = {timeout / 1'000'000'000, timeout % 1'000'000'000};
        argument.ts = reinterpret_cast<std::uint64_t>(&t);
        extra = &argument;
        extra_size = sizeof argument;
        flags |= IORING_ENTER_EXT_ARG;
    }
    const long n = syscall(__NR_io_uring_enter, ring_.ring_fd, to_submit, timeout != 0 ? 1U : 0U,
                           flags, extra, extra_size);
    sq_end_ = load_acquire(sq.khead) + sq.ring_entries;
    // EINTR, ETIME, and EBUSY or EAGAIN (too much is under way): the next turn goes on.
    return n >= 0 || errno == EINTR || errno == ETIME || errno == EBUSY || errno == EAGAIN ? 0
                                                                                           : -errno;
}

unsigned io_uring_backend::reap() noexcept {
    io_uring_cq& cq = ring_.cq;
    const unsigned first = *cq.khead;
    const unsigned tail = load_acquire(cq.ktail);
    for (unsigned head = first; head != tail; ++head) {
        const io_uring_cqe& cqe = cq.cqes[head & cq.ring_mask];
        const std::uint64_t token = cqe.user_data;
        if (token > wake_token) [[likely]]
            complete(*reinterpret_cast<operation*>(token), cqe.res, cqe.flags);
        else if (token == wake_token)
            woken(cqe.flags);
    }
    __atomic_store_n(cq.khead, tail, __ATOMIC_RELEASE);
    return tail - first;
}

void io_uring_backend::woken(unsigned flags) noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t r = ::read(wake_, &count, sizeof count);
    if ((flags & IORING_CQE_F_MORE) == 0)
        wake_armed_ = false;
}

inline void io_uring_backend::complete(operation& op, int result, unsigned flags) noexcept {
    if (!must_wait(op) || result < 0 || op.state != operation::phase::waiting) [[unlikely]]
        return complete_unusual(op, result, flags);
    --pending_;
    op.target->dry = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    owner_.finish(op, result);
}

void io_uring_backend::complete_unusual(operation& op, int result, unsigned flags) noexcept {
    if ((flags & IORING_CQE_F_MORE) != 0) { // of a poll that goes on: its end is what is awaited
        if ((result & POLLOUT) != 0 && op.state == operation::phase::waiting)
            cancel(op);
        return;
    }
    --pending_;
    if (op.state == operation::phase::uncancelled)
        deferred_.remove(op);
    const bool received = must_wait(op) || (op.code == opcode::recv_lease && lending_ == made);
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        const auto buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
        op.extra = buffer;
        if (result > 0) {
            op.data = leases_->at(buffer);
            leases_->lend();
        } else {
            give_buffer(buffer);
        }
    }
    // EINTR: a worker of the kernel waited for it, and was interrupted by the cancel.
    const bool nothing = result == -ECANCELED || result == -EINTR || result == -EAGAIN;
    if (nothing && op.reason != errc{}) {
        owner_.finish(op, encode(op.reason));
    } else if (op.when == timing::immediate) {
        owner_.finish(op, result);
    } else if (result == -ECANCELED || result == -EINTR || (result == -EAGAIN && !received) ||
               (result >= 0 && !received)) {
        // Interrupted, or ready now: the system call decides. Errors are reported with every poll
        // until somebody reads them: where it then finds nothing, it is not asked again at once.
        if (result >= 0 && is_reading(op.code))
            op.target->vain = (static_cast<unsigned>(result) & events_for(op)) == 0;
        else if (result >= 0 && (result & POLLOUT) == 0)
            op.target->write_vain = true;
        op.state = operation::phase::readied;
        owner_.enqueue(op);
    } else if ((result == -ENOBUFS && op.code == opcode::recv_lease) || result == -EAGAIN) {
        // No buffer; or the kernel gave up, having been woken in vain (unread errors, urgent data).
        op.result = result;
        owner_.retry_later(op);
        if (op.reason != errc{})
            owner_.cancel(op, op.reason);
    } else {
        op.target->dry = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
        owner_.finish(op, result);
    }
}

void io_uring_backend::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] ssize_t n = ::write(wake_, &one, sizeof one);
    // The ring's own signal would be late: the kernel puts off one eventfd that wakes another.
    if (const int fd = news_; fd >= 0)
        n = ::write(fd, &one, sizeof one);
}

void io_uring_backend::end() noexcept {
    while (!deferred_.empty()) {
        auto& op = static_cast<operation&>(deferred_.pop());
        if (op.state == operation::phase::unsent) // else the kernel has it
            owner_.finish(op, encode(errc::broken));
    }
    bool asked = false;
    while (pending_ > 0) {
        if (io_uring_sqe* sqe = asked ? nullptr : next_sqe()) {
            io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
            sqe->user_data = ignored_token;
            asked = true;
        }
        if (enter(asked ? forever : 0) < 0)
            return;
        reap();
    }
}

// ---- Lending ----------------------------------------------------------------------------------

// A ring of buffers from which the kernel takes one when data is there. Where it cannot be had
// (before Linux 5.19, too little locked memory), leases are received by poll and recv(2).
bool io_uring_backend::ring_lends() noexcept {
    if (lending_ != untried)
        return lending_ == made;
    lending_ = refused;
    if (leases_->prepare() < 0)
        return false;
    const std::size_t bytes = leases_->count() * sizeof(io_uring_buf);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(memory);
    registration.ring_entries = static_cast<std::uint32_t>(leases_->count());
    registration.bgid = lease_group;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) != 0) {
        munmap(memory, bytes);
        return false;
    }
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    lending_ = made;
    for (int id = leases_->take(); id >= 0; id = leases_->take())
        give_buffer(static_cast<std::uint16_t>(id));
    return true;
}

void io_uring_backend::give_buffer(std::uint16_t id) noexcept {
    const auto mask = static_cast<int>(leases_->count() - 1);
    io_uring_buf_ring_add(buffers_, leases_->at(id), static_cast<unsigned>(leases_->size()), id,
                          mask, 0);
    io_uring_buf_ring_advance(buffers_, 1);
}

void io_uring_backend::take_buffer(std::uint16_t id) noexcept {
    if (lending_ == made)
        give_buffer(id);
    else
        leases_->put(id);
    owner_.retry_soon();
}

} // namespace

std::unique_ptr<backend> make_io_uring_backend(loop& owner) {
    return std::make_unique<io_uring_backend>(owner);
}

std::vector<backend_report::feature> probe_io_uring() {
    std::vector<backend_report::feature> found;
    io_uring ring{};
    // As large as that of a loop: a small one may be had where that is refused.
    if (const int r = open_ring(ring); r < 0) {
        if (out_of_descriptors(-r))
            throw error({-r, std::system_category()}, "probe io_uring: io_uring_setup");
        found.push_back({"io_uring", why_refused(-r)});
        return found;
    }
    found.push_back({"io_uring", ""});
    found.push_back({"io_uring single issuer, deferred task work", ""});
    // A filter may let a ring be made, and then refuse its use.
    const long entered =
        syscall(__NR_io_uring_enter, ring.ring_fd, 0U, 0U, IORING_ENTER_GETEVENTS, nullptr, 0U);
    found.push_back({"io_uring_enter", entered < 0 ? why_refused(errno) : ""});
    constexpr unsigned opcodes = 256;
    alignas(io_uring_probe)
        std::array<std::byte, sizeof(io_uring_probe) + opcodes * sizeof(io_uring_probe_op)>
            answer{};
    auto* const probe = reinterpret_cast<io_uring_probe*>(answer.data());
    const int asked = io_uring_register_probe(&ring, probe, opcodes);
    found.push_back({"io_uring_register", asked < 0 ? why_refused(-asked) : ""});
    const auto need = [&](const char* name, bool there, const char* since) {
        found.push_back(
            {name, there ? "" : std::string("the kernel lacks it (before ") + since + ")"});
    };
    need("io_uring wait with a timeout", (ring.features & IORING_FEAT_EXT_ARG) != 0, "5.11");
    need("io_uring without I/O-wait accounting", (ring.features & IORING_FEAT_NO_IOWAIT) != 0,
         "6.15");
    const auto opcode_there = [&](int code) {
        return asked >= 0 && io_uring_opcode_supported(probe, code) != 0;
    };
    need("io_uring RECV", opcode_there(IORING_OP_RECV), "5.6");
    need("io_uring POLL_ADD", opcode_there(IORING_OP_POLL_ADD), "5.1");
    need("io_uring ASYNC_CANCEL", opcode_there(IORING_OP_ASYNC_CANCEL), "5.5");
    void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uint64_t>(memory);
        registration.ring_entries = 8;
        need("io_uring buffer ring", io_uring_register_buf_ring(&ring, &registration, 0) == 0,
             "5.19");
    }
    io_uring_queue_exit(&ring);
    if (memory != MAP_FAILED)
        munmap(memory, 4096);
    return found;
}

} // namespace gyre::detail
