"""The tables and the plot of `scaling`."""

import platform
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.balancers import machine
from bench.control import Cost
from bench.peers import BASELINE, PEERS
from bench.plots import COLOURS, panels, plain, svg
from bench.report import table
from bench.sweeps import SWEEPS

if TYPE_CHECKING:
    from bench.scaling import Results

OURS = "ours"
LABELS = {OURS: "ours", BASELINE: "C pen"}
Curve = Mapping[int, float]


def write_report(results: "Results", path: Path, took: float) -> None:
    """Write the Markdown file, and the plot beside it."""
    plot = path.with_suffix(".svg")
    plot.write_text(draw(results))
    path.write_text("\n".join(_lines(results, plot.name, took)) + "\n")


def _lines(results: "Results", plot: str, took: float) -> list[str]:
    lines = [
        "# How costs grow",
        "",
        f"    {shlex.join(['.venv/bin/python', 'bench/scaling.py', *sys.argv[1:]])}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {took / 60:.1f} minutes; {machine()};"
        f" Python {platform.python_version()}; {PEERS[BASELINE].version()}.",
        "",
        f"![Cost per connection against size]({plot})",
        "",
        "## Per connection, through sockets",
        "",
        "CPU of the pen's process in µs per short HTTP connection, 50 at once; median"
        " (least-greatest) of interleaved rounds.",
        "",
    ]
    for name, sweep in SWEEPS.items():
        rows = _sweep_rows(results, name)
        if rows:
            lines += [*table([[sweep.axis, *LABELS.values()], *rows]), ""]
    if results.client_bytes is not None:
        lines += [f"Memory per remembered client, ours: {results.client_bytes:.0f} bytes.", ""]
    return [*lines, *_deciding_lines(results), *_command_lines(results)]


def _sweep_rows(results: "Results", name: str) -> list[list[str]]:
    rows = []
    for size in SWEEPS[name].sizes:
        cells = [_spread(results.costs.get((name, peer, size), ())) for peer in LABELS]
        if any(cells):
            rows.append([f"{size:,}", *cells])
    return rows


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def _deciding_lines(results: "Results") -> list[str]:
    counts = sorted({size for curve in results.algorithms.values() for size in curve})
    rows = [
        [name, *(f"{curve[size]:,.1f}" for size in counts)]
        for name, curve in results.algorithms.items()
    ]
    remembered = results.remembered
    return [
        "## Deciding alone, without sockets",
        "",
        "µs per connection of a new client, by algorithm and number of servers.",
        "",
        *table([["servers", *(f"{size:,}" for size in counts)], *rows]),
        "",
        "µs per connection of a client that comes again, by clients remembered.",
        "",
        *table(
            [
                ["clients", *(f"{count:,}" for count in remembered)],
                ["", *(f"{cost:.2f}" for cost in remembered.values())],
            ]
        ),
        "",
    ]


def _command_lines(results: "Results") -> list[str]:
    lines = [
        "## Control commands",
        "",
        "CPU of the pen's process for the command, in ms, and the longest a keep-alive request took"
        " while it ran; medians. The first row is the longest request in 50 ms without a command.",
        "",
    ]
    for peer, label in LABELS.items():
        found = {title: costs for (title, who), costs in results.commands.items() if who == peer}
        if found:
            commands = next(iter(found.values()))
            rows = [
                [
                    f"`{command.format(folder='')}`" if command else "none",
                    *(_cell(costs[command]) for costs in found.values()),
                ]
                for command in commands
            ]
            lines += [*table([[label, *found], *rows]), ""]
    return lines


def _cell(cost: Cost) -> str:
    cpu = f"{statistics.median(cost.cpu):.2f}, " if cost.cpu else ""
    return f"{cpu}waits {statistics.median(cost.waits):.1f}"


# The plot.


def draw(results: "Results") -> str:
    """Small multiples, as SVG that takes the reader's colours."""
    figure, axes = panels(2, 4)
    free = iter(axes)
    for name, sweep in SWEEPS.items():
        curves = {
            label: _medians(results, name, peer, sweep.sizes) for peer, label in LABELS.items()
        }
        if name == "clients":
            curves["ours, deciding alone (no sockets)"] = results.remembered
        _panel(next(free), sweep.title, sweep.axis, "µs CPU per connection", curves)
    _panel(
        next(free),
        "deciding alone (no sockets), new clients",
        "servers",
        "µs CPU per connection",
        results.algorithms,
    )
    waits = {label: results.waits.get(peer, {}) for peer, label in LABELS.items()}
    _panel(next(free), "while `status` is made", "clients remembered", "longest wait, ms", waits)
    for unused in free:
        unused.set_axis_off()
    return svg(figure)


def _medians(results: "Results", name: str, peer: str, sizes: Sequence[int]) -> Curve:
    found = ((size, results.costs.get((name, peer, size))) for size in sizes)
    return {size: statistics.median(values) for size, values in found if values}


def _panel(axes: Any, title: str, xlabel: str, ylabel: str, curves: Mapping[str, Curve]) -> None:
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for colour, (label, curve) in zip(COLOURS, curves.items(), strict=False):
        alone = "alone" in label
        axes.plot(
            list(curve),
            list(curve.values()),
            color=colour,
            label=label,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            linestyle="--" if alone else "-",
        )
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 1), max(high * 1.5, 1000))
    axes.yaxis.set_major_formatter(plain)
    axes.legend(loc="upper left")
