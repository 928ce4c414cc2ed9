#include <gyre/io/kernel.hpp>
#include <gyre/io/socket_names.hpp>

#include <sys/socket.h>

namespace gyre::detail {

std::string family_name(int family) {
    switch (family) {
#define GYRE_NAME(constant)                                                                        \
    case constant: return #constant
        GYRE_NAME(AF_UNSPEC);
        GYRE_NAME(AF_UNIX);
        GYRE_NAME(AF_INET);
        GYRE_NAME(AF_AX25);
        GYRE_NAME(AF_IPX);
        GYRE_NAME(AF_APPLETALK);
        GYRE_NAME(AF_NETROM);
        GYRE_NAME(AF_BRIDGE);
        GYRE_NAME(AF_ATMPVC);
        GYRE_NAME(AF_X25);
        GYRE_NAME(AF_INET6);
        GYRE_NAME(AF_ROSE);
        GYRE_NAME(AF_KEY);
        GYRE_NAME(AF_NETLINK);
        GYRE_NAME(AF_PACKET);
        GYRE_NAME(AF_ATMSVC);
        GYRE_NAME(AF_RDS);
        GYRE_NAME(AF_IRDA);
        GYRE_NAME(AF_PPPOX);
        GYRE_NAME(AF_LLC);
        GYRE_NAME(AF_IB);
        GYRE_NAME(AF_MPLS);
        GYRE_NAME(AF_CAN);
        GYRE_NAME(AF_TIPC);
        GYRE_NAME(AF_BLUETOOTH);
        GYRE_NAME(AF_IUCV);
        GYRE_NAME(AF_RXRPC);
        GYRE_NAME(AF_ISDN);
        GYRE_NAME(AF_PHONET);
        GYRE_NAME(AF_IEEE802154);
        GYRE_NAME(AF_CAIF);
        GYRE_NAME(AF_ALG);
        GYRE_NAME(AF_NFC);
        GYRE_NAME(AF_VSOCK);
        GYRE_NAME(AF_KCM);
        GYRE_NAME(AF_QIPCRTR);
        GYRE_NAME(AF_SMC);
        GYRE_NAME(AF_XDP);
    default: return std::to_string(family);
    }
}

std::string type_name(int type) {
    switch (type) {
        GYRE_NAME(SOCK_STREAM);
        GYRE_NAME(SOCK_DGRAM);
        GYRE_NAME(SOCK_RAW);
        GYRE_NAME(SOCK_RDM);
        GYRE_NAME(SOCK_SEQPACKET);
        GYRE_NAME(SOCK_DCCP);
        GYRE_NAME(SOCK_PACKET);
#undef GYRE_NAME
    default: return std::to_string(type);
    }
}

std::string kind_of_socket(int family, int type, int protocol) {
    return "family " + family_name(family) + ", type " + type_name(type) + ", protocol " +
           std::to_string(protocol);
}

std::string name_of_connection(const descriptor* d) {
    if (d == nullptr || d->fd < 0)
        return "a closed socket";
    address name;
    if (get_name(&system_calls::peer_name, d->fd, name) == 0)
        return name.to_string();
    if (get_name(&system_calls::local_name, d->fd, name) == 0)
        return "the peer of " + name.to_string();
    return "a nameless socket";
}

} // namespace gyre::detail
