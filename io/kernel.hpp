#pragma once

#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/io/address.hpp>

#include <string>

namespace gyre::detail {

/// The kernel of this thread's loop, or where there is none the real one.
inline system_calls& kernel() noexcept {
    loop* here = loop::current();
    return here != nullptr ? here->kernel() : system_calls::real();
}

inline int check(int result, const std::string& doing) {
    if (result < 0)
        throw_error(result, doing);
    return result;
}

/// The name of this end or of the peer: `call` is system_calls::local_name or peer_name. What that
/// returned; the name stays empty when it failed.
inline int get_name(int (system_calls::*call)(int, sockaddr*, socklen_t&) noexcept, int fd,
                    address& name) noexcept {
    socklen_t size = address::capacity();
    const int r = (kernel().*call)(fd, name.data(), size);
    name.resize(r == 0 ? size : 0);
    return r;
}

} // namespace gyre::detail
