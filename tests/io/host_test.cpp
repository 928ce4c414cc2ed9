#include "../support/error_of.hpp"
#include "../support/fixture.hpp"
#include "../support/refuse.hpp"

#include <gyre/core/loop.hpp>
#include <gyre/io/address.hpp>
#include <gyre/io/host.hpp>
#include <gyre/io/option.hpp>
#include <gyre/io/socket.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <sched.h>
#include <string>
#include <sys/syscall.h>
#include <sys/utsname.h>

namespace {

using namespace gyre_test;
using namespace std::string_literals;

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

TEST(Host, IsRenamedByWhoMay) {
    expect_in_child([](gyre::backend_kind) -> std::string {
        if (::unshare(CLONE_NEWUTS) != 0)
            return "skip: a UTS namespace cannot be made (it takes root)";
        const std::string longest(64, 'h');
        gyre::sethostname(longest);
        if (gyre::gethostname() != longest)
            return "the longest name was cut short";
        gyre::sethostname("gyre.test");
        return gyre::gethostname() == "gyre.test" ? "" : "not renamed";
    });
}

TEST(Host, WhoMayNotRenameItIsTold) {
    expect_in_child([](gyre::backend_kind) -> std::string {
        if (!refuse(SYS_sethostname, EPERM))
            return no_filters;
        const std::string what = error_of([] { gyre::sethostname("gyre.test"); }).first;
        return what == "sethostname \"gyre.test\": Operation not permitted" ? "" : what;
    });
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

TEST(Host, WithoutIpv6InTheKernelTheProbesSayNo) {
    expect_in_child([](gyre::backend_kind) -> std::string {
        if (!refuse(SYS_socket, EAFNOSUPPORT, AF_INET6))
            return no_filters;
        return gyre::probe_ipv6() || gyre::has_dualstack_ipv6() ? "one says yes" : "";
    });
}

TEST(Host, WithoutDescriptorsTheProbesHaveNoAnswer) {
    expect_in_child([](gyre::backend_kind) -> std::string {
        if (!refuse(SYS_socket, EMFILE))
            return no_filters;
        const std::string what = error_of([] { gyre::probe_ipv6(); }).first;
        if (what != "see whether there is IPv6: Too many open files")
            return what;
        const auto [other, code] = error_of([] { gyre::has_dualstack_ipv6(); });
        return code == std::errc::too_many_files_open ? "" : other;
    });
}

} // namespace
