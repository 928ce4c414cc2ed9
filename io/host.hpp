#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

namespace gyre {

/// What this machine is called and can do. None of these waits. Errors are thrown as gyre::error.
///
/// SOMAXCONN, of <sys/socket.h>, is what socket::listen asks for by itself: 4096. The kernel clamps
/// any backlog to net.core.somaxconn, silently, and lets one connection more wait than that.

/// As hostname(1) prints it: not looked up, and with a domain only where it was set with one.
/// gethostname(2).
std::string gethostname();

/// Renames the machine, or rather this process's UTS namespace; needs CAP_SYS_ADMIN, else
/// std::errc::operation_not_permitted. std::errc::filename_too_long beyond 64 bytes,
/// std::errc::invalid_argument for a NUL byte. sethostname(2).
void sethostname(std::string_view name);

/// That gyre was built with IPv6, which it always is; it says nothing about this machine.
inline constexpr bool has_ipv6 = true;

/// Whether a socket here can have the address ::1: not where IPv6 is left out of the kernel or
/// disabled. Asks each time. Throws only when that could not be found out: no descriptors, no
/// memory.
bool probe_ipv6();

/// Whether an IPv6 socket here can serve IPv4, too (IPV6_V6ONLY off), as the `dualstack` of
/// create_server wants it. Throws as probe_ipv6.
bool has_dualstack_ipv6();

} // namespace gyre
