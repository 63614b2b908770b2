"""CPU per log line: penlogd beside Debian's, with the same lines, in interleaved rounds.

    .venv/bin/python bench/penlogds.py [--rounds 3] [--lines 15000] [--write bench/penlogds.md]

Each round every daemon gets the same requests of 200 clients for 1,000 URLs, 20 in flight. Debian's
gets a record of pen's for each, as ours does in the work *requests*; in the *exact* works ours gets
records of connections instead, and lines that show the ports. The cache is full before it begins.
The sender waits for C's when it falls behind, whose small receive buffer would lose some.
"""

import argparse
import os
import random
import shlex
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.balancers import machine
from bench.measure import cpu_ns
from bench.peers import DEBIAN_PYTHON, debian_pen_version, python_version
from bench.processes import running
from penlog.records import CONNECTIONS_LIMIT, about_connection, connection_line

PEN, SERVER, HOST = "127.0.0.1", "127.0.0.5", "127.0.0.1"
IN_FLIGHT, URLS, CLIENTS = 20, 1000, 200
OPEN = 50  # connections at a time
PORTS = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{remote}p %{local}p %D'
TAIL = '200 5120 "http://www.example.com/index.html" "Mozilla/5.0 (X11; Linux x86_64)"'
PAUSE_AFTER, PAUSE = 40, 0.004  # datagrams; then so many seconds of rest
QUEUED_MAX_C = 65_536  # bytes; its buffer has 212,992
QUEUED_MAX_OURS = 8 << 20  # its buffer has 32 MiB if it is root's
ASKED = 1.5


@dataclass(frozen=True, slots=True)
class Work:
    """What is sent for each request; `per_connection` 0 means records of requests."""

    name: str
    per_connection: int


WORKS = (Work("requests", 0), Work("exact, 10 requests a connection", 10),
         Work("exact, 1 request a connection", 1))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Daemon:
    """A penlogd to measure."""

    name: str
    command: tuple[str, ...]
    version: Callable[[], str]
    ours: bool


def daemons() -> list[Daemon]:
    """Debian's, and ours under the interpreter of .venv and under /usr/bin/python3."""
    start = "import sys; sys.path[:0] = {!r}; from penlogd.cli import main; main()"
    paths = [p for p in sys.path if p.endswith("site-packages")]
    code = start.format([str(Path(__file__).parents[1]), *paths])
    c = shutil.which("penlogd", path="/usr/bin") or "penlogd"
    return [
        Daemon("C penlogd", (c,), debian_pen_version, False),
        _ours("ours", sys.executable, code),
        _ours("ours, Debian's python3", DEBIAN_PYTHON, code),
    ]


def _ours(name: str, python: str, code: str) -> Daemon:
    return Daemon(name, (python, "-c", code), lambda: python_version(python), True)


def datagrams(work: Work, count: int, ours: bool) -> Iterator[tuple[str, bytes]]:
    """Yield who sends what, in order; the line of a request comes after 20 other requests."""
    exact = ours and work.per_connection > 0
    random.seed(7)
    waiting: list[bytes] = []
    told: list[bytes] = []
    still_open: deque[str] = deque()
    for number in range(count + IN_FLIGHT):
        if number < count:
            url, client = int(URLS ** random.random()), random.randrange(CLIENTS)
            request = f"GET /page/{url}.html HTTP/1.1"
            each = max(1, work.per_connection)
            port = 20_000 + number // each % 30_000
            if not exact:
                yield PEN, f"+ 10.1.1.{client} {SERVER} {request}\n".encode()
            elif number % each == 0:
                told += connection(f"10.1.1.{client}", port, still_open)
            stamp = time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime())
            ports = f" {port} 80 {1500}" if exact else ""
            waiting.append(f'{PEN} - - {stamp} "{request}" {TAIL}{ports}\n'.encode())
        if sum(map(len, told)) > CONNECTIONS_LIMIT - 300 or number == count:
            yield PEN, b"".join(told)
            told.clear()
        if number >= IN_FLIGHT:
            yield SERVER, waiting.pop(0)


def connection(client: str, port: int, still_open: deque[str]) -> list[bytes]:
    """Return the records of a connection's beginning, and of the end of the one 50 before it."""
    about = about_connection("tcp", (client, 999), (PEN, port), (SERVER, 80), time.time())
    still_open.append(about)
    records = [connection_line(about, 0.0, 0, 0, None)]
    if len(still_open) > OPEN:
        records.append(connection_line(still_open.popleft(), 0.1, 500, 5000, "done"))
    return records


class Senders:
    """Sockets bound to the addresses of pen and of the server.

    Args:
        port: Where to send to.
        queued_max: Bytes in the receiver's buffer beyond which to wait for it.
    """

    def __init__(self, port: int, queued_max: int) -> None:
        self._port, self._queued_max, self._target = port, queued_max, (HOST, port)
        self._sockets = {}
        for host in (PEN, SERVER):
            self._sockets[host] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[host].bind((host, 0))

    def send(self, what: Iterator[tuple[str, bytes]], pause: float = PAUSE) -> None:
        """Send all, by default at up to 10,000 datagrams a second."""
        for number, (host, data) in enumerate(what):
            if data:
                self._sockets[host].sendto(data, self._target)
            if number % PAUSE_AFTER == 0:
                time.sleep(pause)
                while (_queued(self._port) or 0) > self._queued_max:
                    time.sleep(0.002)

    def close(self) -> None:
        """Close them."""
        for sock in self._sockets.values():
            sock.close()


def measure(daemon: Daemon, work: Work, cache: int, lines: int, folder: Path) -> float:
    """Return microseconds of CPU per line; every line must come out.

    Raises:
        RuntimeError: lines were lost.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    log = folder / "merged.log"
    log.unlink(missing_ok=True)
    words = ["-f", "-n", str(cache), "-l", str(log)]
    if daemon.ours:
        words += ["--format", PORTS if work.per_connection else "combined"]
    with running([*daemon.command, *words, str(port)], folder / "said") as run:
        _wait_for(lambda: _queued(port) is not None, "the daemon listens")
        senders = Senders(port, QUEUED_MAX_OURS if daemon.ours else QUEUED_MAX_C)
        fill = (f"+ 10.1.1.1 {SERVER} GET /fill/{n}.html HTTP/1.1\n" for n in range(cache))
        senders.send(((PEN, record.encode()) for record in fill), pause=0.0)
        _wait_for(lambda: _queued(port) == 0, f"{daemon.name} has read the fill")
        time.sleep(0.3)
        before = cpu_ns(run.pid)
        senders.send(datagrams(work, lines, daemon.ours))
        _wait_for(lambda: _queued(port) == 0, f"{daemon.name} has read all")
        if daemon.ours:  # which holds lines; C's has the last few in its buffer until it ends
            _wait_for(lambda: _count(log) >= lines, f"{lines} lines of {daemon.name}")
        used = cpu_ns(run.pid) - before
        senders.close()
    if _count(log) != lines:
        raise RuntimeError(f"{daemon.name} wrote {_count(log)} of {lines} lines")
    return used / 1000 / lines


def _count(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _queued(port: int) -> int | None:
    """Return the bytes that wait in the socket bound to the port; None if there is none."""
    for row in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = row.split()
        if words[1].endswith(f":{port:04X}"):
            return int(words[4].partition(":")[2], 16)
    return None


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within 20 s: {what}")
        time.sleep(0.1)


def main() -> None:
    """Measure, print a table, and write it into a report if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=15_000)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a report there")
    asked = parser.parse_args()
    began = time.monotonic()
    table = [
        "| work | cache | " + " | ".join(f"{each.name}, µs" for each in daemons()) + " |",
        "|---|---|" + "---|" * len(daemons()),
    ]
    print(*table, sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="penlogds-") as folder:
        for work in WORKS:
            for cache in (1000, 100_000):
                table.append(row(work, cache, asked.rounds, asked.lines, Path(folder)))
                print(table[-1], flush=True)
    if asked.write:
        asked.write.write_text(report(table, time.monotonic() - began))


def report(table: list[str], took: float) -> str:
    """Return the page that tells what was measured, how, and on what."""
    command = shlex.join([".venv/bin/python", "bench/penlogds.py", *sys.argv[1:]])
    lines = [
        "# CPU per log line, beside Debian's penlogd",
        "",
        f"    {command}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {took / 60:.0f} minutes; {machine()}; load average"
        f" {os.getloadavg()[2]:.1f} over the last 15 minutes.",
        "Medians of interleaved rounds, and medians of the rounds' ratios to C's; asked is at most"
        f" {ASKED} of C's. Works and method: [README.md](README.md#penlogd).",
        "",
        *(f"- {each.name}: {each.version()}" for each in daemons()),
        "",
        *table,
    ]
    return "\n".join(lines) + "\n"


def row(work: Work, cache: int, rounds: int, lines: int, folder: Path) -> str:
    """Return a line of the table: medians, and the medians of the rounds' ratios to C."""
    found: dict[str, list[float]] = {each.name: [] for each in daemons()}
    for _ in range(rounds):
        for daemon in daemons():
            found[daemon.name].append(measure(daemon, work, cache, lines, folder))
    first, *_ = found.values()
    cells = [f"{statistics.median(first):.1f}"]
    for values in list(found.values())[1:]:
        ratio = statistics.median(ours / c for ours, c in zip(values, first, strict=True))
        missed = " missed" if ratio > ASKED else ""
        cells.append(f"{statistics.median(values):.1f} **x{ratio:.2f}**{missed}")
    return f"| {work.name} | {cache:,} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
