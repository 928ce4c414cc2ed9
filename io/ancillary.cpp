#include <gyre/core/error.hpp>
#include <gyre/io/ancillary.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/socket_names.hpp>

#include <algorithm>
#include <linux/errqueue.h>
#include <linux/if_alg.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string>
#include <sys/time.h>

namespace gyre {
namespace {

constexpr std::size_t header_size = detail::cmsg_align(sizeof(cmsghdr));

cmsghdr header_at(const std::byte* memory) noexcept {
    cmsghdr h;
    std::memcpy(&h, memory, sizeof h);
    return h;
}

address ip_address(const in_addr& ip) noexcept {
    return address::ipv4(ntohl(ip.s_addr), 0);
}

address ip_address(const in6_addr& ip, unsigned interface) {
    const bool local = IN6_IS_ADDR_LINKLOCAL(&ip) || IN6_IS_ADDR_MC_LINKLOCAL(&ip);
    return address::ipv6(std::as_bytes(std::span<const std::uint8_t, 16>(ip.s6_addr)), 0,
                         local ? interface : 0);
}

using system_time = std::chrono::sys_time<std::chrono::nanoseconds>;

std::chrono::nanoseconds nanoseconds_of(const timespec& t) noexcept {
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

[[noreturn]] void refuse(const std::string& why) {
    throw error(std::make_error_code(std::errc::invalid_argument), why);
}

/// Whether `family` is that of the two. -1 stands for what the system has, of IPv6 only.
bool is_ipv6(int family, const char* what, int value, int least) {
    const bool v6 = family == AF_INET6;
    const auto doing = [&] { return std::string("append ") + what + ' ' + std::to_string(value); };
    if (!v6 && family != AF_INET)
        refuse(doing() + " of family " + detail::family_name(family) +
               " (expected AF_INET or AF_INET6)");
    least = v6 ? -1 : least;
    if (value < least || value > 255)
        refuse(doing() + " (expected " + std::to_string(least) + " to 255)");
    return v6;
}

/// Calls `f` with the place of each descriptor that came along and was not taken.
template <class F>
void each_passed(std::byte* control, std::size_t size, F f) noexcept {
    for (const ancillary_piece piece : ancillary_pieces({control, size})) {
        if (!piece.is(SOL_SOCKET, SCM_RIGHTS))
            continue;
        std::byte* const first = control + (piece.bytes.data() - control);
        for (std::size_t i = 0; i < piece.bytes.size() / sizeof(int); ++i)
            if (const int fd = *piece.as<int>(i); fd >= 0)
                f(first + i * sizeof(int), fd);
    }
}

} // namespace

// ---- Pieces -----------------------------------------------------------------------------------

void ancillary_pieces::iterator::check() noexcept {
    if (rest_.size() < header_size) {
        rest_ = {};
        return;
    }
    const std::size_t length = header_at(rest_.data()).cmsg_len;
    if (length < header_size || length > rest_.size())
        rest_ = {};
}

ancillary_piece ancillary_pieces::iterator::operator*() const noexcept {
    const cmsghdr h = header_at(rest_.data());
    return {h.cmsg_level, h.cmsg_type, rest_.subspan(header_size, h.cmsg_len - header_size)};
}

ancillary_pieces::iterator& ancillary_pieces::iterator::operator++() noexcept {
    const std::size_t length = header_at(rest_.data()).cmsg_len;
    rest_ = rest_.subspan(std::min(detail::cmsg_align(length), rest_.size()));
    check();
    return *this;
}

std::optional<ancillary_piece> ancillary_pieces::find(int level, int type) const noexcept {
    for (const ancillary_piece piece : *this)
        if (piece.is(level, type))
            return piece;
    return std::nullopt;
}

// ---- Descriptors ------------------------------------------------------------------------------

std::size_t detail::take_passed(std::byte* control, std::size_t size,
                                std::span<owned_fd> to) noexcept {
    std::size_t taken = 0;
    each_passed(control, size, [&](std::byte* place, int fd) {
        if (taken == to.size())
            return;
        to[taken++] = owned_fd(fd);
        const int none = -1;
        std::memcpy(place, &none, sizeof none);
    });
    return taken;
}

std::size_t detail::count_passed(const std::byte* control, std::size_t size) noexcept {
    std::size_t count = 0;
    each_passed(const_cast<std::byte*>(control), size, [&](std::byte*, int) { ++count; });
    return count;
}

void detail::close_passed(const void* control, std::size_t size) noexcept {
    kernel().close_passed(control, size);
}

void ancillary::close_received() noexcept {
    detail::close_passed(memory_.get(), received_);
}

std::vector<owned_fd> ancillary::take_fds() {
    std::vector<owned_fd> fds(detail::count_passed(memory_.get(), received_));
    take_fds(fds);
    return fds;
}

std::size_t ancillary::take_fds(std::span<owned_fd> to) noexcept {
    return detail::take_passed(memory_.get(), received_, to);
}

void ancillary::append_fds(std::span<const int> fds) {
    constexpr std::size_t most = 253; // SCM_MAX_FD of unix(7)
    if (fds.size() > most)
        refuse("append " + std::to_string(fds.size()) + " descriptors (expected at most 253)");
    append(SOL_SOCKET, SCM_RIGHTS, const_buffer(fds.data(), fds.size_bytes()));
}

// ---- Reading ----------------------------------------------------------------------------------

std::optional<ucred> ancillary::credentials() const noexcept {
    const auto piece = find(SOL_SOCKET, SCM_CREDENTIALS);
    return piece ? piece->as<ucred>() : std::nullopt;
}

std::optional<gyre::packet_info> ancillary::packet_info() const {
    if (const auto piece = find(IPPROTO_IP, IP_PKTINFO))
        if (const auto v4 = piece->as<in_pktinfo>())
            return gyre::packet_info{static_cast<unsigned>(v4->ipi_ifindex),
                                     ip_address(v4->ipi_addr), ip_address(v4->ipi_spec_dst)};
    if (const auto piece = find(IPPROTO_IPV6, IPV6_PKTINFO))
        if (const auto v6 = piece->as<in6_pktinfo>()) {
            const address to = ip_address(v6->ipi6_addr, v6->ipi6_ifindex);
            return gyre::packet_info{v6->ipi6_ifindex, to, to};
        }
    return std::nullopt;
}

std::optional<int> ancillary::hop_limit() const noexcept {
    if (const auto piece = find(IPPROTO_IP, IP_TTL))
        return piece->as<int>();
    const auto piece = find(IPPROTO_IPV6, IPV6_HOPLIMIT);
    return piece ? piece->as<int>() : std::nullopt;
}

std::optional<int> ancillary::traffic_class() const noexcept {
    if (const auto piece = find(IPPROTO_IP, IP_TOS)) // one byte, unlike all others
        return piece->bytes.empty() ? std::nullopt
                                    : std::optional(std::to_integer<int>(piece->bytes[0]));
    const auto piece = find(IPPROTO_IPV6, IPV6_TCLASS);
    return piece ? piece->as<int>() : std::nullopt;
}

std::optional<address> ancillary::original_destination() const {
    auto piece = find(IPPROTO_IP, IP_ORIGDSTADDR);
    if (!piece)
        piece = find(IPPROTO_IPV6, IPV6_ORIGDSTADDR);
    if (!piece || piece->bytes.size() > address::capacity())
        return std::nullopt;
    address to;
    std::memcpy(to.data(), piece->bytes.data(), piece->bytes.size());
    to.resize(static_cast<socklen_t>(piece->bytes.size()));
    return to;
}

std::optional<system_time> ancillary::timestamp() const noexcept {
    if (const auto piece = find(SOL_SOCKET, SO_TIMESTAMPNS))
        if (const auto t = piece->as<timespec>())
            return system_time(nanoseconds_of(*t));
    if (const auto piece = find(SOL_SOCKET, SO_TIMESTAMP))
        if (const auto t = piece->as<timeval>())
            return system_time(std::chrono::seconds(t->tv_sec) +
                               std::chrono::microseconds(t->tv_usec));
    return std::nullopt;
}

std::optional<gyre::packet_times> ancillary::packet_times() const noexcept {
    const auto piece = find(SOL_SOCKET, SO_TIMESTAMPING);
    const auto times = piece ? piece->as<scm_timestamping>() : std::nullopt;
    if (!times)
        return std::nullopt;
    gyre::packet_times result;
    if (const auto t = nanoseconds_of(times->ts[0]); t.count() != 0)
        result.software = system_time(t);
    if (const auto t = nanoseconds_of(times->ts[2]); t.count() != 0) // [1] has gone out of use
        result.hardware = t;
    return result;
}

std::optional<std::size_t> ancillary::segment_size() const noexcept {
    const auto piece = find(IPPROTO_UDP, UDP_GRO);
    const auto size = piece ? piece->as<int>() : std::nullopt;
    return size && *size > 0 ? std::optional(static_cast<std::size_t>(*size)) : std::nullopt;
}

std::optional<gyre::queued_error> ancillary::queued_error() const {
    auto piece = find(IPPROTO_IP, IP_RECVERR);
    if (!piece)
        piece = find(IPPROTO_IPV6, IPV6_RECVERR);
    const auto e = piece ? piece->as<sock_extended_err>() : std::nullopt;
    if (!e)
        return std::nullopt;
    gyre::queued_error result;
    result.code = {static_cast<int>(e->ee_errno), std::system_category()};
    result.origin = e->ee_origin;
    result.type = e->ee_type;
    result.icmp_code = e->ee_code;
    result.info = e->ee_info;
    result.data = e->ee_data;
    const ancillary_piece rest{0, 0, piece->bytes.subspan(sizeof *e)};
    const auto family = rest.as<sa_family_t>();
    if (family == AF_INET) {
        if (const auto v4 = rest.as<sockaddr_in>())
            result.offender = ip_address(v4->sin_addr);
    } else if (family == AF_INET6) {
        if (const auto v6 = rest.as<sockaddr_in6>())
            result.offender = ip_address(v6->sin6_addr, v6->sin6_scope_id);
    }
    return result;
}

std::optional<zero_copy_range> ancillary::zero_copy_done() const {
    const auto e = queued_error();
    if (!e || e->origin != SO_EE_ORIGIN_ZEROCOPY)
        return std::nullopt;
    return zero_copy_range{e->info, e->data, (e->icmp_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0};
}

// ---- Writing ----------------------------------------------------------------------------------

void detail::write_piece(std::byte* place, int level, int type, const void* bytes,
                         std::size_t size) noexcept {
    cmsghdr h{};
    h.cmsg_len = cmsg_len(size);
    h.cmsg_level = level;
    h.cmsg_type = type;
    std::memcpy(place, &h, sizeof h);
    if (size > 0)
        std::memcpy(place + header_size, bytes, size);
}

void ancillary::append(int level, int type, const_buffer bytes) {
    const std::size_t at = detail::cmsg_align(size_);
    const std::size_t needed = cmsg_len(bytes.size()); // the padding of the last may be missing
    if (bytes.size() > capacity_ || at > capacity_ || needed > capacity_ - at)
        throw error(std::make_error_code(std::errc::no_buffer_space),
                    "append a piece of " + std::to_string(bytes.size()) +
                        " bytes, and its header, to ancillary data that hold " +
                        std::to_string(size_) + " of at most " + std::to_string(capacity_));
    const std::size_t end = std::min(at + cmsg_space(bytes.size()), capacity_);
    std::memset(memory_.get() + size_, 0, end - size_);
    detail::write_piece(memory_.get() + at, level, type, bytes.data(), bytes.size());
    size_ = end;
}

void ancillary::append_credentials(const ucred& of) {
    append(SOL_SOCKET, SCM_CREDENTIALS, const_buffer(&of, sizeof of));
}

void ancillary::append_packet_info(const gyre::packet_info& from) {
    const auto ip = from.local.ip_bytes();
    if (from.local.is_ipv4()) {
        in_pktinfo v4{};
        v4.ipi_ifindex = static_cast<int>(from.interface);
        std::memcpy(&v4.ipi_spec_dst, ip.data(), ip.size());
        append(IPPROTO_IP, IP_PKTINFO, const_buffer(&v4, sizeof v4));
    } else if (from.local.is_ipv6()) {
        in6_pktinfo v6{};
        v6.ipi6_ifindex = from.interface;
        std::memcpy(&v6.ipi6_addr, ip.data(), ip.size());
        append(IPPROTO_IPV6, IPV6_PKTINFO, const_buffer(&v6, sizeof v6));
    } else {
        refuse("append packet information from " + from.local.to_string() +
               " (expected an IP address)");
    }
}

void ancillary::append_hop_limit(int family, int hops) {
    const bool v6 = is_ipv6(family, "a hop limit of", hops, 1);
    append(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HOPLIMIT : IP_TTL,
           const_buffer(&hops, sizeof hops));
}

void ancillary::append_traffic_class(int family, int bits) {
    const bool v6 = is_ipv6(family, "a traffic class of", bits, 0);
    append(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS,
           const_buffer(&bits, sizeof bits));
}

void ancillary::append_segment_size(std::uint16_t bytes) {
    append(IPPROTO_UDP, UDP_SEGMENT, const_buffer(&bytes, sizeof bytes));
}

void ancillary::append_transmit_time(std::chrono::nanoseconds at) {
    const auto ns = static_cast<std::uint64_t>(at.count());
    append(SOL_SOCKET, SCM_TXTIME, const_buffer(&ns, sizeof ns));
}

void ancillary::append_alg_operation(std::uint32_t operation) {
    append(SOL_ALG, ALG_SET_OP, const_buffer(&operation, sizeof operation));
}

void ancillary::append_alg_iv(const_buffer iv) {
    std::vector<std::byte> bytes(sizeof(af_alg_iv) + iv.size());
    const auto size = static_cast<std::uint32_t>(iv.size());
    std::memcpy(bytes.data(), &size, sizeof size);
    std::copy_n(iv.data(), iv.size(), bytes.begin() + sizeof(af_alg_iv));
    append(SOL_ALG, ALG_SET_IV, bytes);
}

void ancillary::append_alg_associated(std::uint32_t bytes) {
    append(SOL_ALG, ALG_SET_AEAD_ASSOCLEN, const_buffer(&bytes, sizeof bytes));
}

} // namespace gyre
