"""The log tools of both suites as processes, what is given to them, and judging what they wrote."""

import heapq
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from bench.traffic import PEN, Connection, Exchange, Simulation

SUITE = Path(sys.executable).parent
"""Where our tools are."""

GLANCE = 0.05
"""Seconds between two looks at how much memory a process has had."""


@dataclass(frozen=True, slots=True)
class Came:
    """What came out of a log tool.

    Attributes:
        asked: Requests that there were.
        lines: Lines that came out.
        right: Lines with the right client.
        lost: Requests without a line.
        doubled: Lines of requests that had one already.
        disordered: Lines stamped before the one ahead of them.
    """

    asked: int
    lines: int
    right: int
    lost: int
    doubled: int
    disordered: int

    @property
    def share(self) -> float:
        """Which share of all requests has a line with the right client, in percent."""
        return 100 * self.right / self.asked

    def __str__(self) -> str:
        return f"{self.share:.2f} %" + (f", {self.lost:,} lost" if self.lost else "")


def judge(simulation: Simulation, lines: Iterable[bytes]) -> Came:
    """Hold lines against the truth."""
    asked = len(simulation.clients)
    seen = bytearray(asked)
    truth = simulation.truth
    count = right = disordered = 0
    newest = b""
    for line in lines:
        client, _, _, stamp, _, _, _, _, _, size = line.split(None, 10)[:10]
        number = int(size)
        count += 1
        seen[number] = 1
        right += client == truth(number)
        disordered += stamp < newest  # of the same month
        newest = stamp
    lost = seen.count(0)
    return Came(asked, count, right, lost, count - asked + lost, disordered)


def write_logs(
    simulation: Simulation, style: str, folder: Path, *, connections: bool = False
) -> list[str]:
    """Write pen's log and the servers', each line when it is logged.

    Args:
        simulation: Of what.
        style: The format of the servers' lines.
        folder: Where.
        connections: Whether pen logs these too.

    Returns:
        The arguments that name the servers' logs.
    """
    paths = [folder / f"log.{host}" for host in simulation.hosts]
    pen, *servers = [path.open("wb") for path in (folder / "pen.log", *paths)]
    pending: list[tuple[float, int, BinaryIO, bytes]] = []

    def later(when: float, turn: int, file: BinaryIO, line: bytes) -> None:
        heapq.heappush(pending, (when, turn, file, line))

    def tell(connection: Connection, when: float, *, ended: bool) -> bytes:
        return simulation.connection_record(connection, when, ended=ended)

    def log(exchange: Exchange) -> None:
        connection, number, ended = exchange.connection, exchange.number, exchange.ended
        if connections and exchange.first:
            pen.write(tell(connection, exchange.arrived, ended=False))
        pen.write(simulation.file_line(exchange))
        line = simulation.line(exchange, style)
        later(ended, 2 * number, servers[connection.server], line)
        if connections and exchange.last:
            later(ended, 2 * number + 1, pen, tell(connection, ended, ended=True))

    for exchange in simulation.exchanges():
        while pending and pending[0][0] <= exchange.arrived:
            _, _, file, line = heapq.heappop(pending)
            file.write(line)
        log(exchange)
    for _, _, file, line in sorted(pending, key=lambda each: each[:2]):
        file.write(line)
    for file in (pen, *servers):
        file.close()
    return [f"{host}:{path}" for host, path in zip(simulation.hosts, paths, strict=True)]


def shuffle(path: Path) -> None:
    """Bring the lines of a file into no order at all."""
    lines = path.read_bytes().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    path.write_bytes(b"".join(lines))


@dataclass(frozen=True, slots=True)
class Merged:
    """A run of mergelogs.

    Attributes:
        cpu: Seconds of CPU.
        took: Seconds.
        memory: MiB that it had at most.
        came: What came out.
    """

    cpu: float
    took: float
    memory: float
    came: Came


def merge(
    command: Sequence[str], simulation: Simulation, logs: Sequence[str], folder: Path
) -> Merged:
    """Run a mergelogs over pen's log in a folder, and logs.

    Raises:
        RuntimeError: It failed.
    """
    began = time.monotonic()
    with (folder / "merged").open("wb") as output, (folder / "said").open("wb") as said:
        words = [*command, "-p", str(folder / "pen.log"), *logs]
        process = subprocess.Popen(words, stdout=output, stderr=said)
        memory = _greatest_memory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - began
    if process.returncode:
        why = (folder / "said").read_text(errors="replace")
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {why}")
    with (folder / "merged").open("rb") as lines:
        came = judge(simulation, lines)
    return Merged(usage.ru_utime + usage.ru_stime, took, memory, came)


def _greatest_memory(pid: int) -> float:
    """Wait for the end of a process; return how many MiB it has had at most.

    That is VmHWM of proc(5), looked at again and again. ru_maxrss will not do: a new process has
    that of the one that made it.
    """
    most = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for row in Path(f"/proc/{pid}/status").read_text().splitlines():
            if row.startswith("VmHWM:"):
                most = max(most, int(row.split()[1]))
        time.sleep(GLANCE)
    return most / 1024


def wait_until_written(log: Path, quiet: float = 2.5) -> None:
    """Wait until a log has not grown for so many seconds: more than penlogd holds lines."""
    size, since = -1, time.monotonic()
    while time.monotonic() < since + quiet:
        if log.exists() and log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        time.sleep(0.05)


class Senders:
    """Sends from the addresses of pen and the servers.

    Args:
        port: To which port.
        paced: No faster than they are read.
        room: Datagrams that may wait meanwhile; the default is what C's penlogd has room for.
    """

    def __init__(self, port: int, *, paced: bool = True, room: int = 40) -> None:
        self._port = port
        self._paced = paced
        self._room = room
        self._sockets: dict[str, socket.socket] = {}
        self._sent = 0

    def __enter__(self) -> "Senders":
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets.values():
            sock.close()

    def send(self, sender: str, data: bytes) -> None:
        """Send a datagram."""
        sock = self._sockets.get(sender)
        if sock is None:
            sock = self._sockets[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((sender, 0))
        sock.sendto(data, (PEN, self._port))
        self._sent += 1
        if self._paced and self._sent % self._room == 0:
            wait_until_read(self._port, 0.001)


def debians(name: str) -> str:
    """Return the path of Debian's tool.

    Raises:
        RuntimeError: The package pen is not installed.
    """
    path = shutil.which(name, path="/usr/bin")
    if path is None:
        raise RuntimeError(f"no /usr/bin/{name}: install Debian's package pen")
    return path


def our(name: str) -> str:
    """Return the path of our tool."""
    return str(SUITE / name)


def queued(port: int) -> int | None:
    """Return the bytes that wait in the UDP sockets bound to the port; None if there is none."""
    found = None
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            words = row.split()
            if words[1].endswith(f":{port:04X}"):
                found = (found or 0) + int(words[4].partition(":")[2], 16)
    return found


def wait_until_listening(port: int) -> None:
    """Return when a UDP socket is bound to the port."""
    until(lambda: queued(port) is not None, "penlogd listens")


def wait_until_read(port: int, pause: float = 0.02) -> None:
    """Return when nothing waits in the UDP sockets bound to the port."""
    until(lambda: queued(port) == 0, "penlogd has read all", pause)


def until(condition: Callable[[], bool], what: str, pause: float = 0.02) -> None:
    """Wait for a condition.

    Raises:
        RuntimeError: It has not come true in 30 seconds.
    """
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within 30 s: {what}")
        time.sleep(pause)


def count_lines(file: IO[bytes]) -> int:
    """Return how many lines a file has."""
    return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
