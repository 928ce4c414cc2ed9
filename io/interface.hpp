#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gyre {

/// The network interfaces of this machine, or rather of this process's network namespace. None of
/// these waits for anything but the kernel. netdevice(7). Errors are thrown as gyre::error.

struct interface_name {
    std::uint32_t index = 0;
    std::string name;
    bool operator==(const interface_name&) const = default;
};

/// All of them, in the kernel's order. if_nameindex(3). Beside <net/if.h> it needs its namespace.
std::vector<interface_name> if_nameindex();

/// Throws std::errc::no_such_device when there is none; that goes for "lo:1", too, where the kernel
/// would take the part before the colon. std::errc::filename_too_long beyond 15 bytes,
/// std::errc::invalid_argument for a NUL byte. if_nametoindex(3).
std::uint32_t if_nametoindex(std::string_view name);

/// Throws std::errc::no_such_device_or_address when there is none. if_indextoname(3).
std::string if_indextoname(std::uint32_t index);

} // namespace gyre
