#pragma once

#include <gyre/core/error.hpp>
#include <gyre/core/future.hpp>

#include <concepts>
#include <expected>
#include <system_error>
#include <type_traits>
#include <utility>

namespace gyre {
namespace detail {

/// An operation knows its outcome without throwing; so does what wraps one.
template <class Operation>
concept has_outcome = requires(Operation& o) { o.outcome(); };

template <has_outcome Operation>
struct operation_result {
    Operation inner;

    bool await_ready() noexcept(noexcept(inner.await_ready())) { return inner.await_ready(); }
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) noexcept(
        noexcept(inner.await_suspend(awaiting))) {
        return inner.await_suspend(awaiting);
    }
    auto await_resume() noexcept(noexcept(inner.outcome())) { return inner.outcome(); }
};

/// There is no std::expected of a reference: it holds a pointer.
template <class T>
using expectable_t = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;

template <class Awaitable>
task<std::expected<expectable_t<await_result_t<Awaitable>>, std::error_code>>
catching(Awaitable a) {
    using T = await_result_t<Awaitable>;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(a);
            co_return {};
        } else if constexpr (std::is_reference_v<T>) {
            co_return std::addressof(co_await std::move(a));
        } else {
            co_return co_await std::move(a);
        }
    } catch (const std::system_error& e) {
        co_return std::unexpected(e.code());
    }
}

} // namespace detail

/// Awaits without throwing what was to be expected: std::expected of the result, or the
/// std::error_code that would have been thrown. Of an operation nothing is thrown on the way. Of
/// a task or future, exceptions that are no std::system_error go through. Where the result is a
/// reference, the std::expected holds a pointer.
///
///     std::expected<std::size_t, std::error_code> n = co_await gyre::as_result(peer.recv(buffer));
template <class Awaitable>
[[nodiscard]] auto as_result(Awaitable a) {
    if constexpr (detail::has_outcome<Awaitable>)
        return detail::operation_result<Awaitable>{std::move(a)};
    else
        return detail::catching(std::move(a));
}

} // namespace gyre
