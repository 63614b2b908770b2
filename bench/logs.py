"""The log tools beside Debian's: how many lines get the right client, CPU per line, and loss.

    .venv/bin/python bench/logs.py                    # all but the big one; writes bench/logs.md
    .venv/bin/python bench/logs.py --only accuracy --count 20000
    .venv/bin/python bench/logs.py --only big         # 2,000,000 lines through mergelogs

Traffic is simulated (`traffic.py`) and has the truth beside it. Accuracy of penlogd: our engine is
driven in simulated time, datagram by datagram as they would come; Debian's penlogd, whose join
knows no time but the order of datagrams, is the real process and gets them in that order. All else
is measured with real processes of both suites.
"""

import argparse
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import cpu_ns
from bench.processes import free_port, running
from bench.traffic import FORMATS, PEN, Event, Simulation, Traffic
from penlogd.attribution import Attribution
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator
from penlogd.formats import make_format
from penlogd.ordering import ReorderBuffer
from penlogd.starting import SPARED

HOLD = 2.0
RESENT = 0.25
"""Seconds after which TCP has sent again what was lost: its least time-out, and a little."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the accuracy table.

    Attributes:
        name: What is special about it.
        traffic: The traffic.
    """

    name: str
    traffic: Traffic


USUAL = Traffic()
SETTINGS = (
    Setting("200/s", USUAL),
    Setting("1,000/s", replace(USUAL, rate=1000.0)),
    Setting("50 URLs", replace(USUAL, urls=50)),
    Setting("one request a connection", replace(USUAL, kept=1.0)),
    Setting("half POST", replace(USUAL, posts=0.5)),
    Setting("slow: median 200 ms", replace(USUAL, median=0.2)),
    Setting("lines 20 ms late, mean", replace(USUAL, delay=0.02)),
    Setting("2 % of datagrams lost", replace(USUAL, loss=0.02)),
    Setting("clocks 3 s ahead and behind", replace(USUAL, skew=3.0)),
    Setting("URLs over 100 bytes", replace(USUAL, padding=100)),
)


@dataclass(frozen=True, slots=True)
class Came:
    """What came out: lines, and how many have the right client."""

    lines: int
    right: int
    of: int

    def __str__(self) -> str:
        lost = f", {self.of - self.lines} lost" if self.lines < self.of else ""
        return f"{100 * self.right / self.of:.2f} %{lost}"


def judge(simulation: Simulation, lines: Iterable[bytes], of: int) -> Came:
    """Hold lines against the truth."""
    right = count = 0
    for line in lines:
        words = line.split()
        count += 1
        right += words[0].decode() == simulation.truth(int(words[9]))
    return Came(count, right, of)


def datagrams(
    simulation: Simulation, style: str, events: Iterable[Event]
) -> Iterator[tuple[float, str, bytes]]:
    """Yield when, from which address and what comes to penlogd; with ports, by connection."""
    exact = style == "with ports"
    for event in events:
        what = event.what
        if isinstance(what, tuple):
            if exact:
                yield event.when, PEN, simulation.connection_record(*what)
        elif event.kind == "line":
            host = simulation.hosts[event.server]
            yield event.when, host, simulation.line(what, style) + b"\n"
        elif not exact:
            yield event.when, PEN, simulation.record(what)


def ours(simulation: Simulation, style: str, *, acknowledged: bool = False) -> Came:
    """Drive our engine in simulated time."""
    events = resent(simulation) if acknowledged else simulation.events
    consolidator = Consolidator(
        make_format([FORMATS[style]]),
        Attribution(1000, spared=HOLD + SPARED),
        Connections(HOLD + SPARED),
        ReorderBuffer(HOLD),
    )
    out: list[bytes] = []
    for when, sender, data in datagrams(simulation, style, events):
        consolidator.take([(data, sender)], when)
        out += consolidator.due(when)
    out += consolidator.flush()
    return judge(simulation, out, len(simulation.exchanges))


def resent(simulation: Simulation) -> list[Event]:
    """Return all events, those that were lost coming when they have been sent again."""
    late = [replace(event, when=event.when + RESENT) for event in simulation.lost]
    return sorted(simulation.events + late)


def debians(simulation: Simulation, folder: Path) -> Came:
    """Send the same to Debian's penlogd."""
    port = free_port(PEN)
    log = folder / "c.log"
    log.unlink(missing_ok=True)
    with running([tool("penlogd"), "-f", "-l", str(log), str(port)], folder / "said") as run:
        _wait_until_listening(port)
        with Senders(port) as senders:
            for _, sender, data in datagrams(simulation, "common", simulation.events):
                senders.send(sender, data)
        _wait_until_read(port)
        run.process.terminate()
        run.process.wait(10)
    lines = log.read_bytes().splitlines()
    return judge(simulation, lines, len(simulation.exchanges))


class Senders:
    """Sends from the addresses of pen and the servers, no faster than C's small buffer takes."""

    PAUSE_AFTER = 40

    def __init__(self, port: int, *, paced: bool = True) -> None:
        self._target = (PEN, port)
        self._port = port
        self._paced = paced
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
        sock.sendto(data, self._target)
        self._sent += 1
        if self._paced and self._sent % self.PAUSE_AFTER == 0:
            _wait_until_read(self._port, 0.001)


def accuracy(count: int, folder: Path) -> Iterator[str]:
    """Yield the table of accuracy."""
    yield "## penlogd: lines with the right client"
    yield ""
    yield f"{count:,} requests each, 2 servers, 1,000 URLs, 200/s, if not said otherwise."
    yield ""
    yield "| traffic | C | ours, common | ours, with %D | ours, with ports |"
    yield "|---|---|---|---|---|"
    for setting in SETTINGS:
        simulation = Simulation(replace(setting.traffic, count=count))
        cells = [str(debians(simulation, folder))]
        cells += [str(ours(simulation, style)) for style in FORMATS]
        yield f"| {setting.name} | " + " | ".join(cells) + " |"
    simulation = Simulation(replace(USUAL, count=count, loss=0.02))
    cells = ["", *(str(ours(simulation, style, acknowledged=True)) for style in FORMATS)]
    yield "| 2 % lost, sent again | " + " | ".join(cells) + " |"
    yield ""


def merging(_: int, folder: Path) -> Iterator[str]:
    """Yield the table of mergelogs."""
    yield "## mergelogs: CPU and lines with the right client"
    yield ""
    yield "| work | C, s | C, right | ours, s | ours, right | CPU to C's |"
    yield "|---|---|---|---|---|---|"
    used: dict[int, float] = {}
    for lines, urls in ((40_000, 50), (80_000, 50), (40_000, 1000)):
        traffic = Traffic(rate=100.0, count=lines, urls=urls)
        simulation = Simulation(traffic)
        logs = write_logs(simulation, "common", folder)
        c_used, c_came, _ = merge([tool("mergelogs")], simulation, logs, folder)
        our_used, our_came, _ = min(
            (merge([str(SUITE / "mergelogs")], simulation, logs, folder) for _ in range(3)),
            key=lambda found: found[0],
        )
        if urls == 50:
            used[lines] = our_used
        yield (
            f"| {lines:,} lines, 100/s, {urls} URLs | {c_used:.2f} | {c_came} | {our_used:.2f} "
            f"| {our_came} | 1/{c_used / our_used:.1f} (asked 1/20) |"
        )
    yield ""
    yield f"Twice the lines: {used[80_000] / used[40_000]:.2f} times the CPU (asked: at most 2.2)."
    yield ""


def big(count: int, folder: Path) -> Iterator[str]:
    """Yield what mergelogs needs for a big log."""
    count = max(count, 2_000_000)
    yield f"## mergelogs: {count:,} lines"
    yield ""
    yield "| lines | format | CPU, s | greatest memory, MiB | right |"
    yield "|---|---|---|---|---|"
    for lines in (count // 10, count):
        simulation = Simulation(Traffic(rate=100.0, count=lines), log=False)
        logs = write_logs(simulation, "common", folder)
        used, came, memory = merge([str(SUITE / "mergelogs")], simulation, logs, folder)
        yield f"| {lines:,} | common | {used:.1f} | {memory} | {came} |"
    yield ""


def write_logs(simulation: Simulation, style: str, folder: Path) -> list[str]:
    """Write pen's log and the servers'; return the arguments that name the servers'."""
    with (folder / "pen.log").open("wb") as file:
        file.writelines(map(simulation.file_line, simulation.exchanges))
    paths = {host: folder / f"log.{host}" for host in simulation.hosts}
    files = [path.open("wb") for path in paths.values()]
    for exchange in sorted(simulation.exchanges, key=lambda each: each.ended):
        line = simulation.line(exchange, style) + b"\n"
        files[exchange.connection.server].write(line)
    for each in files:
        each.close()
    return [f"{host}:{path}" for host, path in paths.items()]


def merge(
    command: Sequence[str], simulation: Simulation, logs: Sequence[str], folder: Path
) -> tuple[float, Came, int]:
    """Run a mergelogs; return seconds of CPU, what came out, and MiB of memory at most."""
    with (folder / "merged").open("wb") as output:
        words = [*command, "-p", str(folder / "pen.log"), *logs]
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    with (folder / "merged").open("rb") as lines:
        came = judge(simulation, lines, len(simulation.exchanges))
    return usage.ru_utime + usage.ru_stime, came, usage.ru_maxrss >> 10


def burst(count: int, folder: Path) -> Iterator[str]:
    """Yield how many lines of a burst are lost."""
    yield f"## penlogd: {count:,} lines at once"
    yield ""
    yield "| penlogd | lines written | lost | CPU per line, µs |"
    yield "|---|---|---|---|"
    simulation = Simulation(Traffic(rate=1e6, count=count))
    for name, path in (("C", tool("penlogd")), ("ours", str(SUITE / "penlogd"))):
        written, used = flood(path, simulation, folder / f"burst.{name}", folder)
        yield f"| {name} | {written:,} | {count - written:,} | {used / 1000 / written:.1f} |"
    yield ""


def flood(path: str, simulation: Simulation, log: Path, folder: Path) -> tuple[int, int]:
    """Send all lines at once; return how many were written, and nanoseconds of CPU."""
    port = free_port(PEN)
    with running([path, "-f", "-l", str(log), str(port)], folder / "said") as run:
        _wait_until_listening(port)
        before = cpu_ns(run.pid)
        with Senders(port, paced=False) as senders:
            for exchange in simulation.exchanges:
                host = simulation.hosts[exchange.connection.server]
                senders.send(host, simulation.line(exchange, "common") + b"\n")
        _wait_until_read(port)
        time.sleep(HOLD + 1)  # what is held
        used = cpu_ns(run.pid) - before
        run.process.terminate()
        run.process.wait(10)
    return log.read_bytes().count(b"\n"), used


SUITE = Path(sys.executable).parent
WORKS = {"accuracy": accuracy, "merging": merging, "burst": burst, "big": big}


def tool(name: str) -> str:
    """Return the path of Debian's tool.

    Raises:
        RuntimeError: The package pen is not installed.
    """
    path = shutil.which(name, path="/usr/bin")
    if path is None:
        raise RuntimeError(f"no /usr/bin/{name}: install Debian's package pen")
    return path


def queued(port: int) -> int | None:
    """Return the bytes that wait in the sockets bound to the port; None if there is none."""
    found = None
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            words = row.split()
            if words[1].endswith(f":{port:04X}"):
                found = (found or 0) + int(words[4].partition(":")[2], 16)
    return found


def _wait_until_listening(port: int) -> None:
    _until(lambda: queued(port) is not None, "penlogd listens")


def _wait_until_read(port: int, pause: float = 0.02) -> None:
    _until(lambda: queued(port) == 0, "penlogd has read all", pause)


def _until(condition: Callable[[], bool], what: str, pause: float = 0.02) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within 30 s: {what}")
        time.sleep(pause)


def main() -> None:
    """Run the works, print their tables, and write bench/logs.md if all were run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="requests per setting")
    parser.add_argument("--only", action="append", choices=WORKS, help="may be repeated")
    parser.add_argument("--write", metavar="FILE", help="write the tables there too")
    asked = parser.parse_args()
    text = [
        "# The log tools, measured", "",
        f"`{Path(sys.executable).name} bench/{' '.join(Path(w).name for w in sys.argv)}`, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores. See [README.md](README.md).",
        "",
    ]  # fmt: skip
    print("\n".join(text))
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        for name in asked.only or WORKS:
            for line in WORKS[name](asked.count, Path(folder)):
                print(line, flush=True)
                text.append(line)
    if asked.write:
        Path(asked.write).write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
