#pragma once

#include <gyre/io/socket.hpp>

#include <string>
#include <vector>

namespace gyre {

struct inherited_socket {
    std::string name; ///< FileDescriptorName= of its unit; "unknown" where no names came along
    gyre::socket socket;
};

/// The sockets that whoever started this process opened for it, as systemd.socket(5) does: a
/// listener, a bound datagram socket, or with Accept=yes a connection.
///
///     for (auto& [name, s] : gyre::inherited_sockets()) ...
///
/// They are the descriptors from 3 on; LISTEN_FDS says how many, LISTEN_FDNAMES how they are
/// called, separated by colons, and LISTEN_PID which process is meant: for another, and without
/// these variables, there are none. Reads the variables once, for they are removed from the
/// environment (which is why it is called before there are other threads). Throws
/// std::errc::invalid_argument, which names the variable, and std::errc::not_a_socket, which names
/// the descriptor. sd_listen_fds(3).
std::vector<inherited_socket> inherited_sockets();

} // namespace gyre
