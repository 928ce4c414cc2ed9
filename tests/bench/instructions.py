"""User instructions of an echo server for each 64-byte message, counted by callgrind.

    instructions.py echo_server CASE=LIMIT...     CASE: epoll, epoll+deadline, io_uring, ...

Fifty connections send a message each, and wait for all answers, round after round. What a run with
more rounds costs beyond one with fewer, divided by the messages between, is what a message costs:
start, accept and end cancel out. A line for each case; exit 1 when one is over its limit, or when
nothing was counted.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

CONNECTIONS = 50
SIZE = 64
ROUNDS = (40, 140)
PATIENCE = 120  # seconds, for all of a run: valgrind is 50 times slower


def receive(client):
    left = SIZE
    while left > 0:
        data = client.recv(left)
        if not data:
            sys.exit("instructions: the server closed a connection")
        left -= len(data)


def run(server, case, rounds, keep=None):
    """Instructions of a whole life of the server."""
    backend, *options = case.split("+")
    arguments = [server, "127.0.0.1:0", "--backend", backend]
    if "deadline" in options:
        arguments += ["--deadline", "30"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(keep or folder) / f"callgrind.{case}.{rounds}"
        process = subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                                    *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        try:
            line = process.stdout.readline()
            match = re.search(r":(\d+) ", line)
            if not match:
                sys.exit(f"instructions: the server said {line!r}: {process.stderr.read()}")
            clients = [socket.create_connection(("127.0.0.1", int(match[1])), PATIENCE)
                       for _ in range(CONNECTIONS)]
            message = bytes(range(SIZE))
            for _ in range(rounds):
                # All messages are there before the server looks: then the number of its turns,
                # and so of instructions, does not depend on the weather.
                process.send_signal(signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                for client in clients:
                    client.sendall(message)
                process.send_signal(signal.SIGCONT)
                for client in clients:
                    receive(client)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        counted = re.search(r"Collected\s*:\s*(\d+)", errors)
        if process.returncode != 0 or not counted:
            sys.exit(f"instructions: {' '.join(arguments)} ended with {process.returncode}: "
                     f"{errors}")
        return int(counted[1])


def main():
    server, *cases = sys.argv[1:]
    keep = None
    if cases and cases[0].startswith("--keep="):
        keep = cases.pop(0)[7:]
    failed = False
    for text in cases:
        case, limit = text.split("=")
        # On a busy machine the server is sometimes woken between, which adds a turn: one count of
        # three within the limit is enough.
        for _ in range(3):
            few, many = (run(server, case, rounds, keep) for rounds in ROUNDS)
            cost = (many - few) / ((ROUNDS[1] - ROUNDS[0]) * CONNECTIONS)
            if cost <= float(limit):
                break
        print(f"{case:20} {cost:6.1f} instructions a message (at most {limit})", flush=True)
        failed |= not 0 < cost <= float(limit)
    return failed


sys.exit(main())
