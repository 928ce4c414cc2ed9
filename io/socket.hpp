#pragma once

#include <gyre/core/clock.hpp>
#include <gyre/io/option.hpp>
#include <gyre/io/socket_operations.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace gyre {

class stream;
class wait_operation; // wait.hpp
class datagram_batch;
class recv_many_operation;
class send_many_operation;
class send_segments_operation;

namespace detail {
struct stream_state;
struct socket_access;
} // namespace detail

/// A socket, whose every operation that can wait is awaited: `co_await s.recv(buffer)`.
///
/// Owns its descriptor, which is non-blocking and closed on exec; moving it is cheap, also while an
/// operation is pending. It belongs to the loop of its first awaited operation, and from then on
/// may be used on that loop's thread only (destroying it elsewhere is fine). One receiving and one
/// sending operation may be pending at a time; a second of either ends with errc::busy. Buffers
/// must stay until the operation has ended.
///
/// How long an operation waits: its own within(), until(), nonblocking() or without_deadline(),
/// else the default of the socket (settimeout), else for ever. What ends it: success; its deadline
/// (timeout_error); cancellation of the awaiting task (errc::cancelled); close() (errc::closed);
/// the peer or the network (std::errc). Errors are thrown as gyre::error, or returned by as_result.
///
/// Calls that do not wait throw gyre::error at once, errc::closed on a closed or moved-from socket.
/// No call raises SIGPIPE.
class socket {
public:
    /// Closed: every operation ends with errc::closed.
    socket() noexcept = default;
    socket(socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
    socket& operator=(socket&& other) noexcept {
        socket old(std::exchange(descriptor_, std::exchange(other.descriptor_, nullptr)));
        return *this;
    }
    /// As close().
    ~socket() {
        if (descriptor_ != nullptr)
            drop();
    }

    /// socket(2), of any family, type and protocol that the kernel has. SOCK_NONBLOCK in `type`
    /// means settimeout(0). The default timeout is getdefaulttimeout().
    static socket open(int family = AF_INET, int type = SOCK_STREAM, int protocol = 0);

    /// Takes over a socket that came from elsewhere: what it is, is asked of the kernel
    /// (SO_DOMAIN, SO_TYPE, SO_PROTOCOL). Makes it non-blocking, also for others that share it.
    /// Throws when `fd` is no socket, and then leaves it alone.
    static socket adopt(int fd);

    /// Another socket on the same open file: each is closed by itself, and the connection ends with
    /// the last of them; shutdown, options and the place in the stream are common to both. It gets
    /// this one's timeout, and may belong to another loop. dup(2), closed on exec.
    socket dup() const;

    // ---- What can wait ------------------------------------------------------------------------

    /// The next connection of a listening socket and its peer's address. It gets the process's
    /// default timeout, not the listener's. Errors of the connection itself are skipped; with no
    /// descriptors left it waits, looking again every few ms. Cancelling it loses no connection.
    /// accept(2).
    accept_operation accept() { return accept_operation(descriptor_); }

    /// After a failure or a deadline the socket is of no further use. connect(2). A UNIX listener
    /// with a full backlog is waited for.
    connect_operation connect(const address& to) { return connect_operation(descriptor_, to); }
    /// Returns the error code instead of throwing it; empty on success.
    connect_ex_operation connect_ex(const address& to) {
        return connect_ex_operation(descriptor_, to);
    }

    /// What is there, up to the size of `b`; 0 at the end of the stream, or for an empty datagram.
    /// The rest of a datagram longer than `b` is lost; recvfrom tells. An empty `b` gives 0 at once
    /// on a stream. recv(2).
    recv_operation recv(buffer b, int flags = 0) { return {descriptor_, b, flags}; }
    /// The same in memory that the loop lends: an idle connection then needs no buffer. Empty at
    /// the end of the stream. loop_options::lease_size bytes at most.
    recv_lease_operation recv() { return recv_lease_operation(descriptor_); }
    /// The same into memory in several places.
    recv_parts_operation recv(buffers b, int flags = 0) { return {descriptor_, b, flags}; }
    /// All of `b`, under one deadline. When it ends early, gyre::error::transferred() tells how
    /// many bytes of `b` were filled; at the end of the stream that is errc::incomplete.
    /// MSG_WAITALL with the others does the same, but at the end of the stream gives what there
    /// was (and recvmsg so when ancillary data came); it has no effect with MSG_PEEK, and on
    /// datagrams.
    recv_exactly_operation recv_exactly(buffer b) { return {descriptor_, b}; }
    /// A datagram and its sender. With MSG_TRUNC among the flags its whole length is told, though
    /// it be longer than `b`. MSG_ERRQUEUE is waited for, too, and needs recvmsg to be of use.
    /// recvfrom(2).
    recvfrom_operation recvfrom(buffer b, int flags = 0) {
        return {descriptor_, b, nullptr, flags};
    }
    recvfrom_operation recvfrom(buffers b, int flags = 0) {
        return {descriptor_, b, nullptr, flags};
    }
    /// With the ancillary data that came along, which replaces what `c` holds: see ancillary.hpp.
    /// MSG_CTRUNC in the flags of the result: `c` was too small for it. recvmsg(2).
    recvfrom_operation recvmsg(buffer b, ancillary& c, int flags = 0) {
        return {descriptor_, b, &c, flags};
    }
    recvfrom_operation recvmsg(buffers b, ancillary& c, int flags = 0) {
        return {descriptor_, b, &c, flags};
    }

    /// As much as fits into the socket's buffer, at least one byte; how many it was. send(2).
    send_operation send(const_buffer b, int flags = 0) { return {descriptor_, b, flags}; }
    sendto_operation send(const_buffers b, int flags = 0) {
        return {descriptor_, b, nullptr, address(), flags};
    }
    /// All of it, under one deadline. When it ends early, gyre::error::transferred() tells how
    /// many bytes had gone.
    sendall_operation sendall(const_buffer b, int flags = 0) { return {descriptor_, b, flags}; }
    sendall_parts_operation sendall(const_buffers b, int flags = 0) {
        return {descriptor_, b, flags};
    }
    /// `count` bytes of an open file from `offset` on, else all up to its end, under one deadline;
    /// gives how many went: fewer than `count` where the file ends before. They do not pass through
    /// the program's memory, and the loop does not wait for the disk: what is not in the page cache
    /// is read there by another thread first. When it ends early, gyre::error::transferred() tells
    /// how many bytes had gone.
    ///
    /// `file` stays open, by the caller, until the end; its position neither counts nor changes.
    /// A pipe is sent to its end, too, but has no offset. What else sendfile(2) cannot take (some
    /// files of /proc, a terminal) is read by another thread and sent from memory; what was read of
    /// a terminal and then not sent is lost. Throws std::errc::invalid_argument for a negative
    /// number and for an `offset` beyond the end of a regular file, is_a_directory, invalid_seek
    /// for an `offset` in a pipe, operation_not_supported where this is no stream socket.
    sendfile_operation sendfile(int file, std::int64_t offset = 0,
                                std::optional<std::int64_t> count = std::nullopt) {
        return {descriptor_, file, offset, count};
    }
    /// One datagram, whole. sendto(2).
    sendto_operation sendto(const_buffer b, const address& to, int flags = 0) {
        return {descriptor_, b, nullptr, to, flags};
    }
    sendto_operation sendto(const_buffers b, const address& to, int flags = 0) {
        return {descriptor_, b, nullptr, to, flags};
    }
    /// With ancillary data; without an address, to whom the socket is connected. sendmsg(2).
    sendto_operation sendmsg(const_buffer b, const ancillary& c, int flags = 0,
                             const address& to = {}) {
        return {descriptor_, b, &c, to, flags};
    }
    sendto_operation sendmsg(const_buffers b, const ancillary& c, int flags = 0,
                             const address& to = {}) {
        return {descriptor_, b, &c, to, flags};
    }

    /// Until there is something to read, or the end or an error to tell: at once when there is. The
    /// same for writing. They take their direction of the socket as recv and send do. Include
    /// wait.hpp, which has them for other descriptors, too.
    wait_operation wait_readable();
    wait_operation wait_writable();
    /// Many datagrams at once: see datagram_batch.hpp. Waits for one, and takes what there is;
    /// gives how many that were. recvmmsg(2).
    recv_many_operation recv_many(datagram_batch& into, int flags = 0);
    /// All of them, under one deadline; gives how many that were. When it ends early,
    /// gyre::error::transferred() tells how many had gone. sendmmsg(2).
    send_many_operation send_many(datagram_batch& of, int flags = 0);
    /// `b` as UDP datagrams of `size` bytes, cut by the kernel: see udp_segments.hpp.
    send_segments_operation send_segments(const_buffer b, std::size_t size, const address& to = {},
                                          int flags = 0);

    // ---- What cannot --------------------------------------------------------------------------

    /// bind(2). A UNIX path must not exist yet.
    void bind(const address& to);
    /// listen(2); the kernel clamps the backlog to net.core.somaxconn.
    void listen(int backlog = SOMAXCONN);
    /// SHUT_RD, SHUT_WR or SHUT_RDWR: shutdown(2). After SHUT_WR the peer reads the end.
    void shutdown(int how);
    /// What is pending ends with errc::closed, then the descriptor is closed and the peer sees the
    /// end. While a stream made by makefile() shares the descriptor, all this comes when the last
    /// of them is closed. Closing twice is fine.
    void close() noexcept;
    /// Gives the descriptor away, open and non-blocking, and leaves this closed; -1 when it was.
    /// Throws errc::busy while an operation is pending. Streams of it end with errc::closed.
    int detach();
    /// A buffered stream of this connection: "r" to read from it, "w" to write to it, or "rw". Both
    /// share the descriptor, which is closed when the last of them is; at most 254 streams do.
    /// Include io/stream.hpp.
    stream makefile(std::string_view mode = "r") const;
    /// -1 when closed.
    int fileno() const noexcept;
    explicit operator bool() const noexcept { return fileno() >= 0; }

    address getsockname() const;
    address getpeername() const;

    /// Each later operation gets this long. Zero: it does not wait (would_block). nullopt: for
    /// ever. Throws std::errc::invalid_argument for a negative time or NaN, and changes nothing.
    template <class Rep, class Period>
    void settimeout(std::chrono::duration<Rep, Period> d) {
        set_timeout(detail::ceil_nanoseconds(d));
    }
    void settimeout(std::nullopt_t);
    std::optional<std::chrono::nanoseconds> gettimeout() const;
    /// true: settimeout(nullopt); false: settimeout(0s). The descriptor itself never blocks.
    void setblocking(bool wait);
    bool getblocking() const { return gettimeout() != std::chrono::nanoseconds(0); }

    int family() const noexcept;
    int type() const noexcept;
    int proto() const noexcept;

    /// Whether exec keeps the descriptor open. At first it does not. FD_CLOEXEC of fcntl(2).
    bool get_inheritable() const;
    void set_inheritable(bool inheritable);

    /// getsockopt(2), setsockopt(2), as they are. A number is 4 bytes: where the kernel wants
    /// another size it says std::errc::invalid_argument, as for a size beyond an int.
    void setsockopt(int level, int option, int value);
    void setsockopt(int level, int option, const_buffer value);
    /// No value, but a size: for the few options that say something with it (AF_ALG).
    void setsockopt(int level, int option, std::nullptr_t, std::size_t size);
    int getsockopt(int level, int option) const;
    /// Fills `value` and returns how many bytes the kernel wrote.
    std::size_t getsockopt(int level, int option, buffer value) const;

    /// The same, typed: see option.hpp.
    template <class T>
    void set(socket_option<T> option, std::type_identity_t<T> value) {
        if constexpr (std::is_same_v<T, bool>)
            setsockopt(option.level, option.name, value ? 1 : 0);
        else if constexpr (detail::is_duration<T>)
            setsockopt(option.level, option.name, detail::option_count(value.count()));
        else if constexpr (std::is_same_v<T, std::string>)
            set_text(option.level, option.name, value);
        else if constexpr (detail::is_list<T>)
            setsockopt(option.level, option.name,
                       {value.data(), value.size() * sizeof(typename T::value_type)});
        else
            setsockopt(option.level, option.name, const_buffer(&value, sizeof value));
    }
    template <class T>
    T get(socket_option<T> option) const {
        if constexpr (std::is_same_v<T, bool>) {
            return getsockopt(option.level, option.name) != 0;
        } else if constexpr (detail::is_duration<T>) {
            return T(getsockopt(option.level, option.name));
        } else if constexpr (std::is_same_v<T, std::string>) {
            return get_text(option.level, option.name);
        } else if constexpr (detail::is_list<T>) {
            const std::vector<std::byte> bytes = get_bytes(option.level, option.name);
            T list(bytes.size() / sizeof(typename T::value_type));
            if (!list.empty())
                std::memcpy(list.data(), bytes.data(), std::span(list).size_bytes());
            return list;
        } else {
            T value{};
            const std::size_t size = getsockopt(option.level, option.name, {&value, sizeof value});
            if (std::is_arithmetic_v<T>)
                require_size(option.level, option.name, size, sizeof value);
            return value;
        }
    }

    /// ioctl(2), as it is, for requests that read or write a T: SIOCGIFMTU with an ifreq, and so
    /// on. Gives what the call returned. FIONBIO is none of them: the descriptor never blocks.
    template <class T>
        requires std::is_trivially_copyable_v<T>
    int ioctl(unsigned long request, T& argument) {
        return control(request, &argument);
    }
    /// Bytes that recv would find: of a stream all, up to the urgent byte; of a datagram socket
    /// those of the next one.
    /// std::errc::invalid_argument on a listener. FIONREAD, or SIOCINQ.
    std::size_t bytes_readable() const;
    /// Bytes that have not left: of TCP those not acknowledged yet, else what they take in the
    /// kernel's memory. SIOCOUTQ.
    std::size_t bytes_unsent() const;
    /// Whether what recv gives next came after the urgent byte. SIOCATMARK, sockatmark(3).
    bool at_mark() const;

private:
    friend class accept_operation;
    friend struct detail::stream_state;
    friend class fd_watch;
    friend socket fromfd(int fd, int family, int type, int protocol);
    friend struct detail::socket_access;
    friend std::pair<socket, socket> socketpair(int family, int type, int protocol);

    explicit socket(detail::descriptor* d) noexcept : descriptor_(d) {}
    static socket own(int fd, int family, int type, int protocol);
    void drop() noexcept;
    socket share() const noexcept;
    int require_fd(const char* doing) const;
    void set_timeout(std::int64_t ns);
    void set_option(int level, int option, const void* value, std::size_t size);
    void set_text(int level, int option, std::string_view text);
    std::string get_text(int level, int option) const;
    std::vector<std::byte> get_bytes(int level, int option) const;
    static void require_size(int level, int option, std::size_t size, std::size_t expected);
    int control(unsigned long request, void* argument) const;

    detail::descriptor* descriptor_ = nullptr;
};

/// A duplicate of a socket that someone else keeps: it is closed by itself. The open file is common
/// to both, with all its state, so that it is non-blocking from now on for the other, too. Throws
/// std::errc::not_a_socket, bad_file_descriptor, and invalid_argument when it is of another family,
/// type or protocol (0: any) than told; socket::adopt(gyre::dup(fd)) takes what it is.
socket fromfd(int fd, int family, int type, int protocol = 0);

/// Another descriptor of the same open file, of whatever kind, closed on exec. dup(2).
int dup(int fd);

/// Closes a descriptor that no gyre::socket owns: close(2), but for a socket with SO_LINGER it does
/// not wait, as socket::close does not. Throws std::errc::bad_file_descriptor.
void close(int fd);

/// Two sockets, connected with each other; those of AF_UNIX have no names. socketpair(2). Linux has
/// no such pairs of AF_INET and AF_INET6: these are connected over the loopback, streams and
/// datagrams, and each end is asked for its peer's name, so that a stranger who is faster is turned
/// away. That waits for the kernel's handshake with itself, some 20 us. SOCK_NONBLOCK in `type`
/// means settimeout(0) for both.
std::pair<socket, socket> socketpair(int family = AF_UNIX, int type = SOCK_STREAM,
                                     int protocol = 0);

/// The timeout of sockets made from now on, in the whole process: by open, accept, socketpair and
/// adopt. At first there is none. From any thread.
std::optional<std::chrono::nanoseconds> getdefaulttimeout() noexcept;
void setdefaulttimeout(std::nullopt_t) noexcept;

namespace detail {

void set_default_timeout(std::int64_t ns);

/// For operations that are defined beside the class.
struct socket_access {
    static descriptor* of(const socket& s) noexcept { return s.descriptor_; }
};

} // namespace detail

template <class Rep, class Period>
void setdefaulttimeout(std::chrono::duration<Rep, Period> d) {
    detail::set_default_timeout(detail::ceil_nanoseconds(d));
}

} // namespace gyre
