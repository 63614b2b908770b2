"""Where our CPU time goes: system calls, interpreter's steps, user and system time by kind of work.

System calls and steps are counted, so they hardly depend on the machine or on what else it does;
the times show what bounds the rest. C pen's times stand beside ours.
"""

import contextlib
import json
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from bench import loads, measure
from bench.balancers import end_cleanly, machine, progress, raise_open_files, surroundings
from bench.certificates import Key
from bench.origin import DNS, SINK, WEB
from bench.peers import (
    BASELINE,
    HOST,
    PEERS,
    ROOT,
    Order,
    Peer,
    Setup,
    balancing,
    checked_out,
    our_pen_of,
    pen_arguments,
    this_commit,
)
from bench.processes import StartError

MEBIBYTES = 256
NOW = "now"
ENOUGH = 1_000_000_000
"""Nanoseconds of CPU that tell how they are divided, for the kernel counts in ticks."""
SHOWN = 0.01
"""Functions and calls of a smaller share are left out."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work: what it is of, and a load that returns how many of that were done."""

    name: str
    unit: str
    setup: Setup
    behind: str
    load: Callable[[int], int]
    """Called with the balancer's port."""


def _wrk(port: int, *, close: bool) -> int:
    return loads.wrk(f"http://{HOST}:{port}/", 50, 2, close=close)


def _visits(port: int) -> int:
    return loads.visit(port, (loads.address(number % 2000) for number in range(4000)))


def _download(port: int) -> int:
    return loads.download(port, MEBIBYTES << 20) >> 20


def _upload(port: int) -> int:
    return loads.upload(port, MEBIBYTES << 20) >> 20


KINDS = (
    Kind("short", "short connection", Setup(), WEB, lambda port: _wrk(port, close=True)),
    Kind("tracked", "short connection, tracking", Setup(tracking=True), WEB, _visits),
    Kind("keepalive", "keep-alive request", Setup(), WEB, lambda port: _wrk(port, close=False)),
    Kind("bulk-down", "MiB to the client", Setup(), WEB, _download),
    Kind("bulk-up", "MiB to the server", Setup(), SINK, _upload),
    Kind(
        "dns", "DNS query by UDP", Setup(udp=True), DNS,
        lambda port: loads.dnsperf(port, 10, 5_000, None),
    ),
    Kind(
        "tls", "TLS handshake (RSA-2048) and request", Setup(tls=Key.RSA), WEB,
        lambda port: loads.handshakes(port, 300),
    ),
)  # fmt: skip


@dataclass(slots=True)
class Profile:
    """What a unit of some work costs one balancer."""

    user: float = 0.0
    """Microseconds of CPU, as are the next."""
    system: float = 0.0
    calls: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    """By module and function."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the loads run."""

    folder: Path
    servers: Mapping[str, Sequence[str]]

    def times(self, kind: Kind, peer: Peer, profile: Profile) -> None:
        """Measure CPU time, after a first load that warms up."""
        with balancing(peer, kind.setup, self.servers[kind.behind], self.folder) as balancer:
            kind.load(balancer.port)
            began, user, system = measure.cpu_ns(balancer.pid), *_ticks(balancer.pid)
            cpu = units = 0
            while cpu < ENOUGH:
                units += kind.load(balancer.port)
                cpu = measure.cpu_ns(balancer.pid) - began
            ticks = [after - before for after, before in
                     zip(_ticks(balancer.pid), (user, system), strict=True)]  # fmt: skip
        profile.user = cpu / 1000 / units * ticks[0] / max(1, sum(ticks))
        profile.system = cpu / 1000 / units - profile.user

    def calls(self, kind: Kind, peer: Peer, profile: Profile) -> None:
        """Count system calls, under strace."""
        with (
            balancing(peer, kind.setup, self.servers[kind.behind], self.folder) as balancer,
            measure.count_system_calls(balancer.pid) as counted,
        ):
            units = kind.load(balancer.port)
        profile.calls = {name: count / units for name, count in counted.calls.items()}

    def steps(self, kind: Kind, peer: Peer, profile: Profile) -> None:
        """Count the interpreter's steps."""
        counts = self.folder / "steps"
        peer = replace(peer, command=lambda order: _counting(order, counts))
        with balancing(peer, kind.setup, self.servers[kind.behind], self.folder) as balancer:
            units = kind.load(balancer.port)
        found: Counter[str] = Counter(json.loads(counts.read_text()))
        profile.steps = {name: count / units for name, count in found.items()}


def _ticks(pid: int) -> tuple[int, int]:
    """Read user and system time so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def _counting(order: Order, counts: Path) -> list[str]:
    steps = ROOT / "bench" / "steps.py"
    return [sys.executable, "-P", str(steps), str(counts), *pen_arguments(order)]


def _ours(before: str | None) -> Iterator[tuple[str, contextlib.AbstractContextManager[Path]]]:
    """What is compared: label and folder."""
    if before is not None:
        yield before, checked_out(before)
    yield NOW, contextlib.nullcontext(ROOT)


def _profile(
    kinds: Sequence[Kind], before: str | None, rounds: int
) -> dict[str, dict[str, Profile]]:
    """Profiles by kind's name and peer's label."""
    found: dict[str, dict[str, Profile]] = {}
    with contextlib.ExitStack() as stack:
        ours = [our_pen_of(stack.enter_context(tree), label) for label, tree in _ours(before)]
        place = Place(*stack.enter_context(surroundings()))
        for kind in kinds:
            profiles = found[kind.name] = {}
            for peer in (PEERS[BASELINE], *ours):
                progress(f"{kind.name}: {peer.label}")
                profile = profiles[peer.label] = Profile()
                place.calls(kind, peer, profile)
                if peer in ours:
                    place.steps(kind, peer, profile)
            _measure_times(place, kind, (PEERS[BASELINE], *ours), profiles, rounds)
    progress("")
    return found


def _measure_times(
    place: Place, kind: Kind, peers: Sequence[Peer], profiles: dict[str, Profile], rounds: int
) -> None:
    """Rounds are interleaved; the one with the least CPU is kept, the least disturbed."""
    for _ in range(rounds):
        for peer in peers:
            progress(f"{kind.name}: {peer.label}, times")
            tried = Profile()
            place.times(kind, peer, tried)
            kept = profiles[peer.label]
            if not kept.user or tried.user + tried.system < kept.user + kept.system:
                kept.user, kept.system = tried.user, tried.system


def _report(kinds: Sequence[Kind], found: dict[str, dict[str, Profile]]) -> str:
    command = shlex.join([".venv/bin/python", "bench/profile.py", *sys.argv[1:]])
    lines = [
        "# What our hot path does", "",
        f"    {command}", "",
        f"{time.strftime('%Y-%m-%d')}; {machine()}; {PEERS['ours'].version()};"
        f" {PEERS[BASELINE].version()}.", "",
        f"`{NOW}` is {this_commit()}. Times are microseconds of CPU per unit. A step is a byte code"
        " instruction of the interpreter.", "",
        *_totals(kinds, found),
    ]  # fmt: skip
    for kind in kinds:
        profiles = found[kind.name]
        lines += ["", f"## Per {kind.unit}", "", *_table("system call", profiles, _calls)]
        ours = {label: each for label, each in profiles.items() if each.steps}
        lines += ["", *_table("steps", ours, _steps)]
    return "\n".join(lines) + "\n"


def _calls(profile: Profile) -> dict[str, float]:
    return profile.calls


def _steps(profile: Profile) -> dict[str, float]:
    return profile.steps


def _totals(kinds: Sequence[Kind], found: dict[str, dict[str, Profile]]) -> list[str]:
    lines = [
        "| per | balancer | CPU | of it user | of it system | CPU, C = 1 | system calls | steps |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in kinds:
        base = found[kind.name][PEERS[BASELINE].label]
        for label, each in found[kind.name].items():
            cpu, steps = each.user + each.system, sum(each.steps.values())
            lines.append(
                f"| {kind.unit} | {label} | {cpu:.1f} | {each.user:.1f} | {each.system:.1f}"
                f" | {cpu / (base.user + base.system):.2f} | {sum(each.calls.values()):.2f}"
                f" | {f'{steps:,.0f}' if steps else ''} |"
            )
    return lines


def _table(
    title: str,
    profiles: Mapping[str, Profile],
    part: Callable[[Profile], dict[str, float]],
) -> list[str]:
    """Make a table of calls or functions, the most frequent first, a column per balancer."""
    total: Counter[str] = Counter()
    for each in profiles.values():
        total.update(part(each))
    least = SHOWN * sum(total.values())
    rows = [
        f"| {name} | " + " | ".join(f"{part(each).get(name, 0):.2f}" for each in profiles.values())
        for name, count in total.most_common()
        if count >= least
    ]
    return [
        f"| {title} | " + " | ".join(profiles) + " |",
        "| --- |" + " --- |" * len(profiles),
        *(f"{row} |" for row in rows),
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--before", metavar="COMMIT", help="Profile this commit of ours, too.")
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True,
              help="Of measuring times; the least is kept.")  # fmt: skip
@click.option(
    "--work",
    "names",
    multiple=True,
    type=click.Choice([kind.name for kind in KINDS]),
    help="Only this work (repeatable).",
)
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "profile.md",
    show_default="bench/profile.md",
    help="The Markdown file to write.",
)
def main(before: str | None, rounds: int, names: tuple[str, ...], write: Path) -> None:
    """Print where our CPU time goes, by kind of work: user and system time, calls and steps.

    Takes about five minutes.
    """
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    kinds = [kind for kind in KINDS if not names or kind.name in names]
    try:
        found = _profile(kinds, before, rounds)
    except (StartError, loads.LoadError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    report = _report(kinds, found)
    write.write_text(report)
    click.echo(report, nl=False)


if __name__ == "__main__":
    main()
