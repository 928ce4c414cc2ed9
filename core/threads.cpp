#include <gyre/core/threads.hpp>

namespace gyre::detail {

void start_detached_thread(void (*run)(const std::shared_ptr<void>& argument),
                           std::shared_ptr<void> argument) {
    start_thread([run, argument = std::move(argument)] { run(argument); }).detach();
}

} // namespace gyre::detail
