#pragma once

#include "sockets.hpp"

#include <memory>
#include <optional>
#include <string_view>

/// Every operation in a state in which it has to wait, to try on it every way to end.

namespace gyre_test {

/// How an operation is awaited.
struct manner {
    enum { plain, within, until, nonblocking, without_deadline } how = plain;
    std::chrono::nanoseconds limit{};
};

/// A socket on which one operation waits until go_on() is called.
class pending_operation {
public:
    virtual ~pending_operation() = default;

    /// Makes everything ready, outside of a loop or in it.
    static std::unique_ptr<pending_operation> make(std::string_view name);

    /// Awaits the operation: no error, or how it failed.
    virtual gyre::task<std::error_code> wait(manner m = {}) = 0;
    /// The same, but throws how it failed.
    gyre::task<> perform(manner m = {}) {
        if (const std::error_code code = co_await wait(m))
            throw gyre::error(code, "perform");
    }
    /// Lets it succeed, by plain system calls.
    virtual void go_on() = 0;
    /// Whether succeeding takes a second: the SYN is repeated only then.
    virtual bool slow() const { return false; }
    /// What should be so after it has succeeded: data right, connection there.
    virtual void check_success() {}

    gyre::socket subject;
};

struct pending_param {
    gyre::backend_kind backend;
    std::string_view name;
    friend void PrintTo(const pending_param& p, std::ostream* to) {
        *to << gyre::to_string(p.backend) << ' ' << p.name;
    }
};

class on_each_operation : public on_each_backend<pending_param> {
protected:
    void SetUp() override {
        on_each_backend::SetUp();
        if (!IsSkipped())
            op = pending_operation::make(GetParam().name);
    }
    void TearDown() override {
        op.reset();
        on_each_backend::TearDown();
    }
    std::unique_ptr<pending_operation> op;
};

} // namespace gyre_test

#define GYRE_WITH(operation, suite)                                                                \
    INSTANTIATE_TEST_SUITE_P(                                                                      \
        operation, suite,                                                                          \
        testing::Values(gyre_test::pending_param{gyre::backend_kind::epoll, #operation},           \
                        gyre_test::pending_param{gyre::backend_kind::io_uring, #operation}),       \
        gyre_test::name_of_backend<gyre_test::pending_param>)

#define GYRE_WITH_EACH_OPERATION(suite)                                                            \
    GYRE_WITH(accept_tcp, suite);                                                                  \
    GYRE_WITH(accept_tcp6, suite);                                                                 \
    GYRE_WITH(accept_unix, suite);                                                                 \
    GYRE_WITH(connect_tcp, suite);                                                                 \
    GYRE_WITH(connect_unix, suite);                                                                \
    GYRE_WITH(connect_ex_tcp, suite);                                                              \
    GYRE_WITH(connect_ex_unix, suite);                                                             \
    GYRE_WITH(recv_tcp, suite);                                                                    \
    GYRE_WITH(recv_unix, suite);                                                                   \
    GYRE_WITH(recv_udp, suite);                                                                    \
    GYRE_WITH(recv_datagram, suite);                                                               \
    GYRE_WITH(recv_seqpacket, suite);                                                              \
    GYRE_WITH(recv_peek_tcp, suite);                                                               \
    GYRE_WITH(lease_tcp, suite);                                                                   \
    GYRE_WITH(lease_unix, suite);                                                                  \
    GYRE_WITH(lease_udp, suite);                                                                   \
    GYRE_WITH(recvfrom_udp, suite);                                                                \
    GYRE_WITH(recvfrom_datagram, suite);                                                           \
    GYRE_WITH(recvfrom_tcp, suite);                                                                \
    GYRE_WITH(recv_exactly_tcp, suite);                                                            \
    GYRE_WITH(recv_parts_unix, suite);                                                             \
    GYRE_WITH(recv_waitall_tcp, suite);                                                            \
    GYRE_WITH(recvmsg_udp, suite);                                                                 \
    GYRE_WITH(recv_fds_unix, suite);                                                               \
    GYRE_WITH(recv_many_udp, suite);                                                               \
    GYRE_WITH(sendall_parts_tcp, suite);                                                           \
    GYRE_WITH(sendall_parts_seqpacket, suite);                                                     \
    GYRE_WITH(sendmsg_unix, suite);                                                                \
    GYRE_WITH(send_many_datagram, suite);                                                          \
    GYRE_WITH(send_tcp, suite);                                                                    \
    GYRE_WITH(send_unix, suite);                                                                   \
    GYRE_WITH(send_datagram, suite);                                                               \
    GYRE_WITH(send_seqpacket, suite);                                                              \
    GYRE_WITH(sendall_tcp, suite);                                                                 \
    GYRE_WITH(sendall_unix, suite);                                                                \
    GYRE_WITH(sendfile_tcp, suite);                                                                \
    GYRE_WITH(sendfile_unix, suite);                                                               \
    GYRE_WITH(sendfile_pipe, suite);                                                               \
    GYRE_WITH(sendto_datagram, suite)
