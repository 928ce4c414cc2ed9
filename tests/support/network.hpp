#pragma once

#include "fixture.hpp"

#include <gyre/core/run.hpp>

#include <string>
#include <system_error>
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

/// What `body(std::string& wrong)`, a coroutine, finds wrong.
template <class Body>
std::string wrong_on(gyre::backend_kind backend, Body body) {
    std::string wrong;
    gyre::run(body(wrong), {.backend = backend});
    return wrong;
}

/// `expected`: a gyre::errc, or a std::errc.
template <class Errc>
void expect_code(std::string& wrong, const char* what, std::error_code got, Errc expected) {
    if (got != expected)
        wrong += std::string(what) + ": " + (got ? got.message() : "success") + '\n';
}

} // namespace gyre_test
