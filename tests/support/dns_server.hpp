#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

/// A name server for tests, of the few parts of RFC 1035 that the resolver of the C library needs.

namespace gyre_test {

enum class dns_type : std::uint16_t { a = 1, cname = 5, ptr = 12, aaaa = 28 };
enum class dns_code : std::uint8_t { none = 0, servfail = 2, nxdomain = 3, refused = 5 };

/// One question of class IN.
struct dns_query {
    std::uint16_t id = 0;
    bool recursion_desired = false;
    std::string name; ///< without the final dot; as it was written
    std::uint16_t type = 0;
    bool operator==(const dns_query&) const = default;
};

struct dns_record {
    std::string owner;
    dns_type type{};
    std::vector<std::byte> data;
};

/// Nothing, unless this is a standard query with one question of class IN and nothing else at all.
std::optional<dns_query> read_dns_query(std::span<const std::byte> message);

/// `at_most`: what does not fit is left out, and the answer marked as truncated.
std::vector<std::byte> write_dns_response(const dns_query& query, dns_code code,
                                          std::span<const dns_record> records,
                                          std::size_t at_most = 65535);

/// A name as labels, each behind its length, and a zero at the end.
std::vector<std::byte> dns_labels(const std::string& name);
/// "192.0.2.7" is "7.2.0.192.in-addr.arpa"; IPv6 as well.
std::string reverse_name(const std::string& address);

/// What is known of a name. One of which a type is not known has no data of it (NODATA).
struct dns_entry {
    std::vector<std::string> addresses{}; ///< IPv4 and IPv6
    std::vector<std::string> pointers{};  ///< PTR
    std::string alias_of{};               ///< CNAME, followed where that name is known as well
    dns_code code = dns_code::none;
    bool held = false; ///< is answered after release(), if at all
};

/// Answers on port 53 of 127.0.0.1 by UDP (512 bytes and no more) and TCP, on a thread of its own,
/// until it is destroyed. A name that it does not know does not exist (NXDOMAIN).
class dns_server {
public:
    dns_server();
    ~dns_server();
    dns_server(const dns_server&) = delete;

    void set(const std::string& name, dns_entry entry);
    /// Answers what is held of this name; from now on it is answered at once.
    void release(const std::string& name);

    /// Queries for it so far, of any type, by UDP and TCP.
    int queries(const std::string& name) const;
    int tcp_queries(const std::string& name) const;
    /// Of all names: those that wait for their answer.
    int held() const;
    /// Returns once so many are held; false after 20 s.
    bool await_held(int n) const;

private:
    struct counts {
        int all = 0;
        int tcp = 0;
    };
    struct held_query {
        dns_query query;
        int connection = -1; ///< of TCP, or else:
        std::uint32_t ip = 0;
        std::uint16_t port = 0;
    };

    void serve();
    bool read_connection(int fd, std::vector<std::byte>& pending);
    void take(held_query q);
    void answer(const held_query& q) const;

    int udp_;
    int tcp_;
    int stop_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::map<std::string, dns_entry> names_;
    std::map<std::string, counts> counts_;
    std::vector<held_query> held_;
    std::thread thread_;
};

/// What the C library reads, for this process and its children: after set_up(), and before the
/// first look-up. An empty string, or "skip: " and why that cannot be.
struct name_files {
    std::string hosts = "127.0.0.1 localhost\n";
    std::string resolv_conf = "nameserver 127.0.0.1\nsearch .\noptions timeout:1 attempts:1\n";
    std::string nsswitch_conf = "hosts: files dns\nservices: files\nprotocols: files\n";
};
std::string set_up_names(const name_files& files = {});

/// Of resolv.conf, for look-ups that are not to end by themselves: 30 s is the longest there is.
inline constexpr char patient_resolv_conf[] =
    "nameserver 127.0.0.1\nsearch .\noptions timeout:30 attempts:1\n";

} // namespace gyre_test
