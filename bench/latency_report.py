"""The tables and the plot of `latency`."""

import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.balancers import machine
from bench.latency_works import DIRECT, Found, Load, Work
from bench.pacing import quantile
from bench.peers import Peer
from bench.placement import Placement
from bench.plots import COLOURS, panels, plain, svg
from bench.report import figures_table, table

TICKS = {0.5: "50", 0.9: "90", 0.99: "99", 0.999: "99.9", 0.9999: "99.99"}
POINTS = 400  # of each curve
LEAST_BEYOND = 2  # latencies of each round beyond the last point


def write_report(
    found: Found,
    works: Sequence[Work],
    peers: Sequence[Peer],
    placement: Placement,
    path: Path,
    took: float,
) -> str:
    """Write the Markdown file, and the plot beside it; returns the former's text."""
    plot = path.with_suffix(".svg")
    plot.write_text(draw(found, works, peers))
    lines = [
        "# Latency at half of capacity",
        "",
        f"    {shlex.join(['.venv/bin/python', 'bench/latency.py', *sys.argv[1:]])}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {took / 60:.1f} minutes; {machine()}; load average"
        f" {os.getloadavg()[2]:.1f} over the last 15 minutes.",
        f"Requests are due at fixed times (open loop), and latency is counted from there."
        f" {placement.describe()}",
        "Something else on the machine disturbed rounds (the balancer waited for its core, or the"
        f" generator was late): {found.repeated} were repeated, {found.disturbed} kept.",
        "Cells are the median of interleaved rounds, (least-greatest), and the median of the"
        " rounds' ratios to C pen.",
        "",
        *(f"- {peer.label}: {peer.version()}" for peer in peers),
        "",
        f"![Latency by percentile]({plot.name})",
    ]
    for load in dict.fromkeys(work.load for work in works):
        lines += _load_lines(load, found, [work for work in works if work.load is load], peers)
    if found.results.failures:
        lines += ["", "Failed:", "", *(f"- {failure}" for failure in found.results.failures)]
    report = "\n".join(lines) + "\n"
    path.write_text(report)
    return report


def _load_lines(
    load: Load, found: Found, works: Sequence[Work], peers: Sequence[Peer]
) -> list[str]:
    able = [peer for peer in peers if works[0].is_for(peer)]
    return [
        "",
        f"## {load.title[0].upper()}{load.title[1:]}",
        "",
        *_capacity_table(load, found, [*able, DIRECT]),
        "",
        f"Half of the slowest's, or the server's, is {found.slowest(load) / 2:,.0f} a second.",
        "",
        *figures_table(works, [*able, DIRECT], found.results),
    ]


def _capacity_table(load: Load, found: Found, peers: Sequence[Peer]) -> list[str]:
    capacities = [found.capacities[load.kind, peer.name] for peer in peers]
    return table(
        [
            ["capacity", *(peer.label for peer in peers)],
            ["answers a second", *(f"{each.rate:,.0f}" for each in capacities)],
            [
                "of its core used then",
                *(f"{each.busy:.0%}" if each.busy else "" for each in capacities),
            ],
        ]
    )


def draw(found: Found, works: Sequence[Work], peers: Sequence[Peer]) -> str:
    """A panel for each load with Poisson arrivals at half of the slowest's capacity.

    Each point is the median of the rounds, as in the tables.
    """
    shown = [work for work in works if work.poisson and not work.own]
    columns = min(2, len(shown))
    figure, axes = panels(-(-len(shown) // columns), columns)
    for panel, work in zip(axes, shown, strict=False):
        _panel(panel, work, found, [*peers, DIRECT])
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    return svg(figure)


def _panel(axes: Any, work: Work, found: Found, peers: Sequence[Peer]) -> None:
    axes.set_title(f"{work.load.title}\n{found.slowest(work.load) / 2:,.0f} a second")
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency, µs")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for colour, peer in zip(COLOURS, peers, strict=False):
        rounds = found.rounds[work.name, peer.name]
        if rounds:
            beyond = _tail(min(map(len, rounds)))
            axes.plot(
                [1 / share for share in beyond],
                [median(quantile(each, 1 - share) for each in rounds) for share in beyond],
                color=colour,
                label=peer.label,
                linewidth=1.6,
                linestyle="--" if peer is DIRECT else "-",
            )
    axes.set_xticks([1 / (1 - share) for share in TICKS], list(TICKS.values()))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(plain)
    axes.legend(loc="upper left")


def _tail(count: int) -> list[float]:
    """Shares beyond the points of a curve, from all to what a few latencies tell."""
    last = LEAST_BEYOND / count
    return [last ** (point / POINTS) for point in range(1, POINTS + 1)]
