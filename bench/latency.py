"""Latency at half of capacity: ours beside Debian's pen, haproxy and nginx stream.

    .venv/bin/python bench/latency.py            # all; writes bench/latency.md and latency.svg
    .venv/bin/python bench/latency.py --quick

Requests are due at times fixed beforehand, whatever becomes of the answers (an open loop), and a
latency is counted from when the request was due: who is slow once is not asked less, and all who
came meanwhile count too. First the capacity of each balancer is measured; then, in interleaved
rounds, each gets half of what the slowest can, and half of what it can itself.
"""

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import click

from bench import measure
from bench.balancers import end_cleanly, raise_open_files, rotated
from bench.latency_report import write_report
from bench.latency_works import DIRECT, LOADS, WORKS, Capacity, Found, Load, Work
from bench.loads import LoadError
from bench.origin import DNS, WEB, name_servers, web_server
from bench.pacing import Answers, Pace, Pacer
from bench.peers import HOST, PEERS, ROOT, Peer, balancing
from bench.placement import place
from bench.processes import StartError

DEFAULT_PEERS = ("pen-c", "ours", "haproxy", "nginx")
CAPACITY_SECONDS = 0.7
TRIES = 3  # at an undisturbed round
TAKEN_NS = 10**6  # that the balancer may have waited for its core, which is meant to be its own
LATE_NS = 5 * 10**6  # that the generator may have been late


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done; nothing but patience hangs on it."""

    rounds: int
    seconds: float
    """Of each round of each work of each peer."""


FULL, QUICK = Effort(9, 0.6), Effort(3, 0.4)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run."""

    peers: Sequence[Peer]
    effort: Effort
    folder: Path
    servers: Mapping[str, Sequence[str]]
    pacer: Pacer
    found: Found

    def run(self, works: Sequence[Work]) -> None:
        """All rounds of all works."""
        for load in dict.fromkeys(work.load for work in works):
            with contextlib.ExitStack() as stack:
                balancers = {
                    peer.name: stack.enter_context(
                        balancing(peer, load.setup, self.servers[load.behind], self.folder)
                    )
                    for peer in self.peers
                    if peer.does_udp or not load.setup.udp
                }
                pids = {name: each.pid for name, each in balancers.items()}
                targets = {name: f"{HOST}:{each.port}" for name, each in balancers.items()}
                targets[DIRECT.name] = self.servers[load.behind][0]
                for name, target in targets.items():
                    self._measure_capacity(load, name, target, pids.get(name))
                self._run_load([work for work in works if work.load is load], targets, pids)

    def _measure_capacity(self, load: Load, name: str, target: str, pid: int | None) -> None:
        rate = self.pacer.capacity(load.kind, target, load.trial)
        count = int(rate * CAPACITY_SECONDS)
        before = measure.tree_cpu_ns(pid) if pid else 0
        rate = self.pacer.capacity(load.kind, target, count)
        used = measure.tree_cpu_ns(pid) - before if pid else 0
        self.found.capacities[load.kind, name] = Capacity(rate, used * rate / count / 1e9)

    def _run_load(
        self, works: Sequence[Work], targets: Mapping[str, str], pids: Mapping[str, int]
    ) -> None:
        for number in range(self.effort.rounds):
            for peer in rotated([*self.peers, DIRECT], number):
                for work in works:
                    if work.is_for(peer):
                        target, pid = targets[peer.name], pids.get(peer.name)
                        self._run_round(work, peer, number, target, pid)

    def _run_round(self, work: Work, peer: Peer, number: int, target: str, pid: int | None) -> None:
        rate = self.found.rate(work, peer)
        pace = Pace(rate, int(rate * self.effort.seconds), work.poisson, number)
        try:
            answers = self._undisturbed(work.load, target, pace, pid)
        except (LoadError, OSError) as error:
            self.found.results.add_failure(work, peer, error)
            click.echo(f"latency: {work.name}, {peer.label}: {error}", err=True)
        else:
            self.found.results.add(work, peer, work.found(answers))
            self.found.rounds[work.name, peer.name].append(answers.latencies)

    def _undisturbed(self, load: Load, target: str, pace: Pace, pid: int | None) -> Answers:
        """What a round finds that nothing else on the machine disturbed, if one can be had.

        What is looked at says nothing of the balancer: how long it waited for a core that nobody
        else should use, and whether the generator was held up.
        """
        for tried in range(TRIES):
            before = measure.waited_ns(pid) if pid else 0
            answers = self.pacer.run(load.kind, target, pace, load.limit)
            taken = measure.waited_ns(pid) - before if pid else 0
            if taken <= TAKEN_NS and answers.lateness[-1] <= LATE_NS:
                break
            if tried + 1 < TRIES:
                self.found.repeated += 1
            else:
                self.found.disturbed += 1
        return answers


@contextlib.contextmanager
def _surroundings() -> Iterator[tuple[Path, dict[str, list[str]]]]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        web_server(Path(name)) as web,
        name_servers(Path(name)) as dns,
    ):
        yield Path(name), {WEB: web, DNS: dns}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Short and few rounds: a look, not a result.")
@click.option(
    "--peer",
    "peer_names",
    multiple=True,
    type=click.Choice(list(PEERS)),
    default=DEFAULT_PEERS,
    show_default=True,
    help="Only this balancer (repeatable); ratios need pen-c.",
)
@click.option(
    "--load",
    "kinds",
    multiple=True,
    type=click.Choice(list(LOADS)),
    help="Only this load (repeatable).",
)
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each work.")
@click.option(
    "--write",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "latency.md",
    show_default="bench/latency.md",
    help="The Markdown file to write; the plot goes beside it.",
)
def main(
    quick: bool,
    peer_names: tuple[str, ...],
    kinds: tuple[str, ...],
    rounds: int | None,
    output: Path,
) -> None:
    """Measure latency of a paced load through our balancer and others, at half of capacity.

    Prints the median, p99 and p99.9 as a Markdown table. Exit status 1: something failed.
    """
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    effort = QUICK if quick else FULL
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    placement = place()
    peers = [placement.balancer(peer) for name, peer in PEERS.items() if name in peer_names]
    works = [work for work in WORKS if not kinds or work.load.kind in kinds]
    found = Found()
    began = time.monotonic()
    try:
        with _surroundings() as (folder, servers):
            Bench(peers, effort, folder, servers, Pacer(folder), found).run(works)
    except (StartError, LoadError) as error:
        raise click.ClickException(str(error)) from error
    report = write_report(found, works, peers, placement, output, time.monotonic() - began)
    click.echo(report, nl=False)
    if found.results.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
