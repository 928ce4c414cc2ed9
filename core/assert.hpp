#pragma once

#include <source_location>

/// Contracts of the library, checked in every build.
///
/// A contract is what only the program's author can break (two loops on one thread, a socket used
/// from a foreign thread); what a peer or a user of the program can cause is an error, never this.

namespace gyre::detail {

/// Says on standard error which contract was broken and where, then aborts.
[[noreturn]] void contract_broken(const char* what, std::source_location where) noexcept;

/// Aborts with the caller's location unless `holds`.
inline void require(bool holds, const char* what,
                    std::source_location where = std::source_location::current()) noexcept {
    if (!holds) [[unlikely]]
        contract_broken(what, where);
}

} // namespace gyre::detail
