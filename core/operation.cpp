#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/operation.hpp>

namespace gyre::detail {

bool operation::begin(std::coroutine_handle<> awaiting, context& of) noexcept {
    waiter = awaiting;
    ctx = &of;
    loop* here = loop::current();
    require(here != nullptr, "an operation is awaited in a coroutine that runs on a loop");
    return here->begin(*this);
}

void operation::on_event(work& w, event e) noexcept {
    auto& op = static_cast<operation&>(w);
    switch (e) {
    case event::run:
        if (op.state == phase::readied) {
            loop::current()->go_on(op);
            return;
        }
        op.ctx->leaf = nullptr;
        op.state = phase::idle;
        op.waiter.resume();
        return;
    case event::cancel: loop::current()->cancel(op, errc::cancelled); return;
    case event::expire: loop::current()->cancel(op, errc::timed_out); return;
    case event::done: return;
    }
}

void operation::let_go() noexcept {
    if (state != phase::idle)
        loop::current()->abandon(*this);
    if (referring)
        loop::release_reference(*target);
}

} // namespace gyre::detail
