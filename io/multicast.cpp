#include <gyre/io/multicast.hpp>
#include <gyre/io/socket.hpp>

#include <cstring>
#include <netinet/in.h>
#include <netpacket/packet.h>

namespace gyre {
namespace {

int level_of(const socket& s) {
    return s.family() == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

void require_family(const socket& s, const address& a) {
    if (s && (a.family() != s.family() || (a.family() != AF_INET && a.family() != AF_INET6)))
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "group membership of " + a.to_string() + ": not an address of the socket's " +
                        "family, " + std::to_string(s.family()));
}

void change(socket& s, int option, const address& group, unsigned interface) {
    require_family(s, group);
    ::group_req request{};
    request.gr_interface = interface;
    std::memcpy(&request.gr_group, group.data(), group.size());
    s.setsockopt(level_of(s), option, const_buffer(&request, sizeof request));
}

void change(socket& s, int option, const address& group, const address& source,
            unsigned interface) {
    require_family(s, group);
    require_family(s, source);
    ::group_source_req request{};
    request.gsr_interface = interface;
    std::memcpy(&request.gsr_group, group.data(), group.size());
    std::memcpy(&request.gsr_source, source.data(), source.size());
    s.setsockopt(level_of(s), option, const_buffer(&request, sizeof request));
}

} // namespace

void join_group(socket& s, const address& group, unsigned interface) {
    change(s, MCAST_JOIN_GROUP, group, interface);
}
void leave_group(socket& s, const address& group, unsigned interface) {
    change(s, MCAST_LEAVE_GROUP, group, interface);
}
void join_group(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_JOIN_SOURCE_GROUP, group, source, interface);
}
void leave_group(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_LEAVE_SOURCE_GROUP, group, source, interface);
}
void block_source(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_BLOCK_SOURCE, group, source, interface);
}
void unblock_source(socket& s, const address& group, const address& source, unsigned interface) {
    change(s, MCAST_UNBLOCK_SOURCE, group, source, interface);
}

void set_multicast_interface(socket& s, unsigned interface) {
    const int index = static_cast<int>(interface);
    if (s.family() == AF_INET6) {
        s.setsockopt(IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
        return;
    }
    ::ip_mreqn request{};
    request.imr_ifindex = index;
    s.setsockopt(IPPROTO_IP, IP_MULTICAST_IF, const_buffer(&request, sizeof request));
}

void set_promiscuous(socket& packet_socket, unsigned interface, bool on) {
    ::packet_mreq request{};
    request.mr_ifindex = static_cast<int>(interface);
    request.mr_type = PACKET_MR_PROMISC;
    packet_socket.setsockopt(SOL_PACKET, on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP,
                             const_buffer(&request, sizeof request));
}

} // namespace gyre
