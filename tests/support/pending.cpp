#include "pending.hpp"

#include <gyre/io/datagram_batch.hpp>
#include <gyre/io/pass_fds.hpp>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

namespace gyre_test {
namespace {

template <class Make>
gyre::task<std::error_code> await_in(manner m, Make make) {
    switch (m.how) {
    case manner::plain: break;
    case manner::within: co_return code_of(co_await gyre::as_result(make().within(m.limit)));
    case manner::until:
        co_return code_of(co_await gyre::as_result(make().until(gyre::clock::now() + m.limit)));
    case manner::nonblocking: co_return code_of(co_await gyre::as_result(make().nonblocking()));
    case manner::without_deadline:
        co_return code_of(co_await gyre::as_result(make().without_deadline()));
    }
    co_return code_of(co_await gyre::as_result(make()));
}

class pending_accept final : public pending_operation {
public:
    explicit pending_accept(stream_kind kind) : kind_(kind) { subject = make_listener(kind); }

    gyre::task<std::error_code> wait(manner m) override {
        co_return co_await await_in(m, [this] { return subject.accept(); });
    }
    void go_on() override {
        client_ = make_client(kind_);
        const gyre::address to = subject.getsockname();
        ::connect(client_.fileno(), to.data(), to.size());
    }

private:
    stream_kind kind_;
    gyre::socket client_;
};

/// To a listener whose backlog is full.
class pending_connect final : public pending_operation {
public:
    pending_connect(stream_kind kind, bool ex) : kind_(kind), ex_(ex) {
        listener_ = make_listener(kind, 0);
        to_ = listener_.getsockname();
        filler_ = fill_backlog(listener_, kind);
        subject = make_client(kind);
    }

    gyre::task<std::error_code> wait(manner m) override {
        if (!ex_)
            co_return co_await await_in(m, [this] { return subject.connect(to_); });
        switch (m.how) {
        case manner::within: co_return co_await subject.connect_ex(to_).within(m.limit);
        case manner::until:
            co_return co_await subject.connect_ex(to_).until(gyre::clock::now() + m.limit);
        case manner::nonblocking: co_return co_await subject.connect_ex(to_).nonblocking();
        case manner::without_deadline:
            co_return co_await subject.connect_ex(to_).without_deadline();
        case manner::plain: break;
        }
        co_return co_await subject.connect_ex(to_);
    }
    void go_on() override {
        accepted_ = gyre::socket::adopt(::accept(listener_.fileno(), nullptr, nullptr));
    }
    bool slow() const override { return kind_ != stream_kind::unix_stream; }
    void check_success() override { EXPECT_EQ(subject.getpeername(), to_); }

private:
    stream_kind kind_;
    bool ex_;
    gyre::socket listener_;
    gyre::address to_;
    gyre::socket filler_;
    gyre::socket accepted_;
};

enum class receiving { recv, peek, lease, recvfrom, exactly, parts, waitall, recvmsg, fds, many };

class pending_receive final : public pending_operation {
public:
    pending_receive(pair_of_sockets pair, receiving how) : how_(how), peer_(std::move(pair.b)) {
        subject = std::move(pair.a);
        to_ = subject.getsockname();
    }

    gyre::task<std::error_code> wait(manner m) override {
        switch (how_) {
        case receiving::recv:
            co_return co_await await_in(m, [this] { return subject.recv(memory_); });
        case receiving::peek:
            co_return co_await await_in(m, [this] { return subject.recv(memory_, MSG_PEEK); });
        case receiving::lease: co_return co_await await_in(m, [this] { return subject.recv(); });
        case receiving::recvfrom:
            co_return co_await await_in(m, [this] { return subject.recvfrom(memory_); });
        case receiving::exactly:
            co_return co_await await_in(
                m, [this] { return subject.recv_exactly(std::span(memory_).first(5)); });
        case receiving::parts:
            co_return co_await await_in(m, [this] { return subject.recv(parts_); });
        case receiving::waitall:
            co_return co_await await_in(m, [this] { return subject.recv(parts_, MSG_WAITALL); });
        case receiving::recvmsg:
            co_return co_await await_in(m, [this] { return subject.recvmsg(parts_, control_); });
        case receiving::fds:
            co_return co_await await_in(m, [this] { return gyre::recv_fds(subject, memory_); });
        case receiving::many:
            co_return co_await await_in(m, [this] { return subject.recv_many(batch_); });
        }
        throw std::logic_error("receiving");
    }
    void go_on() override {
        const bool unconnected = peer_.family() == AF_INET && peer_.type() == SOCK_DGRAM;
        const ssize_t n = ::sendto(peer_.fileno(), "hello", 5, MSG_NOSIGNAL,
                                   unconnected ? std::as_const(to_).data() : nullptr,
                                   unconnected ? to_.size() : 0);
        EXPECT_EQ(n, 5);
    }
    void check_success() override {
        if (how_ == receiving::lease)
            return; // that one is gone
        if (how_ == receiving::many)
            EXPECT_EQ(text_of(batch_[0].bytes), "hello");
        else
            EXPECT_EQ(text_of(std::span(memory_).first(5)), "hello");
    }

private:
    receiving how_;
    gyre::socket peer_;
    gyre::address to_;
    std::array<std::byte, 64> memory_{};
    std::array<gyre::buffer, 2> parts_{std::span(memory_).first(2),
                                       std::span(memory_).subspan(2, 3)};
    gyre::ancillary control_;
    gyre::datagram_batch batch_{2, 64};
};

enum class sending { send, sendall, sendto, parts, sendmsg, many };

/// Into buffers that are full.
class pending_send final : public pending_operation {
public:
    pending_send(pair_of_sockets pair, sending how) : how_(how), peer_(std::move(pair.b)) {
        subject = std::move(pair.a);
        to_ = peer_.getsockname();
        if (how == sending::many)
            batch_.add("hello", to_);
        if (how == sending::sendto || how == sending::many)
            while (::sendto(subject.fileno(), "filler", 6, MSG_DONTWAIT, std::as_const(to_).data(),
                            to_.size()) == 6) {
            }
        else
            fill(subject);
    }

    gyre::task<std::error_code> wait(manner m) override {
        switch (how_) {
        case sending::send:
            co_return co_await await_in(m, [this] { return subject.send("hello"); });
        case sending::sendall:
            co_return co_await await_in(m, [this] { return subject.sendall("hello"); });
        case sending::sendto:
            co_return co_await await_in(m, [this] { return subject.sendto("hello", to_); });
        case sending::parts:
            co_return co_await await_in(m, [this] { return subject.sendall(parts_); });
        case sending::sendmsg:
            co_return co_await await_in(m, [this] { return subject.sendmsg(parts_, control_); });
        case sending::many:
            co_return co_await await_in(m, [this] { return subject.send_many(batch_); });
        }
        throw std::logic_error("sending");
    }
    void go_on() override { drain(peer_); }

private:
    sending how_;
    gyre::socket peer_;
    gyre::address to_;
    std::array<gyre::const_buffer, 2> parts_{"he", "llo"};
    gyre::ancillary control_;
    gyre::datagram_batch batch_{1, 64};
};

/// A file into buffers that are full, or, with `dry`, a pipe with nothing in it into empty ones.
class pending_sendfile final : public pending_operation {
public:
    pending_sendfile(pair_of_sockets pair, bool dry) : dry_(dry), peer_(std::move(pair.b)) {
        subject = std::move(pair.a);
        if (pipe2(pipe_.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("pipe2");
        file_ = memfd_create("pending", MFD_CLOEXEC);
        if (::write(file_, "hello", 5) != 5)
            throw std::runtime_error("write");
        if (!dry)
            fill(subject);
    }
    ~pending_sendfile() override {
        // A thread may still wait for the pipe, with a duplicate: lets it go on, and waits until
        // nobody reads it.
        [[maybe_unused]] const ssize_t n = ::write(pipe_[1], "x", 1);
        ::close(pipe_[0]);
        pollfd p{pipe_[1], 0, 0};
        ::poll(&p, 1, 5000);
        ::close(pipe_[1]);
        ::close(file_);
    }

    gyre::task<std::error_code> wait(manner m) override {
        co_return co_await await_in(
            m, [this] { return subject.sendfile(dry_ ? pipe_[0] : file_, 0, 5); });
    }
    void go_on() override {
        if (!dry_)
            drain(peer_);
        else
            EXPECT_EQ(::write(pipe_[1], "hello", 5), 5);
    }

private:
    bool dry_;
    gyre::socket peer_;
    std::array<int, 2> pipe_{-1, -1};
    int file_ = -1;
};

pair_of_sockets unconnected_datagram_pair() {
    return {gyre::socket::open(AF_UNIX, SOCK_DGRAM), make_unix_datagram()};
}

} // namespace

std::unique_ptr<pending_operation> pending_operation::make(std::string_view name) {
    const auto accept = [](stream_kind k) { return std::make_unique<pending_accept>(k); };
    const auto connect = [](stream_kind k, bool ex) {
        return std::make_unique<pending_connect>(k, ex);
    };
    const auto receive = [](pair_of_sockets p, receiving r) {
        return std::make_unique<pending_receive>(std::move(p), r);
    };
    const auto send = [](pair_of_sockets p, sending s) {
        return std::make_unique<pending_send>(std::move(p), s);
    };
    using enum stream_kind;
    if (name == "accept_tcp")
        return accept(tcp);
    if (name == "accept_tcp6")
        return accept(tcp6);
    if (name == "accept_unix")
        return accept(unix_stream);
    if (name == "connect_tcp")
        return connect(tcp, false);
    if (name == "connect_unix")
        return connect(unix_stream, false);
    if (name == "connect_ex_tcp")
        return connect(tcp, true);
    if (name == "connect_ex_unix")
        return connect(unix_stream, true);
    if (name == "recv_tcp")
        return receive(make_pair(tcp), receiving::recv);
    if (name == "recv_unix")
        return receive(make_pair(unix_stream), receiving::recv);
    if (name == "recv_udp")
        return receive(make_udp_pair(), receiving::recv);
    if (name == "recv_datagram")
        return receive(make_unix_pair(SOCK_DGRAM), receiving::recv);
    if (name == "recv_seqpacket")
        return receive(make_unix_pair(SOCK_SEQPACKET), receiving::recv);
    if (name == "recv_peek_tcp")
        return receive(make_pair(tcp), receiving::peek);
    if (name == "lease_tcp")
        return receive(make_pair(tcp), receiving::lease);
    if (name == "lease_unix")
        return receive(make_pair(unix_stream), receiving::lease);
    if (name == "lease_udp")
        return receive(make_udp_pair(), receiving::lease);
    if (name == "recvfrom_udp")
        return receive(make_udp_pair(), receiving::recvfrom);
    if (name == "recvfrom_datagram")
        return receive(make_unix_pair(SOCK_DGRAM), receiving::recvfrom);
    if (name == "recvfrom_tcp")
        return receive(make_pair(tcp), receiving::recvfrom);
    if (name == "recv_exactly_tcp")
        return receive(make_pair(tcp), receiving::exactly);
    if (name == "recv_parts_unix")
        return receive(make_pair(unix_stream), receiving::parts);
    if (name == "recv_waitall_tcp")
        return receive(make_pair(tcp), receiving::waitall);
    if (name == "recvmsg_udp")
        return receive(make_udp_pair(), receiving::recvmsg);
    if (name == "recv_fds_unix")
        return receive(make_pair(unix_stream), receiving::fds);
    if (name == "recv_many_udp")
        return receive(make_udp_pair(), receiving::many);
    if (name == "sendall_parts_tcp")
        return send(make_narrow_pair(tcp), sending::parts);
    if (name == "sendall_parts_seqpacket")
        return send(make_unix_pair(SOCK_SEQPACKET), sending::parts);
    if (name == "sendmsg_unix")
        return send(make_narrow_pair(unix_stream), sending::sendmsg);
    if (name == "send_many_datagram")
        return send(unconnected_datagram_pair(), sending::many);
    if (name == "send_tcp")
        return send(make_narrow_pair(tcp), sending::send);
    if (name == "send_unix")
        return send(make_narrow_pair(unix_stream), sending::send);
    if (name == "send_datagram")
        return send(make_unix_pair(SOCK_DGRAM), sending::send);
    if (name == "send_seqpacket")
        return send(make_unix_pair(SOCK_SEQPACKET), sending::send);
    if (name == "sendall_tcp")
        return send(make_narrow_pair(tcp), sending::sendall);
    if (name == "sendall_unix")
        return send(make_narrow_pair(unix_stream), sending::sendall);
    if (name == "sendfile_tcp" || name == "sendfile_unix")
        return std::make_unique<pending_sendfile>(
            make_narrow_pair(name == "sendfile_tcp" ? tcp : unix_stream), false);
    if (name == "sendfile_pipe")
        return std::make_unique<pending_sendfile>(make_pair(tcp), true);
    if (name == "sendto_datagram")
        return send(unconnected_datagram_pair(), sending::sendto);
    throw std::logic_error("no such operation: " + std::string(name));
}

} // namespace gyre_test
