#pragma once

#include <gyre/io/address.hpp>

namespace gyre {

class socket;

// Groups, of IPv4 and IPv6 alike. The port of a group's address does not matter. An interface is
// told by its index (if_nametoindex(3)); 0 leaves it to the routes. A group of the other family
// than the socket, or what is no group, is std::errc::invalid_argument. RFC 3678, ip(7), ipv6(7).
//
// To receive, bind a datagram socket to the port (with option::reuse_address, where several on this
// machine listen), and join. A membership ends with the socket.

/// Receives what anyone sends to the group. Twice is std::errc::address_in_use.
void join_group(socket& s, const address& group, unsigned interface = 0);
/// std::errc::address_not_available when it had not been joined.
void leave_group(socket& s, const address& group, unsigned interface = 0);

/// Receives what `source` sends to the group, and may be called for several sources.
void join_group(socket& s, const address& group, const address& source, unsigned interface = 0);
void leave_group(socket& s, const address& group, const address& source, unsigned interface = 0);

/// Of a group joined for any source: no more of this one; and again.
void block_source(socket& s, const address& group, const address& source, unsigned interface = 0);
void unblock_source(socket& s, const address& group, const address& source, unsigned interface = 0);

/// Through which interface the socket sends to groups; 0: the routes tell.
void set_multicast_interface(socket& s, unsigned interface);

/// An AF_PACKET socket receives every frame that passes the interface, also those for others
/// (PACKET_MR_PROMISC), until this is taken back or the socket closed. It stands for what Windows
/// does with SIO_RCVALL: RCVALL_ON and RCVALL_OFF, with whole frames from the link layer on instead
/// of IP packets. packet(7).
void set_promiscuous(socket& packet_socket, unsigned interface, bool on);

} // namespace gyre
