#include <gyre/core/lease_pool.hpp>
#include <gyre/io/kernel.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/socket_names.hpp>

#include <limits>

namespace gyre {

using detail::kernel;

namespace {

std::string name_of(const detail::named_operation& op) {
    return address(op.name, op.name_size).to_string();
}

} // namespace

std::string detail::describe(const operation& op) {
    const descriptor* const d = op.target; // nullptr: the socket was closed before
    switch (op.code) {
    case opcode::sleep: return "sleep";
    case opcode::poll_read: return "wait until readable";
    case opcode::poll_write: return "wait until writable";
    case opcode::accept: {
        address name;
        if (d == nullptr || get_name(&system_calls::local_name, d->fd, name) != 0)
            return "accept";
        return "accept on " + name.to_string();
    }
    case opcode::connect: return "connect to " + name_of(static_cast<const named_operation&>(op));
    case opcode::recv:
    case opcode::recv_all:
    case opcode::recv_lease: return "recv from " + name_of_connection(d);
    case opcode::recv_msg: return "recvmsg on " + name_of_connection(d);
    case opcode::recv_many: return "receive datagrams on " + name_of_connection(d);
    case opcode::send: return "send to " + name_of_connection(d);
    case opcode::send_all:
    case opcode::send_parts: return "sendall to " + name_of_connection(d);
    case opcode::send_msg: {
        const auto& message = static_cast<const named_operation&>(op);
        return "sendto " + (message.name != nullptr ? name_of(message) : name_of_connection(d));
    }
    case opcode::send_many: return "send datagrams on " + name_of_connection(d);
    case opcode::send_file: {
        const auto& from = static_cast<const file_operation&>(op);
        return "sendfile of descriptor " + std::to_string(from.file) + " to " +
               name_of_connection(d) +
               (from.complaint != nullptr ? std::string(", ") + from.complaint : "");
    }
    }
    return "operation";
}

sendfile_operation::sendfile_operation(detail::descriptor* d, int from, std::int64_t at,
                                       std::optional<std::int64_t> count) noexcept
    : socket_operation(
          detail::opcode::send_file, d, nullptr,
          static_cast<std::size_t>(count.value_or(std::numeric_limits<std::int64_t>::max()))) {
    file = from;
    offset = at;
    if (at < 0)
        complaint = "from a negative offset";
    else if (count && *count < 0)
        complaint = "of a negative count";
}

// A buffer that was filled for a waiter that is gone goes back.
recv_lease_operation::~recv_lease_operation() {
    if (state == phase::completed && result > 0)
        loop::current()->kernel().leases().take_back(static_cast<std::uint16_t>(extra));
}

lease recv_lease_operation::value() noexcept {
    if (result == 0)
        return {};
    return {loop::current()->kernel().leases(), static_cast<std::byte*>(data),
            static_cast<std::uint32_t>(result), static_cast<std::uint16_t>(extra)};
}

std::pair<socket, address> accept_operation::value() {
    from_.resize(name_size);
    socket s = socket::own(result, target->family, target->type, target->protocol);
    s.descriptor_->lingers = target->lingers; // as the kernel hands the option on
    return {std::move(s), from_};
}

// A connection that was accepted for a waiter that is gone is closed, not leaked.
accept_operation::~accept_operation() {
    if (state == phase::completed && result >= 0)
        kernel().close_at_once(result, target->lingers);
}

} // namespace gyre
