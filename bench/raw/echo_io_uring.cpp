// The second yardstick: io_uring as it is fastest for streams on this kernel. One ring that only
// its thread enters (SINGLE_ISSUER, DEFER_TASKRUN), a multishot receive for each connection into a
// ring of provided 16 KiB buffers, and a plain send() straight after each completion: over
// loopback it takes the bytes at once, and what it does not take waits for a poll. One thread.
//
//     echo_io_uring 127.0.0.1:7000 | unix:/path | unix:@name

#include "endpoint.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>

#include <vector>

namespace {

constexpr unsigned submissions = 1024;
constexpr unsigned completions = 16384;
constexpr unsigned buffer_count = 1024; // a power of two
constexpr unsigned buffer_size = 16U << 10;
constexpr int buffer_group = 0;

struct connection {
    int fd;
    unsigned pending = 0;     // requests that the kernel still has; freed when there are none
    bool receiving = false;   // one of them is the receive
    bool ended = false;       // the peer sends no more
    bool closing = false;     // shut down, so that what is pending ends
    std::size_t sent = 0;     // of `unsent`
    std::vector<char> unsent; // what the peer did not take; then nothing more is received
};

// What a completion is about: a connection, and in the low bits of its address the request.
enum : std::uint64_t { received, writable, cancelled, accepted, signalled, kinds = 7 };
static_assert(alignof(connection) > kinds); // the mask of the low bits

io_uring ring;
io_uring_buf_ring* buffers;
char* memory;

io_uring_sqe* next_request() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (sqe == nullptr) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

void label(io_uring_sqe* sqe, connection* c, std::uint64_t kind) {
    io_uring_sqe_set_data64(sqe, reinterpret_cast<std::uint64_t>(c) | kind);
    if (c != nullptr)
        ++c->pending;
}

void receive(connection& c) {
    io_uring_sqe* sqe = next_request();
    io_uring_prep_recv_multishot(sqe, c.fd, nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
    label(sqe, &c, received);
    c.receiving = true;
}

void stop_receiving(connection& c) {
    io_uring_sqe* sqe = next_request();
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(&c) | received, 0);
    label(sqe, &c, cancelled);
}

void wait_for_room(connection& c) {
    io_uring_sqe* sqe = next_request();
    io_uring_prep_poll_add(sqe, c.fd, POLLOUT);
    label(sqe, &c, writable);
}

void accept_all(int listener) {
    io_uring_sqe* sqe = next_request();
    io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    label(sqe, nullptr, accepted);
}

void lend(char* buffer, unsigned id, int position) {
    io_uring_buf_ring_add(buffers, buffer, buffer_size, static_cast<unsigned short>(id),
                          io_uring_buf_ring_mask(buffer_count), position);
}

void close(connection& c) {
    if (!c.closing)
        ::shutdown(c.fd, SHUT_RDWR);
    c.closing = true;
}

/// How much of it the kernel took.
std::size_t send_now(connection& c, const char* data, std::size_t size) {
    const ssize_t n = ::send(c.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        close(c);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
}

void echo(connection& c, const char* data, std::size_t size) {
    if (c.closing)
        return;
    const bool first = c.unsent.empty();
    const std::size_t gone = first ? send_now(c, data, size) : 0;
    c.unsent.insert(c.unsent.end(), data + gone, data + size);
    if (!first || gone == size || c.closing)
        return;
    wait_for_room(c);
    if (c.receiving)
        stop_receiving(c);
}

void on_received(connection& c, const io_uring_cqe& cqe) {
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
        c.receiving = false;
        --c.pending;
    }
    if (cqe.res > 0) {
        const unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
        char* const data = memory + std::size_t{id} * buffer_size;
        echo(c, data, static_cast<std::size_t>(cqe.res));
        lend(data, id, 0);
        io_uring_buf_ring_advance(buffers, 1);
    } else if (cqe.res == 0) {
        c.ended = true;
    } else if (cqe.res != -ENOBUFS && cqe.res != -ECANCELED) {
        close(c);
    }
}

void flush(connection& c) {
    if (c.closing)
        return;
    c.sent += send_now(c, c.unsent.data() + c.sent, c.unsent.size() - c.sent);
    if (c.closing)
        return;
    if (c.sent < c.unsent.size()) {
        wait_for_room(c);
        return;
    }
    c.unsent.clear();
    c.sent = 0;
}

void on_completion(connection& c, std::uint64_t kind, const io_uring_cqe& cqe) {
    if (kind == received)
        on_received(c, cqe);
    else
        --c.pending;
    if (kind == writable)
        flush(c);
    if (!c.closing && c.unsent.empty()) {
        if (c.ended)
            close(c);
        else if (!c.receiving)
            receive(c);
    }
    if (!c.closing || c.pending > 0)
        return;
    ::close(c.fd);
    delete &c;
}

void make_ring() {
    io_uring_params p{};
    p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    p.cq_entries = completions;
    errno = -io_uring_queue_init_params(submissions, &ring, &p);
    if (errno != 0)
        raw::fail_errno("io_uring");
    constexpr std::size_t page = 4096;
    buffers = static_cast<io_uring_buf_ring*>(
        std::aligned_alloc(page, buffer_count * sizeof(io_uring_buf)));
    memory = static_cast<char*>(std::aligned_alloc(page, std::size_t{buffer_count} * buffer_size));
    io_uring_buf_ring_init(buffers);
    for (unsigned id = 0; id < buffer_count; ++id)
        lend(memory + std::size_t{id} * buffer_size, id, static_cast<int>(id));
    io_uring_buf_reg where{};
    where.ring_addr = reinterpret_cast<std::uint64_t>(buffers);
    where.ring_entries = buffer_count;
    where.bgid = buffer_group;
    errno = -io_uring_register_buf_ring(&ring, &where, 0);
    if (errno != 0)
        raw::fail_errno("io_uring buffer ring");
    io_uring_buf_ring_advance(buffers, static_cast<int>(buffer_count));
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2)
        raw::fail("usage: echo_io_uring ADDRESS", 2);
    const raw::endpoint at = raw::parse_endpoint(argv[1]);
    if (at.type != SOCK_STREAM)
        raw::fail("only streams: TCP and UNIX", 2);
    const int signals = raw::prepare_process();
    make_ring();
    const int listener = raw::open_endpoint(at);
    // On a descriptor that does not block, io_uring gives EAGAIN instead of waiting.
    ::fcntl(listener, F_SETFL, 0);
    accept_all(listener);
    io_uring_sqe* sqe = next_request();
    io_uring_prep_poll_add(sqe, signals, POLLIN);
    label(sqe, nullptr, signalled);

    for (bool run = true; run;) {
        io_uring_submit_and_wait(&ring, 1);
        io_uring_cqe* cqe = nullptr;
        unsigned head = 0;
        unsigned n = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            ++n;
            const std::uint64_t kind = cqe->user_data & kinds;
            if (kind == signalled) {
                run = false;
            } else if (kind == accepted) {
                if (cqe->res >= 0)
                    receive(*new connection{.fd = cqe->res, .unsent = {}});
                else if (cqe->res == -EMFILE || cqe->res == -ENFILE)
                    raw::fail("accept: no descriptors left"); // as echo_epoll: do not spin
                if ((cqe->flags & IORING_CQE_F_MORE) == 0)
                    accept_all(listener);
            } else {
                auto* const c = reinterpret_cast<connection*>(cqe->user_data & ~kinds);
                on_completion(*c, kind, *cqe);
            }
        }
        io_uring_cq_advance(&ring, n);
    }
    if (!at.path.empty())
        ::unlink(at.path.c_str());
}
