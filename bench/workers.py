"""Measure pen with several workers, and write bench/workers.md: see bench/README.md.

Three questions: what do two processes do on two cores, beside one, and beside others' two? Does
each of 10,000 clients keep its server? And what does it cost when one of the processes is killed?
"""

import itertools
import os
import random
import shlex
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench import loads, measure
from bench.balancers import end_cleanly, machine, raise_open_files
from bench.loads import LoadError
from bench.origin import web_server
from bench.peers import HOST, PEERS, ROOT, Balancer, Peer, Setup, balancing
from bench.processes import StartError
from bench.report import table
from pen.net.steering import member_for
from pen.penctl import ask

KEPT_WHO = b"GET /who HTTP/1.1\r\nHost: bench\r\n\r\n"
WHO = KEPT_WHO.replace(b"bench", b"bench\r\nConnection: close")
SOURCES = 4
"""Addresses that the throughput load comes from, half of them for each of two workers."""
AT_ONCE = 12
"""Connections from each of them."""
CLIENTS, VISITS = 10_000, 4
HELD = 300
"""Connections that are open when a worker is killed."""
COMMANDS = ("servers", "status", "acl 7 permit 10.0.0.0/8", "no acl 7", "timeout 4", "recent 1")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A balancer with so many processes or threads."""

    peer: Peer
    workers: int


SUBJECTS = (
    Subject(PEERS["pen-c"], 1),
    Subject(PEERS["ours"], 1),
    Subject(PEERS["ours"], 2),
    Subject(PEERS["haproxy"], 2),
    Subject(PEERS["nginx"], 2),
)
ONE = SUBJECTS[1]


@dataclass(frozen=True, slots=True)
class Round:
    """Connections a second, CPU per connection in µs by whose it is, and cores that were busy."""

    rate: float
    balancer: float
    load: float
    origin: float

    @property
    def busy(self) -> float:
        """Cores."""
        return self.rate * (self.balancer + self.load + self.origin) / 1e6


@contextmanager
def started(
    subject: Subject, setup: Setup, servers: Sequence[str], folder: Path
) -> Iterator[Balancer]:
    """Start one, in a folder of its own."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with balancing(subject.peer, replace(setup, workers=subject.workers), servers, home) as each:
        yield each


# What two processes do.


def throughput(servers: Sequence[str], folder: Path, rounds: int, seconds: int) -> list[str]:
    """Rounds of all subjects, interleaved; lines of the report."""
    sources = _sources(2)
    found: defaultdict[Subject, list[Round]] = defaultdict(list)
    with ExitStack() as stack:
        setup = Setup(connections=2 * SOURCES * AT_ONCE)
        up = {s: stack.enter_context(started(s, setup, servers, folder)) for s in SUBJECTS}
        origin = int((folder / "nginx.pid").read_text())
        for number in range(rounds):
            first = number % len(SUBJECTS)
            for subject in (*SUBJECTS[first:], *SUBJECTS[:first]):
                found[subject].append(_round(up[subject], origin, sources, seconds))
    return _throughput_table(found)


def _sources(workers: int) -> list[str]:
    """Addresses that fall to the workers in turn."""
    candidates = [loads.address(number) for number in range(100)]
    groups = [[c for c in candidates if member_for(c, workers) == n] for n in range(workers)]
    return list(itertools.chain(*zip(*groups, strict=False)))[:SOURCES]


def _round(balancer: Balancer, origin: int, sources: Sequence[str], seconds: int) -> Round:
    before = measure.tree_cpu_ns(balancer.pid), measure.tree_cpu_ns(origin)
    load = loads.ab(balancer.port, sources, seconds, AT_ONCE)
    after = measure.tree_cpu_ns(balancer.pid), measure.tree_cpu_ns(origin)
    own, theirs = ((b - a) / load.answers / 1e3 for a, b in zip(before, after, strict=True))
    return Round(load.answers / load.seconds, own, load.cpu / load.answers * 1e6, theirs)


def _throughput_table(found: dict[Subject, list[Round]]) -> list[str]:
    head = ["processes", "connections/s", "CPU µs: balancer", "load", "origin", "cores busy"]
    rows = [["balancer", *head, "of its own: connections/s", "CPU beside ours with 1"]]
    for subject, rounds in found.items():
        cost = statistics.median(each.balancer for each in rounds)
        ratios = [a.balancer / b.balancer for a, b in zip(rounds, found[ONE], strict=True)]
        cells = [
            f"{statistics.median(each.rate for each in rounds):,.0f}",
            f"{cost:.1f}",
            f"{statistics.median(each.load for each in rounds):.1f}",
            f"{statistics.median(each.origin for each in rounds):.1f}",
            f"{statistics.median(each.busy for each in rounds):.2f}",
            f"{subject.workers * 1e6 / cost:,.0f}",
            f"x{statistics.median(ratios):.2f}",
        ]
        rows.append([subject.peer.label, str(subject.workers), *cells])
    return table(rows)


# Whether clients keep their servers.


def stickiness(servers: Sequence[str], folder: Path) -> list[str]:
    """Lines of a table, a row for each number of workers."""
    head = ["workers", "clients", "visits of each", "commands meanwhile", "clients of each worker"]
    rows = [[*head, "of each server", "at more than one server"]]
    for workers in (2, 3):
        seen, commands = _all_visits(servers, folder, workers)
        shares = Counter(member_for(client, workers) for client in seen)
        by_server = Counter(min(places) for places in seen.values())
        rows.append([
            str(workers), f"{len(seen):,}", str(VISITS), f"{commands:,}",
            " / ".join(f"{shares[number]:,}" for number in range(workers)),
            " / ".join(f"{count:,}" for count in by_server.values()),
            str(sum(len(places) > 1 for places in seen.values())),
        ])  # fmt: skip
    return table(rows)


def _all_visits(
    servers: Sequence[str], folder: Path, workers: int
) -> tuple[dict[str, set[bytes]], int]:
    """Where each client was sent, and how many commands were given meanwhile."""
    seen: defaultdict[str, set[bytes]] = defaultdict(set)

    def note(client: str, answer: bytes) -> None:
        head, _, place = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200") or not place:
            raise LoadError(f"{client} got an answer of {len(answer)} bytes")
        seen[client].add(place)

    with (
        _tracking(servers, folder, workers) as (balancer, control),
        _commanding(control) as given,
    ):
        for number in range(VISITS):
            clients = [loads.address(client) for client in range(CLIENTS)]
            random.Random(number).shuffle(clients)
            loads.visit(balancer.port, clients, request=WHO, judge=note)
    return seen, len(given)


@contextmanager
def _tracking(servers: Sequence[str], folder: Path, workers: int) -> Iterator[tuple[Balancer, str]]:
    """Our pen with workers that remember clients, and its control port."""
    control = str(folder / "control")
    options = ("-u", "root", "-C", control)
    setup = Setup(tracking=True, clients=2 * CLIENTS, connections=2 * HELD, options=options)
    with started(Subject(PEERS["ours"], workers), setup, servers, folder) as balancer:
        yield balancer, control


@contextmanager
def _commanding(control: str) -> Iterator[list[str]]:
    """Give control commands, one after the other, in a thread; those that were given."""
    given: list[str] = []
    done = threading.Event()

    def command() -> None:
        for each in itertools.cycle(COMMANDS):
            if done.is_set():
                return
            reply = ask(control, each)
            if reply.startswith("error"):
                raise LoadError(f"'{each}' was answered by {reply!r}")
            given.append(each)

    with ThreadPoolExecutor(1) as threads:
        commanding = threads.submit(command)
        try:
            yield given
        finally:
            done.set()
        commanding.result()


# What the death of a worker costs.


def deaths(servers: Sequence[str], folder: Path) -> list[str]:
    """Lines of a table, a row for each worker that is killed."""
    head = ["workers", "killed", "another there, ms", "its client answered, ms"]
    rows = [[*head, "connections it had", "lost", "lost by others", "others' clients moved"]]
    for workers in (2, 3):
        for victim in range(workers):
            with _tracking(servers, folder, workers) as (balancer, _):
                rows.append([str(workers), f"number {victim}", *_death(balancer, workers, victim)])
    return table(rows)


def _death(balancer: Balancer, workers: int, victim: int) -> list[str]:
    clients = [loads.address(number) for number in range(HELD)]
    theirs = [client for client in clients if member_for(client, workers) == victim]
    with ExitStack() as stack:
        held = {c: stack.enter_context(_connect(balancer.port, c)) for c in clients}
        first = {client: _who(stream) for client, stream in held.items()}
        pids = sorted(measure.process_tree(balancer.pid)[1:])
        began = time.monotonic()
        os.kill(pids[victim], signal.SIGKILL)
        with _connect(balancer.port, theirs[0]) as stream:
            if not _who(stream):
                raise LoadError("a client of the killed worker was not answered")
        answered = time.monotonic() - began
        born = _birth(set(measure.process_tree(balancer.pid)) - {balancer.pid, *pids}) - began
        after = {client: _who(stream) for client, stream in held.items()}
    lost = {client for client, place in after.items() if not place}
    others = set(clients) - set(theirs)
    moved = sum(_comes_again(balancer.port, client) != first[client] for client in others)
    numbers = len(theirs), len(lost & set(theirs)), len(lost & others), moved
    return [f"{max(born, 0.0) * 1e3:.0f}", f"{answered * 1e3:.0f}", *map(str, numbers)]


def _birth(born: set[int]) -> float:
    """When the one process was born: monotonic seconds (field 22 of proc_pid_stat(5))."""
    (pid,) = born
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return since_boot - (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic())


def _connect(port: int, client: str) -> socket.socket:
    return socket.create_connection((HOST, port), 10, source_address=(client, 0))


def _who(stream: socket.socket) -> bytes:
    """Ask where a connection leads; nothing if it is lost."""
    try:
        stream.sendall(KEPT_WHO)
        return stream.recv(4096).partition(b"\r\n\r\n")[2]
    except (ConnectionResetError, BrokenPipeError):
        return b""


def _comes_again(port: int, client: str) -> bytes:
    with _connect(port, client) as stream:
        return _who(stream)


# The report.

REPORT = """\
# Several workers

    {command}

{date}, {minutes:.0f} minutes; {machine}; load average {average:.1f} over the last 15 minutes.

{versions}

## Two processes on two cores

Short HTTP connections, round robin, from {sources} addresses, {at_once} at once from each: {rounds}
rounds of {seconds} s, interleaved; medians. The load (`ab`, {sources} processes) and the web server
(nginx, one worker) share the cores with the balancer; "of its own" is what so many processes could
do with a core for each, by what a connection cost here.

{throughput}

## Clients keep their servers

{stickiness}

## A worker is killed

{held} clients have a connection, each of its own address; then kill -9. "Its client" comes at that
moment and waits. A birth is known to 10 ms.

{deaths}
"""


def _report(folder: Path, rounds: int, seconds: int) -> str:
    began = time.monotonic()
    with web_server(folder) as servers:
        parts = {
            "throughput": throughput(servers, folder, rounds, seconds),
            "stickiness": stickiness(servers, folder),
            "deaths": deaths(servers, folder),
        }
    peers = {subject.peer.name: subject.peer for subject in SUBJECTS}.values()
    return REPORT.format(
        command=shlex.join([".venv/bin/python", "bench/workers.py", *sys.argv[1:]]),
        date=time.strftime("%Y-%m-%d"),
        minutes=(time.monotonic() - began) / 60,
        machine=machine(),
        average=os.getloadavg()[2],
        versions="\n".join(f"- {peer.label}: {peer.version()}" for peer in peers),
        sources=SOURCES, at_once=AT_ONCE, rounds=rounds, seconds=seconds, held=HELD,
        **{name: "\n".join(lines) for name, lines in parts.items()},
    )  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1), default=7, help="Of throughput.")
@click.option("--seconds", type=click.IntRange(1), default=3, help="Of each of them.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "workers.md",
    show_default="bench/workers.md",
    help="The Markdown file to write.",
)
def main(rounds: int, seconds: int, write: Path) -> None:
    """Measure pen with several workers, beside one and beside others: about four minutes."""
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            report = _report(Path(folder), rounds, seconds)
        except (StartError, LoadError) as error:
            raise click.ClickException(str(error)) from error
    write.write_text(report)
    click.echo(report, nl=False)


if __name__ == "__main__":
    main()
