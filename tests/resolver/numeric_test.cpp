#include "../support/counting_allocator.hpp"
#include "../support/sockets.hpp"
#include "../support/test_source.hpp"

#include <initializer_list>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <vector>

/// Numeric hosts are answered without asking anybody: exactly what getaddrinfo(3) says of them.

namespace {

using namespace gyre_test;

using addresses = std::vector<gyre::address_info>;

/// The entries, or the error.
struct answer {
    addresses found;
    std::error_code code;
    bool operator==(const answer&) const = default;
};

std::ostream& operator<<(std::ostream& out, const answer& a) {
    out << (a.code ? a.code.message() : "found");
    for (const auto& i : a.found)
        out << " {" << i.family << ' ' << i.type << ' ' << i.protocol << " '" << i.canonical_name
            << "' " << i.address.to_string() << '}';
    return out;
}

struct question {
    std::string host;
    std::string service;
    gyre::address_info_hints hints;
};

std::ostream& operator<<(std::ostream& out, const question& q) {
    return out << '"' << q.host << "\" \"" << q.service << "\" family " << q.hints.family
               << " type " << q.hints.type << " protocol " << q.hints.protocol << " flags "
               << q.hints.flags;
}

/// What glibc says.
answer reference(const question& q) {
    auto a = gyre::name_source().getaddrinfo(q.host, q.service, q.hints);
    return a ? answer{*std::move(a), {}} : answer{{}, a.error()};
}

/// What it answers without having to ask: the task ends in its first turn, with nobody asked.
std::optional<answer> at_once(test_names& names, const question& q) {
    const int before = names.source->asked();
    answer given;
    const auto ask = [&]() -> gyre::task<> {
        try {
            given.found = co_await names->getaddrinfo(q.host, q.service, q.hints);
        } catch (const gyre::error& e) {
            given.code = e.code();
        }
    };
    gyre::loop::current()->run(ask());
    return names.source->asked() == before ? std::optional(given) : std::nullopt;
}

void expect_as_glibc(test_names& names, const question& q) {
    const std::optional<answer> given = at_once(names, q);
    if (!given) {
        ADD_FAILURE() << "had to ask: " << q;
        return;
    }
    EXPECT_EQ(*given, reference(q)) << q;
}

/// In all combinations that make a difference.
void expect_all_as_glibc(test_names& names, const std::vector<std::string>& hosts,
                         const std::vector<std::string>& services, const std::vector<int>& flags) {
    for (const std::string& host : hosts)
        for (const std::string& service : services)
            for (const int family : {AF_UNSPEC, AF_INET, AF_INET6})
                for (const int type : std::initializer_list<int>{0, SOCK_STREAM, SOCK_DGRAM,
                                                                 SOCK_RAW, SOCK_SEQPACKET})
                    for (const int protocol :
                         std::initializer_list<int>{0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, 99})
                        for (const int f : flags)
                            expect_as_glibc(names, {host,
                                                    service,
                                                    {.family = family,
                                                     .type = type,
                                                     .protocol = protocol,
                                                     .flags = f}});
}

class NumericHost : public testing::Test {
protected:
    gyre::loop loop_;
    test_names names_;
};

TEST_F(NumericHost, GivesTheEntriesThatGlibcGives) {
    expect_all_as_glibc(names_, {"127.0.0.1", "::1", "::ffff:192.0.2.1"}, {"80", ""}, {0});
}

TEST_F(NumericHost, HeedsFlagsAsGlibcDoes) {
    const std::vector<int> flags = {AI_PASSIVE,
                                    AI_CANONNAME,
                                    AI_NUMERICHOST,
                                    AI_NUMERICSERV,
                                    AI_V4MAPPED,
                                    AI_V4MAPPED | AI_ALL,
                                    AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST};
    for (const int type : std::initializer_list<int>{0, SOCK_STREAM})
        for (const int family : {AF_UNSPEC, AF_INET, AF_INET6})
            for (const std::string host : {"127.0.0.1", "127.1", "::1", "::ffff:192.0.2.1"})
                for (const std::string service : {"80", ""})
                    for (const int f : flags)
                        expect_as_glibc(
                            names_, {host, service, {.family = family, .type = type, .flags = f}});
}

TEST_F(NumericHost, IsReadAsGlibcReadsIt) {
    const std::vector<std::string> hosts = {"0.0.0.0",
                                            "255.255.255.255",
                                            "1",
                                            "127.1",
                                            "1.2.3",
                                            "0x7f.1",
                                            "0X7F000001",
                                            "0177.0.0.1",
                                            "2130706433",
                                            "4294967295",
                                            "1.16777215",
                                            "010.1.1.1",
                                            "::",
                                            "2001:db8::1",
                                            "2001:DB8:0:0:0:0:0:1",
                                            "1:2:3:4:5:6:7::",
                                            "::1.2.3.4",
                                            "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
                                            "fe80::1",
                                            "fe80::1%lo",
                                            "fe80::1%1",
                                            "fe80::1%42",
                                            "ff02::1%lo",
                                            "::1%1",
                                            "::1%lo",
                                            "fe80::1%nosuch",
                                            "fe80::1%",
                                            "fe80::1%4294967296",
                                            "[::1]",
                                            ":1",
                                            "::1::",
                                            "1:2"};
    for (const std::string& host : hosts)
        for (const int type : std::initializer_list<int>{0, SOCK_STREAM, SOCK_RAW})
            for (const int f : {0, AI_CANONNAME})
                expect_as_glibc(names_, {host, "", {.type = type, .flags = f}});
}

TEST_F(NumericHost, WithoutAHostIsAsGlibcSays) {
    for (const int family : {AF_INET, AF_INET6})
        for (const int type : std::initializer_list<int>{0, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW})
            for (const int f : {0, AI_PASSIVE, AI_CANONNAME, AI_PASSIVE | AI_NUMERICHOST})
                expect_as_glibc(names_, {"", "80", {.family = family, .type = type, .flags = f}});
    expect_as_glibc(names_, {"", "", {}});
}

TEST_F(NumericHost, RefusesWhatGlibcRefuses) {
    for (const std::string host : {"localhost", "1.2.3.4.5", "256.1.1.1", "1..2", "08.1.1.1",
                                   "1.2.65536", "4294967296", "0x", "1.2.3.4x", "1.2.3.4."})
        expect_as_glibc(names_, {host, "80", {.type = SOCK_STREAM, .flags = AI_NUMERICHOST}});
    for (const std::string service : {"http", "0x50", "80x", "-"})
        expect_as_glibc(names_,
                        {"127.0.0.1", service, {.type = SOCK_STREAM, .flags = AI_NUMERICSERV}});
    for (const int family : {AF_UNIX, AF_NETLINK, 99})
        expect_as_glibc(names_, {"127.0.0.1", "80", {.family = family}});
    for (const int type : std::initializer_list<int>{SOCK_RDM, 77})
        expect_as_glibc(names_, {"127.0.0.1", "80", {.type = type}});
}

TEST_F(NumericHost, ReadsServicesAsGlibcDoes) {
    for (const std::string service : {"0", "1", "080", " 80", "\t80", "+80", "65535", "00065535"})
        for (const int type : std::initializer_list<int>{0, SOCK_STREAM, SOCK_RAW})
            expect_as_glibc(names_, {"127.0.0.1", service, {.type = type}});
}

TEST_F(NumericHost, APortThatIsNoneIsAnErrorAndDoesNotWrap) {
    const answer refused{{}, {EAI_SERVICE, gyre::address_info_category()}};
    for (const std::string service : {"65536", "70000", "-1", "4294967376", "-80",
                                      "18446744073709551696", "99999999999999999999999999999999"})
        for (const std::string host : {"127.0.0.1", "example.test", "::1", ""})
            EXPECT_EQ(at_once(names_, {host, service, {}}), refused) << host << ' ' << service;
}

TEST_F(NumericHost, ANulInItIsAnInvalidArgumentAndNotItsEnd) {
    const answer refused{{}, make_error_code(std::errc::invalid_argument)};
    for (const std::string host : {"127.0.0.1", "127.1", "::1", "fe80::1%lo", "", "localhost"})
        for (const int flags : std::initializer_list<int>{0, AI_NUMERICHOST}) {
            EXPECT_EQ(at_once(names_, {host + '\0', "80", {.flags = flags}}), refused) << host;
            EXPECT_EQ(at_once(names_, {host + '\0' + ".test", "", {.flags = flags}}), refused);
            EXPECT_EQ(at_once(names_, {host, std::string("80\0", 3), {.flags = flags}}), refused);
        }
}

TEST_F(NumericHost, AllocatesItsListAndNothingElse) {
    const auto ask = [](std::string_view host, std::size_t& allocated) -> gyre::task<> {
        const gyre::address_info_hints streams{.type = SOCK_STREAM};
        for (int i = 0; i < 2; ++i) { // the first frame comes from operator new
            const std::size_t before = allocations;
            co_await gyre::getaddrinfo(host, "80", streams);
            allocated = allocations - before;
        }
    };
    for (const std::string_view host : {"127.0.0.1", "2001:db8::1"}) {
        std::size_t allocated = 0;
        loop_.run(ask(host, allocated));
        EXPECT_EQ(allocated, sanitized ? 0U : 1U) << host;
    }
}

TEST_F(NumericHost, IsAskedForWhereOnlyOthersKnow) {
    const auto asks = [&](const question& q) { return !at_once(names_, q).has_value(); };
    EXPECT_TRUE(asks({"example.test", "80", {}}));
    EXPECT_TRUE(asks({"127.0.0.1", "http", {}}));
    EXPECT_TRUE(asks({"127.0.0.1", "80", {.flags = AI_ADDRCONFIG}}));
    EXPECT_TRUE(asks({"", "80", {}})); // which family comes first?
    EXPECT_TRUE(asks({"1.2.3.4.5", "80", {}}));
    EXPECT_TRUE(asks({"127.0.0.1", "80", {.flags = 1 << 20}}));
}

} // namespace
