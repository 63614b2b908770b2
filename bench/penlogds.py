"""CPU per log line: penlogd beside Debian's, with the same lines, in interleaved rounds.

    .venv/bin/python bench/penlogds.py [--rounds 5] [--lines 20000]

Each round every daemon gets the same requests of 200 clients for 1,000 URLs, 20 in flight. Debian's
gets a record of pen's for each, as ours does in the work *requests*; in the *exact* works ours gets
records of connections instead, and lines that show the ports. The cache is full before it begins.
The sender waits for C's when it falls behind, whose small receive buffer would lose some.
"""

import argparse
import random
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

from bench.measure import cpu_ns
from bench.processes import running
from penlog.records import CONNECTIONS_LIMIT, about_connection, connection_line

PEN, SERVER, HOST = "127.0.0.1", "127.0.0.5", "127.0.0.1"
IN_FLIGHT, URLS, CLIENTS = 20, 1000, 200
OPEN = 50  # connections at a time
PORTS = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{remote}p %{local}p %D'
TAIL = '200 5120 "http://www.example.com/index.html" "Mozilla/5.0 (X11; Linux x86_64)"'
PAUSE_AFTER = 40  # datagrams; then there are 4 ms of rest
QUEUED_MAX = 65_536  # bytes; C's buffer has 212,992
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
    ours: bool


def daemons() -> list[Daemon]:
    """Debian's, and ours under the interpreter of .venv and under /usr/bin/python3."""
    start = "import sys; sys.path[:0] = {!r}; from penlogd.cli import main; main()"
    paths = [p for p in sys.path if p.endswith("site-packages")]
    code = start.format([str(Path(__file__).parents[1]), *paths])
    return [
        Daemon("C penlogd", (shutil.which("penlogd", path="/usr/bin") or "penlogd",), False),
        Daemon("ours", (sys.executable, "-c", code), True),
        Daemon("ours, Debian's python3", ("/usr/bin/python3", "-c", code), True),
    ]


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
    """Sockets bound to the addresses of pen and of the server."""

    def __init__(self, port: int, *, patient: bool) -> None:
        self._port, self._patient, self._target = port, patient, (HOST, port)
        self._sockets = {}
        for host in (PEN, SERVER):
            self._sockets[host] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[host].bind((host, 0))

    def send(self, what: Iterator[tuple[str, bytes]]) -> None:
        """Send all, at up to 10,000 datagrams a second."""
        for number, (host, data) in enumerate(what):
            if data:
                self._sockets[host].sendto(data, self._target)
            if number % PAUSE_AFTER == 0:
                time.sleep(0.004)
                while self._patient and (_queued(self._port) or 0) > QUEUED_MAX:
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
        senders = Senders(port, patient=not daemon.ours)
        senders.send(
            (PEN, f"+ 10.1.1.1 {SERVER} GET /fill/{n}.html HTTP/1.1\n".encode())
            for n in range(cache)
        )
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
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=20_000)
    asked = parser.parse_args()
    print("| work | cache | " + " | ".join(f"{each.name}, µs" for each in daemons()) + " |")
    print("|---|---|" + "---|" * len(daemons()))
    with tempfile.TemporaryDirectory(prefix="penlogds-") as folder:
        for work in WORKS:
            for cache in (1000, 100_000):
                print(row(work, cache, asked.rounds, asked.lines, Path(folder)), flush=True)


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
        cells.append(f"{statistics.median(values):.1f} ({ratio:.2f} of C; asked {ASKED})")
    return f"| {work.name} | {cache} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
