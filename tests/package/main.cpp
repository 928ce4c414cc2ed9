#include <gyre/gyre.hpp>

#include <cstdio>

static gyre::task<int> seven() {
    co_return 7;
}

int main() {
    std::printf("%d\n", gyre::run(seven()));
}
