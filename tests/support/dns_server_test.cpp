#include "dns_server.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

// That the tests' own name server speaks as RFC 1035 has it, byte by byte.

namespace {

using namespace gyre_test;

std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> all;
    for (const int v : values)
        all.push_back(static_cast<std::byte>(v));
    return all;
}

// "a.test", type AAAA, class IN.
const std::vector<std::byte> aaaa_query =
    bytes({0x12, 0x34, 0x01, 0x00, 0,   1,   0,   0, 0, 0,  0, 0,
           1,    'a',  4,    't',  'e', 's', 't', 0, 0, 28, 0, 1});

const dns_query a_of_a{.id = 0xbeef, .recursion_desired = true, .name = "a.test", .type = 1};

TEST(DnsMessage, AQueryIsRead) {
    const dns_query expected{.id = 0x1234, .recursion_desired = true, .name = "a.test", .type = 28};
    EXPECT_EQ(read_dns_query(aaaa_query), expected);
}

TEST(DnsMessage, NoPartOfAQueryIsAQuery) {
    for (std::size_t n = 0; n < aaaa_query.size(); ++n)
        EXPECT_EQ(read_dns_query(std::span(aaaa_query).first(n)), std::nullopt) << n;
    std::vector<std::byte> longer = aaaa_query;
    longer.push_back(std::byte{0});
    EXPECT_EQ(read_dns_query(longer), std::nullopt);
}

TEST(DnsMessage, WhatIsNoStandardQueryOfOneQuestionIsNotRead) {
    const auto with = [](std::size_t at, int value) {
        std::vector<std::byte> m = aaaa_query;
        m[at] = static_cast<std::byte>(value);
        return read_dns_query(m);
    };
    EXPECT_EQ(with(2, 0x81), std::nullopt); // a response
    EXPECT_EQ(with(2, 0x09), std::nullopt); // an inverse query
    EXPECT_EQ(with(2, 0x03), std::nullopt); // cut off
    EXPECT_EQ(with(3, 0x40), std::nullopt); // a bit that has no meaning
    for (const std::size_t at : {4U, 5U, 6U, 7U, 8U, 9U, 10U, 11U})
        EXPECT_EQ(with(at, 2), std::nullopt) << at;
    EXPECT_EQ(with(12, 0xc0), std::nullopt); // a pointer
    EXPECT_EQ(with(12, 64), std::nullopt);   // a label that is too long
    EXPECT_EQ(with(23, 3), std::nullopt);    // class CH
    EXPECT_NE(with(2, 0x00), std::nullopt);  // no recursion is wanted
}

TEST(DnsMessage, ANameIsOf255BytesAtMost) {
    const auto query_of = [](int last) {
        std::vector<std::byte> m(aaaa_query.begin(), aaaa_query.begin() + 12);
        for (const int length : {63, 63, 63, last}) {
            m.push_back(static_cast<std::byte>(length));
            m.insert(m.end(), static_cast<std::size_t>(length), std::byte{'a'});
        }
        m.insert(m.end(), aaaa_query.end() - 5, aaaa_query.end());
        return read_dns_query(m);
    };
    EXPECT_NE(query_of(61), std::nullopt); // 3 * 64 + 62 + 1
    EXPECT_EQ(query_of(62), std::nullopt);
}

TEST(DnsMessage, AResponseHasTheQuestionAndPointsToItsName) {
    const dns_record record{"a.test", dns_type::a, bytes({192, 0, 2, 1})};
    EXPECT_EQ(
        write_dns_response(a_of_a, dns_code::none, std::span(&record, 1)),
        bytes({0xbe, 0xef, 0x85, 0x80, 0,   1,   0,   1, 0, 0,  0, 0,                  // header
               1,    'a',  4,    't',  'e', 's', 't', 0, 0, 1,  0, 1,                  // question
               0xc0, 12,   0,    1,    0,   1,   0,   0, 0, 60, 0, 4, 192, 0, 2, 1})); // answer
}

TEST(DnsMessage, AResponseWritesAnotherOwnerInFull) {
    const dns_record records[] = {{"a.test", dns_type::cname, dns_labels("b.test")},
                                  {"b.test", dns_type::a, bytes({192, 0, 2, 1})}};
    const auto m = write_dns_response(a_of_a, dns_code::none, records);
    EXPECT_EQ(std::vector(m.begin() + 24, m.end()),
              bytes({0xc0, 12,  0,   5,   0,   1,   0,   0,   0, 60, 0,
                     8,    1,   'b', 4,   't', 'e', 's', 't', 0, //
                     1,    'b', 4,   't', 'e', 's', 't', 0,   0, 1,  0,
                     1,    0,   0,   0,   60,  0,   4,   192, 0, 2,  1}));
}

TEST(DnsMessage, AResponseCarriesItsCode) {
    for (const auto code : {dns_code::servfail, dns_code::nxdomain, dns_code::refused})
        EXPECT_EQ(write_dns_response(a_of_a, code, {}),
                  bytes({0xbe, 0xef, 0x85, 0x80 | static_cast<int>(code),
                         0,    1,    0,    0,
                         0,    0,    0,    0,
                         1,    'a',  4,    't',
                         'e',  's',  't',  0,
                         0,    1,    0,    1}));
}

TEST(DnsMessage, WhatDoesNotFitIsLeftOutAndSaidSo) {
    const std::vector<dns_record> records(3, {"a.test", dns_type::a, bytes({192, 0, 2, 1})});
    const std::size_t all = 24 + 3 * 16;
    const auto whole = write_dns_response(a_of_a, dns_code::none, records, all);
    EXPECT_EQ(whole.size(), all);
    EXPECT_EQ(whole[2], std::byte{0x85});
    const auto cut = write_dns_response(a_of_a, dns_code::none, records, all - 1);
    EXPECT_EQ(cut.size(), all - 16);
    EXPECT_EQ(cut[2], std::byte{0x87}); // TC
    EXPECT_EQ(cut[7], std::byte{2});
}

TEST(DnsMessage, NamesAreLabels) {
    EXPECT_EQ(dns_labels(""), bytes({0}));
    EXPECT_EQ(dns_labels("a.bc"), bytes({1, 'a', 2, 'b', 'c', 0}));
    EXPECT_THROW(dns_labels("a..b"), std::invalid_argument);
    EXPECT_THROW(dns_labels(std::string(64, 'a')), std::invalid_argument);
}

TEST(DnsMessage, AddressesHaveReverseNames) {
    EXPECT_EQ(reverse_name("192.0.2.7"), "7.2.0.192.in-addr.arpa");
    EXPECT_EQ(reverse_name("2001:db8::567:89ab"), // RFC 3596 section 2.5 has its like
              "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    EXPECT_THROW(reverse_name("a.test"), std::invalid_argument);
}

} // namespace
