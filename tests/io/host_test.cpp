#include "../support/refuse.hpp"

#include <gyre/core/error.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/io/address.hpp>
#include <gyre/io/host.hpp>
#include <gyre/io/option.hpp>
#include <gyre/io/socket.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <sched.h>
#include <string>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::string_literals;

/// What `f()` throws, and its code.
template <class F>
std::pair<std::string, std::error_code> error_of(F f) {
    try {
        f();
    } catch (const gyre::error& e) {
        return {e.what(), e.code()};
    }
    return {};
}

// ---- The name ----------------------------------------------------------------------------------

TEST(Host, ItsNameIsThatOfUname) {
    utsname names;
    ASSERT_EQ(::uname(&names), 0);
    EXPECT_EQ(gyre::gethostname(), names.nodename);
}

TEST(Host, ANameThatCannotBeOneIsRefusedAndChangesNothing) {
    const std::string before = gyre::gethostname();
    const auto too_long = error_of([] { gyre::sethostname(std::string(65, 'h')); });
    EXPECT_EQ(too_long.second, std::errc::filename_too_long);
    EXPECT_EQ(too_long.first, "sethostname \"" + std::string(65, 'h') +
                                  "\", a name of 65 bytes (expected at most 64): "
                                  "File name too long");
    EXPECT_EQ(error_of([] { gyre::sethostname("a\0b"s); }).second, std::errc::invalid_argument);
    EXPECT_EQ(gyre::gethostname(), before);
}

/// In a process of its own, which then gives its exit status.
void rename_in_a_namespace_of_its_own() {
    if (::unshare(CLONE_NEWUTS) != 0)
        ::_exit(77);
    const std::string longest(64, 'h');
    gyre::sethostname(longest);
    if (gyre::gethostname() != longest)
        ::_exit(1);
    gyre::sethostname("gyre.test");
    ::_exit(gyre::gethostname() == "gyre.test" ? 0 : 2);
}

void rename_where_that_is_refused() {
    if (!gyre_test::refuse(SYS_sethostname, EPERM))
        ::_exit(77);
    const auto [what, code] = error_of([] { gyre::sethostname("gyre.test"); });
    ::_exit(what == "sethostname \"gyre.test\": Operation not permitted" ? 0 : 1);
}

bool is_0_or_77(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        std::puts("this machine does not let the test do that: not tested");
    return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

TEST(HostDeathTest, IsRenamedByWhoMay) {
    EXPECT_EXIT(rename_in_a_namespace_of_its_own(), is_0_or_77, "");
}

TEST(HostDeathTest, WhoMayNotRenameItIsTold) {
    EXPECT_EXIT(rename_where_that_is_refused(), is_0_or_77, "");
}

// ---- IPv6 --------------------------------------------------------------------------------------

static_assert(gyre::has_ipv6);

TEST(Host, Ipv6IsThereWhenASocketCanHaveItsLoopbackAddress) {
    bool works = true;
    try {
        gyre::socket s = gyre::socket::open(AF_INET6);
        s.bind(gyre::address::loopback_ipv6(0));
    } catch (const gyre::error&) {
        works = false;
    }
    EXPECT_EQ(gyre::probe_ipv6(), works);
    gyre::loop loop; // whose kernel is then asked
    EXPECT_EQ(gyre::probe_ipv6(), works);
}

TEST(Host, ItServesBothFamiliesWhenV6OnlyCanBeTurnedOff) {
    bool works = true;
    try {
        gyre::socket::open(AF_INET6).set(gyre::option::v6_only, false);
    } catch (const gyre::error&) {
        works = false;
    }
    EXPECT_EQ(gyre::has_dualstack_ipv6(), works);
}

void probe_without_ipv6() {
    if (!gyre_test::refuse(SYS_socket, EAFNOSUPPORT, AF_INET6))
        ::_exit(77);
    ::_exit(gyre::probe_ipv6() || gyre::has_dualstack_ipv6() ? 1 : 0);
}

TEST(HostDeathTest, WithoutIpv6InTheKernelTheProbesSayNo) {
    EXPECT_EXIT(probe_without_ipv6(), is_0_or_77, "");
}

void probe_without_descriptors() {
    if (!gyre_test::refuse(SYS_socket, EMFILE))
        ::_exit(77);
    const auto [what, code] = error_of([] { gyre::probe_ipv6(); });
    ::_exit(what == "see whether there is IPv6: Too many open files" &&
                    error_of([] { gyre::has_dualstack_ipv6(); }).second ==
                        std::errc::too_many_files_open
                ? 0
                : 1);
}

TEST(HostDeathTest, WithoutDescriptorsTheProbesHaveNoAnswer) {
    EXPECT_EXIT(probe_without_descriptors(), is_0_or_77, "");
}

} // namespace
