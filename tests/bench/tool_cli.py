"""The tool gyre, as a user meets it: what it prints, and what it ends with.

tool_cli.py GYRE    GYRE is the tool, its echo server built beside it
"""

import ctypes
import errno
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest

TOOL = sys.argv.pop()
PATIENCE = 30
IO_URING_SETUP = 425  # on every architecture


def gyre(*arguments, environment=None):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, **(environment or {})})


def refuse_rings(number):
    """Lets io_uring_setup fail with this number, in this process and what it becomes."""
    def instruction(code, jump_if, jump_else, k):
        return struct.pack("=HBBI", code, jump_if, jump_else, k)
    load, jump_if_equal, give, refuse, allow = 0x20, 0x15, 0x06, 0x0005_0000, 0x7fff_0000
    program = (instruction(load, 0, 0, 0) + instruction(jump_if_equal, 0, 1, IO_URING_SETUP)
               + instruction(give, 0, 0, refuse | number) + instruction(give, 0, 0, allow))
    memory = ctypes.create_string_buffer(program)
    filter_program = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    if (libc.prctl(set_no_new_privileges, 1, 0, 0, 0) != 0
            or libc.prctl(set_seccomp, mode_filter, filter_program, 0, 0) != 0):
        raise OSError(ctypes.get_errno(), "no filter")


def bench(*arguments, seconds="0.2", connections="3"):
    result = gyre("bench", "--seconds", seconds, "--warmup", "0.05", "--connections", connections,
                  "--json", *arguments)
    return result, json.loads(result.stdout)


class BadOptions(unittest.TestCase):
    def refused(self, *arguments):
        result = gyre(*arguments)
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Agyre: [^\n]+\n\Z")
        return result.stderr

    def test_end_with_2_and_one_line(self):
        for arguments in ((), ("frob",), ("bench", "--frob"), ("bench", "--size", "0"),
                          ("bench", "--size", "many"), ("bench", "--connections", "0"),
                          ("bench", "--seconds", "nan"), ("bench", "--seconds", "-1"),
                          ("bench", "--protocol", "sctp"), ("bench", "--backend", "kqueue"),
                          ("bench", "--core", "1000"), ("bench", "127.0.0.1"),
                          ("bench", "--protocol", "udp", "--size", "70000"),
                          ("bench", "127.0.0.1:1", "--protocol", "unix"),
                          ("bench", "127.0.0.1:1", "--server", "/bin/cat"),
                          ("compare", "--connections", "1,x"), ("compare", "--rounds", "0")):
            with self.subTest(arguments=arguments):
                self.refused(*arguments)

    def test_the_line_names_the_option(self):
        self.assertIn("--size", self.refused("bench", "--size", "0"))


class Info(unittest.TestCase):
    def test_names_the_backend_that_is_chosen(self):
        result = gyre("info", environment={"GYRE_BACKEND": ""})
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stdout, r"(?m)^chosen: (epoll|io_uring), because .+$")
        self.assertIn(os.uname().release, result.stdout)

    def test_says_that_the_environment_chose(self):
        result = gyre("info", environment={"GYRE_BACKEND": "epoll"})
        self.assertRegex(result.stdout, r"(?m)^chosen: epoll, because .*GYRE_BACKEND")


    def test_says_why_io_uring_is_refused(self):
        for number, reason in ((errno.EPERM, "seccomp"), (errno.ENOSYS, "no io_uring"),
                               (errno.ENOMEM, "memory")):
            with self.subTest(reason=reason):
                result = subprocess.run([TOOL, "info"], capture_output=True, text=True,
                                        timeout=PATIENCE, preexec_fn=lambda: refuse_rings(number),
                                        env={**os.environ, "GYRE_BACKEND": ""})
                self.assertEqual((result.returncode, result.stderr), (0, ""), result)
                self.assertRegex(result.stdout, rf"(?m)^  io_uring +no: .*{reason}")
                self.assertRegex(result.stdout,
                                 rf"(?m)^chosen: epoll, because io_uring: .*{reason}")

    def test_an_io_uring_that_is_asked_for_and_refused_is_one_line(self):
        result = subprocess.run([TOOL, "info"], capture_output=True, text=True, timeout=PATIENCE,
                                preexec_fn=lambda: refuse_rings(errno.EPERM),
                                env={**os.environ, "GYRE_BACKEND": "io_uring"})
        self.assertEqual(result.returncode, 1, result)
        self.assertRegex(result.stderr,
                         r"\Agyre: GYRE_BACKEND=io_uring, but [^\n]*seccomp[^\n]*\n\Z")


class Bench(unittest.TestCase):
    def good(self, *arguments, **options):
        result, report = bench(*arguments, **options)
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(report["errors"], 0)
        self.assertGreater(report["requests"], 0)
        self.assertGreater(report["seconds"], 0.15)
        return report

    def test_measures_echo_over_each_protocol(self):
        for protocol in ("tcp", "udp", "unix"):
            with self.subTest(protocol=protocol):
                report = self.good("--protocol", protocol)
                self.assertEqual(report["protocol"], protocol)
                self.assertEqual(report["connections"], 3)
                self.assertGreater(report["server_cpu_seconds"], 0)
                latency = report["latency_us"]
                self.assertLessEqual(latency["p50"], latency["p99"])
                self.assertLessEqual(latency["p99"], latency["p999"])
                self.assertLessEqual(latency["p999"], latency["max"])

    def test_counts_each_message_of_a_batch(self):
        self.assertEqual(self.good("--depth", "7")["requests"] % 7, 0)
        self.good("--depth", "7", "--protocol", "udp")

    def test_messages_larger_than_the_buffers_of_the_kernel_come_back(self):
        self.good("--size", str(8 << 20), seconds="1")

    def test_deadlines_that_do_not_pass_change_nothing(self):
        self.good("--deadline", "30", "--server-deadline", "30")

    def test_takes_the_backend_that_it_is_told_to(self):
        report = self.good("--backend", "epoll", "--server-backend", "epoll")
        self.assertEqual((report["generator"], report["server"]), ("epoll", "echo_server (epoll)"))

    def test_prints_its_figures_for_people(self):
        result = gyre("bench", "--seconds", "0.1", "--warmup", "0", "--connections", "1")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        for word in ("requests/s", "MB/s", "p50", "p99.9", "max", "cap", "errors      0"):
            self.assertIn(word, result.stdout)

    def test_progress_goes_to_standard_error(self):
        result, _ = bench("--progress")
        self.assertIn("measuring", result.stderr)

    def test_a_signal_ends_it_with_130_and_the_results_so_far(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                process = subprocess.Popen([TOOL, "bench", "--seconds", "600", "--warmup", "0",
                                            "--connections", "3", "--json", "--progress"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                seen = b""
                while not re.search(rb"measuring +[0-9.]+ s +[1-9]", seen):
                    seen += os.read(process.stderr.fileno(), 4096)
                process.send_signal(number)
                output, _ = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, 130)
                report = json.loads(output)
                self.assertTrue(report["interrupted"])
                self.assertGreater(report["requests"], 0)

    def test_nobody_there_is_an_error_with_the_address(self):
        with socket.socket() as closed:  # bound, but it does not listen
            closed.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{closed.getsockname()[1]}"
            result = gyre("bench", address)
        self.assertEqual(result.returncode, 1, result)
        self.assertRegex(result.stderr, rf"\Agyre: [^\n]*{re.escape(address)}[^\n]*\n\Z")

    def test_more_connections_than_descriptors_is_a_clear_error(self):
        result = subprocess.run(["sh", "-c", f'ulimit -n 100; exec "{TOOL}" bench --connections 99'],
                                capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("descriptors", result.stderr)

    def test_a_program_that_is_no_server_is_an_error(self):
        for program in ("/bin/true", "/nonexistent"):
            result = gyre("bench", "--server", program)
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(program, result.stderr)


class WrongServers(unittest.TestCase):
    """A server of our own, that answers one connection with answer(data)."""

    def loaded(self, answer, deadline="20"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve():
                peer, _ = listener.accept()
                with peer:
                    while data := peer.recv(65536):
                        data = answer(data)
                        if not data:
                            return
                        peer.sendall(data)
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            result, report = bench(address, "--deadline", deadline, seconds="600", connections="1")
            thread.join()
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(report["errors"], 1)
        return report["first_error"]

    def test_one_wrong_byte_is_an_error(self):
        self.assertIn("not what was sent",
                      self.loaded(lambda data: data[:-1] + bytes([data[-1] ^ 1])))

    def test_the_answer_of_before_is_an_error(self):
        first = []

        def answer(data):
            first.append(data)
            return first[0]
        self.assertIn("not what was sent", self.loaded(answer))

    def test_a_server_that_closes_is_an_error(self):
        self.assertIn("closed", self.loaded(lambda data: b""))

    def test_an_answer_that_does_not_come_is_an_error_after_the_deadline(self):
        self.assertIn("Deadline exceeded", self.loaded(lambda data: data[:-1], deadline="0.2"))


class Compare(unittest.TestCase):
    def test_shows_each_server_with_each_number_of_connections(self):
        result = gyre("compare", "--seconds", "0.05", "--warmup", "0.02", "--rounds", "1",
                      "--connections", "1,5", "--json", "/dev/stderr")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(result.stdout.count("raw epoll "), 3)
        self.assertEqual(len(re.findall(r"(?m)^ +\d* +gyre on epoll .* \d\.\d\d$", result.stdout)), 2)
        report = json.loads(result.stderr)
        self.assertEqual(len(report["runs"]), len(report["summary"]))


if __name__ == "__main__":
    unittest.main()
