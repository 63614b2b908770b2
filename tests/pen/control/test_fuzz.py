"""Thousands of commands, sensible and not, to a pen that serves clients all the while.

The commands are drawn from the registry, so new ones are among them by themselves. Not
drawn is what turns clients away because that is what it means (`STOPS`); servers 0 and 1,
which serve, are left alone.
"""

import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pen.control.commands import make_registry
from tests.pen.conftest import DEADLINE, echo, receive, until
from tests.pen.control.grammar import ODD, WORDS, lines

LINES, ROUNDS = 50, 200
STOPS = {"close", "client_acl", "stubborn", "listen", "transparent", "http_trust", "dummy"}
COMMANDS = [command for command in make_registry() if command.words not in STOPS]
CHECKED = [sys.executable, Path(__file__).parent.parent / "checked.py"]


class Traffic:
    """Clients that ask and are answered all the time, until told to stop."""

    def __init__(self, port: int, clients: int) -> None:
        self.harm: list[str] = []
        self.answers = 0
        self._port = port
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        for number in count():
            if self._stopped.is_set():
                return
            try:
                self._visit(b"\0ping %d" % number * 20)  # no HTTP, so `http` lets it pass
            except Exception as error:  # reported by the test's own thread
                self.harm.append(repr(error))

    def _visit(self, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._port), DEADLINE) as stream:
            for _ in range(5):
                stream.sendall(request)
                assert receive(stream, len(request)) == request
                self.answers += 1

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def traffic(port: int, clients: int = 3):
    running = Traffic(port, clients)
    try:
        yield running
    finally:
        running.stop()


def told(control: str, line: bytes) -> bytes:
    """The reply; a pen that cannot take all of a line closes early."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(DEADLINE)
        stream.connect(control)
        try:
            stream.sendall(line + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return b"".join(iter(lambda: stream.recv(65536), b""))


def descriptors(process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Files that commands may read and write."""
    (tmp_path / "good").write_text("timeout 4\nserver 5 port 0\n")
    (tmp_path / "bad").write_text("blacklist 5\nserver 6 max 4\nbogus\n")
    (tmp_path / "circle").write_text(f"include {tmp_path}/circle\n")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port of all addresses that refuses, and that nobody else gets meanwhile."""
    with socket.socket(socket.AF_INET6) as bound:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", 0))
        yield bound.getsockname()[1]


def harmless(folder: Path, good_port: int, dead_port: int) -> dict[str, st.SearchStrategy[str]]:
    """Words that leave servers 0 and 1, and the rest of this machine, alone."""
    names = ["good", "bad", "circle", "pipe", "written", "with blanks", "no/such"]
    files = st.sampled_from([f"{folder}/{name}" for name in names] + ["/dev/null", "/dev/full"])
    return {
        **WORDS,
        "FILE": files,
        "TARGET": files | st.just(f"127.0.0.1:{dead_port}"),
        "HOST:PORT": st.just(f"127.0.0.1:{dead_port}"),
        "ADDR": st.just(f"{folder}/ask") | st.sampled_from(["/", "nosuchhost.invalid:1", "x"]),
        "SEC": st.sampled_from(["0", "100", "86400", "-1"]),
        "N": st.integers(1, 9).map(str) | st.just("100000000"),
        "server N": st.integers(2, 9).map(str) | st.sampled_from(["-1", "65536", "x"]),
        "server port": st.sampled_from([str(dead_port), str(good_port), "0"]),
        "server address": st.sampled_from(["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0"]),
    }


def test_ten_thousand_commands_harm_no_traffic(pen, backend, folder, dead_port):
    ports = [backend(echo).port for _ in range(2)]
    servers = [f"127.0.0.1:{port}:0:0:1:1" for port in ports]
    running = pen(*servers, program=CHECKED, preexec=lambda: os.chdir(folder))
    before = descriptors(running.process)
    replies: Counter[str] = Counter()
    spoken = lines(COMMANDS, harmless(folder, ports[0], dead_port)).map(str.encode)
    rubbish = st.binary(max_size=40) | ODD.map(str.encode)

    @settings(
        max_examples=ROUNDS, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(st.integers(0, 4).flatmap(lambda n: spoken if n else rubbish),
                    min_size=LINES, max_size=LINES))  # fmt: skip
    def fuzz(typed: list[bytes]) -> None:
        for line in typed:
            reply = told(running.control, line).decode()
            replies["error" if reply.startswith("error: ") else "answer"] += 1
            if reply.startswith("error: "):
                assert reply.count("\n") == 1
                assert reply[:-1].isprintable()
        assert running.process.poll() is None, running.stderr
        assert not clients.harm, (clients.harm[:3], typed)

    with traffic(running.port) as clients:
        fuzz()
    assert not clients.harm, clients.harm[:3]
    assert clients.answers > 1000
    assert min(replies["error"], replies["answer"]) > LINES * ROUNDS // 10, replies
    for line in ("no log", "no control_readonly", "idlers 0"):
        assert not running.ctl(line).startswith("error")
    until(lambda: descriptors(running.process) <= before + 4, "descriptors are given back")
