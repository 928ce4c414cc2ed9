#include <gyre/core/error.hpp>
#include <gyre/io/ancillary.hpp>
#include <gyre/io/udp_segments.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/if_alg.h>
#include <netinet/in.h>
#include <unistd.h>

namespace {

static_assert(gyre::cmsg_len(0) == CMSG_LEN(0));
static_assert(gyre::cmsg_len(4) == CMSG_LEN(4));
static_assert(gyre::cmsg_space(0) == CMSG_SPACE(0));
static_assert(gyre::cmsg_space(4) == CMSG_SPACE(4));
static_assert(gyre::cmsg_space(9) == CMSG_SPACE(9));
static_assert(std::forward_iterator<gyre::ancillary::iterator>);
static_assert(std::forward_iterator<gyre::segment_range::iterator>);

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(Ancillary, GivesThePiecesThatWereAppended) {
    gyre::ancillary a;
    EXPECT_TRUE(a.begin() == a.end());
    a.append(1, 2, "hello");
    a.append(3, 4, "");
    a.append(5, 6, "12345678");
    std::vector<gyre::ancillary_piece> pieces;
    for (const auto piece : a)
        pieces.push_back(piece);
    ASSERT_EQ(pieces.size(), 3U);
    EXPECT_TRUE(pieces[0].is(1, 2));
    EXPECT_EQ(pieces[0].bytes.size(), 5U);
    EXPECT_EQ(pieces[0].as<char>(4), 'o');
    EXPECT_EQ(pieces[0].as<char>(5), std::nullopt);
    EXPECT_EQ(pieces[0].as<long>(), std::nullopt);
    EXPECT_TRUE(pieces[1].bytes.empty());
    EXPECT_EQ(pieces[2].bytes.size(), 8U);
    EXPECT_TRUE(a.find(5, 6).has_value());
    EXPECT_FALSE(a.find(5, 7).has_value());
    EXPECT_EQ(a.size(), gyre::cmsg_space(5) + gyre::cmsg_space(0) + gyre::cmsg_space(8));
    a.clear();
    EXPECT_TRUE(a.empty());
}

// The same memory as the macros of cmsg(3) see it.
TEST(Ancillary, IsWhatTheMacrosRead) {
    gyre::ancillary a;
    a.append(1, 2, "hello");
    a.append(3, 4, "abc");
    msghdr m{};
    m.msg_control = a.data();
    m.msg_controllen = a.size();
    const cmsghdr* c = CMSG_FIRSTHDR(&m);
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(c->cmsg_len, CMSG_LEN(5));
    c = CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c));
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(c->cmsg_level, 3);
    EXPECT_EQ(CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c)), nullptr);
}

TEST(Ancillary, SaysThatAPieceDoesNotFitAndKeepsTheOthers) {
    gyre::ancillary a(gyre::cmsg_space(4) + gyre::cmsg_len(2));
    a.append(1, 2, "1234");
    try {
        a.append(1, 2, "123");
        ADD_FAILURE() << "it fits";
    } catch (const gyre::error& e) {
        EXPECT_EQ(e.code(), std::errc::no_buffer_space);
    }
    EXPECT_EQ(std::ranges::distance(a), 1);
    a.append(3, 4, "12"); // the padding of the last piece may be missing
    EXPECT_EQ(std::ranges::distance(a), 2);
    EXPECT_THROW(a.append(5, 6, ""), gyre::error);
    gyre::ancillary none(0);
    EXPECT_THROW(none.append(1, 2, ""), gyre::error);
}

TEST(Ancillary, ThatIsMalformedEndsThePieces) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, gyre::cmsg_len(0) - 1,
                                     gyre::cmsg_len(100), SIZE_MAX, SIZE_MAX - 8}) {
        gyre::ancillary a;
        a.append(1, 2, "good");
        a.append(3, 4, "bad");
        cmsghdr h{};
        h.cmsg_len = length;
        std::memcpy(a.data() + gyre::cmsg_space(4), &h, sizeof h);
        EXPECT_EQ(std::ranges::distance(a), 1) << length;
    }
    gyre::ancillary a;
    a.append(1, 2, "good");
    for (std::size_t n = 0; n < gyre::cmsg_len(4); ++n)
        EXPECT_TRUE(gyre::ancillary_pieces(std::span(a.data(), n)).begin() == std::default_sentinel)
            << n;
}

TEST(Ancillary, ClosesReceivedDescriptorsThatNobodyTook) {
    const int fds[] = {::dup(0), ::dup(0), ::dup(0)};
    {
        gyre::ancillary a;
        a.append_fds(fds);
        a.set_received(a.size()); // as if they had come
        std::array<gyre::owned_fd, 1> one;
        EXPECT_EQ(a.take_fds(one), 1U);
        EXPECT_EQ(one[0].get(), fds[0]);
        std::vector<gyre::owned_fd> next = a.take_fds();
        ASSERT_EQ(next.size(), 2U);
        EXPECT_TRUE(a.take_fds().empty());
        EXPECT_EQ(next[1].release(), fds[2]);
        EXPECT_TRUE(is_open(fds[0]));
    }
    EXPECT_FALSE(is_open(fds[0]));
    EXPECT_FALSE(is_open(fds[1]));
    EXPECT_TRUE(is_open(fds[2]));
    {
        gyre::ancillary a;
        a.append_fds(std::span(fds).subspan(2));
        a.set_received(a.size());
        gyre::ancillary b = std::move(a);
        a.clear();
        EXPECT_TRUE(is_open(fds[2]));
    }
    EXPECT_FALSE(is_open(fds[2]));
}

TEST(Ancillary, LeavesDescriptorsToSendAlone) {
    const int fd = ::dup(0);
    {
        gyre::ancillary a;
        a.append_fds(std::span(&fd, 1));
        EXPECT_TRUE(a.take_fds().empty());
    }
    EXPECT_TRUE(is_open(fd));
    ::close(fd);
}

TEST(Ancillary, PacketInformationNeedsAnIpAddress) {
    gyre::ancillary a;
    EXPECT_THROW(a.append_packet_info({}), gyre::error);
    a.append_packet_info({3, {}, gyre::address::loopback_ipv4(0)});
    EXPECT_EQ(a.packet_info()->interface, 3U);
    EXPECT_EQ(a.packet_info()->local, gyre::address::loopback_ipv4(0));
    a.clear();
    a.append_packet_info({4, {}, gyre::address::loopback_ipv6(0)});
    EXPECT_EQ(a.packet_info()->interface, 4U);
    EXPECT_EQ(a.packet_info()->local, gyre::address::loopback_ipv6(0));
}

/// A message as the kernel would have filled it.
template <class T>
gyre::ancillary with(int level, int type, const T& value) {
    gyre::ancillary a;
    a.append(level, type, gyre::const_buffer(&value, sizeof value));
    return a;
}

TEST(Ancillary, PacketTimesAreThoseThatAreThere) {
    scm_timestamping t{};
    t.ts[0] = {1, 2};
    t.ts[1] = {3, 4};
    auto times = with(SOL_SOCKET, SO_TIMESTAMPING, t).packet_times();
    ASSERT_TRUE(times.has_value());
    EXPECT_EQ(times->software->time_since_epoch(), std::chrono::nanoseconds(1'000'000'002));
    EXPECT_FALSE(times->hardware.has_value());
    t.ts[0] = {};
    t.ts[2] = {5, 6};
    times = with(SOL_SOCKET, SO_TIMESTAMPING, t).packet_times();
    ASSERT_TRUE(times.has_value());
    EXPECT_FALSE(times->software.has_value());
    EXPECT_EQ(times->hardware, std::chrono::nanoseconds(5'000'000'006));
    EXPECT_FALSE(with(SOL_SOCKET, SO_TIMESTAMPING, 1).packet_times().has_value());
}

TEST(Ancillary, ZeroCopyIsDoneForARangeOfSends) {
    sock_extended_err e{};
    e.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
    e.ee_info = 3;
    e.ee_data = 5;
    for (const auto& [level, type] :
         {std::pair(IPPROTO_IP, IP_RECVERR), std::pair(IPPROTO_IPV6, IPV6_RECVERR)}) {
        e.ee_code = 0;
        auto done = with(level, type, e).zero_copy_done();
        ASSERT_TRUE(done.has_value());
        EXPECT_EQ(done->first, 3U);
        EXPECT_EQ(done->last, 5U);
        EXPECT_FALSE(done->copied);
        EXPECT_FALSE(with(level, type, e).queued_error()->code);
        e.ee_code = SO_EE_CODE_ZEROCOPY_COPIED;
        EXPECT_TRUE(with(level, type, e).zero_copy_done()->copied);
    }
    e.ee_origin = SO_EE_ORIGIN_ICMP;
    EXPECT_FALSE(with(IPPROTO_IP, IP_RECVERR, e).zero_copy_done().has_value());
}

// <linux/if_alg.h>: this machine may have none of it.
TEST(Ancillary, OfAlgIsAsTheKernelReadsIt) {
    gyre::ancillary a;
    a.append_alg_operation(ALG_OP_ENCRYPT);
    a.append_alg_iv("0123456789abcdef");
    a.append_alg_associated(16);
    EXPECT_EQ(a.find(SOL_ALG, ALG_SET_OP)->as<std::uint32_t>(), std::uint32_t{ALG_OP_ENCRYPT});
    const auto iv = a.find(SOL_ALG, ALG_SET_IV)->bytes;
    ASSERT_EQ(iv.size(), sizeof(af_alg_iv) + 16);
    EXPECT_EQ(a.find(SOL_ALG, ALG_SET_IV)->as<std::uint32_t>(), 16U);
    EXPECT_EQ(iv[4], std::byte{'0'});
    EXPECT_EQ(iv[19], std::byte{'f'});
    EXPECT_EQ(a.find(SOL_ALG, ALG_SET_AEAD_ASSOCLEN)->as<std::uint32_t>(), 16U);
    EXPECT_EQ(std::ranges::distance(a), 3);
    a.clear();
    a.append_alg_iv("");
    EXPECT_EQ(a.find(SOL_ALG, ALG_SET_IV)->as<std::uint32_t>(), 0U);
}

TEST(Segments, AreOfOneSizeButTheLast) {
    const std::string text = "0123456789";
    std::vector<std::string> parts;
    for (const auto s : gyre::segment_range(text, 4))
        parts.emplace_back(reinterpret_cast<const char*>(s.data()), s.size());
    EXPECT_EQ(parts, (std::vector<std::string>{"0123", "4567", "89"}));
    EXPECT_EQ(gyre::segment_range(text, 4).size(), 3U);
    EXPECT_EQ(gyre::segment_range(text, 5).size(), 2U);
    EXPECT_EQ(gyre::segment_range(text, 0).size(), 1U);
    EXPECT_EQ(gyre::segment_range("", 4).size(), 0U);
    EXPECT_EQ(gyre::segment_range("", 0).size(), 0U);
}

} // namespace
