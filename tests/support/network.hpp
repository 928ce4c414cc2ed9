#pragma once

#include "fixture.hpp"

#include <gyre/core/run.hpp>

#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

/// Tests that need a network of their own: addresses, routes, queues. Each runs in a child process,
/// in a network namespace that it makes and that goes with it.

namespace gyre_test {

class on_own_network : public on_each_backend<> {
protected:
    /// Runs `f` in a child: it makes its network with set_up(), and returns what was wrong, or an
    /// empty string. Skips, and says why, where there can be no such network.
    void in_namespace(std::string (*f)(gyre::backend_kind)) { expect_in_child(f, backend()); }
};

/// Leaves for a new network, and mount, namespace and runs `commands` (of the shell) there. An
/// empty string, or "skip: " and why that cannot be.
std::string set_up(const std::vector<std::string>& commands);

/// The same, with a second network beside it, "peer", which `ip -n peer` and `ip netns exec peer`
/// reach: a cable goes from veth0 here to veth0 there. Each end has three addresses, which differ
/// in the last number, 1 here and 2 there: 192.0.2.1/24, 2001:db8::1/64, fe80::1/64.
std::string set_up_with_peer(const std::vector<std::string>& commands = {});

/// While this lives, this thread is in the peer's network: what it opens stays there.
class in_peer {
public:
    in_peer();
    in_peer(const in_peer&) = delete;
    ~in_peer();

private:
    int home_;
};

/// Runs a command that must succeed.
void shell(const std::string& command);

/// What `body(std::string& wrong)`, a coroutine, finds wrong.
template <class Body>
std::string wrong_on(gyre::backend_kind backend, Body body) {
    std::string wrong;
    gyre::run(body(wrong), {.backend = backend});
    return wrong;
}

template <class T>
void expect_equal(std::string& wrong, const char* what, const T& got,
                  const std::type_identity_t<T>& expected) {
    if (!(got == expected))
        wrong += what + (": " + testing::PrintToString(got)) + ", not " +
                 testing::PrintToString(expected) + '\n';
}

inline void expect(std::string& wrong, bool holds, const std::string& otherwise) {
    if (!holds)
        wrong += otherwise + '\n';
}

/// `expected`: a gyre::errc, a std::errc or a std::error_code.
template <class Errc>
void expect_code(std::string& wrong, const char* what, std::error_code got, Errc expected) {
    if (got != expected)
        wrong += std::string(what) + ": " + (got ? got.message() : "success") + '\n';
}

} // namespace gyre_test
