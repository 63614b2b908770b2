"""Medians and ratios of the rounds, as Markdown."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.peers import BASELINE, Peer
from bench.works import Aim, Figure, Round

RARE = 0.005  # calls per operation that are start-up and clocks rather than the work
Key = tuple[str, str]  # name of the figure, name of the peer


class Work(Protocol):
    """What a report asks of a work: see `works.Work`."""

    @property
    def name(self) -> str:
        """Distinct."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Rows of the table."""

    def is_for(self, peer: Peer) -> bool:
        """Whether this peer has a cell in them."""


@dataclass(slots=True)
class Results:
    """All rounds so far. A round that failed is None, so that rounds keep their numbers."""

    baseline: str = BASELINE
    """The peer that others are compared with."""
    values: defaultdict[Key, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    calls: defaultdict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    operations: Counter[Key] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, work: Work, peer: Peer, found: Round) -> None:
        """Keep what a round found."""
        for figure in work.figures:
            key = figure.name, peer.name
            self.values[key].append(found.values[figure.name])
            self.calls[key].update(found.calls.get(figure.name, {}))
            self.operations[key] += found.operations.get(figure.name, 0)

    def add_failure(self, work: Work, peer: Peer, why: Exception) -> None:
        """Keep that a round could not be done, and why."""
        for figure in work.figures:
            self.values[figure.name, peer.name].append(None)
        self.failures.append(f"{work.name}, {peer.label}: {why}")

    def median(self, figure: Figure, peer: Peer) -> float | None:
        """Median over the rounds that were done; None without any."""
        done = self._done(figure, peer)
        return statistics.median(done) if done else None

    def ratio(self, figure: Figure, peer: Peer) -> float | None:
        """Median over rounds of this peer's value to the baseline's in the same round."""
        ours = self.values[figure.name, peer.name]
        base = self.values[figure.name, self.baseline]
        ratios = [mine / its for mine, its in zip(ours, base, strict=False) if mine and its]
        return statistics.median(ratios) if ratios else None

    def spread(self, figure: Figure, peer: Peer) -> tuple[float, float]:
        """Least and greatest value."""
        done = self._done(figure, peer)
        return min(done), max(done)

    def _done(self, figure: Figure, peer: Peer) -> list[float]:
        return [value for value in self.values[figure.name, peer.name] if value is not None]


def figures_table(works: Sequence[Work], peers: Sequence[Peer], results: Results) -> list[str]:
    """Make the main table: a row per figure, a column per peer."""
    rows = [["work", "unit", *(peer.label for peer in peers), "asked", "goal"]]
    for work in works:
        for figure in work.figures:
            cells = [_cell(figure, peer, results) if work.is_for(peer) else "" for peer in peers]
            rows.append([figure.title, figure.unit, *cells, *_aim_cells(figure.aim)])
    return table(rows)


def _aim_cells(aim: Aim | None) -> list[str]:
    if aim is None:
        return ["", ""]
    sign = "" if aim.itself else "x"
    return [f"≤ {sign}{aim.asked:g}", "" if aim.goal is None else f"{sign}{aim.goal:g}"]


def _cell(figure: Figure, peer: Peer, results: Results) -> str:
    median = results.median(figure, peer)
    if median is None:
        return "failed"
    least, greatest = results.spread(figure, peer)
    cell = f"{_number(median)} ({_number(least)}-{_number(greatest)})"
    ratio = results.ratio(figure, peer)
    if peer.name == results.baseline or ratio is None or not figure.compared:
        return cell
    missed = results.baseline == BASELINE and peer.name.startswith("ours")
    missed = missed and _misses(figure.aim, median, ratio)
    return f"{cell} **x{_ratio(ratio)}**" + (" missed" if missed else "")


def _misses(aim: Aim | None, median: float, ratio: float) -> bool:
    return aim is not None and (median if aim.itself else ratio) > aim.asked


def calls_table(figure: Figure, peers: Sequence[Peer], results: Results) -> list[str]:
    """Make a table of system calls per operation by name; empty if the figure counts none."""
    counted = [peer for peer in peers if results.operations[figure.name, peer.name]]
    if not counted:
        return []
    rows = [["call", *(peer.label for peer in counted)]]
    for name in _by_weight(counted, figure, results):
        each = [_calls_each(figure, peer, results, name) for peer in counted]
        if max(each) >= RARE:
            rows.append([name, *(f"{calls:.2f}" if calls >= RARE else "" for calls in each)])
    return table(rows)


def _calls_each(figure: Figure, peer: Peer, results: Results, name: str) -> float:
    key = figure.name, peer.name
    return results.calls[key][name] / results.operations[key]


def _by_weight(peers: Sequence[Peer], figure: Figure, results: Results) -> list[str]:
    """Names of all calls that any peer made, the most frequent first."""
    names = {name for peer in peers for name in results.calls[figure.name, peer.name]}

    def weight(name: str) -> float:
        return sum(_calls_each(figure, peer, results, name) for peer in peers)

    return sorted(names, key=weight, reverse=True)


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown; the first row is the head."""
    head, *body = rows
    rule = ["---"] * len(head)
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]
