"""Where the microseconds of a log line go in penlogd: samples of the real daemon at work.

    .venv/bin/python bench/profile_penlogd.py [--tree before=DIR] [--write bench/profile-penlogd.md]

A thread in the daemon looks every 2 ms which function runs, once it serves. What C code does, or
the kernel, counts as the function's that called it; time spent waiting does not count. Given other
checkouts of the project, as NAME=DIR, it shows them beside this one.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.balancers import machine
from bench.peers import python_version
from bench.penlogds import WORKS, Daemon, Work, measure

ROOT = Path(__file__).parents[1]
CACHE = 1000
SHOWN = 12
WAITING = ("penlogd.collector Collector.run", "penlogd.collector Collector._wait")
"""The functions that wait in epoll and let datagrams gather, of now and of older checkouts."""

_SAMPLER = """
import atexit, collections, json, sys, threading, time
sys.path[:0] = {paths!r}
found = collections.Counter()
sys.setswitchinterval(0.0002)
def sample(main):
    while True:
        time.sleep(0.002)
        frame = under = sys._current_frames()[main]
        while under and under.f_globals.get("__name__") != "penlogd.collector":
            under = under.f_back
        if under is None:
            continue  # it is not at work yet
        found[frame.f_globals.get("__name__", "?") + " " + frame.f_code.co_qualname] += 1
def tell():
    with open({said!r}, "w") as file:
        json.dump(found, file)
atexit.register(tell)
threading.Thread(target=sample, args=(threading.main_thread().ident,), daemon=True).start()
from penlogd.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """Microseconds of CPU per line: in all, and by function."""

    total: float
    functions: dict[str, float]

    def modules(self) -> Counter[str]:
        """Return them by module."""
        modules: Counter[str] = Counter()
        for name, each in self.functions.items():
            modules[name.split()[0]] += each  # type: ignore[assignment]
        return modules


def profile(tree: Path, work: Work, lines: int, folder: Path) -> Profile:
    """Measure the daemon of a checkout, and sample it."""
    said = folder / "samples.json"
    site = [p for p in sys.path if p.endswith("site-packages")]
    code = _SAMPLER.format(paths=[str(tree), *site], said=str(said))
    daemon = Daemon("ours", (sys.executable, "-c", code), lambda: "", True)
    total = measure(daemon, work, CACHE, lines, folder)
    found: dict[str, int] = json.loads(said.read_text())
    busy = {name: count for name, count in found.items() if name not in WAITING}
    samples = sum(busy.values())
    return Profile(total, {name: total * count / samples for name, count in busy.items()})


def section(work: Work, profiles: dict[str, Profile]) -> list[str]:
    """Return the tables of a work: by module, and the functions that take most in the last one."""
    names = list(profiles)
    modules = {name: each.modules() for name, each in profiles.items()}
    listed = sorted(modules[names[-1]], key=lambda module: -modules[names[-1]][module])
    lines = [
        f"## {work.name[0].upper()}{work.name[1:]}", "",
        "| µs a line, by module | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|",
        _row("all", [each.total for each in profiles.values()]),
        *(_row(module, [modules[name][module] for name in names]) for module in listed[:SHOWN]),
        "", f"| the functions that take most, {names[-1]} | µs a line |", "|---|---|",
    ]  # fmt: skip
    functions = Counter(profiles[names[-1]].functions)
    return [*lines, *(_row(name, [each]) for name, each in functions.most_common(SHOWN)), ""]


def _row(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def main() -> None:
    """Profile the works whose lines cost most."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report there")
    asked = parser.parse_args()
    trees = {name: Path(folder) for name, _, folder in (t.partition("=") for t in asked.tree)}
    trees["now"] = ROOT
    command = shlex.join([".venv/bin/python", "bench/profile_penlogd.py", *sys.argv[1:]])
    lines = [
        "# Where the microseconds of a log line go in penlogd", "", f"    {command}", "",
        f"{time.strftime('%Y-%m-%d')}; {machine()}; {python_version(sys.executable)}.",
        "Samples of the running daemon, as `bench/profile_penlogd.py` tells; C code and system"
        " calls count as the function's that calls them.", "",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        for work in (WORKS[0], WORKS[-1]):
            found = {n: profile(t, work, asked.lines, Path(folder)) for n, t in trees.items()}
            lines += section(work, found)
    report = "\n".join(lines)
    print(report)
    if asked.write:
        asked.write.write_text(report)


if __name__ == "__main__":
    main()
