#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace gyre {

/// Why a text is not an address: "\"[::1]:70000\": port 70000 is not in 0..65535".
struct bad_address {
    std::errc code; ///< filename_too_long for a UNIX name beyond 107 bytes, else as message says
    std::string message;
};

// What the addresses of the less common families consist of: numbers in host order. Zero means
// "any" or "not said" wherever the kernel has it so.

/// netlink(7).
struct netlink_parts {
    std::uint32_t pid = 0;    ///< the port of a socket; 0: the kernel, or to bind: let it pick one
    std::uint32_t groups = 0; ///< a bit for each of the multicast groups 1 to 32
    bool operator==(const netlink_parts&) const = default;
};

/// packet(7).
struct packet_parts {
    std::uint32_t interface = 0;                   ///< its index, as if_nametoindex() tells
    std::uint16_t protocol = 0;                    ///< ETH_P_*
    std::uint8_t packet_type = 0;                  ///< PACKET_*, told by the kernel
    std::uint16_t hardware_type = 0;               ///< ARPHRD_*, told by the kernel
    std::span<const std::byte> hardware_address{}; ///< up to 8 bytes
    bool operator==(const packet_parts& other) const noexcept;
};

/// vsock(7).
struct vsock_parts {
    std::uint32_t cid = 0; ///< VMADDR_CID_*
    std::uint32_t port = 0;
    bool operator==(const vsock_parts&) const = default;
};

/// TIPC_ADDR_NAMESEQ, TIPC_ADDR_NAME, TIPC_ADDR_ID; as the kernel's own header has them, which now
/// speaks of service ranges, services and sockets.
enum class tipc_kind : std::uint8_t { nameseq = 1, name = 2, id = 3 };

struct tipc_parts {
    tipc_kind kind{};
    std::uint32_t v1 = 0; ///< type, type or node
    std::uint32_t v2 = 0; ///< lower, instance or reference
    std::uint32_t v3 = 0; ///< upper, or of a name the node where to look it up, 0 being anywhere
    int scope = 0;        ///< TIPC_CLUSTER_SCOPE (2), TIPC_NODE_SCOPE (3); negative: bind withdraws
    bool operator==(const tipc_parts&) const = default;
};

/// The interface is an index. How many bytes an address has tells which of the three it is, as the
/// kernel writes it: 8, 16 or 24. CAN_RAW and CAN_BCM take the first, CAN_ISOTP and CAN_J1939
/// theirs.
enum class can_kind : std::uint8_t { raw = 1, isotp = 2, j1939 = 3 };

struct can_parts {
    can_kind kind{};
    std::uint32_t interface = 0; ///< 0: all of them, or for sendto: none
    std::uint32_t rx_id = 0;     ///< isotp; 11 bits, or 29 with CAN_EFF_FLAG
    std::uint32_t tx_id = 0;
    std::uint64_t name = 0; ///< j1939; J1939_NO_NAME is 0
    std::uint32_t pgn = 0;  ///< up to J1939_PGN_MAX, or J1939_NO_PGN
    std::uint8_t addr = 0;  ///< J1939_NO_ADDR is 255
    bool operator==(const can_parts&) const = default;
};

/// <linux/if_alg.h>.
struct alg_parts {
    std::string_view type; ///< "hash", "skcipher", "aead", "rng"; up to 13 bytes
    std::string_view name; ///< "sha256", "cbc(aes)"; up to 63 bytes
    std::uint32_t feat = 0;
    std::uint32_t mask = 0;
    bool operator==(const alg_parts&) const = default;
};

/// Where a socket is or sends to: a value, for every family. IPv4, IPv6, UNIX and those above can
/// be made, read and written as text; of any other family it keeps the bytes that the kernel gave,
/// up to the 128 of a sockaddr_storage. A new one is empty: "no address", family AF_UNSPEC, size 0,
/// which is also what recvfrom reports on TCP and for a sender without a name.
///
/// Text, as parse() reads it and to_string() writes it; names are for the resolver, not for here:
///
///     127.0.0.1:7000           four decimal numbers, without leading zeros; no short forms
///     <broadcast>:7000         255.255.255.255, as Python calls it (only read)
///     [::1]:7000               RFC 4291, written by RFC 5952; IPv4-mapped addresses stay IPv6
///     [fe80::1%2]:7000         scope by interface number (written so), or by name: %lo
///     unix:/run/gyre           a path, absolute or not, of 1 to 107 bytes, none of them NUL
///     unix:@name               an abstract name of up to 107 bytes, any bytes
///     netlink:PID/GROUPS       netlink:0/0x11
///     packet:INTERFACE/PROTOCOL[/HARDWARE_ADDRESS[/PACKET_TYPE/HARDWARE_TYPE]]
///                              packet:2/0x800/02:fc:00:00:00:01/0/1; an address may be missing
///     vsock:CID:PORT           vsock:3:1024; 4294967295 is any
///     tipc:nameseq:TYPE/LOWER/UPPER[@SCOPE]
///     tipc:name:TYPE/INSTANCE[/DOMAIN][@SCOPE]
///     tipc:id:NODE/REF[@SCOPE] tipc:name:18888/17@3; without a scope, that of the cluster, 2
///     can:INTERFACE            for CAN_RAW and CAN_BCM
///     can-isotp:INTERFACE/RX_ID/TX_ID
///     can-j1939:INTERFACE/NAME/PGN/ADDR
///     alg:TYPE/NAME[/FEAT/MASK]
///                              alg:hash/sha256, alg:skcipher/cbc(aes)
///
/// The numbers of these are decimal, without leading zeros, or hexadecimal behind 0x; an interface
/// is one by number (written so), 0 being any, or by name. In the type and name of an algorithm,
/// \xNN stands for a byte as it does after `unix:`, and a slash is always written so.
///
/// The port is 0 to 65535 in decimal, without sign, space or leading zero, and never missing. After
/// `unix:`, \xNN stands for the byte with that hexadecimal number; to_string() writes so whatever
/// is not printable ASCII, the backslash, and the @ that begins a path. What it writes for the
/// empty address, an unnamed UNIX socket and other families is in parentheses and not for parsing;
/// the flow information of IPv6 and the flags of vsock have no text.
///
/// Nothing here asks the kernel, save for an interface by name (if_nametoindex: one short-lived
/// socket). Sources: ip(7), ipv6(7), unix(7), inet_pton(3), RFC 4007 for scopes, the others above.
class address {
public:
    address() noexcept {} // not defaulted: clang would refuse `const address none;`

    /// A copy of any socket address, for instance from getaddrinfo or recvmsg. Throws
    /// errc::invalid_argument beyond 128 bytes.
    address(const sockaddr* bytes, socklen_t size);

    /// The IPv4 address in host order, so that INADDR_LOOPBACK and its kin fit, or as four bytes.
    static address ipv4(std::uint32_t host_order, std::uint16_t port) noexcept;
    static address ipv4(std::span<const std::byte, 4> ip, std::uint16_t port) noexcept;
    /// `scope` is an interface index, which fe80::/10 needs; `flow` a 20-bit flow label, beyond
    /// which it throws errc::invalid_argument.
    static address ipv6(std::span<const std::byte, 16> ip, std::uint16_t port,
                        std::uint32_t scope = 0, std::uint32_t flow = 0);

    static address any_ipv4(std::uint16_t port) noexcept { return ipv4(INADDR_ANY, port); }
    static address any_ipv6(std::uint16_t port) noexcept;
    static address loopback_ipv4(std::uint16_t port) noexcept {
        return ipv4(INADDR_LOOPBACK, port);
    }
    static address loopback_ipv6(std::uint16_t port) noexcept;

    /// The bytes as they are: `path` may begin with @ or hold a backslash, `name` is without the
    /// NUL that begins it in the kernel, and a NUL at its end counts. Throws errc::invalid_argument
    /// for an empty path and for a NUL in a path, errc::filename_too_long beyond 107 bytes.
    static address unix_path(std::string_view path);
    static address unix_abstract(std::string_view name);
    /// To bind to this lets the kernel pick an abstract name (autobind).
    static address unix_unnamed() noexcept;

    /// The families above. What does not fit throws errc::invalid_argument, a name that is too long
    /// errc::filename_too_long, and says what was expected.
    static address netlink(std::uint32_t pid = 0, std::uint32_t groups = 0) noexcept;
    /// `packet({.interface = if_nametoindex("lo"), .protocol = ETH_P_ALL})`
    static address packet(const packet_parts& parts);
    static address vsock(std::uint32_t cid, std::uint32_t port) noexcept;
    /// `tipc(tipc_kind::name, type, instance)`; see tipc_parts.
    static address tipc(tipc_kind kind, std::uint32_t v1, std::uint32_t v2, std::uint32_t v3 = 0,
                        int scope = 2);
    static address can(std::uint32_t interface);
    static address can_isotp(std::uint32_t interface, std::uint32_t rx_id, std::uint32_t tx_id);
    static address can_j1939(std::uint32_t interface, std::uint64_t name, std::uint32_t pgn,
                             std::uint8_t addr);
    static address alg(std::string_view type, std::string_view name, std::uint32_t feat = 0,
                       std::uint32_t mask = 0);
    /// Any family, by the bytes that follow the number of the family in its sockaddr, up to 126.
    static address generic(int family, std::span<const std::byte> bytes);

    /// The text forms above. parse() throws what try_parse() reports.
    static address parse(std::string_view text);
    static std::expected<address, bad_address> try_parse(std::string_view text);
    /// The numeric hosts above by themselves, without brackets: 127.0.0.1, <broadcast>, fe80::1%lo.
    /// An error means that the host is a name (or nonsense), which the resolver has to look up.
    static std::expected<address, bad_address> from_ip(std::string_view host, std::uint16_t port);

    std::string to_string() const;
    /// The numeric host, as from_ip() takes it; "" when this is not IP.
    std::string host() const;

    int family() const noexcept { return size_ < sizeof(sa_family_t) ? AF_UNSPEC : any_.sa_family; }
    bool empty() const noexcept { return size_ == 0; }

    bool is_ipv4() const noexcept { return family() == AF_INET && size_ >= sizeof(sockaddr_in); }
    bool is_ipv6() const noexcept { return family() == AF_INET6 && size_ >= sizeof(sockaddr_in6); }
    std::uint16_t port() const noexcept;                  ///< 0 when this is not IP
    std::span<const std::byte> ip_bytes() const noexcept; ///< 4, 16 or none, in network order
    std::uint32_t scope_id() const noexcept;              ///< 0 when this is not IPv6
    std::uint32_t flow_info() const noexcept;             ///< likewise; in host order

    /// A UNIX address is one of three. The views are good as long as the address is unchanged, and
    /// empty when it is of another kind.
    bool is_unix_path() const noexcept { return unix_size() > 0 && unix_bytes()[0] != '\0'; }
    bool is_unix_abstract() const noexcept { return unix_size() > 0 && unix_bytes()[0] == '\0'; }
    bool is_unix_unnamed() const noexcept { return family() == AF_UNIX && unix_size() == 0; }
    std::string_view path() const noexcept;
    std::string_view abstract_name() const noexcept;

    /// The parts of the others; all zero when it is of another kind. Views and spans are good as
    /// long as the address is unchanged.
    bool is_netlink() const noexcept;
    bool is_packet() const noexcept;
    bool is_vsock() const noexcept;
    bool is_tipc() const noexcept;
    bool is_can() const noexcept;
    bool is_alg() const noexcept;
    /// Neither empty nor of any kind above: of a family that gyre does not know, or cut off.
    bool is_generic() const noexcept;
    netlink_parts as_netlink() const noexcept;
    packet_parts as_packet() const noexcept;
    vsock_parts as_vsock() const noexcept;
    tipc_parts as_tipc() const noexcept;
    can_parts as_can() const noexcept;
    alg_parts as_alg() const noexcept;
    /// What follows the number of the family, whatever that is.
    std::span<const std::byte> bytes() const noexcept;

    /// For the kernel. To read: data() and size(). To be filled in: data() and capacity(), then
    /// resize() with the length that the kernel returned, which also brings the bytes into the one
    /// form that comparing relies on. A length beyond the capacity means that bytes were cut off.
    const sockaddr* data() const noexcept { return &any_; }
    socklen_t size() const noexcept { return size_; }
    sockaddr* data() noexcept { return &any_; }
    static constexpr socklen_t capacity() noexcept { return sizeof(sockaddr_storage); }
    void resize(socklen_t size) noexcept;

    /// The same bytes: for IP that is address, port, scope and flow information.
    friend bool operator==(const address& a, const address& b) noexcept {
        return a.view() == b.view();
    }

private:
    friend struct std::hash<address>;

    static constexpr std::size_t unix_header = offsetof(sockaddr_un, sun_path);

    std::string other_family_to_string() const;
    void tidy_other_family() noexcept;
    template <class Raw>
    Raw as_raw() const noexcept;
    template <class Raw>
    void become(const Raw& raw, std::size_t size = sizeof(Raw)) noexcept;

    std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(&storage_), size_};
    }
    const char* unix_bytes() const noexcept {
        return reinterpret_cast<const char*>(&storage_) + unix_header;
    }
    std::size_t unix_size() const noexcept {
        return family() == AF_UNIX && size_ > unix_header ? size_ - unix_header : 0;
    }

    // A union, and not casts of sockaddr_storage: those break the aliasing rules of the language.
    union {
        sockaddr_storage storage_{};
        sockaddr any_;
        sockaddr_in ipv4_;
        sockaddr_in6 ipv6_;
        sockaddr_un unix_;
    };
    socklen_t size_ = 0;
};

} // namespace gyre

template <>
struct std::hash<gyre::address> {
    std::size_t operator()(const gyre::address& a) const noexcept {
        return std::hash<std::string_view>{}(a.view());
    }
};
