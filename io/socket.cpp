#include <gyre/core/backend.hpp>
#include <gyre/core/lease_pool.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/socket_names.hpp>

#include <atomic>
#include <limits>
#include <new>

namespace gyre {
namespace {

using detail::descriptor;

constinit std::atomic<std::int64_t> default_timeout = -1;

/// The kernel of this thread's loop, or where there is none the real one.
detail::system_calls& kernel() noexcept {
    loop* here = loop::current();
    return here != nullptr ? here->kernel() : detail::system_calls::real();
}

std::int64_t checked_timeout(std::int64_t ns) {
    if (ns < 0)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "timeout is negative (expected zero or more, or nullopt)");
    return ns;
}

std::optional<std::chrono::nanoseconds> as_optional(std::int64_t ns) noexcept {
    if (ns < 0)
        return std::nullopt;
    return std::chrono::nanoseconds(ns);
}

int check(int result, const std::string& doing) {
    if (result < 0)
        detail::throw_error(result, doing);
    return result;
}

std::string kind_of_socket(int family, int type, int protocol) {
    return "family " + detail::family_name(family) + ", type " + detail::type_name(type) +
           ", protocol " + std::to_string(protocol);
}

/// What the peer is called; where that cannot be told any more, what this end is called.
std::string name_of_connection(const descriptor& d) {
    address name;
    socklen_t size = address::capacity();
    if (d.fd >= 0 && kernel().peer_name(d.fd, name.data(), size) == 0) {
        name.resize(size);
        return name.to_string();
    }
    size = address::capacity();
    if (d.fd >= 0 && kernel().local_name(d.fd, name.data(), size) == 0) {
        name.resize(size);
        return "the peer of " + name.to_string();
    }
    return "a closed socket";
}

std::string name_of(const detail::named_operation& op) {
    return address(op.name, op.name_size).to_string();
}

} // namespace

std::string detail::describe(const operation& op) {
    if (op.target == nullptr)
        return op.code == opcode::sleep ? "sleep" : "operation on a closed socket";
    const descriptor& d = *op.target;
    switch (op.code) {
    case opcode::sleep: return "sleep";
    case opcode::poll_read: return "wait until readable";
    case opcode::poll_write: return "wait until writable";
    case opcode::accept: {
        address name;
        socklen_t size = address::capacity();
        if (d.fd < 0 || kernel().local_name(d.fd, name.data(), size) != 0)
            return "accept";
        name.resize(size);
        return "accept on " + name.to_string();
    }
    case opcode::connect: return "connect to " + name_of(static_cast<const named_operation&>(op));
    case opcode::recv:
    case opcode::recv_all:
    case opcode::recv_lease: return "recv from " + name_of_connection(d);
    case opcode::recv_msg: return "recvmsg on " + name_of_connection(d);
    case opcode::recv_many: return "receive datagrams on " + name_of_connection(d);
    case opcode::send: return "send to " + name_of_connection(d);
    case opcode::send_all:
    case opcode::send_parts: return "sendall to " + name_of_connection(d);
    case opcode::send_msg: {
        const auto& message = static_cast<const named_operation&>(op);
        return "sendto " + (message.name != nullptr ? name_of(message) : name_of_connection(d));
    }
    case opcode::send_many: return "send datagrams on " + name_of_connection(d);
    case opcode::send_file: {
        const char* complaint = static_cast<const file_operation&>(op).complaint;
        return "sendfile to " + name_of_connection(d) +
               (complaint != nullptr ? std::string(", ") + complaint : "");
    }
    }
    return "operation";
}

sendfile_operation::sendfile_operation(detail::descriptor* d, int from, std::int64_t at,
                                       std::optional<std::int64_t> count) noexcept
    : socket_operation(
          detail::opcode::send_file, d, nullptr,
          static_cast<std::size_t>(count.value_or(std::numeric_limits<std::int64_t>::max()))) {
    file = from;
    offset = at;
    if (at < 0)
        complaint = "from a negative offset";
    else if (count && *count < 0)
        complaint = "of a negative count";
}

// A buffer that was filled for a waiter that is gone goes back.
recv_lease_operation::~recv_lease_operation() {
    if (state == phase::completed && result > 0)
        loop::current()->kernel().leases().take_back(static_cast<std::uint16_t>(extra));
}

lease recv_lease_operation::value() noexcept {
    if (result == 0)
        return {};
    return {loop::current()->kernel().leases(), static_cast<std::byte*>(data),
            static_cast<std::uint32_t>(result), static_cast<std::uint16_t>(extra)};
}

std::pair<socket, address> accept_operation::value() {
    from_.resize(name_size);
    socket s = socket::own(result, target->family, target->type, target->protocol);
    s.descriptor_->lingers = target->lingers; // as the kernel hands the option on
    return {std::move(s), from_};
}

// A connection that was accepted for a waiter that is gone is closed, not leaked.
accept_operation::~accept_operation() {
    if (state == phase::completed && result >= 0)
        kernel().close_at_once(result, target->lingers);
}

// ---- Making and ending ------------------------------------------------------------------------

socket socket::own(int fd, int family, int type, int protocol) {
    void* memory = nullptr;
    try {
        memory = detail::frame_pool::allocate(sizeof(descriptor));
    } catch (...) {
        kernel().close(fd);
        throw;
    }
    auto* d = new (memory) descriptor;
    d->fd = fd;
    d->family = static_cast<std::uint16_t>(family);
    d->type = static_cast<std::uint8_t>(type);
    d->protocol = static_cast<std::uint16_t>(protocol);
    d->timeout = default_timeout.load(std::memory_order_relaxed);
    d->drains = type == SOCK_STREAM && (family == AF_INET || family == AF_INET6) &&
                (protocol == 0 || protocol == IPPROTO_TCP);
    return socket(d);
}

socket socket::open(int family, int type, int protocol) {
    const int bare = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int fd = check(kernel().open(family, bare, protocol),
                         "open a socket of " + kind_of_socket(family, bare, protocol));
    socket s = own(fd, family, bare, protocol);
    if ((type & SOCK_NONBLOCK) != 0)
        s.setblocking(false);
    return s;
}

std::pair<socket, socket> socketpair(int family, int type, int protocol) {
    int fds[2];
    const int bare = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    check(kernel().open_pair(family, bare, protocol, fds),
          "open a pair of sockets of " + kind_of_socket(family, bare, protocol));
    socket first;
    try {
        first = socket::own(fds[0], family, bare, protocol);
    } catch (...) {
        kernel().close(fds[1]);
        throw;
    }
    return {std::move(first), socket::own(fds[1], family, bare, protocol)};
}

socket socket::adopt(int fd) {
    const std::string doing = "adopt descriptor " + std::to_string(fd);
    const auto ask = [&](int option) {
        int value = 0;
        socklen_t size = sizeof value;
        check(kernel().get_option(fd, SOL_SOCKET, option, &value, size), doing);
        return value;
    };
    const int family = ask(SO_DOMAIN);
    const int type = ask(SO_TYPE);
    const int protocol = ask(SO_PROTOCOL);
    ::linger l{};
    socklen_t size = sizeof l;
    check(kernel().get_option(fd, SOL_SOCKET, SO_LINGER, &l, size), doing);
    check(kernel().make_nonblocking(fd), doing);
    socket s = own(fd, family, type, protocol);
    s.descriptor_->lingers = l.l_onoff != 0;
    return s;
}

void socket::close() noexcept {
    if (descriptor_ != nullptr)
        drop();
    descriptor_ = nullptr;
}

namespace {

bool belongs_here(const descriptor& d) noexcept {
    const loop* here = loop::current();
    return here != nullptr && d.home == here->shared_inbox();
}

/// The end of a descriptor on its way to the loop that it belongs to. Run or not, it is done where
/// this is destroyed: there, or, where that loop has ended, on whatever thread.
class farewell {
public:
    explicit farewell(descriptor& d) noexcept : descriptor_(&d) {}
    farewell(farewell&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
    farewell& operator=(farewell&&) = delete;
    ~farewell() {
        if (descriptor_ == nullptr)
            return;
        descriptor& d = *descriptor_;
        if (--d.users != 0) {
            // A stream, or the socket that it was made from, goes on.
        } else if (belongs_here(d))
            loop::current()->close(d);
        else if (d.fd >= 0)
            kernel().close_at_once(std::exchange(d.fd, -1), d.lingers);
        loop::release_reference(d);
    }
    void operator()() const noexcept {}

private:
    descriptor* descriptor_;
};

} // namespace

void socket::drop() noexcept {
    farewell f(*descriptor_);
    if (!descriptor_->home || belongs_here(*descriptor_))
        return;
    const std::shared_ptr<detail::inbox> home = descriptor_->home; // it may go with the post
    home->post(std::move(f));
}

socket socket::share() const noexcept {
    if (descriptor_ == nullptr)
        return {};
    ++descriptor_->references;
    ++descriptor_->users;
    return socket(descriptor_);
}

int socket::detach() {
    if (descriptor_ == nullptr)
        return -1;
    descriptor& d = *descriptor_;
    int fd = -1;
    if (d.home && d.home == detail::current_inbox())
        fd = check(loop::current()->release(d), "detach");
    else
        fd = std::exchange(d.fd, -1);
    d.closed = true; // for a stream that shares it
    d.take_stock();
    --d.users;
    loop::release_reference(d);
    descriptor_ = nullptr;
    return fd;
}

int socket::fileno() const noexcept {
    return descriptor_ != nullptr ? descriptor_->fd : -1;
}

int socket::require_fd(const char* doing) const {
    const int fd = fileno();
    if (fd < 0)
        throw error(errc::closed, doing);
    return fd;
}

// ---- Calls that do not wait -------------------------------------------------------------------

void socket::bind(const address& to) {
    const int fd = require_fd("bind");
    if (const int r = kernel().bind(fd, to.data(), to.size()); r < 0)
        detail::throw_error(r, "bind to " + to.to_string());
}

void socket::listen(int backlog) {
    const int fd = require_fd("listen");
    if (const int r = kernel().listen(fd, backlog); r < 0)
        detail::throw_error(r, "listen");
}

void socket::shutdown(int how) {
    const int fd = require_fd("shutdown");
    if (const int r = kernel().shut_down(fd, how); r < 0)
        detail::throw_error(r,
                            "shutdown of the connection with " + name_of_connection(*descriptor_));
}

address socket::getsockname() const {
    const int fd = require_fd("getsockname");
    address name;
    socklen_t size = address::capacity();
    check(kernel().local_name(fd, name.data(), size), "getsockname");
    name.resize(size);
    return name;
}

address socket::getpeername() const {
    const int fd = require_fd("getpeername");
    address name;
    socklen_t size = address::capacity();
    check(kernel().peer_name(fd, name.data(), size), "getpeername");
    name.resize(size);
    return name;
}

int socket::family() const noexcept {
    return descriptor_ != nullptr ? descriptor_->family : 0;
}
int socket::type() const noexcept {
    return descriptor_ != nullptr ? descriptor_->type : 0;
}
int socket::proto() const noexcept {
    return descriptor_ != nullptr ? descriptor_->protocol : 0;
}

void socket::setsockopt(int level, int option, int value) {
    setsockopt(level, option, const_buffer(&value, sizeof value));
}

void socket::setsockopt(int level, int option, const_buffer value) {
    const int fd = require_fd("setsockopt");
    const int r =
        kernel().set_option(fd, level, option, value.data(), static_cast<socklen_t>(value.size()));
    if (r < 0)
        detail::throw_error(r, "setsockopt level " + std::to_string(level) + ", option " +
                                   std::to_string(option));
    if (level == SOL_SOCKET && option == SO_LINGER)
        descriptor_->lingers = true;
}

int socket::getsockopt(int level, int option) const {
    int value = 0;
    getsockopt(level, option, buffer(&value, sizeof value));
    return value;
}

std::size_t socket::getsockopt(int level, int option, buffer value) const {
    const int fd = require_fd("getsockopt");
    auto size = static_cast<socklen_t>(value.size());
    const int r = kernel().get_option(fd, level, option, value.data(), size);
    if (r < 0)
        detail::throw_error(r, "getsockopt level " + std::to_string(level) + ", option " +
                                   std::to_string(option));
    return size;
}

// ---- Timeouts ---------------------------------------------------------------------------------

void socket::set_timeout(std::int64_t ns) {
    require_fd("settimeout");
    descriptor_->timeout = checked_timeout(ns);
    descriptor_->take_stock();
}

void socket::settimeout(std::nullopt_t) {
    require_fd("settimeout");
    descriptor_->timeout = -1;
    descriptor_->take_stock();
}

std::optional<std::chrono::nanoseconds> socket::gettimeout() const {
    require_fd("gettimeout");
    return as_optional(descriptor_->timeout);
}

void socket::setblocking(bool wait) {
    if (wait)
        settimeout(std::nullopt);
    else
        set_timeout(0);
}

std::optional<std::chrono::nanoseconds> getdefaulttimeout() noexcept {
    return as_optional(default_timeout.load(std::memory_order_relaxed));
}

void setdefaulttimeout(std::nullopt_t) noexcept {
    default_timeout.store(-1, std::memory_order_relaxed);
}

void detail::set_default_timeout(std::int64_t ns) {
    default_timeout.store(checked_timeout(ns), std::memory_order_relaxed);
}

} // namespace gyre
