#include "dns_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace gyre_test {
namespace {

constexpr std::size_t header_size = 12;
constexpr std::uint16_t class_in = 1;
constexpr std::uint32_t time_to_live = 60;
// RFC 1035 section 4.1.1.
constexpr std::uint16_t response = 0x8000, authoritative = 0x0400, truncated = 0x0200,
                        recursion_desired = 0x0100, recursion_available = 0x0080;

int check(int result, const char* what) {
    if (result < 0)
        throw std::system_error(errno, std::system_category(), what);
    return result;
}

std::uint16_t number_at(std::span<const std::byte> m, std::size_t at) {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(m[at]) << 8 |
                                      std::to_integer<unsigned>(m[at + 1]));
}

void put16(std::vector<std::byte>& to, std::size_t n) {
    to.push_back(static_cast<std::byte>(n >> 8));
    to.push_back(static_cast<std::byte>(n));
}

void put(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

std::string lower(std::string name) {
    for (char& c : name)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return name;
}

/// An address's bytes in the order of the network; none where it is not of the family.
std::vector<std::byte> ip_bytes(int family, const std::string& text) {
    std::vector<std::byte> bytes(family == AF_INET ? 4 : 16);
    if (inet_pton(family, text.c_str(), bytes.data()) != 1)
        bytes.clear();
    return bytes;
}

std::vector<dns_record> records_of(const dns_entry& entry, const std::string& owner,
                                   std::uint16_t type) {
    std::vector<dns_record> found;
    for (const auto& [wanted, family] :
         {std::pair(dns_type::a, AF_INET), std::pair(dns_type::aaaa, AF_INET6)})
        if (type == static_cast<std::uint16_t>(wanted))
            for (const std::string& text : entry.addresses)
                if (std::vector<std::byte> bytes = ip_bytes(family, text); !bytes.empty())
                    found.push_back({owner, wanted, std::move(bytes)});
    if (type == static_cast<std::uint16_t>(dns_type::ptr))
        for (const std::string& name : entry.pointers)
            found.push_back({owner, dns_type::ptr, dns_labels(name)});
    return found;
}

int bound(int type) {
    const int fd = check(::socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");
    const int on = 1;
    check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(53);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), "bind to port 53");
    return fd;
}

std::string replace(const char* path, const std::string& content) {
    char name[] = "/tmp/gyre_test_XXXXXX";
    const int fd = mkstemp(name);
    if (fd < 0)
        return "skip: no temporary file can be made";
    const bool written =
        ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
        fchmod(fd, 0644) == 0;
    ::close(fd);
    const bool mounted = written && mount(name, path, nullptr, MS_BIND, nullptr) == 0;
    ::unlink(name); // the mount keeps it
    return mounted ? "" : std::string("skip: cannot be replaced: ") + path;
}

} // namespace

// ---- Messages
// ------------------------------------------------------------------------------------

std::optional<dns_query> read_dns_query(std::span<const std::byte> m) {
    if (m.size() < header_size)
        return std::nullopt;
    const std::uint16_t flags = number_at(m, 2);
    if ((flags & ~recursion_desired) != 0 || number_at(m, 4) != 1 || number_at(m, 6) != 0 ||
        number_at(m, 8) != 0 || number_at(m, 10) != 0)
        return std::nullopt;
    dns_query q{.id = number_at(m, 0), .recursion_desired = flags != 0, .name = {}};
    std::size_t at = header_size;
    for (;;) {
        if (at >= m.size())
            return std::nullopt;
        const auto length = std::to_integer<std::size_t>(m[at++]);
        if (length == 0)
            break;
        // 63 is the longest label; the bits above mean a pointer, of which a first name has no use.
        if (length > 63 || length > m.size() - at || at + length - header_size > 254)
            return std::nullopt;
        if (!q.name.empty())
            q.name += '.';
        q.name.append(reinterpret_cast<const char*>(m.data() + at), length);
        at += length;
    }
    if (m.size() != at + 4 || number_at(m, at + 2) != class_in)
        return std::nullopt;
    q.type = number_at(m, at);
    return q;
}

std::vector<std::byte> write_dns_response(const dns_query& query, dns_code code,
                                          std::span<const dns_record> records,
                                          std::size_t at_most) {
    std::vector<std::byte> question = dns_labels(query.name);
    put16(question, query.type);
    put16(question, class_in);
    std::vector<std::byte> answers;
    std::size_t count = 0;
    for (const dns_record& r : records) {
        std::vector<std::byte> one;
        if (r.owner == query.name)
            put16(one, 0xc000 | header_size); // a pointer to the question's name
        else
            put(one, dns_labels(r.owner));
        put16(one, static_cast<std::uint16_t>(r.type));
        put16(one, class_in);
        put16(one, time_to_live >> 16);
        put16(one, time_to_live & 0xffff);
        put16(one, r.data.size());
        put(one, r.data);
        if (header_size + question.size() + answers.size() + one.size() > at_most)
            break;
        put(answers, one);
        ++count;
    }
    std::vector<std::byte> m;
    put16(m, query.id);
    put16(m, response | authoritative | (count < records.size() ? truncated : 0U) |
                 (query.recursion_desired ? recursion_desired : 0U) | recursion_available |
                 static_cast<unsigned>(code));
    put16(m, 1);
    put16(m, count);
    put16(m, 0);
    put16(m, 0);
    put(m, question);
    put(m, answers);
    return m;
}

std::vector<std::byte> dns_labels(const std::string& name) {
    std::vector<std::byte> bytes;
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t end = std::min(name.find('.', at), name.size());
        if (end == at || end - at > 63)
            throw std::invalid_argument("no name: " + name);
        bytes.push_back(static_cast<std::byte>(end - at));
        put(bytes, std::as_bytes(std::span(name).subspan(at, end - at)));
        at = end + 1;
    }
    bytes.push_back(std::byte{0});
    return bytes;
}

std::string reverse_name(const std::string& address) {
    std::string name;
    if (const std::vector<std::byte> four = ip_bytes(AF_INET, address); !four.empty()) {
        for (std::size_t i = 4; i-- > 0;)
            name += std::to_string(std::to_integer<unsigned>(four[i])) + '.';
        return name + "in-addr.arpa";
    }
    const std::vector<std::byte> six = ip_bytes(AF_INET6, address);
    if (six.empty())
        throw std::invalid_argument("no address: " + address);
    for (std::size_t i = 16; i-- > 0;)
        for (const unsigned shift : {0U, 4U}) {
            name += "0123456789abcdef"[std::to_integer<unsigned>(six[i]) >> shift & 15U];
            name += '.';
        }
    return name + "ip6.arpa";
}

// ---- The server
// ----------------------------------------------------------------------------------

dns_server::dns_server()
    : udp_(bound(SOCK_DGRAM)), tcp_(bound(SOCK_STREAM)),
      stop_(check(eventfd(0, EFD_CLOEXEC), "eventfd")) {
    check(::listen(tcp_, 16), "listen");
    thread_ = std::thread([this] { serve(); });
}

dns_server::~dns_server() {
    eventfd_write(stop_, 1);
    thread_.join();
    for (const int fd : {udp_, tcp_, stop_})
        ::close(fd);
}

void dns_server::set(const std::string& name, dns_entry entry) {
    const std::lock_guard lock(mutex_);
    names_[lower(name)] = std::move(entry);
}

void dns_server::release(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_[lower(name)].held = false;
    const auto [first, last] = std::ranges::partition(
        held_, [&](const held_query& q) { return lower(q.query.name) != lower(name); });
    for (auto q = first; q != last; ++q)
        answer(*q);
    held_.erase(first, last);
}

int dns_server::queries(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(lower(name));
    return found != counts_.end() ? found->second.all : 0;
}

int dns_server::tcp_queries(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(lower(name));
    return found != counts_.end() ? found->second.tcp : 0;
}

int dns_server::held() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(held_.size());
}

bool dns_server::await_held(int n) const {
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, late, [&] { return static_cast<int>(held_.size()) >= n; });
}

void dns_server::serve() {
    std::map<int, std::vector<std::byte>> connections; // what each has sent of its next query
    for (;;) {
        std::vector<pollfd> polled{{stop_, POLLIN, 0}, {udp_, POLLIN, 0}, {tcp_, POLLIN, 0}};
        for (const auto& [fd, pending] : connections)
            polled.push_back({fd, POLLIN, 0});
        if (::poll(polled.data(), polled.size(), -1) < 0)
            continue;
        if (polled[0].revents != 0)
            break;
        if (polled[1].revents != 0) {
            std::array<std::byte, 512> message;
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const ssize_t n = ::recvfrom(udp_, message.data(), message.size(), MSG_DONTWAIT,
                                         reinterpret_cast<sockaddr*>(&from), &size);
            if (n > 0)
                if (auto q = read_dns_query(std::span(message).first(static_cast<std::size_t>(n))))
                    take({std::move(*q), -1, from.sin_addr.s_addr, from.sin_port});
        }
        for (const pollfd& p : std::span(polled).subspan(3))
            if (p.revents != 0 && !read_connection(p.fd, connections[p.fd])) {
                const std::lock_guard lock(mutex_);
                std::erase_if(held_, [&](const held_query& q) { return q.connection == p.fd; });
                connections.erase(p.fd);
                ::close(p.fd);
            }
        if (polled[2].revents != 0)
            if (const int fd = ::accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC); fd >= 0)
                connections[fd];
    }
    for (const auto& [fd, pending] : connections)
        ::close(fd);
}

// RFC 1035 section 4.2.2: each message behind its length. False at the end of the stream.
bool dns_server::read_connection(int fd, std::vector<std::byte>& pending) {
    std::array<std::byte, 2048> part;
    const ssize_t n = ::recv(fd, part.data(), part.size(), MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    put(pending, std::span(part).first(static_cast<std::size_t>(n)));
    while (pending.size() >= 2) {
        const std::size_t size = 2U + number_at(pending, 0);
        if (pending.size() < size)
            break;
        auto q = read_dns_query(std::span(pending).first(size).subspan(2));
        if (!q)
            return false;
        take({std::move(*q), fd});
        pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(size));
    }
    return true;
}

void dns_server::take(held_query q) {
    const std::lock_guard lock(mutex_);
    const std::string name = lower(q.query.name);
    counts& c = counts_[name];
    ++c.all;
    c.tcp += q.connection >= 0 ? 1 : 0;
    const auto entry = names_.find(name);
    if (entry == names_.end() || !entry->second.held) {
        answer(q);
        return;
    }
    held_.push_back(std::move(q));
    changed_.notify_all();
}

void dns_server::answer(const held_query& q) const {
    const auto known = names_.find(lower(q.query.name));
    dns_code code = dns_code::nxdomain;
    std::vector<dns_record> records;
    if (known != names_.end()) {
        const dns_entry& entry = known->second;
        code = entry.code;
        records = records_of(entry, q.query.name, q.query.type);
        if (!entry.alias_of.empty()) {
            records = {{q.query.name, dns_type::cname, dns_labels(entry.alias_of)}};
            if (const auto real = names_.find(lower(entry.alias_of)); real != names_.end())
                for (dns_record& r : records_of(real->second, entry.alias_of, q.query.type))
                    records.push_back(std::move(r));
        }
    }
    const bool over_tcp = q.connection >= 0;
    const auto message = write_dns_response(q.query, code, records, over_tcp ? 65535 : 512);
    if (over_tcp) {
        std::vector<std::byte> framed;
        put16(framed, message.size());
        put(framed, message);
        // A few thousand bytes, into an empty buffer: goes as a whole.
        [[maybe_unused]] const ssize_t n =
            ::send(q.connection, framed.data(), framed.size(), MSG_NOSIGNAL);
        return;
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = q.port;
    to.sin_addr.s_addr = q.ip;
    ::sendto(udp_, message.data(), message.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

// ---- What the C library reads
// --------------------------------------------------------------------

std::string set_up_names(const name_files& files) {
    // A cache of the host's would answer in the place of all that.
    if (std::system("! [ -d /run/nscd ] || mount -t tmpfs none /run/nscd") != 0)
        return "skip: the name service cache of this host cannot be hidden";
    for (const auto& [path, content] :
         {std::pair("/etc/hosts", &files.hosts), std::pair("/etc/resolv.conf", &files.resolv_conf),
          std::pair("/etc/nsswitch.conf", &files.nsswitch_conf)})
        if (const std::string why = replace(path, *content); !why.empty())
            return why;
    return "";
}

} // namespace gyre_test
