"""The log tools beside Debian's: how many lines get the right client, CPU per line, and loss.

    .venv/bin/python bench/logs.py --write bench/logs.md      # all of it, as root: 6 minutes
    .venv/bin/python bench/logs.py --only accuracy --count 5000
    .venv/bin/python bench/logs.py --only live                # root: makes a network that loses
    .venv/bin/python bench/logs.py --only big --lines 2000000

Traffic is simulated (`traffic`) and has the truth beside it. The works:

* accuracy: our engine is driven in simulated time, datagram by datagram as they would come;
  Debian's penlogd, whose join knows no time but the order of datagrams, is the real process and
  gets them in that order;
* live: penlog, penlogd and pen's sender are real processes, in real time, over a bad network
  (`live`);
* merging, burst, big: real processes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.driven import FAST, SETTINGS, SLOW, USUAL, compared, feed, ours
from bench.logtools import (
    Came,
    Merged,
    count_lines,
    debians,
    merge,
    our,
    shuffle,
    write_logs,
)
from bench.traffic import FORMATS, PEN, Simulation, Traffic

PORTS = ["--format", FORMATS["with ports"]]


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for, and what was seen."""

    what: str
    asked: str
    seen: str
    met: bool

    def row(self) -> str:
        """Return the row of a table."""
        return f"| {self.what} | {self.asked} | {self.seen} | {'yes' if self.met else '**no**'} |"


@dataclass(slots=True)
class Bench:
    """What a work needs and leaves behind.

    Attributes:
        count: Requests of each setting.
        lines: Of the big log.
        folder: For files.
        targets: What was asked for.
    """

    count: int
    lines: int
    folder: Path
    targets: list[Target] = field(default_factory=list)

    def hold(self, what: str, asked: str, seen: str, *, met: bool) -> None:
        """Hold what was seen against what was asked for."""
        self.targets.append(Target(what, asked, seen, met))


# Accuracy ----------------------------------------------------------------------------------------


def accuracy(bench: Bench) -> Iterator[str]:
    """Yield the table of accuracy."""
    yield "## penlogd: lines with the right client"
    yield ""
    yield (
        f"{bench.count:,} requests each, 2 servers, 1,000 URLs by Zipf's law, 200/s, responses of "
        "70 ms (median), if not said otherwise."
    )
    yield ""
    yield "| traffic | C | ours, common | ours, with %D | ours, with ports |"
    yield "|---|---|---|---|---|"
    found: dict[str, list[Came]] = {}
    for name, traffic in SETTINGS.items():
        found[name] = compared(replace(traffic, count=bench.count), bench.folder)
        yield f"| {name} | " + " | ".join(map(str, found[name])) + " |"
    lossy = replace(USUAL, count=bench.count, loss=0.02)
    again = [str(ours(lossy, style, acknowledged=True)) for style in FORMATS]
    yield "| 2 % lost, sent again | - | " + " | ".join(again) + " |"
    yield ""
    for name, asked in ((SLOW, 99), (FAST, 98)):
        c, _, timed, _ = found[name]
        seen = f"{timed.share:.2f} % (C {c.share:.2f} %)"
        bench.hold(f"%D, {name}", f"≥ {asked} %", seen, met=timed.share >= asked)
    better = sum(common.right > c.right for c, common, *_ in found.values())
    bench.hold(
        "common format", "better than C in every setting", f"in {better} of {len(found)}",
        met=better == len(found),
    )  # fmt: skip
    lossless = [name for name in found if not SETTINGS[name].loss]
    exact = sum(found[name][-1].share == 100 for name in lossless)
    bench.hold(
        "ports, nothing lost", "100 % in every setting", f"in {exact} of {len(lossless)}",
        met=exact == len(lossless),
    )  # fmt: skip


# Live --------------------------------------------------------------------------------------------


def live(bench: Bench) -> Iterator[str]:
    """Yield what comes of real senders over a bad network."""
    yield "## Real senders in real time, over a network that loses"
    yield ""
    yield "| case | lines | right | lost | doubled | dropped, reset, sent again | penlog, penlogd |"
    yield "|---|---|---|---|---|---|---|"
    command = ["unshare", "-n", sys.executable, str(Path(__file__).parent / "live.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for row in process.stdout:
            yield _live_row(bench, json.loads(row))
    if process.returncode:
        raise RuntimeError(f"live.py ended with {process.returncode}")
    yield ""
    yield (
        "1,000 requests a second for 10 s. Packets dropped and connections reset are the network's "
        "own count, segments sent again TCP's; the last column is µs of CPU per line."
    )
    yield ""


def _live_row(bench: Bench, seen: dict[str, Any]) -> str:
    share = 100 * seen["right"] / seen["asked"]
    if "ports" in seen["case"]:
        bench.hold(
            f"real channel: {seen['case']}", "100 % right, none lost or doubled",
            f"{share:.2f} %, {seen['lost']} lost, {seen['doubled']} doubled",
            met=share == 100 and seen["lines"] == seen["asked"],
        )  # fmt: skip
    elif seen["case"] == "ours, %D":
        name = "%D, 1,000/s, real processes"
        bench.hold(name, "≥ 98 %", f"{share:.2f} %", met=share >= 98)
    return (
        f"| {seen['case']} | {seen['lines']:,} | {share:.2f} % | {seen['lost']:,} "
        f"| {seen['doubled']:,} | {seen['dropped']:,}, {seen['reset']:,}, {seen['resent']:,} "
        f"| {seen['penlog_cpu']:.0f}, {seen['penlogd_cpu']:.0f} |"
    )


# Burst -------------------------------------------------------------------------------------------


def burst(bench: Bench) -> Iterator[str]:
    """Yield how many lines of a burst are lost."""
    count = max(bench.count, 20_000)
    yield f"## penlogd: {count:,} lines at once"
    yield ""
    yield "| records of pen's in the cache | penlogd | lines written | lost | CPU per line, µs |"
    yield "|---|---|---|---|---|"
    for cache in (1000, 100_000):
        costs = []
        for name, path, room in (("C", debians("penlogd"), 40), ("ours", our("penlogd"), 5000)):
            written, cost = _burst(bench, path, room, cache, count)
            costs.append(cost)
            yield f"| {cache:,} | {name} | {written:,} | {count - written:,} | {cost:.1f} |"
        what = f"a burst, {cache:,} records in the cache"
        seen = f"{count - written:,} of {count:,}"
        bench.hold(f"{what}, lines lost", "none", seen, met=written == count)
        ratio = costs[1] / costs[0]
        bench.hold(f"{what}, CPU per line", "≤ 1.5 of C's", f"{ratio:.2f}", met=ratio <= 1.5)
    yield ""


def _burst(bench: Bench, path: str, room: int, cache: int, count: int) -> tuple[int, float]:
    """Return how many lines a penlogd writes whose cache is full, and CPU of each in µs."""
    simulation = Simulation(Traffic(rate=20_000, count=max(cache, count)))
    exchanges = list(simulation.exchanges())
    records = [(PEN, simulation.record(each)) for each in exchanges[-cache:]]
    lines = [
        (simulation.hosts[each.connection.server], simulation.line(each, "common"))
        for each in exchanges[-count:]
    ]
    log = bench.folder / "burst"
    used = feed(path, log, lines, cache=cache, before=records, paced=False, room=room)
    with log.open("rb") as file:
        written = count_lines(file)
    return written, 1e6 * used / written


# mergelogs ---------------------------------------------------------------------------------------


def merging(bench: Bench) -> Iterator[str]:
    """Yield the table of mergelogs."""
    yield "## mergelogs: CPU and lines with the right client"
    yield ""
    yield "| work | C, s | C, right | ours, s | ours, right | CPU to C's |"
    yield "|---|---|---|---|---|---|"
    used: dict[int, float] = {}
    for lines, urls in ((40_000, 50), (80_000, 50), (40_000, 1000)):
        simulation = Simulation(Traffic(rate=100.0, count=lines, urls=urls))
        logs = write_logs(simulation, "common", bench.folder)
        mine = min(
            (merge([our("mergelogs")], simulation, logs, bench.folder) for _ in range(3)),
            key=lambda merged: merged.cpu,
        )
        work = f"{lines:,} lines, 100/s, {urls:,} URLs"
        used.setdefault(lines, mine.cpu)
        if lines > 40_000:  # C's takes a minute and more, for its time is quadratic
            yield f"| {work} | - | - | {mine.cpu:.2f} | {mine.came} | - |"
            continue
        c = merge([debians("mergelogs")], simulation, logs, bench.folder)
        ratio = c.cpu / mine.cpu
        yield f"| {work} | {c.cpu:.2f} | {c.came} | {mine.cpu:.2f} | {mine.came} | 1/{ratio:.1f} |"
        bench.hold(f"mergelogs, {work}, CPU", "≤ 1/20 of C's", f"1/{ratio:.1f}", met=ratio >= 20)
        bench.hold(
            f"mergelogs, {work}, right", "more than C's",
            f"{mine.came.share:.2f} % (C {c.came.share:.2f} %)", met=mine.came.right > c.came.right,
        )  # fmt: skip
    twice = used[80_000] / used[40_000]
    bench.hold("mergelogs, twice the lines", "≤ 2.2 times", f"{twice:.2f} times", met=twice <= 2.2)
    yield ""


def big(bench: Bench) -> Iterator[str]:
    """Yield what mergelogs needs for a big log."""
    yield f"## mergelogs: {bench.lines:,} lines"
    yield ""
    yield "| lines | inputs | join | CPU, s | took, s | memory, MiB | right | not in order |"
    yield "|---|---|---|---|---|---|---|---|"
    memory = {}
    for lines in (bench.lines // 4, bench.lines):
        simulation = Simulation(Traffic(rate=100.0, count=lines))
        logs = write_logs(simulation, "with ports", bench.folder, connections=True)
        merged = merge([our("mergelogs"), *PORTS], simulation, logs, bench.folder)
        memory[lines] = merged.memory
        yield _big_row(lines, "as logged", "by ports", merged)
    _hold_exact(bench, f"mergelogs, {lines:,} lines", merged.came)
    by_request = merge([our("mergelogs")], simulation, logs, bench.folder)
    yield _big_row(lines, "as logged", "by request", by_request)
    for path in ("pen.log", *(f"log.{host}" for host in simulation.hosts)):
        shuffle(bench.folder / path)
    merged = merge([our("mergelogs"), *PORTS], simulation, logs, bench.folder)
    yield _big_row(lines, "in no order", "by ports", merged)
    _hold_exact(bench, f"mergelogs, {lines:,} lines in no order", merged.came)
    grown = memory[lines] / memory[lines // 4]
    bench.hold(
        f"mergelogs, memory for {lines:,} lines", f"≤ 1.2 of that for {lines // 4:,}",
        f"{memory[lines]:.0f} MiB: {grown:.2f}", met=grown <= 1.2,
    )  # fmt: skip
    yield ""


def _big_row(lines: int, inputs: str, join: str, merged: Merged) -> str:
    return (
        f"| {lines:,} | {inputs} | {join} | {merged.cpu:.1f} | {merged.took:.1f} "
        f"| {merged.memory:.0f} | {merged.came} | {merged.came.disordered:,} |"
    )


def _hold_exact(bench: Bench, what: str, came: Came) -> None:
    bench.hold(
        what, "100 % right, in time order, none lost or doubled",
        f"{came.share:.2f} %, {came.disordered} not in order, {came.lost} lost, "
        f"{came.doubled} doubled",
        met=came.right == came.asked == came.lines and not came.disordered,
    )  # fmt: skip


# The report --------------------------------------------------------------------------------------

WORKS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "accuracy": accuracy, "live": live, "burst": burst, "merging": merging, "big": big,
}  # fmt: skip


def heading() -> Iterator[str]:
    """Yield what was run, on what."""
    words = ["bench/logs.py", *sys.argv[1:]]
    yield "# The log tools, measured"
    yield ""
    yield f"    .venv/bin/python {' '.join(words)}"
    yield ""
    yield (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, Debian's pen {_debians_version()}. "
        "How: see [README.md](README.md)."
    )
    yield ""


def _debians_version() -> str:
    words = ["dpkg-query", "-W", "-f", "${Version}", "pen"]
    return subprocess.run(words, capture_output=True, text=True).stdout or "of unknown version"


def summary(targets: Iterable[Target]) -> Iterator[str]:
    """Yield the table of what was asked for."""
    yield "## Asked for and seen"
    yield ""
    yield "| what | asked | seen | met |"
    yield "|---|---|---|---|"
    for target in targets:
        yield target.row()
    yield ""


def main() -> None:
    """Run the works, print their tables, and write them to a file if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="requests per setting")
    parser.add_argument("--lines", type=int, default=2_000_000, help="of the big log")
    parser.add_argument("--only", action="append", choices=WORKS, help="may be repeated")
    parser.add_argument("--write", metavar="FILE", help="write the tables there too")
    asked = parser.parse_args()
    tables: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        bench = Bench(asked.count, asked.lines, Path(folder))
        for name in asked.only or WORKS:
            for line in WORKS[name](bench):
                print(line, flush=True)
                tables.append(line)
    asked_for = list(summary(bench.targets))
    print("\n".join(asked_for))
    if asked.write:
        text = "\n".join([*heading(), *asked_for, *tables])
        Path(asked.write).write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
