#include <gyre/core/as_result.hpp>
#include <gyre/core/backend.hpp>
#include <gyre/core/frame_pool.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/io/byte_queue.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/stream.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

namespace gyre {
namespace detail {

/// Lives as long as the stream or any operation of it that has begun.
struct stream_state {
    explicit stream_state(socket s) noexcept : connection(std::move(s)) {}

    socket connection;
    byte_queue input;
    byte_queue output;
    std::size_t high = std::size_t{64} << 10;
    std::size_t low = std::size_t{16} << 10;
    operation* active[2] = {}; ///< what waits for the descriptor, of each direction
    int errors[2] = {};        ///< what every further call of a direction ends with; or 0
    unsigned references = 1;
    bool readable = true;
    bool writable = true;
    bool reading = false;
    bool writing = false;
    bool ended = false;    ///< the last wait of a read was for the end
    bool finished = false; ///< write_eof has told the peer
    bool draining = false; ///< a read that waits sends what is pending, for want of a writer
    std::size_t chunk = 2048;

    descriptor* target() const noexcept { return connection.descriptor_; }
    std::string name() const { return describe(operation(opcode::recv, target())); }
    static socket share(const socket& s) noexcept { return s.share(); }

    int send_now(const void* rest, std::size_t size) noexcept;
    bool push_out() noexcept;
    task<int> receive(buffer b);
    task<> drain();
    void close() noexcept;
};

void release(stream_state& s) noexcept {
    if (--s.references != 0)
        return;
    s.~stream_state();
    frame_pool::deallocate(&s, sizeof s);
}

namespace {

constexpr std::size_t in = 0;
constexpr std::size_t out = 1;
constexpr std::size_t chunk_max = std::size_t{64} << 10;
/// From here on, bytes go around the buffer.
constexpr std::size_t direct = 4096;

/// One wait for the descriptor, whose failure is its result.
class step final : public operation {
public:
    step(stream_state& s, opcode c, void* memory = nullptr, std::size_t length = 0) noexcept
        : operation(c, s.target(), memory, length), slot_(s.active[is_reading(c) ? in : out]) {
        slot_ = this;
    }
    ~step() { slot_ = nullptr; }
    int await_resume() const noexcept { return result; }

private:
    operation*& slot_;
};

/// Set while a coroutine reads or writes. One that is destroyed in the middle takes with it what it
/// alone knew about.
class turn {
public:
    turn(bool& flag, int& error) noexcept : flag_(flag), error_(error) { flag = true; }
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() {
        flag_ = false;
        if (!over_ && error_ == 0)
            error_ = encode(errc::broken);
    }
    void over() noexcept { over_ = true; }

private:
    bool& flag_;
    int& error_;
    bool over_ = false;
};

/// An error of the connection, not of this call.
bool lasts(int result) noexcept {
    return result < 0 && result > -errc_offset && result != -EAGAIN && result != -EINTR &&
           result != -ENOMEM && result != -ENOBUFS;
}

} // namespace

/// Sends what is pending, and then `rest`, as far as that goes without waiting; how many bytes.
int stream_state::send_now(const void* rest, std::size_t size) noexcept {
    if (output.size() + size == 0)
        return 0;
    const iovec parts[2] = {{const_cast<char*>(output.data()), output.size()},
                            {const_cast<void*>(rest), size}};
    message_operation op(opcode::send, target());
    if (output.size() != 0 && size != 0) {
        op.code = opcode::send_msg;
        op.size = output.size() + size;
        op.parts = parts;
        op.part_count = 2;
    } else {
        const iovec& one = parts[output.size() != 0 ? 0 : 1];
        op.data = one.iov_base;
        op.size = one.iov_len;
    }
    op.msg_flags = MSG_DONTWAIT;
    op.when = timing::immediate; // so it has ended when submit() returns
    context nobody;
    op.ctx = &nobody;
    op.waiter = nullptr;
    current_submitter->submit(op);
    if (lasts(op.result))
        errors[out] = op.result;
    if (op.result > 0)
        output.take(std::min(static_cast<std::size_t>(op.result), output.size()));
    return op.result;
}

/// Before a read waits. False when something is left that nobody but the reader will send.
bool stream_state::push_out() noexcept {
    if (output.size() == 0 || writing || errors[out] != 0)
        return true;
    send_now(nullptr, 0);
    return output.size() == 0 || errors[out] != 0;
}

/// Waits for room and not with the memory of the bytes: others may add to them meanwhile.
task<> stream_state::drain() {
    if (writing)
        co_return;
    draining = true;
    struct guard {
        bool& flag;
        ~guard() { flag = false; }
    } const g{draining};
    while (output.size() != 0 && errors[out] == 0 && !writing) {
        step room(*this, opcode::poll_write);
        room.when = timing::none;
        if (co_await room < 0)
            co_return;
        send_now(nullptr, 0);
    }
}

task<int> stream_state::receive(buffer b) {
    int n = encode(errc::cancelled);
    if (push_out()) {
        step data(*this, opcode::recv, b.data(), b.size());
        n = co_await data;
    } else {
        // The peer takes nothing at the moment. To wait for that alone would be a deadlock with one
        // who does the same.
        const auto both = [&](task_group& group) -> task<> {
            group.spawn(drain());
            step data(*this, opcode::recv, b.data(), b.size());
            n = co_await data;
            group.cancel();
        };
        // That it was cancelled `n` tells, too; or data were faster.
        static_cast<void>(co_await as_result(with_group(both)));
    }
    ended = n == 0;
    co_return n;
}

void stream_state::close() noexcept {
    errors[in] = errors[out] = encode(errc::closed);
    loop* here = loop::current();
    if (target() != nullptr && here != nullptr && target()->home == here->shared_inbox())
        for (operation* op : {active[in], active[out]})
            if (op != nullptr)
                here->cancel(*op, errc::closed);
    connection.close();
}

} // namespace detail

using detail::encode;
using detail::in;
using detail::out;
using detail::stream_state;

// ---- Reading ----------------------------------------------------------------------------------

namespace {

/// Whether a read may begin: 0, or with what it ends.
int may_begin(stream_state* s, bool allowed, bool busy) noexcept {
    if (s == nullptr)
        return encode(errc::closed);
    if (!allowed)
        return -EOPNOTSUPP;
    if (busy)
        return encode(errc::busy);
    ++s->references;
    return 0;
}

/// More input; what was received, 0 at the end, or an error.
task<int> more(stream_state& s) {
    std::span<char> room;
    try {
        room = s.input.room(s.chunk);
    } catch (const std::bad_alloc&) {
        co_return -ENOMEM;
    }
    const int n = co_await s.receive(room);
    if (n > 0) {
        s.input.add(static_cast<std::size_t>(n));
        if (static_cast<std::size_t>(n) == room.size()) // there is more: next time a larger gulp
            s.chunk = std::min(2 * s.chunk, detail::chunk_max);
    }
    co_return n;
}

/// For what has ended without waiting: from time to time others run, and a cancel is noticed.
task<int> take_turns() {
    if (detail::inline_budget > 1) {
        --detail::inline_budget;
        co_return 0;
    }
    const auto r = co_await as_result(sleep_for(std::chrono::seconds(0)));
    co_return r ? 0 : encode(errc::cancelled);
}

/// Notes an error of the connection, which is told again; what came before it has gone into input.
int noted(stream_state& s, int result) noexcept {
    if (detail::lasts(result) && s.errors[in] == 0)
        s.errors[in] = result;
    return result;
}

int may_read(stream_state* s) noexcept {
    return may_begin(s, s != nullptr && s->readable, s != nullptr && s->reading);
}

[[noreturn]] void fail_reading(const stream_state* s, bool held, int result,
                               const std::string& doing) {
    if (s == nullptr || !held)
        detail::throw_error(result, doing + (s == nullptr ? ": the stream is closed" : ""));
    detail::throw_error(result, doing + ": " + s->name(), s->input.size());
}

} // namespace

inline bool read_operation::end(int result) {
    result_ = result;
    return true;
}

/// The input has as many.
inline bool read_operation::give(std::size_t count, bool take) {
    view_ = {state_->input.data(), count};
    if (take)
        state_->input.take(count);
    return true;
}

bool read_operation::begin() {
    result_ = may_read(state_);
    if (result_ < 0)
        return true;
    held_ = true;
    return look();
}

/// Whether the input allows an answer.
bool read_operation::look() {
    const std::size_t size = state_->input.size();
    switch (what_) {
    case kind::some: return (size != 0 || limit_ == 0) && give(std::min(limit_, size));
    case kind::peek: return size >= limit_ && give(limit_, false);
    case kind::exactly: return size >= limit_ && give(limit_);
    case kind::until:
    case kind::line: return find();
    case kind::all: return size > limit_ && end(encode(errc::too_long));
    }
    return false;
}

bool read_operation::find() {
    const std::string_view text = state_->input.view();
    std::size_t longest = delimiter_.size();
    std::size_t first = text.npos;
    std::size_t first_end = text.npos;
    if (longest != 0) [[likely]] {
        first = text.find(delimiter_, searched_);
        first_end = first + longest;
    }
    for (const std::string_view d : delimiters_) {
        if (d.empty())
            return end(-EINVAL);
        longest = std::max(longest, d.size());
        const std::size_t at = text.find(d, searched_);
        if (at == text.npos)
            continue;
        if (at + d.size() < first_end || (at + d.size() == first_end && at < first)) {
            first = at;
            first_end = at + d.size();
        }
    }
    if (first != text.npos) [[likely]]
        return first <= limit_ ? give(first_end) : end(encode(errc::too_long));
    if (longest == 0)
        return end(-EINVAL);
    if (text.size() >= longest)
        searched_ = text.size() - longest + 1;
    return searched_ > limit_ && end(encode(errc::too_long));
}

task<> read_operation::wait() {
    stream_state& s = *state_;
    detail::turn turn(s.reading, s.errors[in]);
    for (;;) {
        int n = s.errors[in];
        if (n == 0)
            n = co_await more(s);
        if (n < 0) {
            end(noted(s, n));
            break;
        }
        if (n == 0) {
            if (what_ == kind::until || what_ == kind::exactly)
                end(encode(errc::incomplete));
            else
                give(s.input.size(), what_ != kind::peek);
            break;
        }
        if (look())
            break;
    }
    turn.over();
}

void read_operation::fail() const {
    const std::string limit = " (limit " + std::to_string(limit_) + ")";
    std::string doing;
    switch (what_) {
    case kind::some: doing = "read"; break;
    case kind::peek: doing = "peek"; break;
    case kind::exactly: doing = "read_exactly(" + std::to_string(limit_) + ")"; break;
    case kind::until: doing = "read_until" + limit; break;
    case kind::line: doing = "read_line" + limit; break;
    case kind::all: doing = "read_all" + limit; break;
    }
    if (result_ == -EINVAL && what_ == kind::until)
        doing += " without a delimiter (expected one or more, none empty)";
    fail_reading(state_, held_, result_, doing);
}

bool read_into_operation::begin() {
    result_ = may_read(state_);
    if (result_ < 0)
        return true;
    held_ = true;
    return look();
}

bool read_into_operation::look() {
    if (state_->input.size() < memory_.size())
        return false;
    if (memory_.size() != 0)
        std::memcpy(memory_.data(), state_->input.data(), memory_.size());
    state_->input.take(memory_.size());
    return true;
}

task<> read_into_operation::wait() {
    stream_state& s = *state_;
    detail::turn turn(s.reading, s.errors[in]);
    const std::size_t before = s.input.size(); // stays there until all has come
    std::size_t there = before;
    const bool around = memory_.size() - before >= detail::direct;
    while (there < memory_.size()) {
        int n = s.errors[in];
        if (n == 0 && around)
            n = co_await s.receive(buffer(memory_.data() + there, memory_.size() - there));
        else if (n == 0)
            n = co_await more(s);
        if (n <= 0) {
            result_ = n == 0 ? encode(errc::incomplete) : noted(s, n);
            break;
        }
        there += static_cast<std::size_t>(n);
    }
    if (!around) {
        look();
    } else if (result_ == 0) {
        if (before != 0)
            std::memcpy(memory_.data(), s.input.data(), before);
        s.input.take(before);
    } else {
        s.input.append(memory_.data() + before, there - before); // for the next read
    }
    turn.over();
}

void read_into_operation::fail() const {
    fail_reading(state_, held_, result_, "read_exactly(" + std::to_string(memory_.size()) + ")");
}

// ---- Writing ----------------------------------------------------------------------------------

bool write_operation::begin() {
    result_ = may_begin(state_, state_ != nullptr && state_->writable,
                        state_ != nullptr && state_->writing);
    if (result_ < 0)
        return true;
    held_ = true;
    stream_state& s = *state_;
    if (s.errors[out] != 0) {
        result_ = what_ == kind::eof && s.finished ? 0 : s.errors[out];
        return true;
    }
    if (what_ != kind::bytes)
        return s.output.size() == 0 && (what_ == kind::flush || finish());
    if (s.output.size() + rest_.size() > s.high)
        return false;
    s.output.append(rest_.data(), rest_.size());
    return true;
}

/// All is sent, and the peer is to know that it was all.
bool write_operation::finish() {
    stream_state& s = *state_;
    const int fd = s.connection.fileno();
    result_ = fd < 0 ? encode(errc::closed) : detail::kernel().shut_down(fd, SHUT_WR);
    s.finished = result_ == 0;
    if (s.finished)
        s.errors[out] = -EPIPE;
    return true;
}

task<> write_operation::wait() {
    stream_state& s = *state_;
    detail::turn turn(s.writing, s.errors[out]);
    // A read that sends for want of a writer makes place for this one.
    while (s.draining) {
        if (s.active[out] != nullptr)
            loop::current()->cancel(*s.active[out], errc::cancelled);
        co_await yield();
    }
    const std::size_t enough = what_ == kind::bytes ? s.low : 0;
    bool waited = false;
    for (;;) {
        const std::size_t before = s.output.size();
        const int n = s.send_now(rest_.data(), rest_.size());
        if (n < 0 && n != -EAGAIN) {
            result_ = n;
            break;
        }
        if (n > 0) {
            const std::size_t gone = static_cast<std::size_t>(n) - (before - s.output.size());
            rest_ = const_buffer(rest_.data() + gone, rest_.size() - gone);
        }
        if (s.output.size() + rest_.size() <= enough) {
            result_ = waited ? 0 : co_await take_turns();
            break;
        }
        waited = true;
        detail::step room(s, detail::opcode::poll_write);
        if (const int r = co_await room; r < 0) {
            result_ = r;
            break;
        }
    }
    if (s.errors[out] == 0) // what has not gone stays, and goes with what comes later
        s.output.append(rest_.data(), rest_.size());
    turn.over();
    if (what_ == kind::eof && result_ == 0)
        finish();
}

void write_operation::fail() const {
    const std::string doing = what_ == kind::bytes   ? "write"
                              : what_ == kind::flush ? "flush"
                                                     : "write_eof";
    if (state_ == nullptr || !held_)
        detail::throw_error(result_, doing + (state_ == nullptr ? ": the stream is closed" : ""));
    detail::throw_error(
        result_,
        doing + ": " + detail::describe(detail::operation(detail::opcode::send, state_->target())));
}

// ---- The stream -------------------------------------------------------------------------------

stream socket::makefile(std::string_view mode) const {
    require_fd("makefile");
    if (descriptor_->users == UINT8_MAX)
        throw error(std::make_error_code(std::errc::too_many_files_open),
                    "makefile: the socket has 254 streams (expected fewer)");
    return stream(share(), mode);
}

stream::stream(gyre::socket connection, std::string_view mode) {
    const bool reads = mode == "r" || mode == "rw";
    const bool writes = mode == "w" || mode == "rw";
    if (!reads && !writes)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "stream with the mode \"" + std::string(mode) +
                        "\" (expected \"r\", \"w\" or \"rw\")");
    void* memory = detail::frame_pool::allocate(sizeof(stream_state));
    state_ = new (memory) stream_state(std::move(connection));
    state_->readable = reads;
    state_->writable = writes;
}

void stream::set_water_marks(std::size_t high, std::size_t low) {
    connection();
    if (low > high)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "water marks: the low one, " + std::to_string(low) +
                        ", is above the high one, " + std::to_string(high));
    state_->high = high;
    state_->low = low;
}

bool stream::at_eof() const noexcept {
    return state_ == nullptr || (state_->ended && state_->input.size() == 0);
}

std::size_t stream::readable() const noexcept {
    return state_ != nullptr ? state_->input.size() : 0;
}
std::size_t stream::pending() const noexcept {
    return state_ != nullptr ? state_->output.size() : 0;
}

gyre::socket& stream::connection() {
    if (state_ == nullptr)
        throw error(errc::closed, "connection of a stream");
    return state_->connection;
}

int stream::fileno() const noexcept {
    return state_ != nullptr ? state_->connection.fileno() : -1;
}

void stream::close() noexcept {
    if (state_ == nullptr)
        return;
    state_->close();
    release(*std::exchange(state_, nullptr));
}

} // namespace gyre
