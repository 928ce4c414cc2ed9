#pragma once

#include <gyre/io/option.hpp>

#include <cstddef>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <vector>

/// The options of IP, IPv6 and UDP. Groups are joined and left in multicast.hpp; v6_only is in
/// option.hpp.

/// ip(7).
namespace gyre::option::ip {

inline constexpr socket_option<int> type_of_service{IPPROTO_IP, IP_TOS};
/// 1 to 255; -1: what the system has.
inline constexpr socket_option<int> ttl{IPPROTO_IP, IP_TTL};
/// Packets with a lower one are dropped.
inline constexpr socket_option<int> min_ttl{IPPROTO_IP, IP_MINTTL};
/// Raw sockets: the packets have their header.
inline constexpr socket_option<bool> header_included{IPPROTO_IP, IP_HDRINCL};
/// IP_PMTUDISC_*.
inline constexpr socket_option<int> mtu_discover{IPPROTO_IP, IP_MTU_DISCOVER};
/// Only get, when connected: bytes.
inline constexpr socket_option<int> mtu{IPPROTO_IP, IP_MTU};
/// Binds to addresses that this machine does not have.
inline constexpr socket_option<bool> free_bind{IPPROTO_IP, IP_FREEBIND};
/// The same, and for forwarded connections; needs CAP_NET_ADMIN.
inline constexpr socket_option<bool> transparent{IPPROTO_IP, IP_TRANSPARENT};
/// bind() with port 0 leaves the choice of the port to connect().
inline constexpr socket_option<bool> bind_address_no_port{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT};
/// With CAP_NET_RAW: a raw socket gets the packets with this option.
inline constexpr socket_option<int> router_alert{IPPROTO_IP, IP_ROUTER_ALERT};
/// The interface of packets to one host; its index in network byte order.
inline constexpr socket_option<unsigned> unicast_interface{IPPROTO_IP, IP_UNICAST_IF};
inline constexpr socket_option<bool> no_defragment{IPPROTO_IP, IP_NODEFRAG};
/// What every packet carries behind its header, as RFC 791 writes it: at most 40 bytes.
inline constexpr socket_option<std::vector<std::byte>> options{IPPROTO_IP, IP_OPTIONS};

// Messages come with these beside them: see ancillary.hpp.
inline constexpr socket_option<bool> receive_packet_info{IPPROTO_IP, IP_PKTINFO};
inline constexpr socket_option<bool> receive_type_of_service{IPPROTO_IP, IP_RECVTOS};
inline constexpr socket_option<bool> receive_ttl{IPPROTO_IP, IP_RECVTTL};
inline constexpr socket_option<bool> receive_options{IPPROTO_IP, IP_RECVOPTS};
inline constexpr socket_option<bool> receive_raw_options{IPPROTO_IP, IP_RETOPTS};
inline constexpr socket_option<bool> receive_original_destination{IPPROTO_IP, IP_RECVORIGDSTADDR};
inline constexpr socket_option<bool> receive_checksum{IPPROTO_IP, IP_CHECKSUM};
inline constexpr socket_option<bool> receive_fragment_size{IPPROTO_IP, IP_RECVFRAGSIZE};
inline constexpr socket_option<bool> pass_security{IPPROTO_IP, IP_PASSSEC};
/// Errors of UDP and raw sockets come with their origin, by MSG_ERRQUEUE.
inline constexpr socket_option<bool> receive_errors{IPPROTO_IP, IP_RECVERR};

// Sending to groups; set_multicast_interface says from where.
inline constexpr socket_option<int> multicast_ttl{IPPROTO_IP, IP_MULTICAST_TTL};
/// What is sent comes back to this machine. At first it does.
inline constexpr socket_option<bool> multicast_loop{IPPROTO_IP, IP_MULTICAST_LOOP};
/// Receives of all groups that anyone on this machine has joined. At first it does.
inline constexpr socket_option<bool> multicast_all{IPPROTO_IP, IP_MULTICAST_ALL};
/// Only set: see ip(7).
inline constexpr socket_option<::ip_mreqn> multicast_interface{IPPROTO_IP, IP_MULTICAST_IF};

} // namespace gyre::option::ip

/// ipv6(7), RFC 3493, RFC 3542.
namespace gyre::option::ipv6 {

inline constexpr socket_option<bool> only{IPPROTO_IPV6, IPV6_V6ONLY};
inline constexpr socket_option<int> traffic_class{IPPROTO_IPV6, IPV6_TCLASS};
/// 0 to 255; -1: what the system has.
inline constexpr socket_option<int> unicast_hops{IPPROTO_IPV6, IPV6_UNICAST_HOPS};
inline constexpr socket_option<int> min_hop_count{IPPROTO_IPV6, IPV6_MINHOPCOUNT};
inline constexpr socket_option<bool> dont_fragment{IPPROTO_IPV6, IPV6_DONTFRAG};
/// IPV6_PMTUDISC_*.
inline constexpr socket_option<int> mtu_discover{IPPROTO_IPV6, IPV6_MTU_DISCOVER};
/// Bytes; get only when connected.
inline constexpr socket_option<int> mtu{IPPROTO_IPV6, IPV6_MTU};
/// Raw sockets: where in the packet the kernel puts the checksum; -1: nowhere.
inline constexpr socket_option<int> checksum{IPPROTO_IPV6, IPV6_CHECKSUM};
inline constexpr socket_option<bool> header_included{IPPROTO_IPV6, IPV6_HDRINCL};
inline constexpr socket_option<bool> free_bind{IPPROTO_IPV6, IPV6_FREEBIND};
inline constexpr socket_option<bool> transparent{IPPROTO_IPV6, IPV6_TRANSPARENT};
inline constexpr socket_option<bool> auto_flow_label{IPPROTO_IPV6, IPV6_AUTOFLOWLABEL};
/// IPV6_PREFER_SRC_*.
inline constexpr socket_option<int> address_preferences{IPPROTO_IPV6, IPV6_ADDR_PREFERENCES};
inline constexpr socket_option<unsigned> unicast_interface{IPPROTO_IPV6, IPV6_UNICAST_IF};

// What every packet carries (RFC 3542); empty: nothing. The options of each hop, and of the
// destination before there is a routing header, need CAP_NET_RAW.
inline constexpr socket_option<std::vector<std::byte>> hop_options{IPPROTO_IPV6, IPV6_HOPOPTS};
inline constexpr socket_option<std::vector<std::byte>> destination_options{IPPROTO_IPV6,
                                                                           IPV6_DSTOPTS};
inline constexpr socket_option<std::vector<std::byte>> routing_header{IPPROTO_IPV6, IPV6_RTHDR};
inline constexpr socket_option<std::vector<std::byte>> routing_destination_options{
    IPPROTO_IPV6, IPV6_RTHDRDSTOPTS};
/// Only set: the interface and the source of every packet.
inline constexpr socket_option<::in6_pktinfo> packet_info{IPPROTO_IPV6, IPV6_PKTINFO};
/// Only get, when connected: with the MTU of the path.
inline constexpr socket_option<::ip6_mtuinfo> path_mtu{IPPROTO_IPV6, IPV6_PATHMTU};

// Messages come with these beside them: see ancillary.hpp.
inline constexpr socket_option<bool> receive_packet_info{IPPROTO_IPV6, IPV6_RECVPKTINFO};
inline constexpr socket_option<bool> receive_traffic_class{IPPROTO_IPV6, IPV6_RECVTCLASS};
inline constexpr socket_option<bool> receive_hop_limit{IPPROTO_IPV6, IPV6_RECVHOPLIMIT};
inline constexpr socket_option<bool> receive_hop_options{IPPROTO_IPV6, IPV6_RECVHOPOPTS};
inline constexpr socket_option<bool> receive_destination_options{IPPROTO_IPV6, IPV6_RECVDSTOPTS};
inline constexpr socket_option<bool> receive_routing_header{IPPROTO_IPV6, IPV6_RECVRTHDR};
inline constexpr socket_option<bool> receive_path_mtu{IPPROTO_IPV6, IPV6_RECVPATHMTU};
inline constexpr socket_option<bool> receive_original_destination{IPPROTO_IPV6,
                                                                  IPV6_RECVORIGDSTADDR};
inline constexpr socket_option<bool> receive_fragment_size{IPPROTO_IPV6, IPV6_RECVFRAGSIZE};
inline constexpr socket_option<bool> receive_errors{IPPROTO_IPV6, IPV6_RECVERR};

// Sending to groups; set_multicast_interface says from where.
inline constexpr socket_option<int> multicast_hops{IPPROTO_IPV6, IPV6_MULTICAST_HOPS};
inline constexpr socket_option<bool> multicast_loop{IPPROTO_IPV6, IPV6_MULTICAST_LOOP};
inline constexpr socket_option<bool> multicast_all{IPPROTO_IPV6, IPV6_MULTICAST_ALL};
/// The index of an interface; 0: the system chooses.
inline constexpr socket_option<int> multicast_interface{IPPROTO_IPV6, IPV6_MULTICAST_IF};

} // namespace gyre::option::ipv6

/// udp(7), udplite(7).
namespace gyre::option::udp {

/// What is sent becomes one datagram, until this is taken back.
inline constexpr socket_option<bool> cork{IPPROTO_UDP, UDP_CORK};
/// What is sent is cut into datagrams of so many bytes; 0: it is one.
inline constexpr socket_option<int> segment{IPPROTO_UDP, UDP_SEGMENT};
/// Datagrams of one sender and size are received as one, with that size beside it (UDP_GRO).
inline constexpr socket_option<bool> coalesce{IPPROTO_UDP, UDP_GRO};
inline constexpr socket_option<bool> no_checksum6_send{IPPROTO_UDP, UDP_NO_CHECK6_TX};
inline constexpr socket_option<bool> no_checksum6_receive{IPPROTO_UDP, UDP_NO_CHECK6_RX};
inline constexpr socket_option<int> encapsulation{IPPROTO_UDP, UDP_ENCAP};
/// UDP-Lite: how many bytes the checksum covers (0: all), and at least has to.
inline constexpr socket_option<int> lite_send_coverage{IPPROTO_UDPLITE, 10};
inline constexpr socket_option<int> lite_receive_coverage{IPPROTO_UDPLITE, 11};

} // namespace gyre::option::udp
