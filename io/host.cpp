#include <gyre/io/address_text.hpp>
#include <gyre/io/host.hpp>
#include <gyre/io/kernel.hpp>

#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

namespace gyre {
namespace {

/// What `ask(kernel, fd)`, 0 or -errno, says of a new IPv6 socket.
template <class Ask>
bool try_ipv6(const char* doing, Ask ask) {
    detail::system_calls& kernel = detail::kernel();
    const int fd = kernel.open(AF_INET6, SOCK_STREAM, 0);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
        detail::throw_error(fd, doing);
    if (fd < 0)
        return false;
    const int result = ask(kernel, fd);
    kernel.close(fd);
    return result >= 0;
}

} // namespace

std::string gethostname() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    if (::gethostname(name.data(), name.size()) != 0)
        throw error({errno, std::system_category()}, "gethostname");
    name.back() = '\0';
    return name.data();
}

void sethostname(std::string_view name) {
    const std::string doing = "sethostname \"" + detail::escape(name.substr(0, 80)) + '"';
    if (name.contains('\0'))
        throw error(std::make_error_code(std::errc::invalid_argument),
                    doing + ", a name with a NUL byte");
    if (name.size() > HOST_NAME_MAX)
        throw error(std::make_error_code(std::errc::filename_too_long),
                    doing + ", a name of " + std::to_string(name.size()) +
                        " bytes (expected at most 64)");
    if (::sethostname(name.data(), name.size()) != 0)
        throw error({errno, std::system_category()}, doing);
}

bool probe_ipv6() {
    return try_ipv6("see whether there is IPv6", [](detail::system_calls& kernel, int fd) {
        const address loopback = address::loopback_ipv6(0);
        return kernel.bind(fd, loopback.data(), loopback.size());
    });
}

bool has_dualstack_ipv6() {
    return try_ipv6("see whether IPv6 serves IPv4, too", [](detail::system_calls& kernel, int fd) {
        const int off = 0;
        return kernel.set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    });
}

} // namespace gyre
