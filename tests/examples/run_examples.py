"""Every example, run as its first comment says, by the clients that people have: nc, socat, curl.

run_examples.py SOURCES PROGRAMS    the folders of the examples and of what is built from them

A client that is not installed skips its tests, and says so.
"""

import faulthandler
import hashlib
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

PROGRAMS = Path(sys.argv.pop())
SOURCES = Path(sys.argv.pop())
PATIENCE = 30
LOOPBACK = ("127.0.0.1:0", "[::1]:0")


def have_nc():
    """Debian has two that are called so; only that of OpenBSD knows -N and -U."""
    if not shutil.which("nc"):
        return False
    text = subprocess.run(["nc", "-h"], capture_output=True, text=True, timeout=PATIENCE)
    return "-N" in text.stdout + text.stderr


needs_nc = unittest.skipUnless(have_nc(), "nc of netcat-openbsd is not installed")
needs_socat = unittest.skipUnless(shutil.which("socat"), "socat is not installed")
needs_ping = unittest.skipUnless(shutil.which("ping"), "ping of iputils is not installed")
needs_getent = unittest.skipUnless(shutil.which("getent"), "getent is not installed")
needs_curl = unittest.skipUnless(shutil.which("curl"), "curl is not installed")


class Program:
    """A process whose output is waited for, never longer than PATIENCE."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.heard = b""
        self.over = False
        self.news = threading.Condition()
        # Always read: a program that nobody listens to would wait for its pipe.
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        while part := os.read(self.process.stdout.fileno(), 65536):
            with self.news:
                self.heard += part
                self.news.notify_all()
        with self.news:
            self.over = True
            self.news.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.listener.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def hear(self, pattern):
        """Waits for output that matches, and takes it with all before; the match."""
        with self.news:
            match = None

            def there():
                nonlocal match
                match = re.search(pattern.encode(), self.heard)
                return match or self.over
            self.news.wait_for(there, PATIENCE)
            if not match:
                raise AssertionError(f"{pattern!r} not heard, but {self.heard[-1000:]!r}"
                                     + (" and then the end" if self.over else ""))
            self.heard = self.heard[match.end():]
            return match

    def end(self, number=None):
        """After a signal, or by itself: its status, and what it said on stderr."""
        if number is not None:
            self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return self.process.returncode, self.process.stderr.read().decode()


def example(name, *arguments, **how):
    """Runs it to its end."""
    return subprocess.run([PROGRAMS / name, *arguments], capture_output=True, text=True,
                          timeout=PATIENCE, **how)


class Server(Program):
    """An example that serves, once it says where: host, port, and the address as it is written."""

    def __init__(self, name, *arguments):
        super().__init__(PROGRAMS / name, *arguments)
        said = self.hear(r"(?:listening on |the room is open at |http://)([^\s/]\S*?)/?(?: .*)?\n")
        self.address = said[1].decode()
        self.line = said[0].decode()
        self.host, _, self.port = self.address.removeprefix("udp:").rpartition(":")
        self.host = self.host.strip("[]")


def free_port(count=1):
    """The first of so many that nobody has, and that the kernel gives nobody who asks for any."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    below, above = range(1024, low - count), range(high + 1, 65536 - count)
    ports = max(below, above, key=len)
    for _ in range(1000 if ports else 0):
        first = random.choice(ports)
        try:
            for port in range(first, first + count):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(type=kind) as probe:
                        probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            pass
    raise unittest.SkipTest("no free port outside of those that the kernel gives")


def sleeps(process):
    """All of its threads wait for something."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] == "S" for thread in threads)


def connect_unix(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def await_refusal(connect):
    """Until nobody listens there any more."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            connect().close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it was in the queue when that ended
    raise AssertionError("it still lets us in")


class Case(unittest.TestCase):
    def ends_well(self, server, number=signal.SIGTERM):
        self.assertEqual(server.end(number), (0, ""))

    def echoes(self, client, text="hello\n"):
        client.say(text)
        client.hear(re.escape(text))

    def refused(self, result, status, *words):
        """One clear line, and that status."""
        self.assertEqual(result.returncode, status, result)
        self.assertEqual(result.stdout, "", result)
        self.assertRegex(result.stderr, r"\A[^\n]+\n\Z")
        for word in words:
            self.assertIn(word, result.stderr)


class TheFolder(Case):
    def test_every_example_begins_with_the_command_that_runs_it(self):
        for source in SOURCES.glob("*.cpp"):
            with self.subTest(source.name):
                comment = re.match(r"(?://.*\n)+", source.read_text())[0]
                self.assertIn(f"build/release/examples/{source.stem}", comment)

    def test_every_example_is_run_here(self):
        here = Path(__file__).read_text()
        for source in SOURCES.glob("*.cpp"):
            self.assertRegex(here, rf'(?:Server|Program|example)\((?:PROGRAMS / )?"{source.stem}"')


class EchoServer(Case):
    @needs_nc
    def test_echoes_what_nc_sends(self):
        for at in LOOPBACK:
            with self.subTest(at), Server("echo_server", at) as server:
                answer = subprocess.run(["nc", "-N", server.host, server.port], input="hello\n",
                                        capture_output=True, text=True, timeout=PATIENCE)
                self.assertEqual((answer.returncode, answer.stdout), (0, "hello\n"), answer)
                self.ends_well(server)

    @needs_nc
    def test_echoes_what_is_larger_than_all_buffers(self):
        data = os.urandom(1 << 20) * 6
        with Server("echo_server", LOOPBACK[0]) as server:
            answer = subprocess.run(["nc", "-N", server.host, server.port], input=data,
                                    capture_output=True, timeout=PATIENCE)
            self.assertEqual(answer.returncode, 0)
            self.assertTrue(answer.stdout == data, f"{len(answer.stdout)} bytes came back")
            self.ends_well(server)

    @needs_nc
    def test_echoes_datagrams(self):
        for at in LOOPBACK:
            with self.subTest(at), Server("echo_server", "udp:" + at) as server:
                self.assertTrue(server.address.startswith("udp:"), server.line)
                with Program("nc", "-u", server.host, server.port) as client:
                    self.echoes(client)
                    self.echoes(client, "again\n")
                self.ends_well(server)

    @needs_nc
    def test_echoes_at_a_unix_path_and_removes_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "echo.sock")
            with Server("echo_server", f"unix:{path}") as server:
                with Program("nc", "-U", path) as client:
                    self.echoes(client)
                self.ends_well(server)
            self.assertFalse(path.exists())

    @needs_socat
    def test_echoes_at_an_abstract_name(self):
        name = f"gyre-echo-{os.getpid()}"
        with Server("echo_server", f"unix:@{name}") as server:
            with Program("socat", "-", f"ABSTRACT-CONNECT:{name}") as client:
                self.echoes(client)
            self.ends_well(server)

    @needs_socat
    def test_echoes_to_many_at_once(self):
        with Server("echo_server", LOOPBACK[0]) as server:
            clients = [Program("socat", "-", f"TCP:{server.address}") for _ in range(5)]
            for client in clients:
                self.echoes(client)
            for client in reversed(clients):
                self.echoes(client, "again\n")
                client.__exit__()
            self.ends_well(server)

    @needs_socat
    def test_with_threads_each_has_a_listener_on_the_port(self):
        for at in ("127.0.0.1:0", "udp:127.0.0.1:0"):
            with self.subTest(at):
                port = free_port()  # that all of them are told: 0 would give each another
                address = at.replace(":0", f":{port}")
                with Server("echo_server", address, "--threads", "3") as server:
                    server.hear("listening on .*\n")
                    server.hear("listening on .*\n")
                    protocol = "UDP" if at.startswith("udp") else "TCP"
                    for _ in range(6):
                        with Program("socat", "-", f"{protocol}:127.0.0.1:{port}") as client:
                            self.echoes(client)
                    self.ends_well(server)

    @needs_nc
    def test_says_which_backend_it_is_on(self):
        for backend in ("epoll", "io_uring"):
            result = Program(PROGRAMS / "echo_server", LOOPBACK[0], "--backend", backend)
            with self.subTest(backend), result as server:
                try:
                    where = server.hear(r"listening on 127\.0\.0\.1:(\d+) \((\w+)\)\n")
                except AssertionError:
                    self.assertEqual(backend, "io_uring")
                    self.skipTest("io_uring cannot be had")
                self.assertEqual(where[2].decode(), backend)
                with Program("nc", "127.0.0.1", where[1].decode()) as client:
                    self.echoes(client)
                self.ends_well(server)

    @needs_nc
    @needs_socat
    def test_after_the_deadline_a_silent_connection_is_ended_and_others_go_on(self):
        with Server("echo_server", LOOPBACK[0], "--deadline", "1") as server:
            with Program("socat", "-", f"TCP:{server.address}") as silent:
                self.assertEqual(silent.end(), (0, ""))  # socat ends with its connection
            with Program("nc", server.host, server.port) as client:
                self.echoes(client)
            self.ends_well(server)

    @needs_socat
    def test_each_signal_ends_it_and_its_connections(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), Server("echo_server", LOOPBACK[0]) as server:
                with Program("socat", "-", f"TCP:{server.address}") as client:
                    self.echoes(client)
                    self.ends_well(server, number)
                    client.process.wait(PATIENCE)

    def test_a_signal_under_load_lets_each_finish_and_nobody_in(self):
        for backend in ("epoll", "io_uring"):
            for threads in ("1", "3"):
                with self.subTest((backend, threads)):
                    self.drain_under_load(backend, threads)

    def drain_under_load(self, backend, threads):
        address = ("127.0.0.1", free_port())
        server = Program(PROGRAMS / "echo_server", "%s:%d" % address, "--backend", backend,
                         "--threads", threads, "--drain", str(PATIENCE))
        with server:
            try:
                for _ in range(int(threads)):
                    server.hear(r"listening on .*\n")
            except AssertionError:
                self.assertEqual(backend, "io_uring")
                self.skipTest("io_uring cannot be had")
            with Program(sys.executable, Path(__file__).with_name("echo_load.py"), *address,
                         "100") as load:
                load.hear("busy\n")
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(load.end(), (0, ""))
                load.hear(r"\d+ answers, 100 open questions\n")
            # Well before the time to drain has passed, for nobody is at work any more.
            self.ends_well(server, None)
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(address, PATIENCE)

    def test_a_connection_that_does_not_end_is_cut_off_when_the_time_to_drain_has_passed(self):
        with Server("echo_server", LOOPBACK[0], "--drain", "2") as server:
            address = (server.host, int(server.port))
            with socket.create_connection(address, PATIENCE) as client:
                client.sendall(b"hello")
                self.assertEqual(client.recv(100), b"hello")
                # It reads no answers, until the server can neither send nor, for that, read.
                client.setblocking(False)
                self.fill(client, server.process)
                server.process.send_signal(signal.SIGTERM)
                await_refusal(lambda: socket.create_connection(address, PATIENCE))
                self.assertIsNone(server.process.poll(), "it let us in until its end")
                self.ends_well(server, None)

    def fill(self, client, server):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                client.send(bytes(1 << 20))
            except BlockingIOError:
                # Only slow, or full? What sleeps, with more to read and room to send, is woken.
                if sleeps(server) and not select.select([], [client], [], 0)[1]:
                    return
        self.fail("it takes more and more")

    def test_a_signal_in_the_first_moments_ends_all_threads(self):
        for _ in range(10):
            with Server("echo_server", f"127.0.0.1:{free_port()}", "--threads", "8") as server:
                self.ends_well(server)

    def test_replaces_a_unix_path_that_a_killed_server_left(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "echo.sock")
            for last in (False, True):
                with Server("echo_server", f"unix:{path}") as server:
                    with connect_unix(path) as client:
                        client.sendall(b"hello")
                        self.assertEqual(client.recv(100), b"hello")
                    self.refused(example("echo_server", f"unix:{path}"), 1, str(path), "in use")
                    server.process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                    server.process.wait(PATIENCE)
                self.assertEqual(path.exists(), not last)
                if not last:  # the kernel takes a ring down, and the sockets in it, a little later
                    await_refusal(lambda: connect_unix(path))

    def test_wrong_options_are_one_line_and_status_2(self):
        for arguments in ((), ("127.0.0.1",), ("127.0.0.1:x",), ("127.0.0.1:70000",),
                          ("localhost:7000",), ("127.0.0.1:0", "--backend", "kqueue"),
                          ("127.0.0.1:0", "--threads", "-1"), ("127.0.0.1:0", "--deadline", "0"),
                          ("127.0.0.1:0", "--drain", "-1"),
                          ("127.0.0.1:0", "--deadline", "soon"), ("127.0.0.1:0", "--frob"),
                          ("127.0.0.1:0", "127.0.0.1:0"), ("unix:",)):
            with self.subTest(arguments):
                self.refused(example("echo_server", *arguments), 2, "echo_server: ")

    def test_help_is_no_error(self):
        result = example("echo_server", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("address", "--backend", "--deadline", "--drain", "--threads", "--busy-poll"):
            self.assertIn(option, result.stdout)

    def test_an_unknown_backend_in_the_environment_is_one_line(self):
        result = example("echo_server", LOOPBACK[0], env={**os.environ, "GYRE_BACKEND": "kqueue"})
        self.refused(result, 1, "kqueue")


class EchoClient(Case):
    def test_prints_what_comes_back(self):
        with Server("echo_server", LOOPBACK[0]) as server:
            for host in ("localhost", "127.0.0.1"):
                result = example("echo_client", host, server.port, input="one\ntwo\n")
                self.assertEqual((result.returncode, result.stdout, result.stderr),
                                 (0, "one\ntwo\n", ""))
            long = "x" * 100_000 + "\n"
            result = example("echo_client", "localhost", server.port, input=long)
            self.assertTrue(result.stdout == long, f"{len(result.stdout)} characters came back")
            self.ends_well(server)

    def test_nobody_there_is_one_line_that_names_the_address(self):
        with socket.socket() as bound:  # but it does not listen
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            result = example("echo_client", "127.0.0.1", str(port), input="one\n")
        self.refused(result, 1, f"127.0.0.1:{port}", "refused")

    @needs_socat
    def test_a_server_that_does_not_echo_is_one_line(self):
        with Program("socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1",
                     "SYSTEM:head -n 1") as other:
            listening = b""
            while not (where := re.search(rb"listening on .*127\.0\.0\.1:(\d+)", listening)):
                listening += os.read(other.process.stderr.fileno(), 4096)
            result = example("echo_client", "127.0.0.1", where[1].decode(), input="one\ntwo\n")
        self.assertEqual((result.returncode, result.stdout), (1, "one\n"), result)
        self.assertRegex(result.stderr, r"\Aecho_client: [^\n]+\n\Z")

    def test_wrong_options_are_one_line_and_status_2(self):
        for arguments in ((), ("localhost",), ("localhost", "0"), ("localhost", "70000"),
                          ("localhost", "http"), ("localhost", "7x"), ("localhost", "-1"),
                          ("localhost", ""), ("localhost", "7", "8")):
            with self.subTest(arguments):
                self.refused(example("echo_client", *arguments), 2, "usage: echo_client")


class HttpHello(Case):
    def curl(self, *arguments):
        return subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
                              capture_output=True, text=True, timeout=PATIENCE)

    @needs_curl
    def test_greets_curl(self):
        for at in LOOPBACK:
            with self.subTest(at), Server("http_hello", at) as server:
                result = self.curl(f"http://{server.address}/")
                self.assertEqual((result.returncode, result.stdout), (0, "hello from gyre\n"),
                                 result)
                self.ends_well(server)

    @needs_curl
    def test_keeps_the_connection_for_a_second_request(self):
        with Server("http_hello", LOOPBACK[0]) as server:
            url = f"http://{server.address}/"
            result = self.curl("--write-out", "%{num_connects} %{http_code}\n", url, url)
            self.assertEqual(result.stdout, "hello from gyre\n1 200\nhello from gyre\n0 200\n")
            self.ends_well(server)

    @needs_curl
    def test_closes_when_it_is_asked_to(self):
        with Server("http_hello", LOOPBACK[0]) as server:
            url = f"http://{server.address}/"
            result = self.curl("--header", "Connection: close", "--write-out", "%{num_connects}\n",
                               url, url)
            self.assertEqual(result.stdout, "hello from gyre\n1\nhello from gyre\n1\n")
            self.ends_well(server)

    @needs_curl
    def test_refuses_what_is_no_get(self):
        with Server("http_hello", LOOPBACK[0]) as server:
            result = self.curl("--data", "text", "--include", f"http://{server.address}/")
            self.assertIn("405 Method Not Allowed", result.stdout)
            self.assertIn("Allow: GET", result.stdout)
            self.ends_well(server)

    @needs_curl
    def test_refuses_a_header_without_end(self):
        with Server("http_hello", LOOPBACK[0]) as server:
            result = self.curl("--header", "X: " + "x" * 100_000, "--include",
                               f"http://{server.address}/")
            self.assertIn("431 Request Header Fields Too Large", result.stdout)
            self.ends_well(server)

    @needs_nc
    def test_answers_requests_that_come_together(self):
        with Server("http_hello", LOOPBACK[0]) as server:
            requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100
            result = subprocess.run(["nc", "-N", server.host, server.port], input=requests,
                                    capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(result.stdout.count("hello from gyre"), 100)
            self.ends_well(server)


class Chat(Case):
    @needs_nc
    @needs_socat
    def test_what_one_says_all_others_read(self):
        with Server("chat", LOOPBACK[0]) as room, \
                Program("nc", room.host, room.port) as one, \
                Program("socat", "-", f"TCP:{room.address}") as two, \
                Program("nc", room.host, room.port) as three:
            guests = (one, two, three)
            names = []
            for guest in guests:  # each is there when it reads that somebody comes in
                guest.hear(r"127\.0\.0\.1:\d+ comes in\n")
            for guest in guests:
                guest.say("hello\n")
                heard = {other.hear(r"(127\.0\.0\.1:\d+): hello\n")[1]
                         for other in guests if other is not guest}
                self.assertEqual(len(heard), 1, "the same name for all")
                names += heard
                self.assertNotIn(b": hello", guest.heard)
            self.assertEqual(len(set(names)), 3)
            two.process.stdin.close()
            one.hear(re.escape(names[1].decode()) + " leaves\n")
            three.hear(re.escape(names[1].decode()) + " leaves\n")
            one.say("still here\n")
            three.hear(re.escape(names[0].decode()) + ": still here\n")
            self.ends_well(room)

    @needs_nc
    def test_a_guest_who_does_not_read_is_shown_out(self):
        with Server("chat", LOOPBACK[0]) as room, socket.socket() as deaf, \
                Program("nc", room.host, room.port) as talker:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(PATIENCE)
            deaf.connect((room.host, int(room.port)))
            talker.hear("comes in\n")
            name = "%s:%d" % deaf.getsockname()
            for _ in range(1000):
                if f"{name} leaves".encode() in talker.heard:
                    break
                talker.say("x" * 65535 + "\n")
            talker.hear(re.escape(name) + " leaves\n")
            self.ends_well(room)


class Embed(Case):
    @needs_nc
    def test_echoes_counts_and_ends_with_enter(self):
        with Server("embed", LOOPBACK[0]) as server:
            with Program("nc", server.host, server.port) as client:
                self.echoes(client)
                server.hear("6 bytes echoed\n")
                self.echoes(client, "more\n")
            server.say("\n")
            self.assertEqual(server.end(), (0, ""))


class FanOut(Case):
    def test_every_connection_is_answered(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 1100:
            self.skipTest("1000 connections need more descriptors than are allowed here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
        try:
            with Server("echo_server", LOOPBACK[0]) as server:
                result = example("fan_out", server.address, "1000")
                self.assertEqual((result.returncode, result.stderr), (0, ""), result)
                self.assertRegex(result.stdout, r"\A1000 connections answered within \d+ ms\n\Z")
                self.ends_well(server)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_nobody_there_is_one_line_that_names_the_address(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % bound.getsockname()[1]
            self.refused(example("fan_out", address, "10"), 1, address, "refused")

    def test_wrong_options_are_one_line_and_status_2(self):
        for arguments in ((), ("127.0.0.1:7000",), ("127.0.0.1:7000", "0"),
                          ("127.0.0.1:7000", "-3"), ("127.0.0.1:7000", "many"),
                          ("127.0.0.1:7000", "10x")):
            with self.subTest(arguments):
                self.refused(example("fan_out", *arguments), 2, "usage: fan_out")


class Threads(Case):
    def test_every_thread_has_its_answers(self):
        with Server("echo_server", LOOPBACK[0]) as server:
            result = example("threads", server.address)
            self.assertEqual((result.returncode, result.stderr), (0, ""), result)
            self.assertEqual(sorted(result.stdout.splitlines()),
                             [f"thread {n}: 100 answers" for n in range(4)])
            self.ends_well(server)

    def test_nobody_there_is_said_by_each(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % bound.getsockname()[1]
            result = example("threads", address)
        self.assertEqual(result.stdout.count(f"{address}: Connection refused"), 4, result)
        self.assertEqual(result.returncode, 1, result)


class Timeout(Case):
    def test_shows_each_way(self):
        result = example("timeout")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 5, lines)
        at = r"recv from 127\.0\.0\.1:\d+: "
        self.assertRegex(lines[0], at + r"Deadline exceeded \(own deadline, 100 ms\)")
        self.assertRegex(lines[1], at + r"Deadline exceeded \(default of the socket, 50 ms\)")
        self.assertRegex(lines[2], at + r".*\(did not wait\)")
        self.assertRegex(lines[3], r"Deadline exceeded \(a whole conversation, 100 ms\)")
        self.assertEqual(lines[4], "no exception: Deadline exceeded")


class EveryServer(Case):
    def test_without_an_address_says_how_it_is_used(self):
        for name in ("chat", "embed", "http_hello", "threads"):
            for arguments in ((), ("127.0.0.1:0", "127.0.0.1:0")):
                with self.subTest((name, arguments)):
                    self.refused(example(name, *arguments), 2, f"usage: {name}")

    def test_what_is_no_number_of_seconds_is_one_line_that_says_so(self):
        for name, where, option in (("echo_server", "127.0.0.1:0", "--deadline"),
                                    ("echo_server", "127.0.0.1:0", "--drain"),
                                    ("ping", "127.0.0.1", "--interval"),
                                    ("ping", "127.0.0.1", "--timeout"),
                                    ("probe", "127.0.0.1:1", "--timeout"),
                                    ("probe", "127.0.0.1:1", "--deadline"),
                                    ("resolve", "localhost", "--deadline")):
            for wrong in ("-1", "nan", "inf", "1e300", "soon", "1s", "", "-0.1", "0"):
                if (option, wrong) != ("--drain", "0"):
                    with self.subTest((name, option, wrong)):
                        result = example(name, where, option, wrong)
                        self.refused(result, 2, option, f'"{wrong}" is no number of seconds from ')

    def test_what_is_no_address_is_one_line_that_names_it(self):
        for name, *more in (("chat",), ("embed",), ("http_hello",), ("threads",), ("fan_out", "1")):
            with self.subTest(name):
                self.refused(example(name, "nonsense", *more), 1, f"{name}: ", "nonsense")

    def test_a_port_in_use_is_one_line_that_names_the_address(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = "127.0.0.1:%d" % other.getsockname()[1]
            for name in ("chat", "echo_server", "embed", "http_hello"):
                with self.subTest(name), Program(PROGRAMS / name, address) as server:
                    server.process.wait(PATIENCE)  # its standard input stays open
                    status, errors = server.end()
                    self.assertEqual(status, 1)
                    self.assertRegex(errors,
                                     rf"\A{name}: [^\n]*{re.escape(address)}[^\n]*in use\n\Z")

    def test_a_unix_path_in_use_is_one_line_that_names_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "here")
            path.touch()
            result = example("echo_server", f"unix:{path}")
            self.refused(result, 1, str(path), "in use")
            self.assertTrue(path.exists(), "it was somebody else's")

    def test_each_signal_ends_those_that_say_so(self):
        for name in ("chat", "echo_server", "http_hello"):
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest((name, number)), Server(name, LOOPBACK[0]) as server:
                    self.ends_well(server, number)


class TcpProxy(Case):
    @needs_curl
    def test_passes_curl_on_and_counts_the_bytes(self):
        for at in LOOPBACK:
            with self.subTest(at), Server("http_hello", LOOPBACK[0]) as target, \
                    Server("tcp_proxy", at, target.address) as proxy:
                result = subprocess.run(["curl", "--silent", "--noproxy", "*",
                                         f"http://{proxy.address}/"],
                                        capture_output=True, text=True, timeout=PATIENCE)
                self.assertEqual((result.returncode, result.stdout), (0, "hello from gyre\n"))
                proxy.hear(r": \d+ bytes up, \d+ down\n")
                self.ends_well(proxy)
                self.ends_well(target)

    @needs_nc
    def test_passes_on_what_is_larger_than_all_buffers_and_each_end(self):
        data = os.urandom(1 << 20) * 16
        with Server("echo_server", LOOPBACK[0]) as target, \
                Server("tcp_proxy", LOOPBACK[0], target.address) as proxy:
            answer = subprocess.run(["nc", "-N", proxy.host, proxy.port], input=data,
                                    capture_output=True, timeout=PATIENCE)
            self.assertEqual(answer.returncode, 0)
            self.assertTrue(answer.stdout == data, f"{len(answer.stdout)} bytes came back")
            proxy.hear(f": {len(data)} bytes up, {len(data)} down\n")
            self.ends_well(proxy)

    @needs_socat
    def test_joins_many_and_other_families(self):
        name = f"gyre-proxy-{os.getpid()}"
        with Server("echo_server", f"unix:@{name}") as target, \
                Server("tcp_proxy", LOOPBACK[0], f"unix:@{name}") as proxy:
            clients = [Program("socat", "-", f"TCP:{proxy.address}") for _ in range(5)]
            for _ in range(2):
                for client in clients:
                    self.echoes(client)
            for client in clients:
                client.process.stdin.close()
                self.assertEqual(client.end(), (0, ""))
                client.__exit__()
            for _ in clients:
                proxy.hear(": 12 bytes up, 12 down\n")
            self.ends_well(proxy)
            self.ends_well(target)

    @needs_socat
    def test_a_target_that_is_not_there_ends_that_connection_only(self):
        with socket.socket() as bound:  # but it does not listen
            bound.bind(("127.0.0.1", 0))
            target = "127.0.0.1:%d" % bound.getsockname()[1]
            with Server("tcp_proxy", LOOPBACK[0], target) as proxy:
                for _ in range(2):
                    with Program("socat", "-u", f"TCP:{proxy.address}", "-") as client:
                        self.assertEqual(client.end(), (0, ""))
                    proxy.hear(f"connect to {target}: Connection refused\n")
                self.ends_well(proxy)

    def test_wrong_options_are_one_line(self):
        self.refused(example("tcp_proxy", LOOPBACK[0]), 2, "usage: tcp_proxy")
        self.refused(example("tcp_proxy", LOOPBACK[0], "localhost:x"), 1, "tcp_proxy: ")


def may_ping():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
        return True
    except PermissionError:
        return False


needs_raw = unittest.skipUnless(may_ping(), "raw sockets take root or CAP_NET_RAW")


class Ping(Case):
    REPLY = r"64 bytes from 127\.0\.0\.1: icmp_seq=%d .*?time=[\d.]+ ms\n"

    @needs_raw
    def test_the_loopback_answers(self):
        hosts = ["127.0.0.1"]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("::1", 0))
                hosts.append("::1")
            except OSError:
                pass
        for host in hosts:
            with self.subTest(host):
                result = example("ping", host, "--count", "3", "--interval", "0.01")
                self.assertEqual((result.returncode, result.stderr), (0, ""), result)
                replies = re.findall(rf"64 bytes from {host}: icmp_seq=[123] time=", result.stdout)
                self.assertEqual(len(replies), 3, result)
                self.assertRegex(result.stdout, r"\n3 packets transmitted, 3 received, "
                                 r"0% packet loss, min/avg/max = [\d.]+/[\d.]+/[\d.]+ ms\n\Z")

    @needs_raw
    @needs_ping
    def test_agrees_with_ping(self):
        theirs = subprocess.run(["ping", "-n", "-c", "2", "-i", "0.2", "127.0.0.1"],
                                capture_output=True, text=True, timeout=PATIENCE)
        ours = example("ping", "127.0.0.1", "--count", "2", "--interval", "0.2")
        for result in (theirs, ours):
            self.assertEqual(result.returncode, 0, result)
            for number in (1, 2):
                self.assertRegex(result.stdout, self.REPLY % number)
            self.assertRegex(result.stdout, "2 packets transmitted, 2 received, 0% packet loss")

    @needs_raw
    def test_two_at_once_do_not_take_each_others_replies(self):
        both = [Program(PROGRAMS / "ping", "127.0.0.1", "--count", "20", "--interval", "0.001")
                for _ in range(2)]
        for one in both:
            one.hear("20 packets transmitted, 20 received, 0% packet loss")
            self.assertEqual(one.end(), (0, ""))
            one.__exit__()

    @needs_raw
    def test_sigint_ends_it_with_the_summary(self):
        with Program(PROGRAMS / "ping", "127.0.0.1") as ping:
            ping.hear(self.REPLY.replace(" .*?", " ") % 1)
            self.assertEqual(ping.end(signal.SIGINT), (0, ""))
            ping.hear(r"\d packets transmitted, \d received, 0% packet loss")

    def test_without_the_right_it_says_so(self):
        how = {}
        if os.geteuid() == 0:  # another user, and a folder where that one may read
            how = {"user": 65534, "group": 65534, "extra_groups": []}
        elif may_ping():
            self.skipTest("this user has the right")
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            program = shutil.copy(PROGRAMS / "ping", folder)
            result = subprocess.run([program, "127.0.0.1", "--count", "1"], capture_output=True,
                                    text=True, timeout=PATIENCE, **how)
        self.refused(result, 1, "raw sockets take root, or the capability CAP_NET_RAW")

    def test_wrong_options_are_one_line_and_status_2(self):
        for arguments in ((), ("localhost",), ("127.0.0.1", "--count", "0"),
                          ("127.0.0.1", "--interval", "0"), ("127.0.0.1", "--timeout", "soon")):
            with self.subTest(arguments):
                self.refused(example("ping", *arguments), 2, "ping: ")


class FileServer(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name, "public")
        self.root.mkdir()
        Path(self.folder.name, "secret").write_text("secret\n")

    def curl(self, *arguments):
        return subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*",
                               "--path-as-is", "--globoff", *arguments],
                              capture_output=True, timeout=PATIENCE)

    @needs_curl
    def test_a_file_of_100_mb_arrives_as_it_is(self):
        part = os.urandom(1 << 20)
        expected = hashlib.sha256()
        with open(self.root / "large file", "wb") as file:
            for n in range(100):
                file.write(piece := part[n:] + part[:n])
                expected.update(piece)
        for at in LOOPBACK:
            with self.subTest(at), Server("file_server", at, self.root) as server:
                with subprocess.Popen(["curl", "--silent", "--noproxy", "*",
                                       f"http://{server.address}/large%20file"],
                                      stdout=subprocess.PIPE) as curl:
                    arrived = hashlib.sha256()
                    size = 0
                    while piece := curl.stdout.read(1 << 20):
                        arrived.update(piece)
                        size += len(piece)
                    self.assertEqual(curl.wait(PATIENCE), 0)
                self.assertEqual(size, 100 << 20)
                self.assertEqual(arrived.hexdigest(), expected.hexdigest())
                self.ends_well(server)

    @needs_curl
    def test_head_tells_the_length_and_sends_nothing(self):
        (self.root / "file").write_text("x" * 1234)
        with Server("file_server", LOOPBACK[0], self.root) as server:
            result = self.curl("--head", f"http://{server.address}/file")
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stdout,
                             b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
            self.ends_well(server)

    @needs_curl
    def test_keeps_the_connection_for_more_files_empty_ones_too(self):
        (self.root / "one").write_text("one\n")
        (self.root / "none").write_text("")
        with Server("file_server", LOOPBACK[0], self.root) as server:
            url = f"http://{server.address}"
            result = self.curl("--write-out", "%{num_connects} %{http_code}\n", f"{url}/one",
                               f"{url}/none", f"{url}/nowhere", f"{url}/one?again")
            self.assertEqual(result.stdout, b"one\n1 200\n0 200\nnot found\n0 404\n"
                                            b"one\n0 200\n")
            self.ends_well(server)

    @needs_curl
    def test_what_is_not_below_the_folder_is_not_found(self):
        (self.root / "below").mkdir()
        (self.root / "out").symlink_to("../secret")
        (self.root / "up").symlink_to("..")
        Path(self.folder.name, "public-not").write_text("secret\n")
        os.mkfifo(self.root / "pipe")
        with Server("file_server", LOOPBACK[0], self.root) as server:
            for path in ("/../secret", "/below/../../secret", "/%2e%2e/secret", "/..%2fsecret",
                         "//../secret", "/out", "/up/secret", "/below", "/", "/pipe", "/nowhere",
                         "/%00", "/below/%2E%2E/%2e%2E/secret", "/../public-not"):
                with self.subTest(path):
                    result = self.curl("--write-out", "%{http_code}",
                                       f"http://{server.address}{path}")
                    self.assertEqual(result.stdout, b"not found\n404", result)
            self.ends_well(server)

    @needs_curl
    def test_other_methods_are_refused(self):
        with Server("file_server", LOOPBACK[0], self.root) as server:
            result = self.curl("--data", "text", "--include", f"http://{server.address}/")
            self.assertIn(b"405 Method Not Allowed", result.stdout)
            self.assertIn(b"Allow: GET, HEAD", result.stdout)
            self.ends_well(server)

    @needs_curl
    def test_a_client_that_goes_away_in_the_middle_is_its_own_affair(self):
        with open(self.root / "large", "wb") as file:
            file.truncate(64 << 20)
        with Server("file_server", LOOPBACK[0], self.root) as server:
            for _ in range(3):
                with socket.create_connection((server.host, int(server.port)), PATIENCE) as client:
                    client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
                    self.assertTrue(client.recv(1000))
            result = self.curl("--head", f"http://{server.address}/large")
            self.assertEqual(result.returncode, 0, result)
            self.ends_well(server)

    def test_wrong_options_are_one_line(self):
        self.refused(example("file_server", LOOPBACK[0]), 2, "usage: file_server")
        self.refused(example("file_server", LOOPBACK[0], "/nowhere"), 1, "file_server: ")


class Resolve(Case):
    # The machine's own name where the hosts file has it: else it may take the network.
    OWN = {socket.gethostname()} & set(Path("/etc/hosts").read_text().split())
    NAMES = ("localhost", "127.0.0.1", "::1", *OWN)

    @needs_getent
    def test_prints_what_getent_does(self):
        for name in self.NAMES:
            with self.subTest(name):
                theirs = subprocess.run(["getent", "ahosts", name], capture_output=True,
                                        text=True, timeout=PATIENCE)
                ours = example("resolve", name)
                self.assertEqual((ours.returncode, ours.stdout),
                                 (theirs.returncode, theirs.stdout), (theirs, ours))

    @needs_getent
    def test_reverse_prints_what_getent_hosts_does(self):
        theirs = subprocess.run(["getent", "hosts", "127.0.0.1"], capture_output=True,
                                text=True, timeout=PATIENCE)
        ours = example("resolve", "--reverse", "127.0.0.1")
        self.assertEqual((ours.returncode, ours.stdout.split()), (0, theirs.stdout.split()), ours)

    def test_many_names_in_their_order_also_from_stdin(self):
        names = [f"127.0.{i % 7}.{i % 251 + 1}" for i in range(5000)]
        for how in ({"args": names}, {"args": [], "input": "\n".join(names) + "\n"}):
            result = example("resolve", *how.pop("args"), **how)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            streams = [line.split()[0] for line in result.stdout.splitlines() if "STREAM" in line]
            self.assertEqual(streams, names)

    def test_a_service_adds_its_port(self):
        result = example("resolve", "127.0.0.1", "::1", "--service", "443")
        self.assertRegex(result.stdout, r"(?m)^127\.0\.0\.1:443 +STREAM")
        self.assertRegex(result.stdout, r"(?m)^\[::1\]:443 +STREAM")

    def test_what_is_not_found_is_told_and_the_others_are_printed(self):
        result = example("resolve", "127.0.0.1", "not..a.name", "127.0.0.2")
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Aresolve: not\.\.a\.name: [^\n]+\n\Z")
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()
                          if "STREAM" in line], ["127.0.0.1", "127.0.0.2"])

    def test_wrong_options_are_one_line(self):
        self.refused(example("resolve", "--reverse", "--service", "http", "::1"), 2, "--service")


class Probe(Case):
    def listeners(self, *hosts):
        """A listener at each, on one port."""
        for _ in range(100):
            sockets = []
            port = 0
            try:
                for host in hosts:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    sockets.append(socket.socket(family))
                    sockets[-1].bind((host, port))
                    port = sockets[-1].getsockname()[1]
                    sockets[-1].listen(16)
            except OSError:
                for s in sockets:
                    s.close()
                continue
            for s in sockets:
                self.addCleanup(s.close)
            return port
        self.skipTest("no free port")

    def rows(self, result):
        return [re.split(r" {2,}", line) for line in result.stdout.splitlines()[:-1]]

    def test_tells_open_from_refused(self):
        port = self.listeners("127.0.0.1", "::1")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            other = closed.getsockname()[1]
            result = example("probe", f"127.0.0.1:{port},{other}", f"[::1]:{port}")
        self.assertEqual((result.returncode, result.stderr), (1, ""), result)
        self.assertEqual([(row[0], row[1], row[3]) for row in self.rows(result)],
                         [(f"127.0.0.1:{port}", "open", f"127.0.0.1:{port}"),
                          (f"127.0.0.1:{other}", "refused", f"127.0.0.1:{other}"),
                          (f"[::1]:{port}", "open", f"[::1]:{port}")])
        self.assertRegex(result.stdout, r"\n3 probed in \d+ ms: 2 open, 1 refused, 0 timed out, "
                         r"0 errors, 0 not tried\n\Z")

    def test_status_0_when_all_are_open(self):
        port = self.listeners("127.0.0.1")
        result = example("probe", f"127.0.0.1:{port}", f"localhost:{port}")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)

    def test_two_thousand_ports_a_hundred_at_a_time(self):
        first = free_port(2000)
        with socket.create_server(("127.0.0.1", first + 1234)):
            result = example("probe", f"127.0.0.1:{first}-{first + 1999}", "--concurrency", "100",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                   (150, 150)))
        self.assertEqual([row[:2] for row in self.rows(result)],
                         [[f"127.0.0.1:{first + i}", "open" if i == 1234 else "refused"]
                          for i in range(2000)])
        self.assertIn(": 1 open, 1999 refused, 0 timed out, 0 errors, 0 not tried", result.stdout)

    def test_a_silent_port_is_timed_out_and_the_deadline_leaves_the_rest(self):
        with socket.socket() as full, socket.socket() as one, socket.socket() as two:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for filler in (one, two):
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            silent = f"127.0.0.1:{full.getsockname()[1]}"
            result = example("probe", silent, "--timeout", "0.05")
            self.assertEqual(self.rows(result)[0][:2], [silent, "timed out"])
            result = example("probe", silent, silent, "--deadline", "0.5", "--concurrency", "1")
            self.assertEqual([row[1] for row in self.rows(result)], ["timed out", "not tried"])
            self.assertEqual(result.returncode, 1)

    def test_targets_come_from_a_file_and_from_stdin_too(self):
        port = self.listeners("127.0.0.1")
        lines = f"127.0.0.1:{port}\nlocalhost:{port}\n"
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(lines)
            file.flush()
            for name, how in ((file.name, {}), ("-", {"input": lines})):
                result = example("probe", "--file", name, **how)
                self.assertEqual([row[1] for row in self.rows(result)], ["open", "open"], result)

    def test_a_name_that_is_none_is_an_error_of_its_own(self):
        port = self.listeners("127.0.0.1")
        result = example("probe", "not..a.name:80", f"127.0.0.1:{port}")
        self.assertEqual([row[1] for row in self.rows(result)], ["error", "open"], result)

    def test_wrong_targets_are_one_line(self):
        for wrong in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1:80",
                      "127.0.0.1:9-8", "127.0.0.1:1,,2", "127.0.0.1:x", ":80"):
            with self.subTest(wrong):
                self.refused(example("probe", wrong), 2, wrong)
        self.refused(example("probe", "--file", "/nowhere/at/all"), 2, "/nowhere/at/all")
        self.refused(example("probe"), 2, "HOST:PORTS")
        self.refused(example("probe", "127.0.0.1:1", "--concurrency", "0"), 2, "--concurrency")


if __name__ == "__main__":
    faulthandler.dump_traceback_later(5 * PATIENCE, exit=True)
    unittest.main(verbosity=2)
