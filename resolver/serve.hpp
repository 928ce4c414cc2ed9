#pragma once

#include <gyre/core/combine.hpp>
#include <gyre/core/task.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/resolver/listener.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace gyre {

struct serve_options {
    /// Handled at a time; 0: no bound. When so many are, no more are accepted: the kernel queues
    /// them, up to the backlog.
    std::size_t connections = 0;
    /// How long what is being handled may go on when the server is to stop; none: to its end.
    std::optional<std::chrono::nanoseconds> drain = std::chrono::seconds(5);
    /// To stop, also ends what the connections receive (SHUT_RD): each reads what has arrived, and
    /// then the end. So handlers that wait for a next request end at once, and those that are at
    /// work finish. The connections have to stay on this loop.
    bool end_input = false;
    /// Is told what leaves a handler, save that it was cancelled. What it throws ends the server.
    void (*on_error)(const address& peer, std::exception_ptr failure) = nullptr;
};
static_assert(std::is_trivially_destructible_v<serve_options>,
              "g++ 12 destroys twice what a braced argument of an awaited call holds");

namespace detail {

struct connection_handler {
    void* object;
    task<> (*call)(void* object, socket&& peer, const address& from);
};

task<> serve(listener& from, connection_handler handler, serve_options options);

template <class Handler>
task<> call_handler(void* object, socket&& peer, const address& from) {
    auto& handler = *static_cast<Handler*>(object);
    if constexpr (std::is_invocable_v<Handler&, socket, const address&>)
        return handler(std::move(peer), from);
    else
        return handler(std::move(peer));
}

/// Keeps the handler, and where it is no reference the listener.
template <class Listener, class Handler>
task<> serve_with(Listener from, Handler handler, serve_options options) {
    co_await serve(from, {&handler, &call_handler<Handler>}, options);
}

} // namespace detail

/// `co_await gyre::serve(co_await gyre::create_server({.port = 7000}), echo);`
///
/// Accepts connections and runs `handler(peer)` or `handler(peer, address)`, a task<>, for each.
/// What leaves a handler ends its connection only. With no descriptors left, new connections wait.
///
/// To stop it, close the listener (then pass it as an lvalue; it stays where it is until this has
/// ended) or cancel this. Either way it drains: the listening sockets are closed at once, handlers
/// finish until `drain` has passed, then they are cancelled, and this returns when the last of them
/// has ended. A cancel while it drains cancels them at once. Throws what accepting fails of, after
/// draining.
///
/// The handler lives as long as this; it may be a lambda with captures, and its coroutines may use
/// them. g++ 12 demands that a temporary one captures by reference.
template <class Handler>
[[nodiscard]] task<> serve(listener&& from, Handler&& handler, serve_options options = {}) {
    detail::check_closure<Handler>();
    return detail::serve_with<listener, std::decay_t<Handler>>(
        std::move(from), std::forward<Handler>(handler), options);
}
template <class Handler>
[[nodiscard]] task<> serve(listener& from, Handler&& handler, serve_options options = {}) {
    detail::check_closure<Handler>();
    return detail::serve_with<listener&, std::decay_t<Handler>>(
        from, std::forward<Handler>(handler), options);
}

} // namespace gyre
