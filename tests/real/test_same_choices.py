"""The same clients in the same order get the same servers from Debian's pen and from ours.

Debian's runs with -P, for with epoll it does not fail over. Round robin begins with slot 1
there and with slot 0 here (docs/compatibility.md), so ours is given one client more.
"""

import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.peers import SUITE, free_port, wait_for

NAMES = b"abcd"
CLIENTS = [
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.9.8.7", "127.200.1.1",
    "127.13.0.77", "127.0.255.1", "127.3.3.3", "127.0.0.10", "127.0.1.0",
]  # fmt: skip
FIRST = "127.77.77.77"
"""The client that only ours gets."""
ONE = ["127.0.0.1"]


class Farm:
    """Four servers that answer with their names and hold until the client goes; one is dead."""

    def __init__(self) -> None:
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in NAMES]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        self.dead = free_port()
        for listener, name in zip(self.listeners, NAMES, strict=True):
            threading.Thread(target=self._run, args=(listener, bytes([name])), daemon=True).start()

    def _run(self, listener: socket.socket, name: bytes) -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream, name), daemon=True).start()

    @staticmethod
    def _serve(stream: socket.socket, name: bytes) -> None:
        with stream:
            try:
                stream.recv(100)
                stream.sendall(name)
                stream.recv(100)
            except OSError:
                pass

    def server(self, word: str) -> str:
        """`a:0:0:1` as an argument of pen; X is the dead one."""
        name, _, rest = word.partition(":")
        port = self.dead if name == "X" else self.ports["abcd".index(name)]
        return f"127.0.0.1:{port}" + (f":{rest}" if rest else "")

    def close(self) -> None:
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@dataclass
class Running:
    """A pen of either kind."""

    port: int
    control: Path

    def command(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect(str(self.control))
            stream.sendall(line.encode() + b"\n")
            pieces = []
            while piece := stream.recv(65536):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def connections(self) -> int:
        rows = [line.split() for line in self.command("servers").splitlines()]
        return sum(int(row[row.index("conn") + 1]) for row in rows)

    def stay(self, source: str) -> tuple[socket.socket | None, str]:
        """Connect; the stream and the server's name, or None and '-' if there is none."""
        stream = socket.create_connection(
            ("127.0.0.1", self.port), source_address=(source, 0), timeout=10
        )
        try:
            stream.sendall(b"x")
            name = stream.recv(1)
        except ConnectionError:
            name = b""
        if not name:
            stream.close()
            return None, "-"
        return stream, name.decode()

    def visit(self, source: str) -> str:
        """Connect and leave, and wait until pen has seen that."""
        before = self.connections()
        stream, name = self.stay(source)
        if stream is not None:
            stream.close()
        wait_for(lambda: self.connections() <= before, "pen sees the client leave")
        return name

    def play(self, script: list[str]) -> str:
        """`!x` is a command, `+x` a client that stays, all else one that comes and goes."""
        seen, staying = "", []
        for step in script:
            if step.startswith("!"):
                self.command(step[1:])
            elif step.startswith("+"):
                stream, name = self.stay(step[1:])
                staying.append(stream)
                seen += name
            else:
                seen += self.visit(step)
        for stream in staying:
            if stream is not None:
                stream.close()
        return seen


@pytest.fixture
def servers():
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture
def start(tmp_path):
    """Starts a pen by its path."""
    processes = []

    def run(program: str, arguments: list[str], addresses: list[str]) -> Running:
        running = Running(free_port(), tmp_path / f"control{len(processes)}")
        words = ["-f", "-P", "-u", "root", "-C", str(running.control), *arguments]
        process = subprocess.Popen(
            [program, *words, f"127.0.0.1:{running.port}", *addresses],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)

        def ready() -> bool:
            try:
                return bool(running.command("pid"))
            except OSError:
                return False

        wait_for(ready, f"{program} answers")
        return running

    yield run
    for process in processes:
        process.kill()
        process.wait()


# Name: options, servers, script; whether round robin had a say, so that ours needs one client
# more at the beginning.
CASES = {
    "in turn": ("", "a b c", CLIENTS + CLIENTS, True),
    "round robin": ("-r", "a b c", ONE * 7, True),
    "round robin past a dead one": ("-r", "a X c", ONE * 7, True),
    "known clients stay where failover put them": ("", "a X c", CLIENTS[:6] * 2, True),
    "hash of 3": ("-h", "a b c", CLIENTS, False),
    "hash of 2": ("-h", "a b", CLIENTS, False),
    "hash of 4": ("-h", "a b c d", CLIENTS, False),
    "hash past a dead one": ("-h", "X b c", CLIENTS, False),
    "prio": ("-r -o prio", "a:0:0:0:2 b:0:0:0:1 c:0:0:0:3", CLIENTS[:3], False),
    "prio past a dead one": ("-r -o prio", "a:0:0:0:2 X:0:0:0:1 c:0:0:0:3", CLIENTS[:4], False),
    "prio and failover that is kept": (
        "-o prio", "a:0:0:0:2 X:0:0:0:1 c:0:0:0:3", CLIENTS[:3] * 2, False,
    ),
    "weight": ("-r -W", "a:0:0:1 b:0:0:3", [f"+{c}" for c in CLIENTS[:8]], False),
    "weight without weights": ("-W", "a b", CLIENTS[:2], False),
    "weight without weights, emergency": ("-W -e d", "a b", CLIENTS[:2], False),
    "prio before weight": ("-W -o prio", "a:0:0:1:9 b:0:0:3:1", CLIENTS[:3], False),
    "stubborn": ("-r -s", "a X c", ONE * 7, True),
    "stubborn spurns the emergency server": ("-r -s -e d", "a X c", ONE * 4, True),
    "emergency": ("-e d", "X X", CLIENTS[:3], False),
    "a server's own list": (
        "-r -o acl,1,deny,127.0.0.2", "a b c", ["!server 1 acl 1", *["127.0.0.2"] * 6, *ONE * 6],
        True,
    ),
    "soft limits": ("-r", "a:1 b:2 c", [f"+{c}" for c in ONE * 6], True),
    "all full, emergency": ("-r -e d", "a:1 b:1", [f"+{c}" for c in ONE * 4], True),
    "blacklist by hand": (
        "-r", "a b c",
        [*ONE * 3, "!server 1 blacklist 100", *ONE * 4, "!server 1 blacklist 0", *ONE * 4], True,
    ),
    "a slot more": (
        "-r", "a b", [*ONE * 3, "!server 2 address 127.0.0.1 port {c}", *ONE * 5], True,
    ),
    "a slot less": ("-r", "a b c", [*ONE * 3, "!server 1 address 0.0.0.0", *ONE * 5], True),
    "abuse": (
        "-B d -o acl,1,deny,127.0.0.2 -o client_acl,1", "a b",
        ["127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"], True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_same_choices(start, servers, case):
    options, words, script, in_turn = CASES[case]
    arguments = [
        servers.server(word) if word == "d" else word.replace(",", " ") for word in options.split()
    ]
    addresses = [servers.server(word) for word in words.split()]
    script = [step.replace("{c}", str(servers.ports[2])) for step in script]
    theirs = start("/usr/bin/pen", arguments, addresses).play(script)
    ours = start(os.fspath(SUITE / "pen"), arguments, addresses)
    if in_turn:
        ours.visit(FIRST)
    assert ours.play(script) == theirs
