#include <gyre/core/loop_thread.hpp>
#include <gyre/core/threads.hpp>

#include <future>

namespace gyre {

loop_thread::loop_thread(loop_options options) {
    std::promise<gyre::loop*> made;
    std::future<gyre::loop*> ready = made.get_future();
    thread_ = detail::start_thread([this, options, promise = std::move(made)]() mutable {
        try {
            gyre::loop l(options);
            promise.set_value(&l);
            l.run();
            l.end();
            released_.acquire(); // others may still post to it, and stop it
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    });
    loop_ = ready.get();
}

loop_thread::~loop_thread() {
    loop_->stop();
    released_.release();
}

} // namespace gyre
