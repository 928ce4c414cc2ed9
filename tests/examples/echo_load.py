"""Load for an echo server, until the server ends it: echo_load.py HOST PORT CONNECTIONS

Each connection asks, reads the answer, and asks again. Says "busy" when each has had ten answers,
and in the end how many answers there were, and how many connections ended with a question open.
Whatever comes back has to be the answer, whole: else it says so and exits with 1.
"""

import selectors
import socket
import sys

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sockets = selectors.DefaultSelector()


class Connection:
    def __init__(self, number):
        self.number = number
        self.answers = 0
        self.heard = b""
        self.socket = socket.create_connection((host, port), 30)
        sockets.register(self.socket, selectors.EVENT_READ, self)
        self.ask()

    def ask(self):
        self.question = b"connection %d, question %d\n" % (self.number, self.answers) * 5
        try:
            self.socket.sendall(self.question)
        except (BrokenPipeError, ConnectionResetError):
            pass  # recv tells

    def hear(self):
        """Whether it goes on."""
        try:
            part = self.socket.recv(65536)
        except ConnectionResetError:
            part = b""
        self.heard += part
        if not self.question.startswith(self.heard):
            sys.exit(f"asked {self.question!r}, heard {self.heard!r}")
        if not part:
            sockets.unregister(self.socket)
            self.socket.close()
            if self.heard:
                sys.exit(f"half an answer: {self.heard!r} of {self.question!r}")
            return False
        if self.heard == self.question:
            self.heard = b""
            self.answers += 1
            self.ask()
        return True


connections = [Connection(n) for n in range(count)]
busy = False
left = count
while left:
    for key, _ in sockets.select(30) or sys.exit("silence for 30 s"):
        left -= not key.data.hear()
    if not busy and left == count and min(c.answers for c in connections) >= 10:
        busy = True
        print("busy", flush=True)
if not busy:
    sys.exit("it ended too early")
print(f"{sum(c.answers for c in connections)} answers, {count} open questions", flush=True)
