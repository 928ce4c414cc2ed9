#include <gyre/io/multicast.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/socket_names.hpp>

#include <cstring>
#include <netinet/in.h>
#include <netpacket/packet.h>

namespace gyre {
namespace {

int level_of(const socket& s) {
    return s.family() == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

std::string named(const char* doing, const address& group, unsigned interface) {
    return doing + (' ' + (group.host().empty() ? group.to_string() : group.host())) +
           (interface != 0 ? " on interface " + std::to_string(interface) : "");
}

/// Sets an option; that it failed is told by what it was for.
void set(socket& s, int level, int option, const_buffer value, const std::string& doing) {
    try {
        s.setsockopt(level, option, value);
    } catch (const error& e) {
        throw error(e.code(), doing);
    }
}

void require_family(const socket& s, const address& a, const std::string& doing) {
    if (s && (a.family() != s.family() || (a.family() != AF_INET && a.family() != AF_INET6)))
        throw error(std::make_error_code(std::errc::invalid_argument),
                    doing + ": " + a.to_string() + " is not an address of the socket's family, " +
                        detail::family_name(s.family()));
}

void require_group(const address& a, const std::string& doing) {
    const auto ip = a.ip_bytes();
    if (!ip.empty() &&
        (a.is_ipv4() ? (ip[0] & std::byte{0xf0}) != std::byte{0xe0} : ip[0] != std::byte{0xff}))
        throw error(std::make_error_code(std::errc::invalid_argument),
                    doing + ": no group (expected one of 224.0.0.0/4 or ff00::/8)");
}

void change(socket& s, int option, const char* verb, const address& group, unsigned interface) {
    const std::string doing = named(verb, group, interface);
    require_family(s, group, doing);
    require_group(group, doing);
    ::group_req request{};
    request.gr_interface = interface;
    std::memcpy(&request.gr_group, group.data(), group.size());
    set(s, level_of(s), option, const_buffer(&request, sizeof request), doing);
}

void change(socket& s, int option, const char* verb, const address& group, const address& source,
            unsigned interface) {
    const std::string doing = named(verb, group, interface) + ", source " + source.host();
    require_family(s, group, doing);
    require_family(s, source, doing);
    require_group(group, doing);
    ::group_source_req request{};
    request.gsr_interface = interface;
    std::memcpy(&request.gsr_group, group.data(), group.size());
    std::memcpy(&request.gsr_source, source.data(), source.size());
    set(s, level_of(s), option, const_buffer(&request, sizeof request), doing);
}

} // namespace

void join_group(socket& s, const address& group, unsigned interface) {
    change(s, MCAST_JOIN_GROUP, "join group", group, interface);
}
void leave_group(socket& s, const address& group, unsigned interface) {
    change(s, MCAST_LEAVE_GROUP, "leave group", group, interface);
}
void join_group(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_JOIN_SOURCE_GROUP, "join group", group, source, interface);
}
void leave_group(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_LEAVE_SOURCE_GROUP, "leave group", group, source, interface);
}
void block_source(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_BLOCK_SOURCE, "block a source of group", group, source, interface);
}
void unblock_source(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_UNBLOCK_SOURCE, "unblock a source of group", group, source, interface);
}

void set_multicast_interface(socket& s, unsigned interface) {
    const int index = static_cast<int>(interface);
    const std::string doing = "send to groups by interface " + std::to_string(interface);
    ::ip_mreqn request{};
    request.imr_ifindex = index;
    if (s.family() == AF_INET6)
        set(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, const_buffer(&index, sizeof index), doing);
    else
        set(s, IPPROTO_IP, IP_MULTICAST_IF, const_buffer(&request, sizeof request), doing);
}

void set_promiscuous(socket& packet_socket, unsigned interface, bool on) {
    ::packet_mreq request{};
    request.mr_ifindex = static_cast<int>(interface);
    request.mr_type = PACKET_MR_PROMISC;
    set(packet_socket, SOL_PACKET, on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP,
        const_buffer(&request, sizeof request),
        "set_promiscuous, interface " + std::to_string(interface));
}

} // namespace gyre
