"""What `latency` asks of balancers, and what it finds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.origin import DNS, WEB
from bench.pacing import FEW, Answers, quantile
from bench.peers import Peer, Setup
from bench.report import Results
from bench.works import Aim, Figure, Round

DIRECT = Peer("direct", "no balancer", lambda: "", lambda _: [], is_pen=False)
"""The same load on a server itself: the part of latencies that is no balancer's."""
AIM = Aim(1.2)
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
MANY_SESSIONS = 5000  # of UDP: each round comes from new ports, and nginx's last for an hour
MANY = 1000  # connections at once; a balancer that falls behind has more and more


@dataclass(frozen=True, slots=True)
class Load:
    """What clients do."""

    kind: str
    """As paced.c names it."""
    title: str
    setup: Setup
    limit: int
    """Requests under way at once, at most."""
    behind: str = WEB
    trial: int = 10_000
    """Requests for a first idea of the capacity."""


LOADS = {
    load.kind: load
    for load in (
        Load("short", "a connection for each request, -r", Setup(connections=MANY), MANY),
        Load(
            "tracked",
            "a connection for each request, 2,000 known clients",
            Setup(tracking=True, connections=MANY),
            MANY,
        ),
        Load("kept", f"keep-alive requests on {FEW} connections", Setup(), FEW),
        Load(
            "dns",
            f"DNS queries by UDP from {FEW} ports",
            Setup(udp=True, connections=MANY_SESSIONS),
            FEW,
            behind=DNS,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Work:
    """A load at a pace: a few rows of the report."""

    load: Load
    poisson: bool
    own: bool
    """Half of each balancer's own capacity (or the server's if that is less), rather than half of
    the slowest's."""

    @property
    def name(self) -> str:
        """Distinct."""
        return f"{self.load.kind}-{'poisson' if self.poisson else 'even'}-{self.own}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The rows."""
        pace = "as they come (Poisson)" if self.poisson else "evenly spaced"
        rate = "half of its own capacity" if self.own else "half of the slowest's capacity"
        title = f"{pace}, {rate}"
        rows = [
            Figure(f"{self.name}-{name}", f"{title}: {name}", "µs", AIM if name == "p99" else None)
            for name in SHARES
        ]
        late = Figure(f"{self.name}-late", f"{title}: generator late, p99", "µs", compared=False)
        return (*rows, late, *self._lost(title))

    def _lost(self, title: str) -> tuple[Figure, ...]:
        """Where queries can be lost, how many were."""
        if not self.load.setup.udp:
            return ()
        return (Figure(f"{self.name}-lost", f"{title}: lost", "per round", compared=False),)

    def is_for(self, peer: Peer) -> bool:
        """Whether this peer can do it, and it says something."""
        if peer is DIRECT:
            return not self.own
        return peer.does_udp or not self.load.setup.udp

    def found(self, answers: Answers) -> Round:
        """The figures of a round."""
        values = {
            f"{self.name}-{name}": quantile(answers.latencies, share)
            for name, share in SHARES.items()
        }
        values[f"{self.name}-late"] = quantile(answers.lateness, 0.99)
        values[f"{self.name}-lost"] = answers.lost
        return Round(values)


WORKS = tuple(
    Work(LOADS[kind], poisson, own)
    for kind, poisson, own in (
        ("short", True, False),
        ("short", False, False),
        ("short", True, True),
        ("tracked", True, False),
        ("kept", True, False),
        ("kept", False, False),
        ("kept", True, True),
        ("dns", True, False),
        ("dns", True, True),
    )
)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a balancer can do."""

    rate: float
    """Answers a second with FEW requests under way all the time."""
    busy: float
    """The share of its core that it used then."""


@dataclass(slots=True)
class Found:
    """All that a run found out."""

    results: Results = field(default_factory=Results)
    capacities: dict[tuple[str, str], Capacity] = field(default_factory=dict)
    """By kind of load and name of peer."""
    repeated: int = 0
    """Rounds done again, because something else on the machine disturbed them."""
    disturbed: int = 0
    """Rounds that were disturbed each time, and were kept."""
    rounds: defaultdict[tuple[str, str], list[Sequence[int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By name of work and of peer: the latencies of each round, in ns and sorted."""

    def slowest(self, load: Load) -> float:
        """The least capacity, that of the server without a balancer included: answers a second."""
        return min(each.rate for (kind, _), each in self.capacities.items() if kind == load.kind)

    def rate(self, work: Work, peer: Peer) -> float:
        """Requests a second for a peer."""
        if work.own:
            able = (self.capacities[work.load.kind, each.name].rate for each in (peer, DIRECT))
            return min(able) / 2
        return self.slowest(work.load) / 2
