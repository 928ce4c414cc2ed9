#include <gyre/core/attempt.hpp>
#include <gyre/core/inbox.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/no_sigpipe.hpp>
#include <gyre/core/send_file.hpp>
#include <gyre/core/thread_pool.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <new>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace gyre::detail {

/// Shared by an operation and the threads that read for it. The descriptor is a duplicate: that of
/// the user may be closed, and its number be another's, before a cancelled reading has ended.
struct file_reading {
    explicit file_reading(int descriptor) : fd(descriptor) {}
    file_reading(const file_reading&) = delete;
    ~file_reading() { ::close(fd); }

    const int fd;
    const std::shared_ptr<inbox> home = current_inbox();
    std::atomic<bool> abandoned = false;
    // The loop's, but `memory` during a reading.
    operation* waiter = nullptr;
    enum : std::uint8_t {
        to_cache,
        to_memory, // what sendfile(2) does not take
        of_pipe,   // which is spliced: the threads only wait for it
    } kind = to_cache;
    bool seekable = false; // what is read to memory
    bool done = false;     // a reading; `result` tells how it ended
    int result = 0;
    std::unique_ptr<std::byte[]> memory;
    std::size_t first = 0; // of `memory`, what is still to be sent
    std::size_t last = 0;
};

void file_operation::leave_reading() noexcept {
    reading->waiter = nullptr;
    reading->abandoned.store(true, std::memory_order_relaxed);
}

namespace {

constexpr std::size_t chunk_max = std::size_t{1} << 20;
constexpr std::size_t copy_max = std::size_t{256} << 10;
constexpr int abandoned_for_ms = 100; // at most, until who waits for a pipe notices

// Not destroyed at exit: a reading may still be under way. Pipes have threads of their own, for
// they may take for ever.
thread_pool& disk_threads() {
    static auto* const instance = new thread_pool(4);
    return *instance;
}
thread_pool& pipe_threads() {
    static auto* const instance = new thread_pool(16);
    return *instance;
}

template <class Call>
int uninterrupted(Call c) noexcept {
    for (;;) {
        const int n = checked(c());
        if (n != -EINTR)
            return n;
    }
}

template <class Call>
int without_signal(Call c) noexcept {
    no_sigpipe guard;
    const int n = uninterrupted(c);
    if (n == -EPIPE)
        guard.take();
    return n;
}

// ---- The page cache ---------------------------------------------------------------------------

struct cache_range {
    std::uint64_t offset;
    std::uint64_t length;
};
struct cache_statistics {
    std::uint64_t cached;
    std::uint64_t others[4];
};
constexpr long cachestat_number = 451; // since Linux 6.5; headers may be older

/// Bytes of [first, last) that can be had from memory: 1 MiB at most, all read to one place.
int read_at_hand(int file, std::int64_t first, std::int64_t last) noexcept {
    std::array<std::byte, 16384> memory;
    std::array<iovec, chunk_max / memory.size()> parts;
    auto left = static_cast<std::size_t>(last - first);
    int count = 0;
    for (; left > 0 && count < static_cast<int>(parts.size()); ++count) {
        const std::size_t n = std::min(left, memory.size());
        parts[static_cast<std::size_t>(count)] = {memory.data(), n};
        left -= n;
    }
    return uninterrupted([&] { return ::preadv2(file, parts.data(), count, first, RWF_NOWAIT); });
}

bool in_page_cache(int file, std::int64_t first, std::int64_t last) noexcept {
    cache_range range{static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last - first)};
    cache_statistics found{};
    if (::syscall(cachestat_number, file, &range, &found, 0U) != 0)
        return read_at_hand(file, first, last) == last - first;
    static const std::int64_t page = ::sysconf(_SC_PAGESIZE);
    const auto pages = static_cast<std::uint64_t>((last - 1) / page - first / page + 1);
    return found.cached >= pages && read_at_hand(file, first, first + 1) != -EAGAIN &&
           read_at_hand(file, last - 1, last) != -EAGAIN;
}

// ---- On the threads ---------------------------------------------------------------------------

int read_into_cache(const file_reading& r, std::int64_t offset, std::size_t size) noexcept {
    const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[copy_max]);
    if (memory == nullptr)
        return -ENOMEM;
    for (std::size_t done = 0; done < size;) {
        const int n = uninterrupted([&] {
            return ::pread(r.fd, memory.get(), std::min(size - done, copy_max),
                           offset + static_cast<std::int64_t>(done));
        });
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += static_cast<std::size_t>(n);
    }
    return 0;
}

/// Waits for a pipe or the like; false when nobody wants it any more.
bool wait_until_readable(const file_reading& r) noexcept {
    while (!r.abandoned.load(std::memory_order_relaxed)) {
        pollfd p{r.fd, POLLIN, 0};
        if (::poll(&p, 1, abandoned_for_ms) > 0)
            return true;
    }
    return false;
}

int read_into_memory(const file_reading& r, std::int64_t offset, std::size_t size) noexcept {
    if (r.seekable)
        return uninterrupted([&] { return ::pread(r.fd, r.memory.get(), size, offset); });
    while (wait_until_readable(r)) {
        const int n = uninterrupted([&] { return ::read(r.fd, r.memory.get(), size); });
        if (n != -EAGAIN) // another reader was faster
            return n;
    }
    return -ECANCELED;
}

int perform(const file_reading& r, std::int64_t offset, std::size_t size) noexcept {
    switch (r.kind) {
    case file_reading::to_cache: return read_into_cache(r, offset, size);
    case file_reading::to_memory: return read_into_memory(r, offset, size);
    case file_reading::of_pipe: return wait_until_readable(r) ? 0 : -ECANCELED;
    }
    return -EINVAL;
}

// Lets a thread read; the operation goes on after that.
int hold_for_reading(file_operation& op, std::size_t size) noexcept {
    file_reading& r = *op.reading;
    r.waiter = &op;
    r.done = false;
    const bool quick = r.kind == file_reading::to_cache || r.seekable;
    thread_pool& threads = quick ? disk_threads() : pipe_threads();
    try {
        threads.post([reading = op.reading, offset = op.offset, size]() mutable {
            const int n = perform(*reading, offset, size);
            // With the news goes what this thread has of it, and so the duplicate.
            const std::shared_ptr<inbox> home = reading->home;
            home->post([r = std::move(reading), n] {
                r->done = true;
                r->result = n;
                if (r->waiter != nullptr)
                    loop::current()->rouse(*r->waiter);
            });
        });
    } catch (const std::exception&) { // no memory, or no thread
        return -ENOMEM;
    }
    op.result = -EAGAIN;
    return backend::would_hold;
}

int make_reading(file_operation& op) noexcept {
    if (op.reading != nullptr)
        return 0;
    const int fd = checked(::fcntl(op.file, F_DUPFD_CLOEXEC, 0));
    if (fd < 0)
        return fd;
    try {
        op.reading = std::make_shared<file_reading>(fd);
    } catch (const std::bad_alloc&) {
        ::close(fd);
        return -ENOMEM;
    }
    return 0;
}

// ---- The steps of an operation ----------------------------------------------------------------

int refuse(file_operation& op, int code, const char* why) noexcept {
    op.complaint = why;
    return -code;
}

int begin(file_operation& op) noexcept {
    if (op.complaint != nullptr)
        return -EINVAL;
    if (op.target->type != SOCK_STREAM)
        return refuse(op, EOPNOTSUPP, "which is no stream");
    struct stat about{};
    if (const int r = checked(::fstat(op.file, &about)); r < 0)
        return refuse(op, -r, "of a closed file");
    if (S_ISDIR(about.st_mode))
        return refuse(op, EISDIR, "of a folder");
    if (S_ISREG(about.st_mode) && about.st_size > 0 && op.offset > about.st_size)
        return refuse(op, EINVAL, "from an offset beyond the end of the file");
    op.at_hand = op.offset;
    return 0;
}

/// Where the next chunk ends, at the latest.
std::int64_t end_of_chunk(const file_operation& op) noexcept {
    const auto size = static_cast<std::int64_t>(std::min(op.size, chunk_max));
    return op.offset + std::min(size, std::numeric_limits<std::int64_t>::max() - op.offset);
}

/// Makes sure that the next chunk is in the page cache, or begins to read it.
int prepare_chunk(file_operation& op) noexcept {
    struct stat about{};
    if (const int r = checked(::fstat(op.file, &about)); r < 0)
        return r;
    std::int64_t end = end_of_chunk(op);
    if (S_ISREG(about.st_mode))
        end = std::min(end, std::int64_t{about.st_size});
    else if (!S_ISBLK(about.st_mode))
        end = op.offset; // there is no disk
    if (end <= op.offset || in_page_cache(op.file, op.offset, end)) {
        op.at_hand = end_of_chunk(op);
        return 0;
    }
    if (const int r = make_reading(op); r < 0)
        return r;
    return hold_for_reading(op, static_cast<std::size_t>(end - op.offset));
}

/// The file is one that sendfile(2) does not take.
int begin_otherwise(file_operation& op) noexcept {
    struct stat about{};
    if (const int r = checked(::fstat(op.file, &about)); r < 0)
        return r;
    const bool seekable = ::lseek(op.file, 0, SEEK_CUR) >= 0;
    if (!seekable && op.offset != 0)
        return refuse(op, ESPIPE, "from an offset of what has none");
    if (!seekable && op.when == timing::immediate && !S_ISFIFO(about.st_mode))
        return refuse(op, EOPNOTSUPP, "without waiting, of what is neither file nor pipe");
    if (const int r = make_reading(op); r < 0)
        return r;
    file_reading& r = *op.reading;
    r.seekable = seekable;
    r.done = false;
    if (S_ISFIFO(about.st_mode)) {
        r.kind = file_reading::of_pipe;
        return 0;
    }
    r.memory.reset(new (std::nothrow) std::byte[copy_max]);
    if (r.memory == nullptr)
        return -ENOMEM;
    r.kind = file_reading::to_memory;
    return 0;
}

int send_pipe(file_operation& op) noexcept {
    std::size_t sent = 0;
    bool readable = false; // told by poll(2) after the last success
    while (op.size > 0) {
        if (sent >= chunk_max && op.when != timing::immediate) {
            op.result = -EAGAIN;
            return backend::would_yield;
        }
        const std::size_t size = std::min(op.size, chunk_max);
        const int n = without_signal([&] {
            return ::splice(op.file, nullptr, op.target->fd, nullptr, size, SPLICE_F_NONBLOCK);
        });
        if (n == -EAGAIN && readable)
            return waiting(op, n); // for the socket
        if (n == -EAGAIN) {
            pollfd p{op.file, POLLIN, 0};
            readable = ::poll(&p, 1, 0) > 0;
            if (readable)
                continue;
            if (op.when != timing::immediate)
                return hold_for_reading(op, 0);
            op.result = n;
            return backend::would_hold;
        }
        if (n <= 0)
            return n;
        readable = false;
        op.size -= static_cast<std::size_t>(n);
        op.transferred += static_cast<std::size_t>(n);
        sent += static_cast<std::size_t>(n);
    }
    return 0;
}

int send_copies(file_operation& op) noexcept {
    file_reading& r = *op.reading;
    while (op.size > 0) {
        if (r.first < r.last) {
            const int n = uninterrupted([&] {
                return ::send(op.target->fd, r.memory.get() + r.first, r.last - r.first,
                              MSG_DONTWAIT | MSG_NOSIGNAL);
            });
            if (n < 0)
                return waiting(op, n);
            const auto gone = static_cast<std::size_t>(n);
            r.first += gone;
            op.offset += n;
            op.size -= gone;
            op.transferred += gone;
            continue;
        }
        if (r.done) {
            r.done = false;
            if (r.result <= 0)
                return r.result;
            r.first = 0;
            r.last = static_cast<std::size_t>(r.result);
            continue;
        }
        const std::size_t size = std::min(op.size, copy_max);
        if (op.when != timing::immediate)
            return hold_for_reading(op, size);
        r.done = true; // a file of the kernel's: there is no disk
        r.result = read_into_memory(r, op.offset, size);
    }
    return 0;
}

int send_otherwise(file_operation& op) noexcept {
    return op.reading->kind == file_reading::of_pipe ? send_pipe(op) : send_copies(op);
}

} // namespace

int try_send_file(file_operation& op) noexcept {
    if (op.at_hand < 0)
        if (const int r = begin(op); r < 0)
            return r;
    if (op.reading != nullptr && op.reading->kind != file_reading::to_cache)
        return send_otherwise(op);
    std::size_t sent = 0;
    while (op.size > 0) {
        if (op.reading != nullptr && op.reading->done) {
            op.reading->done = false;
            if (op.reading->result < 0)
                return op.reading->result;
            op.at_hand = end_of_chunk(op);
        }
        if (op.offset >= op.at_hand) {
            if (sent >= chunk_max && op.when != timing::immediate) {
                op.result = -EAGAIN;
                return backend::would_yield;
            }
            if (const int r = prepare_chunk(op); r != 0)
                return r;
        }
        off_t at = op.offset;
        const auto size = static_cast<std::size_t>(op.at_hand - op.offset);
        const int n = without_signal([&] { return ::sendfile(op.target->fd, op.file, &at, size); });
        if ((n == -EINVAL || n == -ESPIPE) && op.transferred == 0) {
            if (const int r = begin_otherwise(op); r < 0)
                return r;
            return send_otherwise(op);
        }
        if (n < 0)
            return waiting(op, n);
        if (n == 0)
            break; // the file ends here
        const auto gone = static_cast<std::size_t>(n);
        op.offset += n;
        op.size -= gone;
        op.transferred += gone;
        sent += gone;
    }
    return 0;
}

} // namespace gyre::detail
