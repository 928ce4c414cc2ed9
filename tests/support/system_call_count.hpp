#pragma once

#include <gyre/core/backend_choice.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace gyre_test {

/// What a child process asked of the kernel between count_from_here() and count_to_here().
struct system_call_count {
    std::map<long, unsigned> calls; ///< number of the call, how often
    std::string wrong;              ///< what went wrong in the child; empty when nothing did

    /// All of them, but for reading the clock, which needs no call where the vDSO can do it.
    unsigned total() const;
    std::string to_string() const;
};

/// Runs `f` in a forked process that is traced (ptrace(2)), so that the count is exact.
system_call_count count_system_calls(std::string (*f)(gyre::backend_kind),
                                     gyre::backend_kind backend);

/// Whether `f` waits instead of spinning: no more than `limit` calls between the marks. That does
/// not depend on what else the machine does, as processor time would; what spins makes thousands.
testing::AssertionResult makes_at_most(unsigned limit, std::string (*f)(gyre::backend_kind),
                                       gyre::backend_kind backend);

/// For `f` to call.
void count_from_here();
void count_to_here();

} // namespace gyre_test
