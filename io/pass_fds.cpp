#include <gyre/core/backend.hpp>
#include <gyre/core/error.hpp>
#include <gyre/io/pass_fds.hpp>
#include <gyre/io/socket_names.hpp>

#include <algorithm>
#include <cerrno>

namespace gyre {

send_fds_operation::send_fds_operation(detail::descriptor* d, const_buffer b,
                                       std::span<const int> fds, int flags, const address& to)
    : socket_operation(detail::opcode::send_msg, d, const_cast<std::byte*>(b.data()), b.size()),
      to_(to), fds_(fds.size()) {
    const auto refuse = [](const std::string& why) {
        throw error(std::make_error_code(std::errc::invalid_argument), "send_fds: " + why);
    };
    if (fds.size() > max_passed_fds)
        refuse(std::to_string(fds.size()) + " descriptors, of at most 253");
    if (!fds.empty() && d != nullptr && d->family != AF_UNIX)
        refuse("over " + detail::family_name(d->family) +
               ", which carries no descriptors (expected AF_UNIX): the kernel would lose them");
    if (!fds.empty() && b.size() == 0 && d != nullptr && d->type == SOCK_STREAM)
        refuse("no data to carry the descriptors: the kernel would lose them");
    set_flags(flags);
    std::fill_n(control_.data(), cmsg_space(fds.size_bytes()), std::byte{});
    detail::write_piece(control_.data(), SOL_SOCKET, SCM_RIGHTS, fds.data(), fds.size_bytes());
}

std::size_t send_fds_operation::await_resume() {
    if (result == -EBADF)
        detail::throw_error(result, "send_fds: one of the " + std::to_string(fds_) +
                                        " descriptors is not open");
    return socket_operation::await_resume();
}

received_fds recv_fds_operation::value() {
    received_fds r;
    try {
        r.fds.resize(std::min(count_fds(), max_fds_));
    } catch (...) {
        drop_fds();
        throw;
    }
    take_fds(r.fds);
    r.count = static_cast<std::size_t>(result);
    r.flags = msg_flags;
    r.from = from_;
    return r;
}

} // namespace gyre
