#include <gyre/io/udp_segments.hpp>

#include <netinet/in.h>
#include <netinet/udp.h>

namespace gyre {

send_segments_operation::send_segments_operation(detail::descriptor* d, const_buffer b,
                                                 std::uint16_t each, const address& to,
                                                 int flags) noexcept
    : socket_operation(detail::opcode::send_msg, d, const_cast<std::byte*>(b.data()), b.size()),
      to_(to) {
    detail::write_piece(control_.data(), IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each);
    set_flags(flags);
}

send_segments_operation socket::send_segments(const_buffer b, std::size_t size, const address& to,
                                              int flags) {
    if (size == 0 || size > 65'535)
        throw error(std::make_error_code(std::errc::invalid_argument),
                    "send segments of " + std::to_string(size) + " bytes (expected 1 to 65535)");
    return {descriptor_, b, static_cast<std::uint16_t>(size), to, flags};
}

} // namespace gyre
