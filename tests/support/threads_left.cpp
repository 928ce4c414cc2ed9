#include "threads_left.hpp"

#include <atomic>
#include <cerrno>
#include <dlfcn.h>
#include <pthread.h>

// A sanitizer that is linked into the program offers its own pthread_create under these names.
using create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
extern "C" [[gnu::weak]] create ___interceptor_pthread_create; // NOLINT(*-reserved-identifier)
extern "C" [[gnu::weak]] create __interceptor_pthread_create;  // NOLINT(*-reserved-identifier)

namespace gyre_test {
namespace {

constinit std::atomic<int> left = -1; // below 0: any number

} // namespace

threads_left::threads_left(int n) {
    left = n;
}
threads_left::~threads_left() {
    left = -1;
}

} // namespace gyre_test

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) noexcept {
    if (gyre_test::left == 0)
        return EAGAIN;
    if (gyre_test::left > 0)
        --gyre_test::left;
    static create* const real = ___interceptor_pthread_create != nullptr
                                    ? ___interceptor_pthread_create
                                : __interceptor_pthread_create != nullptr
                                    ? __interceptor_pthread_create
                                    : reinterpret_cast<create*>(dlsym(RTLD_NEXT, "pthread_create"));
    return real(thread, attributes, start, argument);
}
