"""Loads at a set pace: `paced.c`, compiled and run, and what its answers took."""

import array
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.loads import LoadError
from bench.origin import PAGE_BYTES

SOURCE = Path(__file__).with_name("paced.c")
LOSSES = 1000  # one of so many queries may be lost
WARM_UP = 0.1  # seconds whose requests are not counted
LOST_NS = 10**9  # what a query counts that was not answered
FEW = 50  # requests under way at once, at most: all the time, where the pace is none


@dataclass(frozen=True, slots=True)
class Pace:
    """When requests are due."""

    rate: float
    """A second; 0: as fast as answers come, with FEW under way."""
    count: int
    poisson: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What a load found, in ns and sorted; the first requests are left out."""

    latencies: Sequence[int]
    """From when a request was due until its answer had been read."""
    lateness: Sequence[int]
    """From when it was due until it was sent, where nothing but the generator kept it."""
    lost: int
    """Queries that were not answered; their latency is LOST_NS."""


class Pacer:
    """The generator.

    Args:
        folder: where it is built.

    Raises:
        LoadError: it cannot be compiled.
    """

    def __init__(self, folder: Path) -> None:
        self._program = str(folder / "paced")
        flags = ["-O2", "-Wall", "-Wextra", f"-DPAGE_BYTES={PAGE_BYTES}"]
        compiler = os.environ.get("CC", "cc")
        _run([compiler, *flags, "-o", self._program, str(SOURCE), "-lm"])

    def run(self, kind: str, target: str, pace: Pace, limit: int) -> Answers:
        """Send requests of a kind of paced.c to `host:port`; at most `limit` are under way.

        Raises:
            LoadError: an answer was wrong, did not come by TCP, or too many did not by UDP.
        """
        due, late = self._ask(kind, target, pace, limit)
        cut = int(pace.rate * WARM_UP)
        latencies = sorted(LOST_NS if each < 0 else each for each in due[cut:])
        lateness = sorted(each for each in late[cut:] if each >= 0)
        return Answers(latencies, lateness, due.count(-1))

    def capacity(self, kind: str, target: str, count: int) -> float:
        """Answers a second with FEW requests under way all the time.

        Raises:
            LoadError: an answer was wrong, did not come by TCP, or too many did not by UDP.
        """
        due, _ = self._ask(kind, target, Pace(0, count, False, 0), FEW)
        return count / max(due) * 1e9

    def _ask(
        self, kind: str, target: str, pace: Pace, limit: int
    ) -> tuple["array.array[int]", "array.array[int]"]:
        host, _, port = target.partition(":")
        arrivals = "poisson" if pace.poisson else "even"
        what = [kind, host, port, f"{pace.rate:f}", str(pace.count), arrivals]
        found = array.array("q", _run([self._program, *what, str(pace.seed), str(limit)]))
        due, late = found[::2], found[1::2]
        if due.count(-1) * LOSSES > pace.count:
            raise LoadError(f"{due.count(-1)} of {pace.count} queries were lost")
        return due, late


def _run(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise LoadError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LoadError(said[-1] if said else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def quantile(ordered: Sequence[int], share: float) -> float:
    """The least value that `share` of them do not exceed (the nearest rank), in µs."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000
