#include <gyre/core/threads.hpp>

namespace gyre::detail {

void start_detached_thread(void (*run)(std::shared_ptr<void> argument),
                           std::shared_ptr<void> argument) {
    start_thread([run, argument = std::move(argument)]() mutable {
        run(std::move(argument));
    }).detach();
}

} // namespace gyre::detail
