#include <gyre/io/address_text.hpp>
#include <gyre/io/interface.hpp>

#include <net/if.h>

#include <array>
#include <cerrno>
#include <memory>

namespace gyre {
namespace {

[[noreturn]] void fail(int code, const std::string& doing) {
    throw error({code, std::system_category()}, doing);
}

} // namespace

std::vector<interface_name> if_nameindex() {
    const std::unique_ptr<struct ::if_nameindex[], void (*)(struct ::if_nameindex*)> list(
        ::if_nameindex(), ::if_freenameindex);
    if (list == nullptr)
        fail(errno, "list the network interfaces");
    std::vector<interface_name> names;
    for (std::size_t i = 0; list[i].if_index != 0; ++i)
        names.push_back({list[i].if_index, list[i].if_name});
    return names;
}

std::uint32_t if_nametoindex(std::string_view name) {
    const std::string doing = "look up the interface \"" + detail::escape(name.substr(0, 64)) + '"';
    if (name.contains('\0'))
        fail(EINVAL, doing + ", a name with a NUL byte");
    if (name.size() >= IF_NAMESIZE)
        fail(ENAMETOOLONG,
             doing + ", a name of " + std::to_string(name.size()) + " bytes (expected at most 15)");
    if (!detail::is_interface_name(name))
        fail(ENODEV, doing);
    const unsigned index = ::if_nametoindex(std::string(name).c_str());
    if (index == 0)
        fail(errno, doing);
    return index;
}

std::string if_indextoname(std::uint32_t index) {
    std::array<char, IF_NAMESIZE> name;
    if (::if_indextoname(index, name.data()) == nullptr)
        fail(errno, "look up the name of interface " + std::to_string(index));
    return name.data();
}

} // namespace gyre
