"""A real pen in front of real servers, all on loopback, all gone at the end."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.ports import free_port

BIN = Path(sys.executable).parent
DEADLINE = 20.0


def until(condition: Callable[[], object], what: str, deadline: float = DEADLINE):
    """Poll a condition; its value once it is true."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"not within {deadline:g} s: {what}")


def receive(stream: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer if the stream ends before."""
    data = bytearray()
    while len(data) < count and (piece := stream.recv(count - len(data))):
        data += piece
    return bytes(data)


class Backend:
    """A server that calls `serve(stream)` in a thread for each connection."""

    def __init__(self, serve: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        self._serve = serve
        self._streams: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._streams.append(stream)
            threading.Thread(target=self._guarded, args=(stream,), daemon=True).start()

    def _guarded(self, stream: socket.socket) -> None:
        with stream:
            try:
                self._serve(stream)
            except OSError:
                pass

    def stop(self) -> None:
        """Refuse from now on."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close(self) -> None:
        self.stop()
        for stream in self._streams:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            stream.close()


def echo(stream: socket.socket) -> None:
    while data := stream.recv(65536):
        stream.sendall(data)


def naming(name: bytes) -> Callable[[socket.socket], None]:
    """Answers the first piece with its name, then ends."""

    def serve(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(name)

    return serve


class Origin:
    """A server that notes what it gets, and answers each piece with the next of `answers`."""

    def __init__(self) -> None:
        self.got = b""
        self.answers: list[bytes] = []
        self.port = 0

    def serve(self, stream: socket.socket) -> None:
        while piece := stream.recv(65536):
            self.got += piece
            stream.sendall(self.answers.pop(0) if self.answers else b"ok")

    def gets(self, expected: bytes) -> None:
        """Wait for these bytes, all and no others."""
        until(lambda: len(self.got) >= len(expected), f"{len(expected)} bytes arrive")
        assert self.got == expected


def talk(running: "Pen", *pieces: bytes, source: str = "127.0.0.7") -> socket.socket:
    """Send pieces on one connection, each answered before the next; the connection."""
    stream = running.connect(source)
    for piece in pieces:
        stream.sendall(piece)
        assert stream.recv(100)
    return stream


class Pen:
    """A running pen and its control port."""

    def __init__(self, process: subprocess.Popen, port: int, control: str, stderr: Path) -> None:
        self.process = process
        self.port = port
        self.control = control
        self._stderr = stderr

    def connect(self, source: str = "127.0.0.1", timeout: float = DEADLINE) -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=timeout, source_address=(source, 0)
        )

    def ask(self, source: str = "127.0.0.1", request: bytes = b"GET / HTTP/1.0\r\n\r\n") -> bytes:
        """One request; all that comes back."""
        with self.connect(source) as client:
            client.sendall(request)
            pieces = []
            while piece := client.recv(65536):
                pieces.append(piece)
        return b"".join(pieces)

    def ctl(self, command: str) -> str:
        """The reply to a control command."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(DEADLINE)
            stream.connect(self.control)
            stream.sendall(command.encode() + b"\n")
            pieces = []
            while piece := stream.recv(65536):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def servers(self) -> list[dict[str, str]]:
        rows = []
        for line in self.ctl("servers").splitlines():
            words = line.split()[1:]
            rows.append(dict(zip(words[::2], words[1::2], strict=True)))
        return rows

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Makes backends."""
    with ExitStack() as stack:

        def make(serve: Callable[[socket.socket], None] = echo, host: str = "127.0.0.1") -> Backend:
            made = Backend(serve, host)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def origin(backend: Callable[..., Backend]) -> Origin:
    made = Origin()
    made.port = backend(made.serve).port
    return made


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Callable[..., Pen]]:
    """Starts pens in the foreground; each must end cleanly and without a traceback."""
    started: list[Pen] = []

    def start(
        *arguments: object, listen: str | None = None, preexec=None, program=(BIN / "pen",)
    ) -> Pen:
        number = len(started)
        port = free_port()
        control = str(tmp_path / f"control{number}")
        stderr = tmp_path / f"stderr{number}"
        command = [*program, "-f", "-u", "root", "-C", control]
        words = [str(word) for word in arguments]
        process = subprocess.Popen(
            [*command, listen or f"127.0.0.1:{port}", *words],
            stderr=stderr.open("w"),
            preexec_fn=preexec,
        )
        made = Pen(process, port, control, stderr)
        started.append(made)

        def ready() -> bool:
            assert process.poll() is None, f"pen ended: {made.stderr}"
            try:
                return bool(made.ctl("pid"))
            except OSError:
                return False

        until(ready, "pen answers on its control port")
        return made

    yield start
    for each in started:
        if each.process.poll() is None:
            assert each.stop() == 0
        assert "Traceback" not in each.stderr
        assert "internal error" not in each.stderr


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def site(authority):
    """Options for a pen that is www.example."""
    certificate, key = authority.issue("www.example")
    return ["-E", certificate, "-K", key]
