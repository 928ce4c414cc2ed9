#include "../support/sockets.hpp"

#include <gyre/core/combine.hpp>
#include <gyre/io/ancillary.hpp>
#include <gyre/io/ip_option.hpp>
#include <gyre/io/pass_fds.hpp>
#include <gyre/io/tcp_option.hpp>

#include <array>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <numeric>
#include <sys/stat.h>
#include <unistd.h>

// What travels beside a message. The fixture sees every descriptor that leaks.

namespace {

using namespace gyre_test;

class Ancillary : public on_each_backend<> {
protected:
    std::array<std::byte, 256> memory{};
    std::string_view received(std::size_t n) const { return text_of(std::span(memory).first(n)); }
};

bool same_file(int a, int b) {
    struct stat x{};
    struct stat y{};
    return ::fstat(a, &x) == 0 && ::fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

struct pipe_ends {
    pipe_ends() {
        int fds[2] = {-1, -1};
        EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
        read = gyre::owned_fd(fds[0]);
        write = gyre::owned_fd(fds[1]);
    }
    gyre::owned_fd read;
    gyre::owned_fd write;
};

// ---- Descriptors -------------------------------------------------------------------------------

TEST_P(Ancillary, DescriptorsArriveClosedOnExec) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
        auto [a, b] = make_unix_pair(type);
        const pipe_ends pipe;
        run([&]() -> gyre::task<> {
            const std::array fds{pipe.read.get(), pipe.write.get()};
            const auto send = [&]() -> gyre::task<> {
                co_await next_turn();
                EXPECT_EQ(co_await gyre::send_fds(b, "two", fds), 3U);
            };
            auto [r, nothing] = co_await gyre::all(gyre::recv_fds(a, memory), send());
            EXPECT_EQ(received(r.count), "two");
            CO_ASSERT_TRUE(r.fds.size() == 2);
            EXPECT_EQ(r.flags & (MSG_CTRUNC | MSG_TRUNC), 0);
            for (std::size_t i = 0; i < 2; ++i) {
                EXPECT_TRUE(same_file(r.fds[i].get(), fds[i]));
                EXPECT_NE(r.fds[i].get(), fds[i]);
                EXPECT_EQ(::fcntl(r.fds[i].get(), F_GETFD), FD_CLOEXEC);
            }
            co_await gyre::send_fds(b, "none", std::span<const int>());
            r = co_await gyre::recv_fds(a, memory);
            EXPECT_EQ(received(r.count), "none");
            EXPECT_TRUE(r.fds.empty());
            // The others know them too.
            gyre::ancillary control;
            co_await gyre::send_fds(b, "x", fds);
            co_await a.recvmsg(memory, control);
            EXPECT_EQ(control.take_fds().size(), 2U);
            control.clear();
            control.append_fds(fds);
            co_await b.sendmsg("y", control);
            std::array<gyre::owned_fd, 2> places;
            const auto in_place = co_await gyre::recv_fds(a, memory, places);
            EXPECT_EQ(in_place.fds.size(), 2U);
            EXPECT_TRUE(same_file(places[1].get(), fds[1]));
        });
    }
}

TEST_P(Ancillary, DescriptorsThatNobodyTakesAreClosed) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const pipe_ends pipe;
    run([&]() -> gyre::task<> {
        const std::array fds{pipe.read.get(), pipe.write.get()};
        gyre::ancillary control;
        for (int i = 0; i < 6; ++i) {
            co_await gyre::send_fds(b, "x", fds);
            switch (i) {
            case 0: co_await gyre::recv_fds(a, memory); break;
            case 1: co_await a.recvmsg(memory, control); break;
            case 2: co_await a.recvmsg(memory, control); break; // replaces what it holds
            case 3: co_await a.recv(memory); break;
            case 4: co_await a.recvfrom(memory); break;
            default: break; // closed with the socket
            }
        }
    });
}

// G3
TEST_P(Ancillary, DescriptorsBeyondWhatFitsAreClosedAndTheFlagsSaySo) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const pipe_ends pipe;
    const int fd = pipe.read.get();
    run([&]() -> gyre::task<> {
        const std::array fds{fd, fd, fd, fd, fd};
        for (const std::size_t most : {0U, 1U, 2U, 4U}) {
            co_await gyre::send_fds(b, "x", fds);
            const auto r = co_await gyre::recv_fds(a, memory, most);
            EXPECT_EQ(r.fds.size(), most);
            EXPECT_EQ(r.flags & MSG_CTRUNC, MSG_CTRUNC);
        }
        co_await gyre::send_fds(b, "x", fds);
        const auto all = co_await gyre::recv_fds(a, memory, 5);
        EXPECT_EQ(all.fds.size(), 5U);
        EXPECT_EQ(all.flags & MSG_CTRUNC, 0);
        for (const std::size_t room :
             {std::size_t{0}, gyre::cmsg_len(0), gyre::cmsg_len(4), gyre::cmsg_len(12)}) {
            gyre::ancillary control(room);
            co_await gyre::send_fds(b, "x", fds);
            const auto d = co_await a.recvmsg(memory, control);
            EXPECT_EQ(d.flags & MSG_CTRUNC, MSG_CTRUNC) << room;
            EXPECT_LT(control.take_fds().size(), 5U);
        }
        std::array<gyre::owned_fd, 2> places;
        co_await gyre::send_fds(b, "x", fds);
        const auto in_place = co_await gyre::recv_fds(a, memory, places);
        EXPECT_EQ(in_place.fds.size(), 2U);
        EXPECT_EQ(in_place.flags & MSG_CTRUNC, MSG_CTRUNC);
    });
}

TEST_P(Ancillary, CredentialsDoNotTakeTheRoomOfDescriptors) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    a.setsockopt(SOL_SOCKET, SO_PASSCRED, 1);
    const pipe_ends pipe;
    run([&]() -> gyre::task<> {
        const std::vector<int> fds(gyre::max_passed_fds, pipe.read.get());
        co_await gyre::send_fds(b, "x", fds);
        const auto r = co_await gyre::recv_fds(a, memory);
        EXPECT_EQ(r.fds.size(), gyre::max_passed_fds);
        EXPECT_EQ(r.flags & MSG_CTRUNC, 0);
    });
}

TEST_P(Ancillary, SendFdsRefusesWhatTheKernelWouldLose) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const pipe_ends pipe;
    run([&]() -> gyre::task<> {
        const std::vector<int> many(gyre::max_passed_fds + 1, pipe.read.get());
        const auto one = std::span(many).first(1);
        EXPECT_EQ(thrown_by([&] { (void)gyre::send_fds(b, "x", many); }),
                  std::errc::invalid_argument);
        EXPECT_EQ(thrown_by([&] { (void)gyre::send_fds(b, "", one); }),
                  std::errc::invalid_argument);
        const std::array bad{pipe.read.get(), 1'000'000};
        EXPECT_EQ(co_await outcome(gyre::send_fds(b, "x", bad)), std::errc::bad_file_descriptor);
        try {
            co_await gyre::send_fds(b, "x", bad);
        } catch (const gyre::error& e) {
            EXPECT_NE(std::string_view(e.what()).find("not open"), std::string_view::npos)
                << e.what();
        }
        gyre::socket closed;
        EXPECT_EQ(co_await outcome(gyre::send_fds(closed, "x", one)), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(gyre::recv_fds(closed, memory)), gyre::errc::closed);
        EXPECT_EQ(co_await outcome(a.recv(memory).within(1ms)), gyre::errc::timed_out);
    });
}

TEST_P(Ancillary, ReceivingStopsBehindTheDataThatDescriptorsCameWith) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const pipe_ends pipe;
    run([&]() -> gyre::task<> {
        const std::array fds{pipe.read.get()};
        co_await b.send("aa");
        co_await gyre::send_fds(b, "bb", fds);
        co_await b.send("cc");
        std::string text;
        std::size_t passed = 0;
        while (text.size() < 6) {
            const auto rest = std::span(memory).first(6 - text.size());
            const auto r = co_await gyre::recv_fds(a, rest, 253, MSG_WAITALL).within(5s);
            text += received(r.count);
            passed += r.fds.size();
        }
        EXPECT_EQ(text, "aabbcc");
        EXPECT_EQ(passed, 1U);
    });
}

TEST_P(Ancillary, DescriptorsWaitAndAreCancelledLikeTheOthers) {
    auto [a, b] = make_unix_pair(SOCK_STREAM);
    const pipe_ends pipe;
    run([&]() -> gyre::task<> {
        EXPECT_EQ(co_await outcome(gyre::recv_fds(a, memory).within(1ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::recv_fds(a, memory).until(gyre::clock::now())),
                  gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::recv_fds(a, memory).nonblocking()),
                  std::errc::operation_would_block);
        std::error_code code;
        const auto receive = [&]() -> gyre::task<> {
            code = co_await outcome(gyre::recv_fds(a, memory).without_deadline());
        };
        co_await gyre::race(receive(), gyre::sleep_for(1ms));
        EXPECT_EQ(code, gyre::errc::cancelled);
        fill(b);
        const std::array fds{pipe.read.get()};
        EXPECT_EQ(co_await outcome(gyre::send_fds(b, "x", fds).within(1ms)), gyre::errc::timed_out);
        EXPECT_EQ(co_await outcome(gyre::send_fds(b, "x", fds).nonblocking()),
                  std::errc::operation_would_block);
    });
}

// 64 operations end inline, then one goes through the queue: its coroutine goes first.
TEST_P(Ancillary, DescriptorsForAWaiterThatIsGoneAreClosed) {
    auto [a, b] = make_unix_pair(SOCK_SEQPACKET);
    const pipe_ends pipe;
    const std::array fds{pipe.read.get()};
    gyre::loop loop(options());
    int received_by = 0;
    run_on(loop, [&]() -> gyre::task<> {
        const auto receive = [&]() -> gyre::task<> {
            for (;; ++received_by)
                co_await gyre::recv_fds(a, memory);
        };
        const auto send = [&]() -> gyre::task<> {
            for (int i = 0; i < 3; ++i) {
                co_await gyre::send_fds(b, "x", fds);
                co_await next_turn();
            }
        };
        co_await gyre::race(receive(), send());
        for (int i = 0; i < 100; ++i)
            if (co_await outcome(gyre::send_fds(b, "x", fds).nonblocking()))
                break;
    });
    EXPECT_GT(received_by, 0);
}

// ---- Who ---------------------------------------------------------------------------------------

TEST_P(Ancillary, CredentialsTellWhoSentIt) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
        auto [a, b] = make_unix_pair(type);
        a.setsockopt(SOL_SOCKET, SO_PASSCRED, 1);
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            co_await b.send("by itself");
            co_await a.recvmsg(memory, control);
            auto who = control.credentials();
            CO_ASSERT_TRUE(who.has_value());
            EXPECT_EQ(who->pid, ::getpid());
            EXPECT_EQ(who->uid, ::getuid());
            EXPECT_EQ(who->gid, ::getgid());
            gyre::ancillary sent;
            sent.append_credentials({::getpid(), ::getuid(), ::getgid()});
            co_await b.sendmsg("said", sent);
            co_await a.recvmsg(memory, control);
            who = control.credentials();
            CO_ASSERT_TRUE(who.has_value());
            EXPECT_EQ(who->pid, ::getpid());
        });
    }
}

// ---- IP ----------------------------------------------------------------------------------------

TEST_P(Ancillary, PacketInformationTellsWhereADatagramCameIn) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        const bool v6 = family == AF_INET6;
        a.setsockopt(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            gyre::ancillary sent;
            co_await b.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            const auto info = control.packet_info();
            CO_ASSERT_TRUE(info.has_value());
            EXPECT_GT(info->interface, 0U);
            EXPECT_EQ(info->destination.host(), a.getsockname().host());
            EXPECT_EQ(info->local.host(), a.getsockname().host());
            // It chooses the source, too.
            gyre::socket any = gyre::socket::open(family, SOCK_DGRAM);
            any.bind(v6 ? gyre::address::any_ipv6(0) : gyre::address::any_ipv4(0));
            const auto source =
                v6 ? gyre::address::loopback_ipv6(0) : gyre::address::ipv4(0x7f000009, 0);
            sent.append_packet_info({0, {}, source});
            co_await any.sendmsg("from there", sent, 0, a.getsockname());
            const auto d = co_await a.recvmsg(memory, control);
            EXPECT_EQ(d.from.host(), source.host());
        });
    }
}

TEST_P(Ancillary, HopLimitAndTrafficClassAreSentAndTold) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        const bool v6 = family == AF_INET6;
        const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
        a.setsockopt(level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
        a.setsockopt(level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            gyre::ancillary sent;
            sent.append_hop_limit(family, 7);
            sent.append_traffic_class(family, 0x28);
            co_await b.sendmsg("x", sent, 0, a.getsockname());
            co_await a.recvmsg(memory, control);
            EXPECT_EQ(control.hop_limit(), 7);
            EXPECT_EQ(control.traffic_class(), 0x28);
            co_await b.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            EXPECT_EQ(control.traffic_class(), 0);
            EXPECT_NE(control.hop_limit(), 7);
        });
    }
}

TEST_P(Ancillary, OriginalDestinationsHaveTheirPort) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        const bool v6 = family == AF_INET6;
        a.set(v6 ? gyre::option::ipv6::receive_original_destination
                 : gyre::option::ip::receive_original_destination,
              true);
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            co_await b.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            EXPECT_EQ(control.original_destination(), a.getsockname());
        });
    }
}

TEST_P(Ancillary, TimestampsTellWhenItArrived) {
    for (const int option : {SO_TIMESTAMP, SO_TIMESTAMPNS}) {
        auto [a, b] = make_udp_pair();
        a.setsockopt(SOL_SOCKET, option, 1);
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            const auto before = std::chrono::system_clock::now() - 1s;
            co_await b.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            const auto when = control.timestamp();
            CO_ASSERT_TRUE(when.has_value());
            EXPECT_GT(*when, before);
            EXPECT_LT(*when, std::chrono::system_clock::now() + 1s);
        });
    }
}

TEST_P(Ancillary, PacketTimesTellWhenItArrivedAndWhenItLeft) {
    auto [a, b] = make_udp_pair();
    a.set(gyre::option::timestamping, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    b.set(gyre::option::timestamping, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                                          SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY);
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        gyre::socket c = gyre::socket::open(AF_INET, SOCK_DGRAM);
        do { // the kernel begins a little after it was asked to
            co_await c.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            co_await next_turn();
        } while (!control.packet_times());
        for (std::uint32_t i = 0; i < 3; ++i) {
            const auto before = std::chrono::system_clock::now() - 1s;
            co_await b.sendto("x", a.getsockname());
            co_await a.recvmsg(memory, control);
            const auto arrived = control.packet_times();
            CO_ASSERT_TRUE(arrived && arrived->software);
            EXPECT_GT(*arrived->software, before);
            EXPECT_LT(*arrived->software, std::chrono::system_clock::now() + 1s);
            EXPECT_FALSE(arrived->hardware.has_value());
            co_await b.recvmsg(memory, control, MSG_ERRQUEUE).within(5s);
            const auto left = control.packet_times();
            const auto which = control.queued_error();
            CO_ASSERT_TRUE(left && left->software && which);
            EXPECT_GT(*left->software, before);
            EXPECT_EQ(which->origin, SO_EE_ORIGIN_TIMESTAMPING);
            EXPECT_EQ(which->info, std::uint32_t{SCM_TSTAMP_SND});
            EXPECT_EQ(which->data, i);
            EXPECT_FALSE(control.zero_copy_done().has_value());
        }
    });
}

// Without a queue that heeds it (tc-etf(8)) it leaves at once.
TEST_P(Ancillary, TransmitTimeNeedsAClock) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        control.append_transmit_time(std::chrono::steady_clock::now().time_since_epoch());
        EXPECT_EQ(co_await outcome(b.sendmsg("x", control, 0, a.getsockname())),
                  std::errc::invalid_argument);
        b.set(gyre::option::transmit_time, {CLOCK_MONOTONIC, 0});
        EXPECT_EQ(co_await b.sendmsg("then", control, 0, a.getsockname()), 4U);
        EXPECT_EQ(received(co_await a.recv(memory)), "then");
    });
}

TEST_P(Ancillary, WhatHasNoNameIsFoundByLevelAndType) {
    auto [a, b] = make_pair(stream_kind::tcp);
    a.set(gyre::option::tcp::in_queue, true);
    auto [c, d] = make_udp_pair();
    c.set(gyre::option::drop_count, true);
    c.set(gyre::option::receive_buffer, 0); // the least that there is
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        co_await b.sendall("0123456789");
        CO_ASSERT_TRUE(wait_readable(a));
        co_await a.recvmsg(std::span(memory).first(4), control);
        const auto left = control.find(IPPROTO_TCP, TCP_CM_INQ);
        CO_ASSERT_TRUE(left.has_value());
        EXPECT_EQ(left->as<int>(), 6);
        for (int i = 0; i < 100; ++i)
            co_await d.sendto(pattern(200), c.getsockname());
        while (co_await gyre::as_result(c.recv(memory).nonblocking()))
            ;
        co_await d.sendto("after", c.getsockname());
        co_await c.recvmsg(memory, control);
        const auto dropped = control.find(SOL_SOCKET, SO_RXQ_OVFL);
        CO_ASSERT_TRUE(dropped.has_value());
        EXPECT_GT(dropped->as<unsigned>(), 0U);
    });
}

// ---- Zero copy ---------------------------------------------------------------------------------

TEST_P(Ancillary, ZeroCopyTellsWhichSendsAreOver) {
    for (const auto kind : {stream_kind::tcp, stream_kind::tcp6}) {
        auto [a, b] = make_pair(kind);
        a.set(gyre::option::zero_copy, true);
        const std::vector<std::byte> large = pattern(100'000);
        run([&]() -> gyre::task<> {
            std::vector<std::byte> there(large.size());
            gyre::ancillary control;
            std::uint32_t sends = 0;
            std::uint32_t over = 0; // these have been told of
            for (int round = 0; round < 3; ++round) {
                const auto send = [&]() -> gyre::task<> {
                    for (std::size_t at = 0; at < large.size(); ++sends)
                        at += co_await a.send(std::span(large).subspan(at), MSG_ZEROCOPY);
                };
                co_await gyre::all(send(), b.recv_exactly(there));
                EXPECT_EQ(hash(there), hash(large));
                while (over < sends) {
                    co_await a.recvmsg(gyre::buffer(nullptr, 0), control, MSG_ERRQUEUE).within(5s);
                    const auto done = control.zero_copy_done();
                    CO_ASSERT_TRUE(done.has_value());
                    EXPECT_EQ(done->first, over);
                    EXPECT_GE(done->last, done->first);
                    EXPECT_TRUE(done->copied);
                    over = done->last + 1;
                }
                EXPECT_EQ(over, sends);
            }
            EXPECT_EQ(co_await outcome(a.recvmsg(memory, control, MSG_ERRQUEUE).nonblocking()),
                      std::errc::operation_would_block);
        });
    }
}

TEST_P(Ancillary, ZeroCopyIsWaitedForBesideWhatArrives) {
    auto [a, b] = make_pair(stream_kind::tcp);
    a.set(gyre::option::zero_copy, true);
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        const auto send = [&]() -> gyre::task<> {
            co_await next_turn();
            co_await b.send("arrives");
            co_await next_turn();
            co_await a.send("leaves", MSG_ZEROCOPY);
            EXPECT_EQ(co_await b.recv(memory), 6U);
        };
        auto [told, nothing] = co_await gyre::all(
            a.recvmsg(gyre::buffer(nullptr, 0), control, MSG_ERRQUEUE).within(5s), send());
        EXPECT_EQ(told.count, 0U);
        CO_ASSERT_TRUE(control.zero_copy_done().has_value());
        EXPECT_EQ(received(co_await a.recv(memory)), "arrives");
    });
}

TEST_P(Ancillary, QueuedErrorsTellWhy) {
    for (const int family : {AF_INET, AF_INET6}) {
        auto [a, b] = make_udp_pair(family);
        const bool v6 = family == AF_INET6;
        a.setsockopt(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
        const gyre::address nobody = b.getsockname();
        b.close();
        run([&]() -> gyre::task<> {
            gyre::ancillary control;
            co_await a.sendto("refused", nobody);
            const auto d = co_await a.recvmsg(memory, control, MSG_ERRQUEUE).within(5s);
            EXPECT_EQ(received(d.count), "refused");
            EXPECT_EQ(d.from, nobody);
            const auto e = control.queued_error();
            CO_ASSERT_TRUE(e.has_value());
            EXPECT_EQ(e->code, std::errc::connection_refused);
            EXPECT_EQ(e->origin, v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP);
            EXPECT_EQ(e->offender.host(), nobody.host());
        });
    }
}

TEST_P(Ancillary, WithoutAnyThereIsNothingToRead) {
    auto [a, b] = make_udp_pair();
    run([&]() -> gyre::task<> {
        gyre::ancillary control;
        co_await b.sendto("x", a.getsockname());
        const auto d = co_await a.recvmsg(memory, control);
        EXPECT_EQ(d.flags & MSG_CTRUNC, 0);
        EXPECT_TRUE(control.empty());
        EXPECT_FALSE(control.credentials() || control.packet_info() || control.hop_limit() ||
                     control.traffic_class() || control.timestamp() || control.segment_size() ||
                     control.queued_error() || control.packet_times() ||
                     control.original_destination() || control.zero_copy_done());
        EXPECT_TRUE(control.take_fds().empty());
    });
}

GYRE_ON_EACH_BACKEND(Ancillary);

} // namespace
