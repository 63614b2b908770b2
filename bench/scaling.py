"""How the cost of a connection grows with servers, clients, connections and access lists.

    .venv/bin/python bench/scaling.py            # all; writes bench/scaling.md and scaling.svg
    .venv/bin/python bench/scaling.py --quick

Our pen and Debian's, as processes with real connections over loopback, in interleaved rounds.
What loopback cannot reach in the time is measured without sockets, and says so (`deciding`). At
some sizes each control command is given: its own cost, and how long requests wait meanwhile.
"""

import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import click

from bench import deciding, measure
from bench.balancers import end_cleanly, raise_open_files
from bench.control import Cost, Pinger, measure_commands, wait_during
from bench.origin import web_server
from bench.peers import BASELINE, HOST, PEERS, ROOT, Balancer, Peer, balancing
from bench.processes import free_port
from bench.scaling_report import write_report
from bench.sweeps import SWEEPS, Sweep, is_c, known

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done; nothing but patience hangs on it."""

    rounds: int
    visits: int
    """Of each round."""
    largest: int
    """Sizes beyond are left out."""
    repeats: int
    """Of each command."""
    deciding: int
    """Connections without sockets."""
    remembered: int
    """The most clients without sockets."""


FULL = Effort(5, 2_000, largest=1_000_000, repeats=5, deciding=20_000, remembered=1_000_000)
QUICK = Effort(2, 500, largest=1_000, repeats=2, deciding=2_000, remembered=100_000)


@dataclass(frozen=True, slots=True)
class Situation:
    """Where commands are given."""

    title: str
    sweep: str
    size: int


SITUATIONS = (
    Situation("2 servers", "servers", 2),
    Situation("10,000 servers", "servers", 10_000),
    Situation("10,000 clients", "clients", 10_000),
    Situation("100,000 clients", "clients", 100_000),
    Situation("9,000 connections", "connections", 9_000),
    Situation("10,000 entries", "entries", 10_000),
)


@dataclass(slots=True)
class Results:
    """What was found."""

    costs: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    """Microseconds per connection in each round, by sweep, peer and size."""
    algorithms: dict[str, dict[int, float]] = field(default_factory=dict)
    """Microseconds of deciding, by algorithm and number of servers."""
    remembered: dict[int, float] = field(default_factory=dict)
    """Microseconds of deciding, by number of clients."""
    commands: dict[tuple[str, str], dict[str, Cost]] = field(default_factory=dict)
    """By title of the situation and peer."""
    waits: dict[str, dict[int, float]] = field(default_factory=dict)
    """Milliseconds the longest request waits while `status` is made, by peer and clients."""
    client_bytes: float | None = None
    """Memory per remembered client."""
    failures: list[str] = field(default_factory=list)


class Scaling:
    """One run."""

    def __init__(self, effort: Effort, sweeps: Sequence[str], port: int, folder: Path) -> None:
        self.effort = effort
        self.sweeps = sweeps
        self.results = Results()
        self._port = port
        self._folder = folder

    def run(self) -> None:
        """All of it."""
        for name in self.sweeps:
            for size in SWEEPS[name].sizes:
                if size <= self.effort.largest:
                    say(f"{name}: {size:,}")
                    self._run_size(name, SWEEPS[name], size)
        self._decide()

    def _run_size(self, name: str, sweep: Sweep, size: int) -> None:
        with ExitStack() as stack:
            pens: dict[str, tuple[Balancer, str]] = {}
            for peer in (PEERS[OURS], PEERS[BASELINE]):
                balancer, control = stack.enter_context(self._pen(peer, sweep, size))
                before = measure.tree_pss_kib(balancer.pid)
                stack.enter_context(sweep.prepared(balancer, size))
                if name == "clients" and peer.name == OURS:
                    grown = measure.tree_pss_kib(balancer.pid) - before
                    self.results.client_bytes = grown * 1024 / size
                pens[peer.name] = balancer, control
            for number in range(-1, self.effort.rounds):
                for who, (balancer, _) in sorted(pens.items(), reverse=bool(number % 2)):
                    cost = self._round(balancer, sweep, size, number)
                    if number >= 0:
                        self.results.costs.setdefault((name, who, size), []).append(cost)
            for situation in SITUATIONS:
                if (situation.sweep, situation.size) == (name, size):
                    self._command(situation, pens)
            if name == "clients":
                self._wait(size, pens)

    def _round(self, balancer: Balancer, sweep: Sweep, size: int, number: int) -> float:
        before = measure.cpu_ns(balancer.pid)
        done = sweep.load(balancer, size, self.effort.visits, number)
        return (measure.cpu_ns(balancer.pid) - before) / done / 1000

    @contextmanager
    def _pen(self, peer: Peer, sweep: Sweep, size: int) -> Iterator[tuple[Balancer, str]]:
        control = f"{HOST}:{free_port(HOST)}"
        setup = sweep.setup(size, self._folder)
        page = self._folder / f"{peer.name}.html"  # C shows no status without
        options = (*setup.options, "-u", "root", "-C", control, "-w", str(page))
        servers = [f"{server(slot)}:{self._port}" for slot in range(sweep.servers(size))]
        with balancing(peer, replace(setup, options=options), servers, self._folder) as balancer:
            yield balancer, control

    def _command(self, situation: Situation, pens: dict[str, tuple[Balancer, str]]) -> None:
        for peer, (balancer, control) in pens.items():
            if is_c(balancer) and known(balancer, situation.size) < situation.size:
                continue
            say(f"commands, {situation.title}: {peer}")
            self.results.commands[situation.title, peer] = measure_commands(
                balancer, control, str(self._folder), self.effort.repeats
            )

    def _wait(self, size: int, pens: dict[str, tuple[Balancer, str]]) -> None:
        for peer, (balancer, control) in pens.items():
            if known(balancer, size) < size:
                continue
            with Pinger(balancer.port) as pinger:
                repeats = range(self.effort.repeats)
                waits = [wait_during(control, "status", pinger) for _ in repeats]
            self.results.waits.setdefault(peer, {})[size] = statistics.median(waits)

    def _decide(self) -> None:
        for algorithm in deciding.ALGORITHMS:
            say(f"deciding: {algorithm}")
            sizes = [size for size in SWEEPS["servers"].sizes if size <= self.effort.largest]
            self.results.algorithms[algorithm] = {
                size: deciding.by_algorithm(algorithm, size, self.effort.deciding // 10)
                for size in sizes
            }
        say("deciding: clients")
        counts = [10**power for power in range(7) if 10**power <= self.effort.remembered]
        self.results.remembered = deciding.by_clients(counts, self.effort.deciding)


def server(slot: int) -> str:
    """Name the address of server `slot`: loopback, from 127.1.0.1 up."""
    number = (1 << 16) + slot + 1
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def say(text: str) -> None:
    """Tell how far it is."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Small sizes and few rounds: a look, not a result.")
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    type=click.Choice(list(SWEEPS)),
    help="Only this one (repeatable).",
)
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "scaling.md",
    show_default="bench/scaling.md",
    help="The Markdown file to write; the plot is beside it, as .svg.",
)
def main(quick: bool, sweeps: tuple[str, ...], write: Path) -> None:
    """Measure how a connection's cost grows, ours beside C pen, as tables and a plot."""
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        folder = Path(name)
        with web_server(folder, bulk_bytes=1, hosts=("0.0.0.0",)) as (web,):
            port = int(web.rpartition(":")[2])
            scaling = Scaling(QUICK if quick else FULL, sweeps or tuple(SWEEPS), port, folder)
            scaling.run()
    say("")
    write_report(scaling.results, write, time.monotonic() - began)
    click.echo(write.read_text(), nl=False)


if __name__ == "__main__":
    main()
