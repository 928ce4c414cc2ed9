#pragma once

#include <gyre/core/clock.hpp>
#include <gyre/core/task.hpp>
#include <gyre/resolver/getaddrinfo.hpp>
#include <gyre/resolver/gethostbyname.hpp>
#include <gyre/resolver/getnameinfo.hpp>
#include <gyre/resolver/getservbyname.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace gyre {

class name_source;

namespace detail {
class lookup_pool;
} // namespace detail

struct cache_options {
    std::size_t entries = 0;                                      ///< at most; 0: no cache
    std::chrono::nanoseconds positive = std::chrono::seconds(30); ///< how long an answer is good
    /// And that there is none: an unknown name, one without addresses, an unknown service. Failures
    /// that may pass (EAI_AGAIN ...) are never kept.
    std::chrono::nanoseconds negative = std::chrono::seconds(5);
    clock::time_point (*now)() noexcept = nullptr; ///< for tests; nullptr is clock::now
};

struct resolver_options {
    unsigned threads = 16; ///< that work at the same time, stuck ones not counted
    /// A look-up under way for longer is stuck. Its thread is left to it, and another takes its
    /// place; where more than `threads` are stuck, as many as are stuck.
    std::chrono::nanoseconds stuck_after = std::chrono::milliseconds(50);
    unsigned stuck = 240;     ///< threads beyond `threads` at most; then look-ups wait in the queue
    std::size_t queue = 4096; ///< look-ups that wait at most; see resolver
    std::chrono::nanoseconds idle = std::chrono::seconds(10); ///< without work a thread ends
    cache_options cache{};
    std::shared_ptr<name_source> source{}; ///< who answers (name_source.hpp); none: the C library
};

struct resolver_statistics {
    // Now:
    unsigned threads = 0;      ///< all of them
    unsigned idle = 0;         ///< of these, without work
    unsigned stuck = 0;        ///< of these, longer than stuck_after in one look-up
    std::size_t in_flight = 0; ///< look-ups that a thread is busy with
    std::size_t queued = 0;    ///< look-ups that wait for a thread
    std::size_t cache_entries = 0;
    // Since the resolver began. What was answered without a look-up counts only as a cache hit.
    std::uint64_t finished = 0;  ///< look-ups that returned, well or not, awaited still or not
    std::uint64_t failed = 0;    ///< of these, badly
    std::uint64_t shared = 0;    ///< callers who joined a look-up that was under way for another
    std::uint64_t refused = 0;   ///< callers who found the queue full
    std::uint64_t withdrawn = 0; ///< look-ups taken from the queue: nobody waited any more
    std::uint64_t cache_hits = 0;
    std::uint64_t cache_misses = 0;
    /// How long finished look-ups took, their wait in the queue included: [0] is below 1 us,
    /// [i] below 2^i us, the last all others.
    std::array<std::uint64_t, 32> latency{};
};

/// Looks up names on threads of its own, so that no loop ever waits: getaddrinfo(3) and its kin
/// block for as long as name servers, NFS or LDAP keep them waiting. Each function here is the free
/// function of its name, which asks default_resolver(): their headers say what they give. Any
/// thread and any loop may use one resolver.
///
/// A look-up that is cancelled, or whose deadline passes (`co_await with_timeout(2s, names.
/// getaddrinfo(...))`), ends at once. C library calls cannot be stopped, so its thread goes on, and
/// the answer is dropped (or cached). Where nobody waits any more for a look-up that has not begun,
/// it never does.
///
/// Look-ups that ask the same at the same time are one. Nothing is asked for what can be known
/// without: numeric hosts, and what is cached.
///
/// Threads start when there is something to do, up to `threads`, and end when they have had nothing
/// for a while. One that does not come back (50 ms) is abandoned to its look-up and another
/// takes its place, within a bound; so names that hang do not hold up the others. Beyond all bounds
/// look-ups wait in a queue; when that is full, they throw
/// std::errc::resource_unavailable_try_again.
///
/// The child of a fork(2) can use the resolvers of its parent: their threads begin anew.
///
/// Destroying a resolver never waits: what is under way ends with errc::closed for those who wait
/// for it. The end of a loop or of the process does not wait for a thread either.
class resolver {
public:
    explicit resolver(resolver_options options = {});
    ~resolver();
    resolver(const resolver&) = delete;

    task<std::vector<address_info>> getaddrinfo(std::string_view host, std::string_view service,
                                                address_info_hints hints = {});
    task<name_info> getnameinfo(const address& of, int flags = 0);
    task<address> gethostbyname(std::string_view host);
    task<host_entry> gethostbyname_ex(std::string_view host);
    task<host_entry> gethostbyaddr(std::string_view host);
    task<host_entry> gethostbyaddr(const address& of);
    task<std::string> getfqdn(std::string_view host = "");
    task<std::uint16_t> getservbyname(std::string_view name, std::string_view protocol = "");
    task<std::string> getservbyport(int port, std::string_view protocol = "");
    task<int> getprotobyname(std::string_view name);

    /// For look-ups that begin from now on. Another source empties the cache.
    void configure(resolver_options options);

    resolver_statistics statistics() const;
    void clear_cache();

private:
    std::shared_ptr<detail::lookup_pool> pool_;
};

/// The resolver of the free functions, and of who does not bring one. It is never destroyed.
resolver& default_resolver();

} // namespace gyre
