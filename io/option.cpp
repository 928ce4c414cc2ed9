#include <gyre/io/kernel.hpp>
#include <gyre/io/socket.hpp>

#include <algorithm>
#include <climits>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

namespace gyre {

using detail::kernel;

namespace {

std::string name_of_option(const char* doing, int level, int option, std::size_t size) {
    return doing + (" level " + std::to_string(level)) + ", option " + std::to_string(option) +
           ", " + std::to_string(size) + " bytes";
}

[[noreturn]] void refuse_option(const std::string& why) {
    throw error(std::make_error_code(std::errc::invalid_argument), why);
}

socklen_t checked_size(const char* doing, int level, int option, std::size_t size) {
    if (size > INT_MAX)
        refuse_option(name_of_option(doing, level, option, size) + " (expected at most " +
                      std::to_string(INT_MAX) + ")");
    return static_cast<socklen_t>(size);
}

} // namespace

int detail::option_count(std::int64_t count) {
    if (count < INT_MIN || count > INT_MAX)
        refuse_option("setsockopt: the time is out of range (" + std::to_string(count) +
                      " of its units, expected those of an int)");
    return static_cast<int>(count);
}

void socket::set_option(int level, int option, const void* value, std::size_t size) {
    const int fd = require_fd("setsockopt");
    const socklen_t bytes = checked_size("setsockopt", level, option, size);
    const int r = kernel().set_option(fd, level, option, value, bytes);
    if (r < 0)
        detail::throw_error(r, name_of_option("setsockopt", level, option, size));
    if (level == SOL_SOCKET && option == SO_LINGER)
        descriptor_->lingers = true;
}

void socket::setsockopt(int level, int option, int value) {
    set_option(level, option, &value, sizeof value);
}

void socket::setsockopt(int level, int option, const_buffer value) {
    set_option(level, option, value.data(), value.size());
}

// The kernel takes text up to a NUL, and of the names of interfaces and algorithms 15 bytes.
void socket::set_text(int level, int option, std::string_view text) {
    require_fd("setsockopt");
    const bool is_name = (level == SOL_SOCKET && option == SO_BINDTODEVICE) ||
                         (level == IPPROTO_TCP && (option == TCP_CONGESTION || option == TCP_ULP));
    if (text.contains('\0'))
        refuse_option(name_of_option("setsockopt", level, option, text.size()) +
                      ": the text has a NUL byte");
    if (is_name && text.size() > 15)
        throw error(std::make_error_code(std::errc::filename_too_long),
                    name_of_option("setsockopt", level, option, text.size()) +
                        ": the name is too long (expected at most 15)");
    set_option(level, option, text.data(), text.size());
}

void socket::setsockopt(int level, int option, std::nullptr_t, std::size_t size) {
    set_option(level, option, nullptr, size);
}

int socket::getsockopt(int level, int option) const {
    int value = 0;
    require_size(level, option, getsockopt(level, option, {&value, sizeof value}), sizeof value);
    return value;
}

std::size_t socket::getsockopt(int level, int option, buffer value) const {
    const int fd = require_fd("getsockopt");
    socklen_t size = checked_size("getsockopt", level, option, value.size());
    const int r = kernel().get_option(fd, level, option, value.data(), size);
    if (r < 0)
        detail::throw_error(r, name_of_option("getsockopt", level, option, value.size()));
    return size;
}

void socket::require_size(int level, int option, std::size_t size, std::size_t expected) {
    if (size != expected)
        refuse_option(name_of_option("getsockopt", level, option, expected) + ": it has " +
                      std::to_string(size));
}

// Where its room is too small the kernel says how much it wants (SO_PEERGROUPS), or cuts off.
std::vector<std::byte> socket::get_bytes(int level, int option) const {
    const int fd = require_fd("getsockopt");
    for (std::vector<std::byte> bytes(1024);;) {
        auto size = static_cast<socklen_t>(bytes.size());
        const int r = kernel().get_option(fd, level, option, bytes.data(), size);
        if (r < 0 && size <= bytes.size())
            detail::throw_error(r, name_of_option("getsockopt", level, option, bytes.size()));
        bytes.resize(size);
        if (r >= 0)
            return bytes;
    }
}

std::string socket::get_text(int level, int option) const {
    const std::vector<std::byte> bytes = get_bytes(level, option);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.substr(0, text.find('\0'));
}

int socket::control(unsigned long request, void* argument) const {
    const int fd = require_fd("ioctl");
    if (request == FIONBIO)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "ioctl FIONBIO: the descriptor never blocks (expected setblocking)");
    const int r = kernel().io_control(fd, request, argument);
    if (r < 0)
        detail::throw_error(r, "ioctl " + std::to_string(request));
    return r;
}

std::size_t socket::bytes_readable() const {
    int n = 0;
    control(FIONREAD, &n);
    return static_cast<std::size_t>(n);
}

std::size_t socket::bytes_unsent() const {
    int n = 0;
    control(SIOCOUTQ, &n);
    return static_cast<std::size_t>(n);
}

bool socket::at_mark() const {
    int yes = 0;
    control(SIOCATMARK, &yes);
    return yes != 0;
}

} // namespace gyre
