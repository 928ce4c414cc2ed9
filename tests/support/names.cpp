#include "names.hpp"

#include <gyre/resolver/resolver.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <netdb.h>
#include <thread>

// A sanitizer that is linked into the program offers its own getaddrinfo under these names.
using look_up = int(const char*, const char*, const addrinfo*, addrinfo**);
extern "C" [[gnu::weak]] look_up ___interceptor_getaddrinfo; // NOLINT(*-reserved-identifier)
extern "C" [[gnu::weak]] look_up __interceptor_getaddrinfo;  // NOLINT(*-reserved-identifier)

namespace gyre_test {
namespace {

struct entry {
    std::vector<std::string> addresses;
    int eai = 0;
    bool held = false;
    int waiting = 0;
};

struct table {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, entry> names;
};

// Not destroyed: a look-up may outlive main().
table& all() {
    static auto* const instance = new table;
    return *instance;
}

} // namespace

void let_name_be(const std::string& name, std::vector<std::string> addresses) {
    std::lock_guard lock(all().mutex);
    all().names[name] = {.addresses = std::move(addresses)};
}

void let_name_fail(const std::string& name, int eai) {
    std::lock_guard lock(all().mutex);
    all().names[name] = {.addresses = {}, .eai = eai};
}

std::string fresh_name() {
    static std::atomic<int> made = 0;
    return "fresh" + std::to_string(++made) + ".test";
}

held_name::held_name(std::string name) : name_(std::move(name)) {
    std::lock_guard lock(all().mutex);
    all().names[name_] = {.addresses = {"127.0.0.1"}, .held = true};
}

held_name::~held_name() {
    std::unique_lock lock(all().mutex);
    entry& e = all().names[name_];
    e.held = false;
    all().changed.notify_all();
    all().changed.wait(lock, [&] { return e.waiting == 0; });
    // Whoever asks next is to begin a look-up, and not to join one that is about to end.
    const auto others = [] {
        std::size_t n = 0;
        for (const auto& [name, other] : all().names)
            n += static_cast<std::size_t>(other.waiting);
        return n;
    };
    while (gyre::default_resolver().statistics().in_flight > others()) {
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
    }
}

void held_name::await_lookups(int n) const {
    std::unique_lock lock(all().mutex);
    all().changed.wait_for(lock, std::chrono::seconds(10),
                           [&] { return all().names[name_].waiting >= n; });
}

} // namespace gyre_test

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
    static look_up* const real = ___interceptor_getaddrinfo != nullptr ? ___interceptor_getaddrinfo
                                 : __interceptor_getaddrinfo != nullptr
                                     ? __interceptor_getaddrinfo
                                     : reinterpret_cast<look_up*>(dlsym(RTLD_NEXT, "getaddrinfo"));
    gyre_test::table& t = gyre_test::all();
    std::unique_lock lock(t.mutex);
    const auto found = node != nullptr ? t.names.find(node) : t.names.end();
    if (found == t.names.end()) {
        lock.unlock();
        return real(node, service, hints, result);
    }
    gyre_test::entry& e = found->second;
    ++e.waiting;
    t.changed.notify_all();
    t.changed.wait(lock, [&] { return !e.held; });
    --e.waiting;
    t.changed.notify_all();
    if (e.eai != 0)
        return e.eai;
    const std::vector<std::string> addresses = e.addresses;
    lock.unlock();
    *result = nullptr;
    addrinfo** end = result;
    for (const std::string& a : addresses) {
        addrinfo numeric = *hints;
        numeric.ai_flags |= AI_NUMERICHOST;
        if (real(a.c_str(), service, &numeric, end) == 0)
            while (*end != nullptr)
                end = &(*end)->ai_next;
    }
    return *result != nullptr ? 0 : EAI_NONAME;
}
