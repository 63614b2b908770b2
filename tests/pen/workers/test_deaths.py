"""Workers that end or hang, under load: only what is theirs is lost, and others follow them."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from pen.net.steering import member_for
from tests.pen.conftest import BIN, until
from tests.pen.workers.crowd import Teller, address, children
from tests.ports import free_port

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
NAMES = (b"a", b"b", b"c")
HELD = [address(number) for number in range(60)]
PASSING = [address(number) for number in range(1000, 1300)]
PLACES = [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
"""How many workers there are, and which of them ends."""
IN_A_HURRY = """
from unittest import mock
from pen import cli
from pen.workers import supervisor
with mock.patch.object(supervisor, "PATIENCE", 1.0):
    cli.main()
"""
WITHOUT_MEMORY_AT_FIRST = """
import errno, os
from unittest import mock
from pen import cli
results = iter([OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))])
fork = os.fork
def forks():
    for error in results:
        raise error
    return fork()
with mock.patch.object(os, "fork", forks):
    cli.main()
"""


def steady(name: bytes):
    """Answers each piece with its name."""

    def serve(stream: socket.socket) -> None:
        while stream.recv(100):
            stream.sendall(name)

    return serve


def ask(stream: socket.socket) -> bytes:
    """What the server at the other end is called; nothing if the answer is lost."""
    try:
        stream.sendall(b"?")
        return stream.recv(100)
    except (ConnectionResetError, BrokenPipeError, TimeoutError):
        return b""


class Passers:
    """Clients that come and go, in random order, in a thread, while the block lasts."""

    def __init__(self, running, kind: socket.SocketKind = STREAM) -> None:
        self.told: dict[str, list[bytes]] = {client: [] for client in PASSING}
        self._port, self._kind = running.port, kind
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._pass, daemon=True)

    def _pass(self) -> None:
        chance = random.Random(1)
        while not self._done.is_set():
            for client in chance.sample(PASSING, len(PASSING)):
                with socket.socket(socket.AF_INET, self._kind) as stream:
                    stream.settimeout(1.0 if self._kind == DATAGRAM else 20.0)
                    stream.bind((client, 0))
                    stream.connect(("127.0.0.1", self._port))
                    self.told[client].append(ask(stream))

    def came_again(self) -> None:
        """Return when each has been here twice more."""
        before = {client: len(told) for client, told in self.told.items()}
        until(lambda: all(len(self.told[c]) >= n + 2 for c, n in before.items()), "they pass by")

    def check(self, workers: int, victim: int) -> None:
        """Whoever was not the dead worker's has noticed nothing."""
        for client, names in self.told.items():
            if member_for(client, workers) == victim:
                assert names.count(b"") <= 1
                assert names[-1], "the new one serves them"
            else:
                assert len(set(names)) == 1, client
                assert names[0], client

    def __enter__(self) -> "Passers":
        self._thread.start()
        self.came_again()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def kill(running, number: int) -> float:
    """Kill a worker; seconds until another is there."""
    before = children(running.process.pid)
    os.kill(before[number], signal.SIGKILL)
    began = time.monotonic()
    until(lambda: is_replaced(running, before, number), "another takes its place")
    return time.monotonic() - began


def is_replaced(running, before: list[int], number: int) -> bool:
    now = children(running.process.pid)
    return len(now) == len(before) and before[number] not in now


@pytest.mark.parametrize(("workers", "victim"), PLACES)
def test_only_its_own_connections_are_lost(pen, backend, workers, victim):
    servers = [f"127.0.0.1:{backend(steady(name)).port}" for name in NAMES]
    running = pen("--workers", workers, *servers)
    with ExitStack() as stack:
        held = {client: stack.enter_context(running.connect(client)) for client in HELD}
        first = {client: ask(stream) for client, stream in held.items()}
        assert set(first.values()) == set(NAMES)
        with Passers(running) as passers:
            assert kill(running, victim) < 1.0
            passers.came_again()
        passers.check(workers, victim)
        theirs = {client for client in HELD if member_for(client, workers) == victim}
        again = {client: ask(stream) for client, stream in held.items()}
        assert {client for client, name in again.items() if not name} == theirs
        assert all(again[client] == first[client] for client in set(HELD) - theirs)
    recent = [line.split()[0] for line in running.ctl("recent").splitlines()]
    assert len(recent) == len(set(recent)), "each is known to one worker"


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_sessions_of_datagrams_too(pen, victim):
    tellers = [Teller(name, DATAGRAM) for name in NAMES]
    running = pen("-U", "--workers", 3, *(teller.at for teller in tellers))
    with Passers(running, DATAGRAM) as passers:
        assert kill(running, victim) < 1.0
        passers.came_again()
    passers.check(3, victim)
    for teller in tellers:
        teller.close()


def test_who_waits_for_the_dead_is_served_by_the_next(pen, backend):
    running = pen("--workers", 2, f"127.0.0.1:{backend(steady(b'a')).port}")
    victim = children(running.process.pid)[1]
    os.kill(victim, signal.SIGSTOP)
    with ExitStack() as stack:
        waiting = [stack.enter_context(running.connect(client)) for client in HELD]
        os.kill(victim, signal.SIGKILL)
        assert {ask(stream) for stream in waiting} == {b"a"}


def test_its_connections_no_longer_count(pen, backend):
    running = pen("--workers", 2, f"127.0.0.1:{backend(steady(b'a')).port}:100")
    with ExitStack() as stack:
        for client in HELD:
            assert ask(stack.enter_context(running.connect(client))) == b"a"
        kill(running, 0)
        left = sum(member_for(client, 2) == 1 for client in HELD)
        assert running.servers()[0]["conn"] == str(left)


def test_one_that_hangs_is_replaced_when_it_is_asked(pen, backend):
    server = f"127.0.0.1:{backend(steady(b'a')).port}"
    running = pen("--workers", 3, server, program=(sys.executable, "-c", IN_A_HURRY))
    before = children(running.process.pid)
    os.kill(before[0], signal.SIGSTOP)
    os.kill(before[2], signal.SIGSTOP)
    with ExitStack() as stack:
        waiting = [stack.enter_context(running.connect(client)) for client in HELD]
        began = time.monotonic()
        assert running.servers()[0]["addr"] == "127.0.0.1"
        assert time.monotonic() - began < 2 * 1.0, "both are waited for at once"
        until(lambda: len(set(children(running.process.pid)) - set(before)) == 2, "two new ones")
        assert {ask(stream) for stream in waiting} == {b"a"}, "who waited for them is served"
    told = re.findall(r"worker (\d) \(process \d+\) has not answered for 1 s", running.stderr)
    assert told == ["0", "2"]


def test_one_that_hangs_does_not_keep_pen_from_ending(pen, backend):
    server = f"127.0.0.1:{backend(steady(b'a')).port}"
    running = pen("--workers", 2, server, program=(sys.executable, "-c", IN_A_HURRY))
    os.kill(children(running.process.pid)[1], signal.SIGSTOP)
    running.process.terminate()
    assert running.process.wait(10) == 0


def test_those_that_die_at_once_are_started_anew_twice_a_second(pen, backend):
    running = pen("--workers", 2, f"127.0.0.1:{backend(steady(b'a')).port}")
    steadfast, victim = children(running.process.pid)
    began = time.monotonic()
    killed = []
    while time.monotonic() - began < 2.5:
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        here = until(
            lambda: set(children(running.process.pid)) - {steadfast, *killed},
            "another is there soon",
            5.0,
        )
        victim = here.pop()
    assert len(killed) <= 2 + 2 * 2.5 + 1
    deaths = re.findall(r"worker 1 \(process \d+\) has ended \(signal 9\)", running.stderr)
    assert len(deaths) >= len(killed) - 1, "each is told"
    for client in HELD:
        with running.connect(client) as stream:
            assert ask(stream) == b"a"


def test_a_worker_that_cannot_be_started_is_tried_again(pen, backend):
    server = f"127.0.0.1:{backend(steady(b'a')).port}"
    running = pen("--workers", 2, server, program=(sys.executable, "-c", WITHOUT_MEMORY_AT_FIRST))
    for client in HELD:
        with running.connect(client) as stream:
            assert ask(stream) == b"a"
    assert "worker 0 cannot be started: Resource temporarily unavailable" in running.stderr


def test_hup_reaches_all(pen, backend, tmp_path):
    log = tmp_path / "log"
    running = pen("--workers", 3, "-l", log, f"127.0.0.1:{backend(steady(b'a')).port}")
    log.rename(tmp_path / "log.1")
    running.process.send_signal(signal.SIGHUP)
    until(log.exists, "a new log")
    for pid in children(running.process.pid):
        until(lambda pid=pid: str(log) in opened(pid), "each worker has it")
    for client in HELD:
        with running.connect(client) as stream:
            assert ask(stream) == b"a"
    until(lambda: len(log.read_text().splitlines()) == len(HELD), "each is told, on a line")
    assert (tmp_path / "log.1").read_text() == ""


def opened(pid: int) -> set[str]:
    """The names of a process's open files."""
    folder = f"/proc/{pid}/fd"
    return {os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}


@pytest.mark.parametrize("command", ["idlers 3", "dsr_if lo"])
def test_what_is_for_one_process_is_refused(command):
    arguments = ["-f", "--workers", "2", "-o", command, f"127.0.0.1:{free_port()}", "127.0.0.1:9"]
    ended = subprocess.run([BIN / "pen", *arguments], capture_output=True, text=True, timeout=20)
    word = command.split()[0]
    reason = f"'{word}' is for a pen that serves alone; leave out the workers"
    assert ended.stderr == f"pen: {reason} (see pen --help)\n"
    assert ended.returncode == 2


def test_and_while_it_runs(pen, backend):
    running = pen("--workers", 2, f"127.0.0.1:{backend(steady(b'a')).port}")
    assert running.ctl("idlers 3").startswith("error: 'idlers' is for a pen that serves alone")
    assert running.ctl("idlers") == "Idlers: 0/0\n"
