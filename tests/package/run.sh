#!/usr/bin/env bash
# Installs gyre into a folder of its own and builds main.cpp against it, in every way that users
# have: find_package, pkg-config, add_subdirectory; as an archive and as a shared library.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jobs=$(nproc)
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1

fail() {
    echo "package: $*" >&2
    exit 1
}

quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }
}

expect_seven() { # what was built, how to run it
    local what=$1 printed
    printed=$("${@:2}") || fail "$what: the program failed"
    [[ $printed == 7 ]] || fail "$what: printed '$printed' instead of 7"
    echo "package: $what: works"
}

# No optimisation: what is tested here is linking, and it halves the time.
cmake_build() { # build folder, source folder, options
    quietly cmake -G Ninja -S "$2" -B "$1" -DCMAKE_CXX_COMPILER=g++ -DCMAKE_BUILD_TYPE= "${@:3}"
    quietly cmake --build "$1" -j "$jobs"
}

for kind in static shared; do
    shared=$([[ $kind == shared ]] && echo ON || echo OFF)
    at=$work/$kind
    cmake_build "$at/build" "$source" -DBUILD_SHARED_LIBS=$shared -DCMAKE_INSTALL_LIBDIR=lib \
        -DGYRE_BUILD_TESTS=OFF -DGYRE_BUILD_EXAMPLES=OFF -DGYRE_BUILD_BENCH=OFF
    quietly cmake --install "$at/build" --prefix "$at/staged"
    # What is installed must neither need the build tree nor stay where it was put.
    rm -rf "$at/build"
    mv "$at/staged" "$at/prefix"
    if links=$(find "$at/prefix/include" -type l | grep .); then fail "links installed: $links"; fi

    cmake_build "$at/find_package" "$here/find_package" -DCMAKE_PREFIX_PATH="$at/prefix"
    expect_seven "find_package, $kind" "$at/find_package/consumer"

    pc=(env PKG_CONFIG_PATH="$at/prefix/lib/pkgconfig" pkg-config)
    [[ $kind == shared ]] || pc+=(--static)
    read -ra flags <<<"$("${pc[@]}" --cflags --libs gyre)"
    quietly g++ -std=c++23 "$here/main.cpp" -o "$at/consumer" "${flags[@]}"
    expect_seven "pkg-config, $kind" env LD_LIBRARY_PATH="$at/prefix/lib" "$at/consumer"

    cmake_build "$at/add_subdirectory" "$here/add_subdirectory" -DGYRE_SOURCE="$source" \
        -DBUILD_SHARED_LIBS=$shared
    expect_seven "add_subdirectory, $kind" "$at/add_subdirectory/consumer"
done
