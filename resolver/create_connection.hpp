#pragma once

#include <gyre/core/clock.hpp>
#include <gyre/core/error.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace gyre {

class resolver; // resolver.hpp

struct connection_options {
    /// For all of it, the look-up of the name included. None: for ever.
    std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
    /// For each attempt. None: until the kernel gives up, which takes minutes.
    std::optional<std::chrono::nanoseconds> attempt_timeout = std::nullopt;
    int family = AF_UNSPEC; ///< AF_INET or AF_INET6: only addresses of this family
    /// Where from: bound before connecting, port 0: any. Addresses of another family are not tried
    /// (errc::no_source). Empty: as the kernel routes.
    address source = {};
    /// How long an attempt is alone before the next begins beside it; RFC 8305, section 5. With
    /// std::chrono::nanoseconds::max() they are made one after another.
    std::chrono::nanoseconds happy_eyeballs_delay = std::chrono::milliseconds(250);
    /// So many addresses of the family that the look-up put first are tried before one of the
    /// other; from then on they take turns. 0: the order of the look-up.
    unsigned interleave = 1;
    /// Called with each new socket before it is bound and connected: for options. A gyre::error it
    /// throws (an option that this family has not) is the reason why that attempt failed; any other
    /// exception ends them all.
    void (*prepare)(socket&) = nullptr;
    gyre::resolver* resolver = nullptr; ///< who looks up the name; nullptr: default_resolver()
};
static_assert(std::is_trivially_destructible_v<connection_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

struct connection_attempt {
    gyre::address address;
    std::error_code code; ///< why it failed
};

/// No attempt was successful. what() lists them all:
///
///     connect to 127.0.0.1:7: Connection refused
///     connect to example.org:443: Connection refused ([2001:db8::1]:443: Network is unreachable;
///     192.0.2.1:443: Connection refused)                                          (in one line)
///
/// Where the reasons differ, code() is that of the last in the order of attempts, and that of one
/// that never left this host (no route, no source address, no such family) only when none did.
class connection_error : public error {
public:
    /// `to` is what was asked for, "example.org:443". There is at least one attempt.
    connection_error(const std::string& to, std::vector<connection_attempt> attempts);

    /// In the order in which they began.
    std::span<const connection_attempt> attempts() const noexcept { return told_->attempts; }
    const char* what() const noexcept override { return told_->text.c_str(); }

private:
    struct told {
        std::vector<connection_attempt> attempts;
        std::string text;
    };
    std::shared_ptr<const told> told_; // copying an exception must not throw
};

/// Connects a TCP socket to a host, which is a name or a numeric address ("127.0.0.1", "::1",
/// "fe80::1%eth0").
///
/// The addresses of a name are tried as RFC 8305 (Happy Eyeballs) says: in the order of the look-up
/// (RFC 6724), but with the families taking turns; the next attempt begins when the last has
/// failed, or when it has taken `happy_eyeballs_delay`. The first to be connected wins, and the
/// others are cancelled and closed before this returns.
///
/// A socket that came to be connected to itself, as TCP lets happen on ports of this host that the
/// kernel chooses from, counts as refused.
///
/// Throws address_info_error for an unknown name, connection_error when every attempt failed, and
/// timeout_error ("connect to example.org:443: Deadline exceeded", and what was tried so far) when
/// `timeout` has passed. That `attempt_timeout` has passed is the reason of an attempt, as others
/// are.
task<socket> create_connection(std::string_view host, std::uint16_t port,
                               connection_options options = {});

/// Connects a stream socket to an address of any family.
task<socket> create_connection(address to, connection_options options = {});

} // namespace gyre
