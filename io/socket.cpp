#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/socket_names.hpp>

#include <atomic>
#include <cerrno>
#include <netinet/in.h>
#include <new>

namespace gyre {
namespace {

using detail::check;
using detail::descriptor;
using detail::kernel;

constinit std::atomic<std::int64_t> default_timeout = -1;

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

} // namespace

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
    const int fd = kernel().open(family, bare, protocol);
    if (fd < 0) // the text is made only then
        detail::throw_error(fd,
                            "open a socket of " + detail::kind_of_socket(family, bare, protocol));
    socket s = own(fd, family, bare, protocol);
    if ((type & SOCK_NONBLOCK) != 0)
        s.setblocking(false);
    return s;
}

namespace {

/// What the kernel says that a descriptor is.
struct socket_kind {
    int family;
    int type;
    int protocol;
    bool lingers;
};

socket_kind look_at(int fd, const std::string& doing) {
    const auto ask = [&](int option) {
        int value = 0;
        socklen_t size = sizeof value;
        check(kernel().get_option(fd, SOL_SOCKET, option, &value, size), doing);
        return value;
    };
    socket_kind kind{ask(SO_DOMAIN), ask(SO_TYPE), ask(SO_PROTOCOL), false};
    ::linger l{};
    socklen_t size = sizeof l;
    check(kernel().get_option(fd, SOL_SOCKET, SO_LINGER, &l, size), doing);
    kind.lingers = l.l_onoff != 0;
    return kind;
}

std::string to_string(int family, int type, int protocol) {
    return "family " + std::to_string(family) + ", type " + std::to_string(type) + ", protocol " +
           std::to_string(protocol);
}

} // namespace

socket socket::adopt(int fd) {
    const std::string doing = "adopt descriptor " + std::to_string(fd);
    const socket_kind kind = look_at(fd, doing);
    check(kernel().make_nonblocking(fd), doing);
    socket s = own(fd, kind.family, kind.type, kind.protocol);
    s.descriptor_->lingers = kind.lingers;
    return s;
}

// Whoever shares the open file may set SO_LINGER at any time: `lingers`, so that the kernel is
// asked.

socket fromfd(int fd, int family, int type, int protocol) {
    const std::string doing = "fromfd " + std::to_string(fd);
    const socket_kind kind = look_at(fd, doing);
    const int bare = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (family != kind.family || bare != kind.type || (protocol != 0 && protocol != kind.protocol))
        throw error(std::make_error_code(std::errc::invalid_argument),
                    doing + ": it is of " + to_string(kind.family, kind.type, kind.protocol) +
                        " (expected " + to_string(family, bare, protocol) + ")");
    check(kernel().make_nonblocking(fd), doing);
    socket s = socket::own(check(kernel().duplicate(fd), doing), family, bare, kind.protocol);
    s.descriptor_->lingers = true;
    if ((type & SOCK_NONBLOCK) != 0)
        s.setblocking(false);
    return s;
}

socket socket::dup() const {
    const int fd = check(kernel().duplicate(require_fd("dup")), "dup");
    socket s = own(fd, family(), type(), proto());
    s.descriptor_->timeout = descriptor_->timeout;
    s.descriptor_->lingers = descriptor_->lingers = true;
    return s;
}

int dup(int fd) {
    return check(kernel().duplicate(fd), "dup descriptor " + std::to_string(fd));
}

void close(int fd) {
    const int r = kernel().close_at_once(fd, true);
    if (r < 0 && r != -EINTR) // after which it is closed all the same
        detail::throw_error(r, "close descriptor " + std::to_string(fd));
    if (loop* here = loop::current())
        here->retry_soon(); // what waits for a free descriptor
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
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "shutdown " + std::to_string(how) +
                        " (expected SHUT_RD, SHUT_WR or SHUT_RDWR)");
    if (const int r = kernel().shut_down(fd, how); r < 0)
        detail::throw_error(r, "shutdown of the connection with " +
                                   detail::name_of_connection(descriptor_));
}

address socket::getsockname() const {
    const int fd = require_fd("getsockname");
    address name;
    check(detail::get_name(&detail::system_calls::local_name, fd, name), "getsockname");
    return name;
}

address socket::getpeername() const {
    const int fd = require_fd("getpeername");
    address name;
    check(detail::get_name(&detail::system_calls::peer_name, fd, name), "getpeername");
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

bool socket::get_inheritable() const {
    return check(kernel().inheritable(require_fd("get_inheritable")), "get_inheritable") != 0;
}

void socket::set_inheritable(bool inheritable) {
    check(kernel().make_inheritable(require_fd("set_inheritable"), inheritable), "set_inheritable");
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
