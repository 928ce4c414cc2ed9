#include <gyre/io/address.hpp>

#include <net/if.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_set>

namespace {

using gyre::address;
using namespace std::string_literals;

std::string lo() {
    return std::to_string(::if_nametoindex("lo"));
}

std::string error_of(std::string_view text) {
    const auto result = address::try_parse(text);
    return result ? "accepted as " + result->to_string() : result.error().message;
}

std::errc code_of(std::string_view text) {
    const auto result = address::try_parse(text);
    return result ? std::errc{} : result.error().code;
}

template <class Make>
std::errc thrown_by(Make make) {
    try {
        make();
    } catch (const std::system_error& error) {
        return static_cast<std::errc>(error.code().value());
    }
    return {};
}

// The address of a socket of this family and type, after binding it to `wanted`.
address bound(const address& wanted, int type) {
    const int fd = ::socket(wanted.family(), type | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(fd, wanted.data(), wanted.size()), 0) << wanted.to_string();
    address name;
    socklen_t size = name.capacity();
    EXPECT_EQ(::getsockname(fd, name.data(), &size), 0);
    name.resize(size);
    ::close(fd);
    return name;
}

static_assert(std::is_trivially_copyable_v<address> && sizeof(address) == 136);

TEST(Address, ANewOneIsEmpty) {
    const address none;
    EXPECT_TRUE(none.empty());
    EXPECT_EQ(none.size(), 0U);
    EXPECT_EQ(none.family(), AF_UNSPEC);
    EXPECT_EQ(none.port(), 0);
    EXPECT_TRUE(none.ip_bytes().empty());
    EXPECT_FALSE(none.is_ipv4() || none.is_ipv6() || none.is_unix_unnamed());
    EXPECT_EQ(none.to_string(), "(no address)");
    EXPECT_EQ(none, address(nullptr, 0));
}

TEST(Address, Ipv4KeepsItsBytesAndPortInNetworkOrder) {
    const address a = address::ipv4(0x01020304, 7000);
    EXPECT_EQ(a.family(), AF_INET);
    EXPECT_TRUE(a.is_ipv4());
    EXPECT_EQ(a.size(), sizeof(sockaddr_in));
    EXPECT_EQ(a.port(), 7000);
    const std::array<std::byte, 4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    EXPECT_TRUE(std::ranges::equal(a.ip_bytes(), bytes));
    EXPECT_EQ(a, address::ipv4(bytes, 7000));
    EXPECT_EQ(a.host(), "1.2.3.4");
    sockaddr_in raw;
    std::memcpy(&raw, a.data(), sizeof raw);
    EXPECT_EQ(raw.sin_port, htons(7000));
    EXPECT_EQ(raw.sin_addr.s_addr, htonl(0x01020304));
}

TEST(Address, Ipv6KeepsScopeAndFlowInformation) {
    std::array<std::byte, 16> ip{};
    ip[0] = std::byte{0xfe};
    ip[1] = std::byte{0x80};
    ip[15] = std::byte{1};
    const address a = address::ipv6(ip, 7000, 42, 0xfffff);
    EXPECT_TRUE(a.is_ipv6());
    EXPECT_EQ(a.family(), AF_INET6);
    EXPECT_EQ(a.size(), sizeof(sockaddr_in6));
    EXPECT_EQ(a.port(), 7000);
    EXPECT_EQ(a.scope_id(), 42U);
    EXPECT_EQ(a.flow_info(), 0xfffffU);
    EXPECT_TRUE(std::ranges::equal(a.ip_bytes(), ip));
    EXPECT_EQ(a.host(), "fe80::1%42");
    EXPECT_EQ(a.to_string(), "[fe80::1%42]:7000");
    sockaddr_in6 raw;
    std::memcpy(&raw, a.data(), sizeof raw);
    EXPECT_EQ(raw.sin6_flowinfo, htonl(0xfffff));
}

TEST(Address, FlowInformationBeyondTwentyBitsIsRefused) {
    const std::array<std::byte, 16> ip{};
    EXPECT_EQ(thrown_by([&] { address::ipv6(ip, 1, 0, 0x100000); }), std::errc::invalid_argument);
}

TEST(Address, TheWellKnownHaveNames) {
    EXPECT_EQ(address::any_ipv4(0).to_string(), "0.0.0.0:0");
    EXPECT_EQ(address::any_ipv6(1).to_string(), "[::]:1");
    EXPECT_EQ(address::loopback_ipv4(2).to_string(), "127.0.0.1:2");
    EXPECT_EQ(address::loopback_ipv6(65535).to_string(), "[::1]:65535");
    EXPECT_EQ(address::parse("<broadcast>:9").to_string(), "255.255.255.255:9");
}

TEST(Address, TextIsReadAndWrittenInOneForm) {
    const std::pair<std::string, std::string> table[] = {
        {"127.0.0.1:7000", "127.0.0.1:7000"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"255.255.255.255:65535", "255.255.255.255:65535"},
        {"[::1]:7000", "[::1]:7000"},
        {"[2001:DB8:0000:0:0:0:0:1]:1", "[2001:db8::1]:1"},
        {"[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},   // the first of the longest runs
        {"[2001:0:0:1:0:0:0:1]:1", "[2001:0:0:1::1]:1"},         // the longest run
        {"[2001:db8::1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1"}, // a single zero stays
        {"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"},
        {"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1"},
        {"[::FFFF:102:304]:1", "[::ffff:1.2.3.4]:1"},
        {"[fe80::1%42]:7000", "[fe80::1%42]:7000"},
        {"[fe80::1%4294967295]:7000", "[fe80::1%4294967295]:7000"},
        {"[fe80::1%lo]:7000", "[fe80::1%" + lo() + "]:7000"},
        {"unix:/run/x", "unix:/run/x"},
        {"unix:x y:1", "unix:x y:1"},
        {"unix:@abstract", "unix:@abstract"},
        {"unix:@", "unix:@"},
        {"unix:@@", "unix:@@"},
        {"unix:\\x40file", "unix:\\x40file"},
        {"unix:/a\\x5Cb\\x0a", "unix:/a\\x5cb\\x0a"},
        {"unix:@a\\x00b\\xff\\x00", "unix:@a\\x00b\\xff\\x00"},
        {"unix:@a\0b"s, "unix:@a\\x00b"},
        {"unix:/tmp/\u00e9", "unix:/tmp/\\xc3\\xa9"},
    };
    for (const auto& [text, canonical] : table) {
        const auto a = address::try_parse(text);
        ASSERT_TRUE(a) << text << ": " << a.error().message;
        EXPECT_EQ(a->to_string(), canonical);
        EXPECT_EQ(address::parse(canonical), *a) << canonical;
    }
}

TEST(Address, Ipv4MappedStaysIpv6) {
    EXPECT_TRUE(address::parse("[::ffff:1.2.3.4]:1").is_ipv6());
    EXPECT_NE(address::parse("[::ffff:1.2.3.4]:1"), address::parse("1.2.3.4:1"));
}

TEST(Address, BadTextIsRefused) {
    const std::string table[] = {
        "",
        " ",
        ":",
        "::",
        "::1",
        "::1:7000",
        "[]:1",
        "[::1]",
        "[::1]:",
        "[::1]7000",
        "[::1]x80",
        "[::1",
        "::1]:1",
        "[::1]:7000 ",
        " [::1]:7000",
        "[ ::1]:7000",
        "[::1]]:1",
        "[[::1]]:1",
        "[1::2::3]:1",
        "[1:2:3:4:5:6:7:8:9]:1",
        "[12345::]:1",
        "[::1/64]:1",
        "[127.0.0.1]:1",
        "[::1\0]:1"s,
        "[::ffff:1.2.3.04]:1",
        "[::g]:1",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:7000 ",
        " 127.0.0.1:7000",
        "127.0.0.1 :7000",
        "127.1:7000",
        "127.0.1:7000",
        "2130706433:7000",
        "127.0.0.01:1",
        "0127.0.0.1:1",
        "0x7f.0.0.1:1",
        "256.0.0.1:1",
        "1.2.3.4.5:1",
        "1.2.3.:1",
        "-1.2.3.4:1",
        "127.0.0.1%1:1",
        "127.0.0.1\0:1"s,
        ":7000",
        "*:7000",
        "localhost:7000",
        "example.org:80",
        "1.2.3.4:65536",
        "1.2.3.4:70000",
        "1.2.3.4:4294967376",
        "1.2.3.4:99999999999999999999",
        "1.2.3.4:+80",
        "1.2.3.4:-1",
        "1.2.3.4: 80",
        "1.2.3.4:080",
        "1.2.3.4:00",
        "1.2.3.4:0x50",
        "1.2.3.4:80\0"s,
        "1.2.3.4:80\n",
        "1.2.3.4:http",
        "1.2.3.4:80:81",
        "[fe80::1%]:1",
        "[fe80::1%0]:1",
        "[fe80::1%4294967296]:1",
        "[fe80::1%nosuchif]:1",
        "[fe80::1%lo:1]:1",
        "[fe80::1%lo\0]:1"s,
        "[fe80::1%lo%lo]:1",
        "[fe80::1%+1]:1",
        "[fe80::1%01]:1",
        "[fe80::1%an-interface-name-too-long]:1",
        "[%lo]:1",
        "unix:",
        "unix:/a\0b"s,
        "unix:/a\\x00b",
        "unix:\\",
        "unix:\\x",
        "unix:\\x4",
        "unix:\\n",
        "unix:\\x4g",
        "unix:@\\xg0",
        "unix",
        "UNIX:/run/x",
        "<broadcast>",
        "<BROADCAST>:9",
        "[<broadcast>]:9",
        "(no address)",
        "(unnamed UNIX socket)",
        "(AF_X25, 12 bytes)",
    };
    for (const std::string& text : table) {
        const auto a = address::try_parse(text);
        EXPECT_FALSE(a) << testing::PrintToString(text) << " read as " << a->to_string();
    }
}

TEST(Address, TheErrorNamesTheTextAndWhatIsWrongWithIt) {
    EXPECT_EQ(error_of("[::1]:70000"), "\"[::1]:70000\": port 70000 is not in 0..65535");
    EXPECT_EQ(error_of("1.2.3.4:+80"), "\"1.2.3.4:+80\": port +80 is not a decimal number without "
                                       "sign, space or leading zero");
    EXPECT_EQ(error_of("1.2.3.4:080"), "\"1.2.3.4:080\": port 080 is not a decimal number without "
                                       "sign, space or leading zero");
    EXPECT_EQ(error_of("[::1]:"),
              "\"[::1]:\": the port is missing, as in 127.0.0.1:7000 or [::1]:7000");
    EXPECT_EQ(error_of("1.2.3.4"),
              "\"1.2.3.4\": the port is missing, as in 127.0.0.1:7000 or [::1]:7000");
    EXPECT_EQ(error_of("::1"), "\"::1\": an IPv6 address is written in brackets, as in [::1]:7000");
    EXPECT_EQ(error_of("127.1:1"), "\"127.1:1\": 127.1 is not an IPv4 address in full, such as "
                                   "127.0.0.1; names need the resolver");
    EXPECT_EQ(error_of("[fe80::1%nosuchif]:1"),
              "\"[fe80::1%nosuchif]:1\": interface nosuchif: No such device");
    EXPECT_EQ(code_of("[fe80::1%nosuchif]:1"), std::errc::no_such_device);
    EXPECT_EQ(code_of("127.1:1"), std::errc::invalid_argument);
}

TEST(Address, AnErrorMessageIsPrintableAndShortWhateverTheText) {
    const std::string message = error_of("\x1b[2J\n" + std::string(1'000'000, '\0'));
    EXPECT_LT(message.size(), 1000U);
    EXPECT_EQ(message.find_first_of("\x1b\n\0"s), std::string::npos);
    for (const char* around : {":", "[]:1", "1.2.3.4:", "[::1%]:1", "unix:"}) {
        std::string text = around;
        text.insert(text.find_first_of("]:%") + (text[0] == '[' ? 0 : 1), 1000, '\x1b');
        EXPECT_LT(error_of(text).size(), 1000U) << around;
        EXPECT_EQ(error_of(text).find('\x1b'), std::string::npos) << around;
    }
}

TEST(Address, ParseThrowsWhatTryParseReports) {
    try {
        address::parse("1.2.3.4:65536");
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::invalid_argument);
        EXPECT_NE(std::string(error.what()).find(error_of("1.2.3.4:65536")), std::string::npos);
    }
}

TEST(Address, ANumericHostIsToldFromAName) {
    EXPECT_EQ(address::from_ip("127.0.0.1", 1), address::loopback_ipv4(1));
    EXPECT_EQ(address::from_ip("::1", 2), address::loopback_ipv6(2));
    EXPECT_EQ(address::from_ip("<broadcast>", 3), address::ipv4(INADDR_BROADCAST, 3));
    EXPECT_EQ(address::from_ip("fe80::1%lo", 4), address::parse("[fe80::1%lo]:4"));
    for (const std::string& name : {"localhost"s, ""s, "[::1]"s, "127.1"s, "1"s, "::1\0"s, "::1 "s,
                                    "127.0.0.1\0x"s, "::1%"s, "1.2.3.4%lo"s, "a:b"s, "unix:/x"s})
        EXPECT_FALSE(address::from_ip(name, 1)) << name;
    EXPECT_EQ(address::from_ip("a b", 1).error().message.substr(0, 7), "\"a b\": ");
}

TEST(Address, TheHostOfAnAddressIsReadBackByFromIp) {
    for (const char* text : {"1.2.3.4:5", "[::]:5", "[fe80::1%3]:5", "[::ffff:1.2.3.4]:5"}) {
        const address a = address::parse(text);
        EXPECT_EQ(address::from_ip(a.host(), 5), a) << text;
    }
    EXPECT_EQ(address::unix_path("/x").host(), "");
}

TEST(Address, AUnixPathHoldsUpTo107BytesAndNoNul) {
    const std::string longest(107, 'p');
    const address a = address::unix_path(longest);
    EXPECT_TRUE(a.is_unix_path());
    EXPECT_FALSE(a.is_unix_abstract() || a.is_unix_unnamed());
    EXPECT_EQ(a.path(), longest);
    EXPECT_EQ(a.abstract_name(), "");
    EXPECT_EQ(a.size(), sizeof(sockaddr_un));
    EXPECT_EQ(address::parse("unix:" + longest), a);
    EXPECT_EQ(thrown_by([] { address::unix_path(std::string(108, 'p')); }),
              std::errc::filename_too_long);
    EXPECT_EQ(code_of("unix:" + longest + "p"), std::errc::filename_too_long);
    EXPECT_EQ(thrown_by([] { address::unix_path("/a\0b"s); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown_by([] { address::unix_path(""); }), std::errc::invalid_argument);
}

TEST(Address, AnAbstractNameHoldsUpTo107BytesOfAnyKind) {
    const std::string longest = "a\0"s + std::string(104, 'n') + '\0';
    const address a = address::unix_abstract(longest);
    EXPECT_TRUE(a.is_unix_abstract());
    EXPECT_FALSE(a.is_unix_path() || a.is_unix_unnamed());
    EXPECT_EQ(a.abstract_name(), longest);
    EXPECT_EQ(a.path(), "");
    EXPECT_EQ(a.size(), sizeof(sockaddr_un));
    EXPECT_EQ(address::parse(a.to_string()), a);
    EXPECT_NE(address::unix_abstract("x"), address::unix_abstract("x\0"s)) << "it counts";
    EXPECT_NE(address::unix_abstract("x"), address::unix_path("x"));
    EXPECT_EQ(thrown_by([] { address::unix_abstract(std::string(108, 'n')); }),
              std::errc::filename_too_long);
    EXPECT_EQ(code_of("unix:@" + std::string(108, 'n')), std::errc::filename_too_long);
}

TEST(Address, EveryByteOfAUnixNameSurvivesItsText) {
    std::string bytes;
    for (int byte = 0; byte < 256; ++byte)
        bytes += static_cast<char>(byte);
    for (std::size_t at = 0; at < bytes.size(); at += 64) {
        const std::string name = bytes.substr(at, 64);
        const address abstract = address::unix_abstract(name);
        EXPECT_EQ(address::parse(abstract.to_string()), abstract) << abstract.to_string();
        const address path = address::unix_path(name.substr(1));
        EXPECT_EQ(address::parse(path.to_string()), path) << path.to_string();
    }
}

TEST(Address, TheKernelGivesBackWhatWasBound) {
    const address ip = bound(address::loopback_ipv4(0), SOCK_DGRAM);
    EXPECT_NE(ip.port(), 0);
    EXPECT_EQ(ip, address::loopback_ipv4(ip.port()));
    const std::string unique = "gyre\0address test "s + std::to_string(::getpid());
    for (const std::string& name : {unique, unique + '\0', unique + std::string(80, 'x')}) {
        const address abstract = address::unix_abstract(name);
        EXPECT_EQ(bound(abstract, SOCK_STREAM), abstract);
    }
    const std::string path = "/tmp/gyre-address-test-" + std::to_string(::getpid());
    for (const std::string& file : {path, path + std::string(107 - path.size(), 'x')}) {
        EXPECT_EQ(bound(address::unix_path(file), SOCK_STREAM), address::unix_path(file));
        EXPECT_EQ(::unlink(file.c_str()), 0);
    }
}

TEST(Address, APathOf108BytesFromTheKernelCanBeUsedAgain) {
    sockaddr_un raw{.sun_family = AF_UNIX, .sun_path = {}};
    std::string path = "/tmp/gyre-address-test-" + std::to_string(::getpid());
    path.resize(sizeof raw.sun_path, 'x');
    path.copy(raw.sun_path, path.size());
    const address name =
        bound(address(reinterpret_cast<const sockaddr*>(&raw), sizeof raw), SOCK_STREAM);
    ::unlink(path.c_str());
    EXPECT_EQ(name.path(), path);
    EXPECT_EQ(bound(name, SOCK_STREAM), name);
    ::unlink(path.c_str());
}

TEST(Address, BindingToTheUnnamedOneLetsTheKernelPickAnAbstractName) {
    EXPECT_TRUE(address::unix_unnamed().is_unix_unnamed());
    EXPECT_EQ(address::unix_unnamed().to_string(), "(unnamed UNIX socket)");
    const address name = bound(address::unix_unnamed(), SOCK_DGRAM);
    EXPECT_TRUE(name.is_unix_abstract());
    EXPECT_EQ(name.abstract_name().size(), 5U);
}

TEST(Address, AnUnboundUnixSocketIsUnnamed) {
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address name;
    socklen_t size = name.capacity();
    ASSERT_EQ(::getsockname(fd, name.data(), &size), 0);
    name.resize(size);
    ::close(fd);
    EXPECT_EQ(name, address::unix_unnamed());
}

TEST(Address, ResizeBringsTheBytesIntoOneForm) {
    sockaddr_in padded{.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {}, .sin_zero = {}};
    padded.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    padded.sin_zero[3] = 7;
    EXPECT_EQ(address(reinterpret_cast<const sockaddr*>(&padded), sizeof padded),
              address::loopback_ipv4(1));
    const sockaddr_un path{.sun_family = AF_UNIX, .sun_path = "/run/x"};
    const auto* raw = reinterpret_cast<const sockaddr*>(&path);
    EXPECT_EQ(address(raw, sizeof path), address::unix_path("/run/x"));
    const socklen_t unterminated = offsetof(sockaddr_un, sun_path) + 6;
    EXPECT_EQ(address(raw, unterminated), address::unix_path("/run/x"));
    address used = address::unix_path("/run/xyz");
    used.resize(unterminated);
    EXPECT_EQ(used, address::unix_path("/run/x")) << "what was there before is gone";
    address full = used;
    std::memset(reinterpret_cast<char*>(full.data()) + sizeof(sa_family_t), 'x',
                full.capacity() - sizeof(sa_family_t));
    full.resize(full.capacity());
    EXPECT_EQ(full.path(), std::string(108, 'x'));
    EXPECT_EQ(full.size(), sizeof(sockaddr_un));
}

TEST(Address, FamiliesThatGyreDoesNotKnowAreKeptAsBytes) {
    sockaddr_storage raw{};
    raw.ss_family = AF_X25;
    auto* bytes = reinterpret_cast<unsigned char*>(&raw);
    bytes[127] = 9;
    const address a(reinterpret_cast<const sockaddr*>(&raw), sizeof raw);
    EXPECT_EQ(a.family(), AF_X25);
    EXPECT_EQ(a.size(), 128U);
    EXPECT_EQ(std::memcmp(a.data(), &raw, sizeof raw), 0);
    EXPECT_EQ(a.to_string(), "(AF_X25, 128 bytes)");
    address cut_off = a;
    cut_off.resize(4096);
    EXPECT_EQ(cut_off, a);
    bytes[127] = 8;
    EXPECT_NE(a, address(reinterpret_cast<const sockaddr*>(&raw), sizeof raw));
    EXPECT_EQ(thrown_by([&] { address(reinterpret_cast<const sockaddr*>(&raw), 129); }),
              std::errc::invalid_argument);
}

TEST(Address, ACutOffAddressIsNotTakenForAWholeOne) {
    const address whole = address::loopback_ipv6(7000);
    const address part(whole.data(), sizeof(sockaddr_in6) - 1);
    EXPECT_EQ(part.family(), AF_INET6);
    EXPECT_FALSE(part.is_ipv6());
    EXPECT_EQ(part.port(), 0);
    EXPECT_TRUE(part.ip_bytes().empty());
    EXPECT_EQ(address(whole.data(), 1).family(), AF_UNSPEC);
    address name = whole;
    name.resize(4096); // what the kernel says when it had more to tell
    EXPECT_EQ(name, whole);
}

TEST(Address, ResizingToNothingMakesItEmpty) {
    address from = address::loopback_ipv4(1);
    from.resize(0);
    EXPECT_EQ(from, address());
}

TEST(Address, EqualOnesHashAlikeAndDifferentOnesAreDifferent) {
    const std::unordered_set<address> set{
        address(),
        address::unix_unnamed(),
        address::parse("1.2.3.4:1"),
        address::parse("1.2.3.4:1"),
        address::parse("1.2.3.4:2"),
        address::parse("1.2.3.5:1"),
        address::parse("[fe80::1%1]:1"),
        address::parse("[fe80::1%2]:1"),
        address::parse("unix:/x"),
        address::parse("unix:@/x"),
    };
    EXPECT_EQ(set.size(), 9U);
    EXPECT_TRUE(set.contains(address::ipv4(0x01020304, 2)));
    EXPECT_FALSE(set.contains(address::ipv4(0x01020304, 3)));
}

} // namespace
