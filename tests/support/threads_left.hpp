#pragma once

namespace gyre_test {

/// While this lives, `n` more threads can be started; then pthread_create fails with EAGAIN, as it
/// does at a limit. For programs that are linked with threads_left.cpp.
class threads_left {
public:
    explicit threads_left(int n);
    threads_left(const threads_left&) = delete;
    ~threads_left();
};

} // namespace gyre_test
