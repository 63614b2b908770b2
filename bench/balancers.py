"""Measure our balancer beside Debian's pen, haproxy and nginx stream: `make bench`.

One run starts everything: one nginx as the web server behind all, and each balancer in turn before
it. Rounds are interleaved (one of each balancer, then again), so that a busy spell of the machine
hits all alike; medians are printed, and ratios to C pen are taken within each round.
"""

import contextlib
import os
import platform
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import click

from bench.loads import LoadError
from bench.origin import DNS, SINK, WEB, name_servers, upload_sink, web_server
from bench.peers import (
    BASELINE,
    PEERS,
    ROOT,
    Balancer,
    Peer,
    balancing,
    checked_out,
    our_pen_of,
    this_commit,
)
from bench.processes import StartError
from bench.report import Results, calls_table, figures_table
from bench.works import FULL, QUICK, WORKS, Effort, Work

CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
ROUND_ERRORS = (LoadError, StartError, OSError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: what is compared, and where it happens."""

    works: Sequence[Work]
    peers: Sequence[Peer]
    effort: Effort
    folder: Path
    servers: Mapping[str, Sequence[str]]
    """By what they serve."""
    results: Results

    def run(self) -> None:
        """All rounds of all works."""
        for work in self.works:
            with contextlib.ExitStack() as stack:
                self._run_work(work, self._start_lasting(work, stack))

    def _start_lasting(self, work: Work, stack: contextlib.ExitStack) -> dict[str, Balancer]:
        """Start the balancers that stay up for all rounds of `work`."""
        lasting = {}
        for peer in () if work.fresh else filter(work.is_for, self.peers):
            try:
                lasting[peer.name] = stack.enter_context(self._balancing(peer, work))
            except StartError as error:
                self._failed(work, peer, error)
        return lasting

    def _run_work(self, work: Work, lasting: dict[str, Balancer]) -> None:
        rounds = min(self.effort.rounds, work.most_rounds or self.effort.rounds)
        for number in range(rounds):
            for peer in rotated(self.peers, number):
                if not work.is_for(peer) or (not work.fresh and peer.name not in lasting):
                    continue
                progress(f"{work.name}: round {number + 1} of {rounds}, {peer.label}")
                self._run_round(work, peer, number, lasting.get(peer.name))

    def _run_round(self, work: Work, peer: Peer, number: int, lasting: Balancer | None) -> None:
        try:
            if lasting is not None:
                found = work.run(lasting, self.effort, number)
            else:
                with self._balancing(peer, work) as balancer:
                    found = work.run(balancer, self.effort, number)
        except ROUND_ERRORS as error:
            self._failed(work, peer, error)
        else:
            self.results.add(work, peer, found)

    def _balancing(self, peer: Peer, work: Work) -> contextlib.AbstractContextManager[Balancer]:
        return balancing(peer, work.setup, self.servers[work.behind], self.folder)

    def _failed(self, work: Work, peer: Peer, error: Exception) -> None:
        self.results.add_failure(work, peer, error)
        progress("")
        click.echo(f"bench: {work.name}, {peer.label}: {error}", err=True)


def rotated(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Each round begins with another peer, so that none always follows the same one."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def progress(text: str) -> None:
    """Show what goes on, where a person looks."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[Path, dict[str, list[str]]]]:
    """Yield a temporary folder, and the addresses of the servers by what they serve."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        web_server(Path(folder)) as web,
        upload_sink() as sink,
        name_servers(Path(folder)) as dns,
    ):
        yield Path(folder), {WEB: web, SINK: [sink], DNS: dns}


def _report(works: Sequence[Work], peers: Sequence[Peer], results: Results, took: float) -> str:
    command = shlex.join([".venv/bin/python", "bench/balancers.py", *sys.argv[1:]])
    base = next(peer.label for peer in (*peers, PEERS[BASELINE]) if peer.name == results.baseline)
    lines = [
        "# Balancers side by side",
        "",
        f"    {command}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {took / 60:.0f} minutes; {machine()}; load average"
        f" {os.getloadavg()[2]:.1f} over the last 15 minutes.",
        "CPU is that of the balancer's processes only. Cells are the median of interleaved rounds,"
        f" (least-greatest), and the median of the rounds' ratios to {base}.",
        "",
        *(f"- {peer.label}: {peer.version()}" for peer in peers),
        "",
        *figures_table(works, peers, results),
    ]
    for work in works:
        for figure in work.figures:
            table = calls_table(figure, peers, results)
            lines += (
                ["", f"{figure.title[0].upper()}{figure.title[1:]}, by name:", "", *table]
                if table
                else []
            )
    if results.failures:
        lines += ["", "Failed:", "", *(f"- {failure}" for failure in results.failures)]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Describe where this runs: kernel, processors, congestion control, commit."""
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    cpus = os.cpu_count()
    return (
        f"Linux {platform.release()}, {cpus} CPUs ({next(models, platform.machine())}),"
        f" TCP congestion control {CONGESTION.read_text().strip()}, commit {this_commit()}"
    )


def raise_open_files() -> None:
    """Let this process and what it starts have as many files as they may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_cleanly(signum: int, _frame: FrameType | None) -> None:
    """TERM: end as Ctrl-C does."""
    raise SystemExit(128 + signum)  # so that every block that ends processes is left


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Short and few rounds: a look, not a result.")
@click.option(
    "--peer",
    "peer_names",
    multiple=True,
    type=click.Choice(list(PEERS)),
    help="Only this balancer (repeatable); ratios need pen-c.",
)
@click.option(
    "--work",
    "work_names",
    multiple=True,
    type=click.Choice(list(WORKS)),
    help="Only this work (repeatable).",
)
@click.option(
    "--before",
    metavar="COMMIT",
    help="Compare with this commit of ours, in the same rounds, instead of with C pen.",
)
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each work.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "results.md",
    show_default="bench/results.md",
    help="The Markdown file to write.",
)
def main(
    quick: bool,
    peer_names: tuple[str, ...],
    work_names: tuple[str, ...],
    before: str | None,
    rounds: int | None,
    output: Path,
) -> None:
    """Measure our balancer beside Debian's pen, haproxy and nginx stream, as a Markdown table.

    Prints CPU time per connection, request and GB, memory per idle connection, and system calls.
    All of it takes a quarter of an hour; --quick a few minutes. Exit status 1: something failed.
    """
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    effort = QUICK if quick else FULL
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    works = [work for name, work in WORKS.items() if not work_names or name in work_names]
    peers = [peer for name, peer in PEERS.items() if not peer_names or name in peer_names]
    results = Results(before or BASELINE)
    began = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            if before is not None:
                peers.insert(0, our_pen_of(stack.enter_context(checked_out(before)), before))
            folder, servers = stack.enter_context(surroundings())
            Bench(works, peers, effort, folder, servers, results).run()
    except StartError as error:
        raise click.ClickException(f"a server did not start: {error}") from error
    progress("")
    report = _report(works, peers, results, time.monotonic() - began)
    output.write_text(report)
    click.echo(report, nl=False)
    if results.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
