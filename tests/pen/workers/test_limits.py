"""Limits hold over all workers, within one connection for each other one, whatever comes at once.

The worst there is: all workers are stopped, clients of all of them come, and all go on at the
same moment, each finding a queue before it and the counts of the others at nothing.
"""

import os
import signal
import socket
import threading
from contextlib import ExitStack

import pytest

from tests.pen.conftest import echo, until
from tests.pen.workers.crowd import Teller, address, children, visits

LIMIT, CROWD, BURSTS = 50, 150, 8
QUIET = 20
"""Times that all workers answer a question while nobody else is let in."""


class Counting:
    """A server that counts who is connected now, and the most there ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def serve(self, stream: socket.socket) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            echo(stream)
        finally:
            with self._lock:
                self.now -= 1


def burst(running, clients: list[str], stack: ExitStack) -> list[socket.socket]:
    """All come at once, to workers that all begin with them at once."""
    workers = children(running.process.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    streams = [stack.enter_context(running.connect(client)) for client in clients]
    for stream in streams:
        stream.sendall(b"x")
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    return streams


def settle(running, counting: Counting) -> None:
    """Wait until nobody else is let in."""
    seen = quiet = 0
    while quiet < QUIET:
        running.ctl("servers")
        quiet = quiet + 1 if counting.now == seen else 0
        seen = counting.now


@pytest.mark.parametrize("workers", [2, 3])
def test_max_holds_in_bursts(pen, backend, workers):
    counting, other = Counting(), backend(echo)
    running = pen(
        "--workers", workers, "-r", "-x", 1000, f"127.0.0.1:{backend(counting.serve).port}:{LIMIT}",
        f"127.0.0.1:{other.port}",
    )  # fmt: skip
    for number in range(BURSTS):
        clients = [address(number * CROWD + each) for each in range(CROWD)]
        with ExitStack() as stack:
            for stream in burst(running, clients, stack):
                assert stream.recv(1) == b"x", "everybody is served, by one of the two"
            assert counting.now >= LIMIT
            assert counting.most <= LIMIT + workers - 1
        until(lambda: counting.now == 0, "all are gone")
        until(lambda: {s["conn"] for s in running.servers()} == {"0"}, "and pen knows")


@pytest.mark.parametrize("workers", [2, 3])
def test_conn_max_holds_in_bursts(pen, backend, workers):
    counting = Counting()
    port = backend(counting.serve).port
    running = pen("--workers", workers, "-x", LIMIT, f"127.0.0.1:{port}")
    for number in range(BURSTS):
        clients = [address(number * CROWD + each) for each in range(CROWD)]
        with ExitStack() as stack:
            burst(running, clients, stack)
            until(lambda: counting.now >= LIMIT, "as many are let in as may be")
            settle(running, counting)
            assert counting.now <= LIMIT + workers - 1
        until(lambda: counting.now == 0, "all are gone, those who waited too")


def test_handshakes_count(pen, backend, site):
    """Clients that never finish theirs are as many as `conn_max` lets in."""
    running = pen("--workers", 3, *site, "-x", LIMIT, f"127.0.0.1:{backend(echo).port}")
    with ExitStack() as stack:
        running.ctl("servers")  # when all have answered, all have begun
        workers = children(running.process.pid)
        descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in workers)
        burst(running, [address(each) for each in range(CROWD)], stack)

        def let_in() -> int:
            return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in workers) - descriptors

        until(lambda: let_in() >= LIMIT, "as many are let in as may be")
        for _ in range(QUIET):
            running.ctl("servers")
        assert let_in() <= LIMIT + 2


def test_datagrams_sessions_are_divided(pen):
    teller = Teller(b"a", socket.SOCK_DGRAM)
    running = pen("-U", "--workers", 3, "-x", LIMIT, teller.at)
    told = list(visits(running.port, map(address, range(CROWD)), socket.SOCK_DGRAM, at_once=3))
    assert [name for _, name in told] == [b"a"] * CROWD
    assert int(running.servers()[0]["conn"]) <= LIMIT + 2
    teller.close()
