#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <cstdint>

namespace gyre {

/// How many bytes went each way.
struct relayed {
    std::uint64_t from_first = 0;
    std::uint64_t from_second = 0;
};

/// `auto [up, down] = co_await gyre::relay(client, server);`
///
/// Copies what each of two connected streams sends to the other, until both have ended. The end of
/// one becomes shutdown(SHUT_WR) of the other, and the other direction goes on; the sockets stay
/// open, for the caller to close. Nothing else may be sent or received on them meanwhile, and they
/// must stay where they are.
///
/// Each wait has the timeout of its socket (settimeout): a receiver that is silent for that long,
/// or a sender that is not read, ends the whole. So do cancelling, closing a socket, and the first
/// error of either direction, whose gyre::error::transferred() tells how many bytes had gone in it;
/// the other direction is then cancelled. What had been received and not sent yet is lost.
/// std::errc::operation_not_supported where a socket is no stream.
///
/// The bytes go through a pipe for each direction that has begun, and not through the program's
/// memory (splice(2)). Where that cannot be, because no descriptors are left or the kernel does not
/// splice these sockets, they are received and sent.
[[nodiscard]] task<relayed> relay(socket& first, socket& second);

} // namespace gyre
