#include "../support/sockets.hpp"
#include "../support/test_source.hpp"

#include <gyre/io/host.hpp>
#include <gyre/resolver/gethostbyname.hpp>

#include <string>

namespace {

using namespace gyre_test;

class GetHostByName : public on_each_backend<> {};
GYRE_ON_EACH_BACKEND(GetHostByName);

std::error_code eai(int value) {
    return {value, gyre::address_info_category()};
}
std::error_code herror(int value) {
    return {value, gyre::host_category()};
}

gyre::address ip(const std::string& text) {
    return gyre::address::from_ip(text, 0).value();
}

TEST_P(GetHostByName, GivesTheFirstIPv4Address) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::gethostbyname("localhost"), ip("127.0.0.1"));
        test_names names;
        EXPECT_EQ((co_await names->gethostbyname("a.test")).host(), "192.0.2.1");
    });
}

TEST_P(GetHostByName, KnowsEveryAddressAndBroadcast) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await gyre::gethostbyname(""), ip("0.0.0.0"));
        EXPECT_EQ(co_await gyre::gethostbyname("<broadcast>"), ip("255.255.255.255"));
        EXPECT_EQ(co_await gyre::gethostbyname("127.1"), ip("127.0.0.1"));
        EXPECT_EQ(co_await outcome(gyre::gethostbyname("::1")), eai(EAI_ADDRFAMILY));
    });
}

TEST_P(GetHostByName, ExGivesNamesAndAddresses) {
    run([]() -> gyre::task<> {
        const gyre::host_entry local = co_await gyre::gethostbyname_ex("localhost");
        EXPECT_EQ(local.name, "localhost");
        CO_ASSERT_TRUE(!local.addresses.empty());
        EXPECT_EQ(local.addresses[0], ip("127.0.0.1"));
        const gyre::host_entry numeric = co_await gyre::gethostbyname_ex("192.0.2.7");
        EXPECT_EQ(numeric, (gyre::host_entry{"192.0.2.7", {}, {ip("192.0.2.7")}}));
    });
}

TEST_P(GetHostByName, ExOfAnUnknownNameIsAnErrorOfTheForwardLookUp) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->fail("none.test", eai(EAI_NONAME));
        names.source->fail("by name half.test", herror(NO_DATA));
        EXPECT_EQ(co_await outcome(names->gethostbyname_ex("none.test")), eai(EAI_NONAME));
        EXPECT_EQ(co_await outcome(names->gethostbyname_ex("half.test")), herror(NO_DATA));
        EXPECT_EQ(co_await outcome(names->gethostbyname_ex("")), herror(NO_RECOVERY));
    });
}

TEST_P(GetHostByName, ANulInAHostIsAnInvalidArgument) {
    run([]() -> gyre::task<> {
        const std::string host("localhost\0.evil", 15);
        EXPECT_EQ(co_await outcome(gyre::gethostbyname(host)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::gethostbyname_ex(host)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::gethostbyaddr(host)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::getfqdn(host)), std::errc::invalid_argument);
    });
}

TEST_P(GetHostByName, ByAddrGivesTheNamesOfAnAddress) {
    run([]() -> gyre::task<> {
        const gyre::host_entry local = co_await gyre::gethostbyaddr("127.0.0.1");
        EXPECT_EQ(local.name, "localhost");
        EXPECT_EQ(co_await gyre::gethostbyaddr(gyre::address::loopback_ipv4(80)), local);
        EXPECT_EQ(co_await gyre::gethostbyaddr("localhost"), local);
        test_names names;
        const gyre::host_entry six = co_await names->gethostbyaddr("2001:db8::1");
        EXPECT_EQ(six.name, "canonical.test");
        EXPECT_EQ(names.source->asked("by address 2001:db8::1"), 1);
    });
}

TEST_P(GetHostByName, ByAddrTellsWhichOfItsTwoLookUpsFailed) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->fail("none.test", eai(EAI_NONAME));
        names.source->fail("by address 192.0.2.9", herror(HOST_NOT_FOUND));
        names.source->fail("by address 192.0.2.8", herror(TRY_AGAIN));
        EXPECT_EQ(co_await outcome(names->gethostbyaddr("none.test")), eai(EAI_NONAME));
        EXPECT_EQ(co_await outcome(names->gethostbyaddr("192.0.2.9")), herror(HOST_NOT_FOUND));
        bool caught = false;
        try {
            co_await names->gethostbyaddr(ip("192.0.2.8"));
        } catch (const gyre::host_error& e) {
            caught = true;
            EXPECT_EQ(e.code(), herror(TRY_AGAIN));
            EXPECT_EQ(e.what(), std::string("gethostbyaddr 192.0.2.8: ") + hstrerror(TRY_AGAIN));
        }
        EXPECT_TRUE(caught);
    });
}

TEST_P(GetHostByName, ByAddrRefusesWhatIsNoAddress) {
    run([]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::gethostbyaddr("")), std::errc::invalid_argument);
        const gyre::address path = gyre::address::unix_path("/x");
        EXPECT_EQ(co_await outcome(gyre::gethostbyaddr(path)), std::errc::invalid_argument);
        EXPECT_EQ(co_await outcome(gyre::gethostbyaddr(gyre::address())),
                  std::errc::invalid_argument);
    });
}

TEST_P(GetHostByName, GetFqdnPrefersANameWithADomain) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->canonical = "short";
        names.source->aliases = {"other", "long.test", "longer.test"};
        EXPECT_EQ(co_await names->getfqdn("a.test"), "long.test");
        EXPECT_EQ(co_await names->getfqdn("192.0.2.1"), "long.test");
        names.source->aliases = {"other"};
        EXPECT_EQ(co_await names->getfqdn("a.test"), "short");
        names.source->canonical = "first.test";
        EXPECT_EQ(co_await names->getfqdn(" \ta.test \n"), "first.test");
        EXPECT_EQ(names.source->asked("a.test"), 3);
    });
}

TEST_P(GetHostByName, GetFqdnGivesBackWhatCannotBeLookedUp) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->fail("none.test", eai(EAI_AGAIN));
        names.source->fail("by address 192.0.2.9", herror(HOST_NOT_FOUND));
        EXPECT_EQ(co_await names->getfqdn(" none.test "), "none.test");
        EXPECT_EQ(co_await names->getfqdn("192.0.2.9"), "192.0.2.9");
        EXPECT_EQ(co_await names->getfqdn("a..b"), "a..b");
        names.source->fail(gyre::gethostname(), eai(EAI_NONAME));
        for (const std::string own : {"", " ", "0.0.0.0", "::"})
            EXPECT_EQ(co_await names->getfqdn(own), gyre::gethostname());
    });
}

TEST_P(GetHostByName, GetFqdnCanBeCancelled) {
    run([]() -> gyre::task<> {
        test_names names;
        names.source->hold("slow.test");
        EXPECT_EQ(co_await outcome(gyre::with_timeout(1ms, names->getfqdn("slow.test"))),
                  gyre::errc::timed_out);
    });
}

TEST(HostCategory, SpeaksAsHstrerrorDoes) {
    const std::error_code code = herror(HOST_NOT_FOUND);
    EXPECT_EQ(code.message(), hstrerror(HOST_NOT_FOUND));
    EXPECT_STREQ(code.category().name(), "netdb");
}

} // namespace
