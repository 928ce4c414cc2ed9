#pragma once

#include <gyre/io/socket.hpp>
#include <gyre/io/udp_segments.hpp>

#include <memory>
#include <vector>

namespace gyre {

/// Datagrams that are received or sent together: one system call for many. It owns their bytes and
/// addresses, all allocated when it is made, and serves any number of times.
///
///     gyre::datagram_batch batch(64, 1500);
///     while (std::size_t n = co_await udp.recv_many(batch))
///         for (std::size_t i = 0; i < n; ++i)
///             use(batch[i].bytes, batch[i].peer);
///
/// What was received can be sent back as it is, without what came beside it: co_await
/// udp.send_many(batch). recvmmsg(2).
class datagram_batch {
public:
    struct entry {
        std::span<std::byte> bytes;
        const address& peer; ///< the sender, or to whom it goes; empty: no name, or the connected
        int flags;           ///< MSG_TRUNC: it was longer; MSG_CTRUNC: so was what came beside it
        ancillary_pieces control; ///< what came, or goes, beside it

        /// With UDP_GRO, and room for control: the datagrams that it is made of.
        segment_range segments() const noexcept;
    };

    /// Up to `capacity` datagrams (at most 1024 go at once) of up to `bytes` each, with room for
    /// `control` bytes of ancillary data, headers included; throws std::errc::invalid_argument for
    /// a capacity or bytes of 0, and for more than can be counted.
    explicit datagram_batch(std::size_t capacity, std::size_t bytes = 2048,
                            std::size_t control = 0);
    datagram_batch(datagram_batch&& other) noexcept
        : bytes_each_(other.bytes_each_), control_each_(other.control_each_),
          size_(std::exchange(other.size_, 0)), received_(std::exchange(other.received_, 0)),
          headers_(std::move(other.headers_)), parts_(std::move(other.parts_)),
          peers_(std::move(other.peers_)), control_sizes_(std::move(other.control_sizes_)),
          memory_(std::move(other.memory_)), control_(std::move(other.control_)) {}
    datagram_batch& operator=(datagram_batch&&) = delete;
    ~datagram_batch() { clear(); }

    std::size_t capacity() const noexcept { return headers_.size(); }
    std::size_t max_bytes() const noexcept { return bytes_each_; }
    /// How many it holds: as many as were received last, or have been added since clear().
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    entry operator[](std::size_t index) noexcept;

    /// Forgets them. Descriptors that came along (UNIX sockets) are closed.
    void clear() noexcept;
    /// One more to send: a copy of `bytes`. Throws std::errc::no_buffer_space when it is full,
    /// message_size when it is too long; then nothing changes.
    void add(const_buffer bytes, const address& to = {});
    /// With a copy of `control` beside it; descriptors in it stay the sender's, and open until it
    /// has gone. Throws no_buffer_space, too, when that is more than there is room for.
    void add(const_buffer bytes, const address& to, const ancillary& control);

private:
    friend class recv_many_operation;
    friend class send_many_operation;

    void prepare_to_receive() noexcept;
    void prepare_to_send() noexcept;
    void received(std::size_t count) noexcept;
    std::byte* bytes_at(std::size_t i) noexcept { return memory_.get() + i * bytes_each_; }
    std::byte* control_at(std::size_t i) noexcept { return control_.get() + i * control_each_; }

    std::size_t bytes_each_;
    std::size_t control_each_;
    std::size_t size_ = 0;
    std::size_t received_ = 0; ///< so many have come: their descriptors are owned
    std::vector<mmsghdr> headers_;
    std::vector<iovec> parts_;
    std::vector<address> peers_;
    std::vector<std::size_t> control_sizes_;
    std::unique_ptr<std::byte[]> memory_;
    std::unique_ptr<std::byte[]> control_;
};

class [[nodiscard]] recv_many_operation final
    : public detail::socket_operation<recv_many_operation, std::size_t> {
public:
    recv_many_operation(detail::descriptor* d, datagram_batch& into, int flags) noexcept
        : socket_operation(detail::opcode::recv_many, d, into.headers_.data(),
                           into.headers_.size()),
          batch_(&into) {
        set_flags(flags);
    }
    recv_many_operation(recv_many_operation&&) = default;
    ~recv_many_operation() {
        if (state == phase::completed && result > 0 && !taken_) [[unlikely]]
            batch_->received(static_cast<std::size_t>(result)); // closes what came, in its time
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        batch_->prepare_to_receive();
        return operation::await_suspend(awaiting);
    }
    std::size_t value() noexcept {
        taken_ = true;
        batch_->received(static_cast<std::size_t>(result));
        return batch_->size();
    }

private:
    datagram_batch* batch_;
    bool taken_ = false;
};

class [[nodiscard]] send_many_operation final
    : public detail::socket_operation<send_many_operation, std::size_t, detail::bulk_operation> {
public:
    send_many_operation(detail::descriptor* d, datagram_batch& of, int flags) noexcept
        : socket_operation(detail::opcode::send_many, d, of.headers_.data(), of.size_),
          batch_(&of) {
        set_flags(flags);
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        batch_->prepare_to_send();
        return operation::await_suspend(awaiting);
    }
    std::size_t value() const noexcept { return transferred; }

private:
    datagram_batch* batch_;
};

inline recv_many_operation socket::recv_many(datagram_batch& into, int flags) {
    return {descriptor_, into, flags};
}
inline send_many_operation socket::send_many(datagram_batch& of, int flags) {
    return {descriptor_, of, flags};
}

} // namespace gyre
