#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace gyre {

namespace detail {
class server;
class socket_file;
} // namespace detail

/// The listening sockets of one server: one for each address that its name has, all with the same
/// port. What create_server gives, and what serve takes.
///
/// Where there is one socket, it may be had by itself: `gyre::socket s = co_await
/// create_server(...)`.
class listener {
public:
    /// Closed.
    listener() noexcept;
    /// Sockets that listen already; see also inherited_sockets().
    explicit listener(std::vector<socket> sockets) noexcept;
    listener(listener&& other) noexcept;
    listener& operator=(listener&& other) noexcept;
    /// As close().
    ~listener();

    /// The next connection of any of the sockets, in turn, and its peer's address: as
    /// socket::accept, of which everything holds. Cancelling it loses no connection: what another
    /// socket had accepted at the same time is given by the next call. One call at a time; the
    /// listener stays where it is until it has ended.
    task<std::pair<socket, address>> accept();

    /// To look at, and to set options that accepted connections inherit (no_delay and its kin).
    std::span<socket> sockets() noexcept { return sockets_; }
    /// Of the first socket. Throws errc::closed where there is none.
    address getsockname() const;

    /// Closes them all: what is pending ends with errc::closed, and connections that nobody has
    /// accepted are reset. The file of a UNIX path that create_server made is removed, if it is
    /// still the same file.
    void close() noexcept;

    /// The only socket of this, which is empty afterwards. Throws std::errc::invalid_argument where
    /// there is not just one, and names them. A UNIX path then stays when the socket is closed.
    operator socket() &&;

    // For create_server.
    listener(socket s, std::unique_ptr<detail::socket_file> file) noexcept;

private:
    friend class detail::server;

    std::vector<socket> sockets_;
    std::unique_ptr<detail::socket_file> file_;
    std::deque<std::pair<socket, address>> accepted_; // and not yet given
    std::size_t turn_ = 0;                            // which socket is asked first
    detail::work* served_by_ = nullptr;               // is told of close()
};

} // namespace gyre
