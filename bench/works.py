"""What is measured: each work says how the balancers are set up and what one round does.

To add a work (paced latency, more servers or ACL entries): write its round function, which
returns a value per figure, and put it in WORKS.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench import loads, measure
from bench.certificates import Key
from bench.origin import BULK_BYTES, DNS, SINK, WEB
from bench.peers import HOST, Balancer, Peer, Setup

TRACKED_CLIENTS = 2_000
IDLE_CONNECTIONS = 9_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a round is. Nothing but patience (and noise) hangs on it."""

    rounds: int
    seconds: int
    """Of each round under wrk."""
    visits: int
    """Of each round of the tracked work."""
    first_timers: int
    """New clients in each round of the scale work."""
    bulk: int
    """Bytes of each transfer."""
    queries: int
    """DNS queries in all rounds together."""


FULL = Effort(
    rounds=5, seconds=2, visits=10_000, first_timers=20_000, bulk=BULK_BYTES, queries=100_000
)
QUICK = Effort(
    rounds=2, seconds=1, visits=4_000, first_timers=500, bulk=BULK_BYTES // 4, queries=40_000
)


@dataclass(frozen=True, slots=True)
class Aim:
    """What ours is to reach, as a multiple of C pen's."""

    asked: float
    """The most it may be."""
    goal: float | None = None
    """What would be better still."""
    itself: bool = False
    """Not a multiple: the figure itself."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity: a row of the table."""

    name: str
    title: str
    unit: str
    aim: Aim | None = None
    compared: bool = True
    """False where a multiple says nothing."""


AIMS = {
    "short-50": Aim(1.2, 1.05),
    "tracked": Aim(1.2, 1.05),
    "scale-first": Aim(0.05),
    "scale-returning": Aim(0.8),
    "keepalive-50": Aim(1.3, 1.0),
    "bulk-down": Aim(0.3, 0.2),
    "bulk-up": Aim(0.3, 0.2),
    "tls-rsa": Aim(1.1),
    "tls-ecdsa": Aim(1.1),
    "tls-bulk-down": Aim(1.1),
    "tls-bulk-up": Aim(1.1),
    "calls-short": Aim(15, itself=True),
    "dns-1": Aim(1.4, 1.0),
    "dns-10": Aim(1.4, 1.0),
    "dns-10-5000": Aim(1.4, 1.0),
}
"""By name of figure."""


def _figure(name: str, title: str, unit: str, *, compared: bool = True) -> Figure:
    return Figure(name, title, unit, AIMS.get(name), compared)


@dataclass(slots=True)
class Round:
    """What one round of a work found out."""

    values: dict[str, float] = field(default_factory=dict)
    """By name of figure."""
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    """By name of figure: system calls of the round, by name."""
    operations: dict[str, int] = field(default_factory=dict)
    """By name of figure: how many operations `calls` is for."""


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work and how to measure it."""

    name: str
    figures: tuple[Figure, ...]
    setup: Setup
    run: Callable[[Balancer, Effort, int], Round]
    """Measure one round, whose number is given; raises LoadError when the work was not done."""
    fresh: bool = False
    """Start the balancer anew for each round (else it stays up for all rounds of the work)."""
    behind: str = WEB
    """The servers behind: WEB, the upload SINK or DNS."""
    most_rounds: int | None = None
    """Where a round is long, or its result hardly varies."""

    def is_for(self, peer: Peer) -> bool:
        """Whether this balancer can do it."""
        if self.setup.udp and not peer.does_udp:
            return False
        return peer.is_pen or not (self.setup.headers or self.setup.log)


def _cpu_us(balancer: Balancer, load: Callable[[], int]) -> float:
    """Microseconds of the balancer's CPU per operation of `load`, which returns their number."""
    before = measure.tree_cpu_ns(balancer.pid)
    operations = load()
    return (measure.tree_cpu_ns(balancer.pid) - before) / operations / 1000


def _wrk(balancer: Balancer, effort: Effort, connections: int, *, close: bool) -> int:
    url = f"http://{HOST}:{balancer.port}/"
    return loads.wrk(url, connections, effort.seconds, close=close)


def _wrk_work(connections: int, *, close: bool) -> Work:
    kind, title = ("short", "short connection") if close else ("keepalive", "keep-alive request")
    name = f"{kind}-{connections}"

    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        cost = _cpu_us(balancer, lambda: _wrk(balancer, effort, connections, close=close))
        return Round({name: cost})

    figure = _figure(name, f"{title}, {connections} at once", "µs")
    return Work(name, (figure,), Setup(), run)


def _http_work(name: str, title: str, setup: Setup) -> Work:
    """Short connections and kept ones where the clients' bytes are looked at."""

    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        short = _cpu_us(balancer, lambda: _wrk(balancer, effort, 50, close=True))
        kept = _cpu_us(balancer, lambda: _wrk(balancer, effort, 50, close=False))
        return Round({f"short-{name}": short, f"keepalive-{name}": kept})

    figures = (
        _figure(f"short-{name}", f"short connection, 50 at once, {title}", "µs"),
        _figure(f"keepalive-{name}", f"keep-alive request, 50 at once, {title}", "µs"),
    )
    return Work(name, figures, setup, run, most_rounds=3)


def _calls_work(name: str, title: str, *, close: bool) -> Work:
    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        with measure.count_system_calls(balancer.pid) as counted:
            operations = _wrk(balancer, effort, 50, close=close)
        value = counted.calls.total() / operations
        return Round({name: value}, {name: counted.calls}, {name: operations})

    figure = _figure(name, f"system calls per {title}, 50 at once", "calls")
    return Work(name, (figure,), Setup(), run, most_rounds=2)


def _tracked(balancer: Balancer, effort: Effort, number: int) -> Round:
    known = [loads.address(client) for client in range(TRACKED_CLIENTS)]
    random.Random(number).shuffle(known)
    if number == 0:
        loads.visit(balancer.port, known)  # so that every round is of returning clients
    sources = itertools.islice(itertools.cycle(known), effort.visits)
    return Round({"tracked": _cpu_us(balancer, lambda: loads.visit(balancer.port, sources))})


def _scale(balancer: Balancer, effort: Effort, number: int) -> Round:
    clients = [loads.address(client) for client in range(effort.first_timers)]
    first = _cpu_us(balancer, lambda: loads.visit(balancer.port, clients))
    random.Random(number).shuffle(clients)
    returning = _cpu_us(balancer, lambda: loads.visit(balancer.port, clients))
    return Round({"scale-first": first, "scale-returning": returning})


def _bulk_work(
    name: str,
    title: str,
    transfer: Callable[[int, int], int],
    *,
    behind: str = WEB,
    tls: Key | None = None,
) -> Work:
    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        us_per_byte = _cpu_us(balancer, lambda: transfer(balancer.port, effort.bulk))
        return Round({name: us_per_byte * 1e6})  # 1e9 bytes, 1e3 µs in a ms

    kind = "bulk" if tls is None else "TLS bulk"
    figure = _figure(name, f"{kind}, {title}, one connection", "ms per GB")
    return Work(name, (figure,), Setup(tls=tls), run, behind=behind)


def _handshake_work(name: str, title: str, key: Key) -> Work:
    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        count = effort.visits // 20
        return Round({name: _cpu_us(balancer, lambda: loads.handshakes(balancer.port, count))})

    figure = _figure(name, f"TLS handshake {title}, and one request", "µs")
    return Work(name, (figure,), Setup(tls=key), run)


def _idle(balancer: Balancer, _effort: Effort, _number: int) -> Round:
    with loads.IdleConnections() as warm:
        warm.open(balancer.port, 1)
    before = measure.tree_pss_kib(balancer.pid)
    with loads.IdleConnections() as idle:
        idle.open(balancer.port, IDLE_CONNECTIONS)
        served = idle.ask_all()
        grown = measure.tree_pss_kib(balancer.pid) - before
    return Round({"idle-memory": grown / served, "idle-total": (before + grown) / 1024})


def _dns_work(clients: int, rate: int | None = None) -> Work:
    """Queries from so many ports; at `rate` a second, or as fast as answers come."""
    name = f"dns-{clients}" + (f"-{rate}" if rate else "")
    paced = f", {rate:,} a second" if rate else ""

    def run(balancer: Balancer, effort: Effort, _number: int) -> Round:
        count = effort.queries // effort.rounds
        before = measure.tree_cpu_ns(balancer.pid)
        answers = loads.dnsperf(balancer.port, clients, count, rate)
        cost = (measure.tree_cpu_ns(balancer.pid) - before) / answers / 1000
        return Round({name: cost, f"{name}-lost": count - answers})

    ports = "port" if clients == 1 else "ports"
    figure = _figure(name, f"DNS query by UDP, {clients} client {ports}{paced}", "µs")
    lost = _figure(f"{name}-lost", f"lost of {figure.title}", "per round", compared=False)
    return Work(name, (figure, lost), Setup(udp=True), run, behind=DNS)


def _dns_calls(balancer: Balancer, _effort: Effort, _number: int) -> Round:
    with measure.count_system_calls(balancer.pid) as counted:
        queries = loads.dnsperf(balancer.port, 10, 5_000, None)
    value = counted.calls.total() / queries
    return Round({"calls-dns": value}, {"calls-dns": counted.calls}, {"calls-dns": queries})


WORKS = {
    work.name: work
    for work in (
        _wrk_work(50, close=True),
        _wrk_work(8, close=True),
        _wrk_work(1, close=True),
        Work(
            "tracked",
            (_figure("tracked", f"short connection, tracking, {TRACKED_CLIENTS:,} clients", "µs"),),
            Setup(tracking=True),
            _tracked,
        ),
        Work(
            "scale",
            (
                _figure("scale-first", "first visit, 200,000 client slots", "µs"),
                _figure("scale-returning", "returning visit, 200,000 client slots", "µs"),
            ),
            Setup(tracking=True, clients=200_000),
            _scale,
            fresh=True,
            most_rounds=3,
        ),
        _wrk_work(50, close=False),
        _wrk_work(8, close=False),
        _wrk_work(1, close=False),
        _http_work("headers", "-H", Setup(headers=True)),
        _http_work("log", "-l FILE", Setup(log=True)),
        _bulk_work("bulk-down", "server to client", loads.download),
        _bulk_work("bulk-up", "client to server", loads.upload, behind=SINK),
        _handshake_work("tls-rsa", "RSA-2048", Key.RSA),
        _handshake_work("tls-ecdsa", "ECDSA P-256", Key.ECDSA),
        _bulk_work(
            "tls-bulk-down",
            "server to client",
            partial(loads.download, tls=True),
            tls=Key.ECDSA,
        ),
        _bulk_work(
            "tls-bulk-up",
            "client to server",
            partial(loads.upload, tls=True),
            behind=SINK,
            tls=Key.ECDSA,
        ),
        Work(
            "idle",
            (
                _figure(
                    "idle-memory",
                    f"memory per idle connection, {IDLE_CONNECTIONS:,} open and served",
                    "KiB",
                    compared=False,  # C has it all from the start: see the total
                ),
                _figure("idle-total", "memory of the processes with all of them open", "MiB"),
            ),
            Setup(clients=20_000, connections=IDLE_CONNECTIONS + 100),
            _idle,
            fresh=True,
            most_rounds=2,
        ),
        _calls_work("calls-short", "short connection", close=True),
        _calls_work("calls-keepalive", "keep-alive request", close=False),
        _dns_work(1),
        _dns_work(10),
        _dns_work(10, 5_000),
        Work(
            "calls-dns",
            (_figure("calls-dns", "system calls per DNS query, 10 client ports", "calls"),),
            Setup(udp=True),
            _dns_calls,
            behind=DNS,
            most_rounds=2,
        ),
    )
}
