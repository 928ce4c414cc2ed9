#pragma once

#include <gyre/io/address.hpp>
#include <gyre/io/buffer.hpp>
#include <gyre/io/owned_fd.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <sys/socket.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace gyre {

namespace detail {
constexpr std::size_t cmsg_align(std::size_t bytes) noexcept {
    constexpr std::size_t unit = sizeof(std::size_t);
    return (bytes + unit - 1) / unit * unit;
}
} // namespace detail

/// CMSG_LEN and CMSG_SPACE of cmsg(3), which are macros: the size of a piece of ancillary data with
/// its header, and what it takes in a buffer, with padding.
constexpr std::size_t cmsg_len(std::size_t bytes) noexcept {
    return detail::cmsg_align(sizeof(cmsghdr)) + bytes;
}
constexpr std::size_t cmsg_space(std::size_t bytes) noexcept {
    return detail::cmsg_align(sizeof(cmsghdr)) + detail::cmsg_align(bytes);
}

/// A piece of ancillary data. Its bytes are those of the ancillary that it was read from.
struct ancillary_piece {
    int level = 0; ///< SOL_SOCKET, IPPROTO_IP ...
    int type = 0;  ///< SCM_RIGHTS, IP_PKTINFO ...
    std::span<const std::byte> bytes;

    bool is(int of_level, int of_type) const noexcept {
        return level == of_level && type == of_type;
    }
    /// The `index`-th T of the bytes; nullopt where they are too few.
    template <class T>
        requires(std::is_trivially_copyable_v<T>)
    std::optional<T> as(std::size_t index = 0) const noexcept {
        if (index >= bytes.size() / sizeof(T))
            return std::nullopt;
        T value;
        std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
        return value;
    }
};

namespace detail {

/// What the iterators over bytes that lie in pieces have in common. `Iterator` says how long the
/// first piece is.
template <class Iterator, class Piece>
class piece_iterator {
public:
    using value_type = Piece;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;

    Iterator operator++(int) noexcept {
        auto& self = static_cast<Iterator&>(*this);
        Iterator before = self;
        ++self;
        return before;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
        return a.rest_.size() == b.rest_.size();
    }
    friend bool operator==(const Iterator& i, std::default_sentinel_t) noexcept {
        return i.rest_.empty();
    }

protected:
    piece_iterator() = default;
    explicit piece_iterator(std::span<const std::byte> rest) noexcept : rest_(rest) {}
    std::span<const std::byte> rest_;
};

} // namespace detail

/// The pieces in memory as recvmsg(2) fills it; what is malformed, or cut off, ends them.
class ancillary_pieces {
public:
    class iterator : public detail::piece_iterator<iterator, ancillary_piece> {
    public:
        iterator() = default;
        explicit iterator(std::span<const std::byte> rest) noexcept : piece_iterator(rest) {
            check();
        }
        ancillary_piece operator*() const noexcept;
        using piece_iterator::operator++;
        iterator& operator++() noexcept;

    private:
        void check() noexcept; ///< the rest is empty, or begins with a whole piece
    };

    explicit ancillary_pieces(std::span<const std::byte> memory) noexcept : memory_(memory) {}
    iterator begin() const noexcept { return iterator(memory_); }
    std::default_sentinel_t end() const noexcept { return {}; }
    /// The first of this kind.
    std::optional<ancillary_piece> find(int level, int type) const noexcept;

private:
    std::span<const std::byte> memory_;
};

/// Where a datagram came in: IP_PKTINFO of ip(7), IPV6_PKTINFO of ipv6(7). To send with it chooses
/// the interface (0: by the routes) and the source, which is `local` (empty: by the interface).
struct packet_info {
    unsigned interface = 0;
    address destination; ///< as in its header: with multicast, the group. Its port is 0.
    address local;       ///< the address of this host that it came to. Its port is 0.
};

/// When a packet passed: with SO_TIMESTAMPING. <linux/net_tstamp.h>.
struct packet_times {
    std::optional<std::chrono::sys_time<std::chrono::nanoseconds>> software; ///< the kernel
    std::optional<std::chrono::nanoseconds> hardware; ///< the card, by a clock of its own
};

/// Sends with MSG_ZEROCOPY that are over, so that their memory may change. A socket counts them
/// from 0 on, each call that succeeded, and begins again after 2^32.
struct zero_copy_range {
    std::uint32_t first = 0;
    std::uint32_t last = 0; ///< this one, too
    bool copied = false;    ///< the kernel had to copy, as it does over the loopback
};

/// Why a datagram did not arrive: of MSG_ERRQUEUE, with IP_RECVERR or IPV6_RECVERR. ip(7). What
/// comes that way and is no error has no code, and an origin that says what it is.
struct queued_error {
    std::error_code code;
    std::uint8_t origin = 0; ///< SO_EE_ORIGIN_LOCAL, _ICMP, _TIMESTAMPING ... <linux/errqueue.h>
    std::uint8_t type = 0;   ///< of ICMP
    std::uint8_t icmp_code = 0;
    std::uint32_t info = 0; ///< with EMSGSIZE: the MTU
    std::uint32_t data = 0;
    address offender; ///< who says so; empty when not known. Its port is 0.
};

/// Ancillary data: what travels beside the bytes of a message, as pieces that each have a level, a
/// type and bytes. recvmsg fills it, sendmsg sends it. Its memory is allocated once, and the same
/// object may serve any number of messages. cmsg(3), unix(7), ip(7), ipv6(7), udp(7).
///
///     gyre::ancillary control;
///     auto [count, from, flags] = co_await udp.recvmsg(buffer, control);
///     for (auto piece : control) ...
///     if (auto when = control.timestamp()) ...
///
/// Descriptors that came with a message belong to it until they are taken: those that are not are
/// closed with the next recvmsg, clear(), or its end.
class ancillary {
public:
    using iterator = ancillary_pieces::iterator;

    /// Room for so many bytes, headers included: the sum of cmsg_space() of what is expected. What
    /// does not fit when receiving is lost, and told as MSG_CTRUNC; descriptors among it are
    /// closed.
    explicit ancillary(std::size_t capacity = 256)
        : memory_(std::make_unique<std::byte[]>(capacity)), capacity_(capacity) {}
    ancillary(ancillary&& other) noexcept
        : memory_(std::move(other.memory_)), capacity_(std::exchange(other.capacity_, 0)),
          size_(std::exchange(other.size_, 0)), received_(std::exchange(other.received_, 0)) {}
    ancillary& operator=(ancillary&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(capacity_, other.capacity_);
        std::swap(size_, other.size_);
        std::swap(received_, other.received_);
        return *this;
    }
    ~ancillary() { clear(); }

    std::size_t capacity() const noexcept { return capacity_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::byte* data() const noexcept { return memory_.get(); }
    std::byte* data() noexcept { return memory_.get(); }
    void clear() noexcept {
        if (received_ != 0)
            close_received();
        size_ = received_ = 0;
    }
    /// For the library: the kernel has filled so much of it.
    void set_received(std::size_t size) noexcept {
        size_ = received_ = size < capacity_ ? size : capacity_;
    }

    ancillary_pieces pieces() const noexcept {
        return ancillary_pieces(std::span(memory_.get(), size_));
    }
    iterator begin() const noexcept { return pieces().begin(); }
    std::default_sentinel_t end() const noexcept { return {}; }
    std::optional<ancillary_piece> find(int level, int type) const noexcept {
        return pieces().find(level, type);
    }

    // ---- To read ------------------------------------------------------------------------------
    // What has no name here has a level and a type: find(SOL_SOCKET, SO_RXQ_OVFL)->as<unsigned>().

    /// The descriptors that came along (SCM_RIGHTS), all of them; closed on exec.
    std::vector<owned_fd> take_fds();
    /// As many as there is room for; how many that was. The others can be taken later.
    std::size_t take_fds(std::span<owned_fd> to) noexcept;
    /// Who sent it: of UNIX sockets with SO_PASSCRED, as the kernel checked it.
    std::optional<ucred> credentials() const noexcept;
    /// With IP_PKTINFO or IPV6_RECVPKTINFO.
    std::optional<gyre::packet_info> packet_info() const;
    /// With IP_RECVTTL or IPV6_RECVHOPLIMIT.
    std::optional<int> hop_limit() const noexcept;
    /// With IP_RECVTOS or IPV6_RECVTCLASS: DSCP and ECN.
    std::optional<int> traffic_class() const noexcept;
    /// With IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR: to whom it was sent, with the port, though
    /// it was redirected here.
    std::optional<address> original_destination() const;
    /// When the kernel received it: with SO_TIMESTAMP (microseconds) or SO_TIMESTAMPNS.
    std::optional<std::chrono::sys_time<std::chrono::nanoseconds>> timestamp() const noexcept;
    /// When it was received, with SO_TIMESTAMPING; or, with MSG_ERRQUEUE, when it was sent: then
    /// queued_error() tells which send (data, with SOF_TIMESTAMPING_OPT_ID) and at what step
    /// (info).
    /// The first packets after the option was set may come without.
    std::optional<gyre::packet_times> packet_times() const noexcept;
    /// With UDP_GRO: what was received are datagrams of so many bytes, one after another, the last
    /// one perhaps shorter. nullopt: it is one. See segment_range in udp_segments.hpp.
    std::optional<std::size_t> segment_size() const noexcept;
    /// With MSG_ERRQUEUE.
    std::optional<gyre::queued_error> queued_error() const;
    /// With MSG_ERRQUEUE and SO_ZEROCOPY: which sends are over. A sendall may be several.
    ///
    ///     s.set(gyre::option::zero_copy, true);
    ///     co_await s.send(large, MSG_ZEROCOPY);
    ///     co_await s.recvmsg(gyre::buffer(nullptr, 0), control, MSG_ERRQUEUE);
    ///     if (auto done = control.zero_copy_done()) ... // `large` may be used again
    std::optional<zero_copy_range> zero_copy_done() const;

    // ---- To write -----------------------------------------------------------------------------

    /// Adds a piece. Throws std::errc::no_buffer_space when it does not fit; then nothing changes.
    void append(int level, int type, const_buffer bytes);
    /// The receiver gets duplicates of these; they stay the sender's. Throws
    /// std::errc::invalid_argument for more than 253, which is all that a message carries.
    void append_fds(std::span<const int> fds);
    /// Only a privileged process may tell of another one than itself.
    void append_credentials(const ucred& of);
    /// Throws std::errc::invalid_argument when `from.local` is of no IP family.
    void append_packet_info(const gyre::packet_info& from);
    /// IP_TTL or IPV6_HOPLIMIT, IP_TOS or IPV6_TCLASS: `family` is AF_INET or AF_INET6. Both throw
    /// std::errc::invalid_argument for another, and for what is no byte; -1, of IPv6: what the
    /// system has.
    void append_hop_limit(int family, int hops);
    void append_traffic_class(int family, int bits);
    /// UDP_SEGMENT: what is sent are datagrams of so many bytes, the last one perhaps shorter.
    void append_segment_size(std::uint16_t bytes);
    /// SCM_TXTIME: leaves then, by the clock that SO_TXTIME was told; without that,
    /// std::errc::invalid_argument.
    void append_transmit_time(std::chrono::nanoseconds at);
    /// Of AF_ALG, <linux/if_alg.h>: ALG_OP_ENCRYPT or ALG_OP_DECRYPT, the initialisation vector,
    /// and how many of the first bytes are only authenticated.
    void append_alg_operation(std::uint32_t operation);
    void append_alg_iv(const_buffer iv);
    void append_alg_associated(std::uint32_t bytes);

private:
    void close_received() noexcept;

    std::unique_ptr<std::byte[]> memory_;
    std::size_t capacity_;
    std::size_t size_ = 0;
    std::size_t received_ = 0; ///< bytes of it whose descriptors are owned
};

namespace detail {

/// A piece as the kernel reads it: cmsg_len(size) bytes from `place` on, without its padding.
void write_piece(std::byte* place, int level, int type, const void* bytes,
                 std::size_t size) noexcept;

/// Takes the descriptors out of a control message; what does not fit stays. How many.
std::size_t take_passed(std::byte* control, std::size_t size, std::span<owned_fd> to) noexcept;
/// How many there are.
std::size_t count_passed(const std::byte* control, std::size_t size) noexcept;
/// Closes those that nobody has taken.
void close_passed(const void* control, std::size_t size) noexcept;

} // namespace detail
} // namespace gyre

/// Its size() is in bytes, not in pieces.
template <>
inline constexpr bool std::ranges::disable_sized_range<gyre::ancillary> = true;
