#include <gyre/io/address_families.hpp>

#include <linux/can.h>
#include <linux/can/j1939.h>
#include <linux/if_alg.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/tipc.h>
#include <linux/vm_sockets.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <limits>

namespace gyre {

using namespace detail;

namespace {

constexpr std::size_t packet_header = offsetof(sockaddr_ll, sll_addr);
constexpr std::size_t alg_header = offsetof(sockaddr_alg, salg_name);
constexpr std::size_t longest_alg_type = sizeof(sockaddr_alg::salg_type) - 1;
constexpr std::size_t longest_alg_name = sizeof(sockaddr_alg::salg_name) - 1;

// CAN_REQUIRED_SIZE of the kernel: up to the end of the member that the protocol needs.
constexpr std::size_t can_raw_size = offsetof(sockaddr_can, can_addr);
constexpr std::size_t can_isotp_size = can_raw_size + sizeof(sockaddr_can::can_addr.tp);
constexpr std::size_t can_j1939_size = can_raw_size + sizeof(sockaddr_can::can_addr.j1939);
static_assert(can_raw_size == 8 && can_isotp_size == 16 && can_j1939_size == 24);

static_assert(static_cast<int>(tipc_kind::nameseq) == TIPC_SERVICE_RANGE);
static_assert(static_cast<int>(tipc_kind::name) == TIPC_SERVICE_ADDR);
static_assert(static_cast<int>(tipc_kind::id) == TIPC_SOCKET_ADDR);

std::unexpected<bad_address> refuse(std::string why, std::errc code = std::errc::invalid_argument) {
    return std::unexpected(bad_address{code, std::move(why)});
}

template <class Raw>
address from_raw(const Raw& raw, std::size_t size = sizeof(Raw)) {
    return {reinterpret_cast<const sockaddr*>(&raw), static_cast<socklen_t>(size)};
}

std::string not_an_interface(std::uint32_t index) {
    return "interface " + std::to_string(index) + " is not in 0..2147483647";
}

// What bind would refuse with a bare EINVAL.
bool is_can_id(std::uint32_t id) {
    const bool extended = (id & CAN_EFF_FLAG) != 0;
    return (id & ~CAN_EFF_FLAG) <= (extended ? CAN_EFF_MASK : CAN_SFF_MASK);
}

} // namespace

// ---- From parts --------------------------------------------------------------------------------

made_address detail::make_packet(const packet_parts& parts) {
    if (parts.interface > INT_MAX)
        return refuse(not_an_interface(parts.interface));
    sockaddr_ll raw{};
    if (parts.hardware_address.size() > sizeof raw.sll_addr)
        return refuse("a hardware address of " + std::to_string(parts.hardware_address.size()) +
                      " bytes is longer than 8");
    raw.sll_family = AF_PACKET;
    raw.sll_protocol = htons(parts.protocol);
    raw.sll_ifindex = static_cast<int>(parts.interface);
    raw.sll_hatype = parts.hardware_type;
    raw.sll_pkttype = parts.packet_type;
    raw.sll_halen = static_cast<unsigned char>(parts.hardware_address.size());
    if (!parts.hardware_address.empty())
        std::memcpy(raw.sll_addr, parts.hardware_address.data(), parts.hardware_address.size());
    return from_raw(raw);
}

made_address detail::make_tipc(const tipc_parts& parts) {
    if (parts.scope < -TIPC_NODE_SCOPE || parts.scope > TIPC_NODE_SCOPE)
        return refuse("TIPC scope " + std::to_string(parts.scope) +
                      " is not in -3..3 (2: cluster, 3: node; negative: withdraw)");
    if (parts.kind == tipc_kind::nameseq && parts.v2 > parts.v3)
        return refuse("the TIPC name sequence " + std::to_string(parts.v2) + ".." +
                      std::to_string(parts.v3) + " begins beyond its end");
    if (parts.kind == tipc_kind::id && parts.v3 != 0)
        return refuse("a TIPC id has two numbers, and a third of " + std::to_string(parts.v3));
    sockaddr_tipc raw{};
    raw.family = AF_TIPC;
    raw.addrtype = static_cast<unsigned char>(parts.kind);
    raw.scope = static_cast<signed char>(parts.scope);
    switch (parts.kind) {
    case tipc_kind::nameseq: raw.addr.nameseq = {parts.v1, parts.v2, parts.v3}; break;
    case tipc_kind::name: raw.addr.name = {{parts.v1, parts.v2}, parts.v3}; break;
    case tipc_kind::id: raw.addr.id = {.ref = parts.v2, .node = parts.v1}; break;
    default:
        return refuse("TIPC address type " + std::to_string(raw.addrtype) +
                      " is not nameseq (1), name (2) or id (3)");
    }
    return from_raw(raw);
}

made_address detail::make_can(const can_parts& parts) {
    if (parts.interface > INT_MAX)
        return refuse(not_an_interface(parts.interface));
    sockaddr_can raw{};
    raw.can_family = AF_CAN;
    raw.can_ifindex = static_cast<int>(parts.interface);
    if (parts.kind == can_kind::raw)
        return from_raw(raw, can_raw_size);
    if (parts.kind == can_kind::isotp) {
        for (const std::uint32_t id : {parts.rx_id, parts.tx_id}) {
            if (!is_can_id(id))
                return refuse("CAN identifier " + hex(id) +
                              " has neither 11 bits nor 29 bits and CAN_EFF_FLAG (0x80000000)");
        }
        raw.can_addr.tp = {parts.rx_id, parts.tx_id};
        return from_raw(raw, can_isotp_size);
    }
    if (parts.pgn > J1939_NO_PGN)
        return refuse("PGN " + hex(parts.pgn) +
                      " is not in 0..0x3ffff, nor J1939_NO_PGN (0x40000)");
    raw.can_addr.j1939.name = parts.name;
    raw.can_addr.j1939.pgn = parts.pgn;
    raw.can_addr.j1939.addr = parts.addr;
    return from_raw(raw, can_j1939_size);
}

made_address detail::make_alg(const alg_parts& parts) {
    struct checked {
        std::string_view what;
        std::string_view value;
        std::size_t longest;
    };
    for (const auto& [what, value, longest] :
         {checked{"type", parts.type, longest_alg_type}, {"name", parts.name, longest_alg_name}}) {
        const std::string subject = "the " + std::string(what) + " of the algorithm ";
        if (value.empty())
            return refuse(subject + "is empty");
        if (value.contains('\0'))
            return refuse(subject + "holds a NUL byte, which would cut it short");
        if (value.size() > longest)
            return refuse(subject + "has " + std::to_string(value.size()) +
                              " bytes, more than the " + std::to_string(longest) +
                              " that an AF_ALG address holds",
                          std::errc::filename_too_long);
    }
    sockaddr_alg raw{};
    raw.salg_family = AF_ALG;
    std::ranges::copy(parts.type, raw.salg_type);
    std::ranges::copy(parts.name, raw.salg_name);
    raw.salg_feat = parts.feat;
    raw.salg_mask = parts.mask;
    return from_raw(raw);
}

bool packet_parts::operator==(const packet_parts& other) const noexcept {
    return interface == other.interface && protocol == other.protocol &&
           packet_type == other.packet_type && hardware_type == other.hardware_type &&
           std::ranges::equal(hardware_address, other.hardware_address);
}

// ---- The bytes ---------------------------------------------------------------------------------

template <class Raw>
Raw address::as_raw() const noexcept {
    Raw raw{};
    std::memcpy(&raw, &storage_, std::min<std::size_t>(sizeof raw, size_));
    return raw;
}

template <class Raw>
void address::become(const Raw& raw, std::size_t size) noexcept {
    storage_ = {};
    std::memcpy(&storage_, &raw, size);
    size_ = static_cast<socklen_t>(size);
}

address address::netlink(std::uint32_t pid, std::uint32_t groups) noexcept {
    address made;
    made.become(
        sockaddr_nl{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = pid, .nl_groups = groups});
    return made;
}

address address::packet(const packet_parts& parts) {
    return or_raise(make_packet(parts));
}

address address::vsock(std::uint32_t cid, std::uint32_t port) noexcept {
    sockaddr_vm raw{};
    raw.svm_family = AF_VSOCK;
    raw.svm_port = port;
    raw.svm_cid = cid;
    address made;
    made.become(raw);
    return made;
}

address address::tipc(tipc_kind kind, std::uint32_t v1, std::uint32_t v2, std::uint32_t v3,
                      int scope) {
    return or_raise(make_tipc({kind, v1, v2, v3, scope}));
}

address address::can(std::uint32_t interface) {
    return or_raise(make_can({.kind = can_kind::raw, .interface = interface}));
}

address address::can_isotp(std::uint32_t interface, std::uint32_t rx_id, std::uint32_t tx_id) {
    return or_raise(make_can(
        {.kind = can_kind::isotp, .interface = interface, .rx_id = rx_id, .tx_id = tx_id}));
}

address address::can_j1939(std::uint32_t interface, std::uint64_t name, std::uint32_t pgn,
                           std::uint8_t addr) {
    return or_raise(make_can(
        {.kind = can_kind::j1939, .interface = interface, .name = name, .pgn = pgn, .addr = addr}));
}

address address::alg(std::string_view type, std::string_view name, std::uint32_t feat,
                     std::uint32_t mask) {
    return or_raise(make_alg({type, name, feat, mask}));
}

address address::generic(int family, std::span<const std::byte> bytes) {
    constexpr std::size_t most = sizeof(sockaddr_storage) - sizeof(sa_family_t);
    if (family < 0 || family > std::numeric_limits<sa_family_t>::max())
        raise({std::errc::invalid_argument,
               "address family " + std::to_string(family) + " is not in 0..65535"});
    if (bytes.size() > most)
        raise({std::errc::invalid_argument, "an address of " + std::to_string(bytes.size()) +
                                                " bytes behind its family is larger than " +
                                                std::to_string(most)});
    address made;
    made.storage_.ss_family = static_cast<sa_family_t>(family);
    if (!bytes.empty())
        std::memcpy(reinterpret_cast<char*>(&made.storage_) + sizeof(sa_family_t), bytes.data(),
                    bytes.size());
    made.resize(static_cast<socklen_t>(sizeof(sa_family_t) + bytes.size()));
    return made;
}

bool address::is_netlink() const noexcept {
    return family() == AF_NETLINK && size_ >= sizeof(sockaddr_nl);
}

bool address::is_packet() const noexcept {
    return family() == AF_PACKET && size_ >= packet_header &&
           size_ >= packet_header + as_raw<sockaddr_ll>().sll_halen;
}

bool address::is_vsock() const noexcept {
    return family() == AF_VSOCK && size_ >= sizeof(sockaddr_vm);
}

bool address::is_tipc() const noexcept {
    if (family() != AF_TIPC || size_ < sizeof(sockaddr_tipc))
        return false;
    const unsigned kind = as_raw<sockaddr_tipc>().addrtype;
    return kind >= TIPC_SERVICE_RANGE && kind <= TIPC_SOCKET_ADDR;
}

bool address::is_can() const noexcept {
    return family() == AF_CAN && size_ >= can_raw_size;
}

bool address::is_alg() const noexcept {
    return family() == AF_ALG && size_ > alg_header;
}

bool address::is_generic() const noexcept {
    return !(empty() || is_ipv4() || is_ipv6() || family() == AF_UNIX || is_netlink() ||
             is_packet() || is_vsock() || is_tipc() || is_can() || is_alg());
}

netlink_parts address::as_netlink() const noexcept {
    if (!is_netlink())
        return {};
    const auto raw = as_raw<sockaddr_nl>();
    return {raw.nl_pid, raw.nl_groups};
}

packet_parts address::as_packet() const noexcept {
    if (!is_packet())
        return {};
    const auto raw = as_raw<sockaddr_ll>();
    return {static_cast<std::uint32_t>(raw.sll_ifindex),
            ntohs(raw.sll_protocol),
            raw.sll_pkttype,
            raw.sll_hatype,
            {reinterpret_cast<const std::byte*>(&storage_) + packet_header, raw.sll_halen}};
}

vsock_parts address::as_vsock() const noexcept {
    if (!is_vsock())
        return {};
    const auto raw = as_raw<sockaddr_vm>();
    return {raw.svm_cid, raw.svm_port};
}

tipc_parts address::as_tipc() const noexcept {
    if (!is_tipc())
        return {};
    const auto raw = as_raw<sockaddr_tipc>();
    const auto kind = static_cast<tipc_kind>(raw.addrtype);
    const auto& seq = raw.addr.nameseq; // a name and its domain lie where the three lie
    if (kind == tipc_kind::id)
        return {kind, raw.addr.id.node, raw.addr.id.ref, 0, raw.scope};
    return {kind, seq.type, seq.lower, seq.upper, raw.scope};
}

can_parts address::as_can() const noexcept {
    if (!is_can())
        return {};
    const auto raw = as_raw<sockaddr_can>();
    can_parts parts{.kind = can_kind::raw,
                    .interface = static_cast<std::uint32_t>(raw.can_ifindex)};
    if (size_ >= can_j1939_size) {
        parts.kind = can_kind::j1939;
        parts.name = raw.can_addr.j1939.name;
        parts.pgn = raw.can_addr.j1939.pgn;
        parts.addr = raw.can_addr.j1939.addr;
    } else if (size_ >= can_isotp_size) {
        parts.kind = can_kind::isotp;
        parts.rx_id = raw.can_addr.tp.rx_id;
        parts.tx_id = raw.can_addr.tp.tx_id;
    }
    return parts;
}

alg_parts address::as_alg() const noexcept {
    if (!is_alg())
        return {};
    const auto raw = as_raw<sockaddr_alg>();
    const char* const begin = reinterpret_cast<const char*>(&storage_);
    const char* const type = begin + offsetof(sockaddr_alg, salg_type);
    const char* const name = begin + alg_header;
    // The last byte is a NUL for the kernel, whatever it is.
    return {{type, ::strnlen(type, longest_alg_type)},
            {name, ::strnlen(name, size_ - alg_header - 1)},
            raw.salg_feat,
            raw.salg_mask};
}

std::span<const std::byte> address::bytes() const noexcept {
    if (size_ <= sizeof(sa_family_t))
        return {};
    return {reinterpret_cast<const std::byte*>(&storage_) + sizeof(sa_family_t),
            size_ - sizeof(sa_family_t)};
}

// The kernel gives some addresses in several lengths, and what it does not look at may be anything.
void address::tidy_other_family() noexcept {
    if (is_netlink()) {
        auto raw = as_raw<sockaddr_nl>();
        raw.nl_pad = 0;
        become(raw);
    } else if (is_packet()) {
        // More than sockaddr_ll has room for is what some hardware has (InfiniBand: 20 bytes).
        const std::size_t used = packet_header + as_packet().hardware_address.size();
        const address old = *this;
        become(old.storage_, used);
        size_ = static_cast<socklen_t>(std::max(used, sizeof(sockaddr_ll)));
    } else if (is_vsock()) {
        auto raw = as_raw<sockaddr_vm>();
        raw.svm_reserved1 = 0;
        std::ranges::fill(raw.svm_zero, 0);
        become(raw);
    } else if (is_tipc()) {
        auto raw = as_raw<sockaddr_tipc>();
        if (raw.addrtype == TIPC_SOCKET_ADDR)
            raw.addr.nameseq.upper = 0;
        become(raw);
    } else if (is_can()) {
        const can_parts parts = as_can();
        sockaddr_can raw{};
        raw.can_family = AF_CAN;
        raw.can_ifindex = static_cast<int>(parts.interface);
        std::size_t size = can_raw_size;
        if (parts.kind == can_kind::isotp) {
            raw.can_addr.tp = {parts.rx_id, parts.tx_id};
            size = can_isotp_size;
        } else if (parts.kind == can_kind::j1939) {
            raw.can_addr.j1939.name = parts.name;
            raw.can_addr.j1939.pgn = parts.pgn;
            raw.can_addr.j1939.addr = parts.addr;
            size = can_j1939_size;
        }
        become(raw, size);
    } else if (is_alg()) {
        const address old = *this;
        const alg_parts parts = old.as_alg();
        sockaddr_alg head{};
        head.salg_family = AF_ALG;
        std::ranges::copy(parts.type, head.salg_type);
        head.salg_feat = parts.feat;
        head.salg_mask = parts.mask;
        become(head);
        std::ranges::copy(parts.name, reinterpret_cast<char*>(&storage_) + alg_header);
        size_ = static_cast<socklen_t>(std::max(sizeof head, alg_header + parts.name.size() + 1));
    }
}

} // namespace gyre
