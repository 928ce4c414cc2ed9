#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/operation.hpp>

namespace gyre::detail {

bool operation::begin() noexcept {
    loop* here = loop::current();
    require(here != nullptr, "an operation is awaited in a coroutine that runs on a loop");
    return here->begin(*this);
}

void operation::on_event(work& w, event e) noexcept {
    auto& op = static_cast<operation&>(w);
    switch (e) {
    case event::run:
        if (op.state == phase::readied)
            loop::current()->go_on(op);
        else
            op.resume();
        return;
    case event::cancel: loop::current()->cancel(op, errc::cancelled); return;
    case event::expire: loop::current()->cancel(op, errc::timed_out); return;
    case event::done: return;
    }
}

void operation::let_go() noexcept {
    if (state != phase::ended) {
        // A coroutine that is not gyre's may outlive the loop, which let go of everything.
        loop* here = loop::current();
        if (here != nullptr && (target == nullptr || target->home == here->shared_inbox()))
            here->abandon(*this);
        else
            ctx->leaf = nullptr;
    }
    if (target != nullptr)
        loop::release_reference(*target);
}

} // namespace gyre::detail
