#include <gyre/core/backend.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/operation.hpp>
#include <gyre/core/progress.hpp>

namespace gyre::detail {

namespace {

class nobody final : public submitter {
    bool submit(operation&) noexcept override {
        require(false, "an operation is awaited in a coroutine that runs on a loop");
        return false;
    }
};
constinit nobody no_loop;

} // namespace

constinit thread_local submitter* current_submitter = &no_loop;

void set_current_submitter(submitter* of_loop) noexcept {
    current_submitter = of_loop != nullptr ? of_loop : &no_loop;
}

void operation::on_event(work& w, event e) noexcept {
    auto& op = static_cast<operation&>(w);
    if (e == event::run) [[likely]] {
        if (op.state == phase::readied)
            loop::current()->kernel().resubmit(op);
        else if (op.target != nullptr)
            loop::resume(op);
        else
            loop::wake_up(op);
        return;
    }
    switch (e) {
    case event::run: return;
    case event::cancel: loop::current()->cancel(op, errc::cancelled); return;
    case event::expire: loop::current()->cancel(op, errc::timed_out); return;
    case event::forget: loop::current()->forget(op); return;
    case event::done: return;
    }
}

void operation::let_go() noexcept {
    if (state != phase::ended) {
        // One that its loop has forgotten has ended. Cancelled before it began, an operation waits
        // in the queue although its descriptor has no loop yet.
        loop* here = loop::current();
        if (here != nullptr &&
            (target == nullptr || target->home == nullptr || target->home == here->shared_inbox()))
            here->abandon(*this);
    }
    if (target != nullptr)
        loop::release_reference(*target);
}

} // namespace gyre::detail
