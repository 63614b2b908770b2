"""The same simulated traffic through our engine, and through Debian's penlogd.

Our engine is driven in simulated time, datagram by datagram as they would come. Debian's
penlogd, whose join knows no time but the order of datagrams, is the real process and gets
them in that order.
"""

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from bench.logtools import (
    Came,
    Senders,
    debians,
    judge,
    wait_until_listening,
    wait_until_read,
    wait_until_written,
)
from bench.measure import cpu_ns
from bench.processes import free_port
from bench.traffic import FORMATS, PEN, Event, Simulation, Traffic, events
from penlogd.attribution import Attribution
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator
from penlogd.formats import make_format
from penlogd.ordering import ReorderBuffer
from penlogd.starting import SPARED

HOLD = 2.0
RESENT = 0.25
"""Seconds after which TCP has sent again what was lost: its least time-out, and a little."""

SLOW, FAST = "200/s", "1,000/s"

USUAL = Traffic()
SETTINGS = {
    SLOW: USUAL,
    FAST: replace(USUAL, rate=1000.0),
    "50 URLs": replace(USUAL, urls=50),
    "all URLs alike": replace(USUAL, zipf=0.0),
    "one request a connection": replace(USUAL, kept=1.0),
    "half POST": replace(USUAL, posts=0.5),
    "quick: median 20 ms": replace(USUAL, median=0.02),
    "slow: median 200 ms": replace(USUAL, median=0.2),
    "lines 20 ms late, mean": replace(USUAL, delay=0.02),
    "2 % of datagrams lost": replace(USUAL, loss=0.02),
    "clocks 3 s ahead and behind": replace(USUAL, skew=3.0),
    "clocks that drift, 10 ms a second": replace(USUAL, drift=0.01),
    "URLs over 100 bytes": replace(USUAL, padding=100),
}


def compared(traffic: Traffic, folder: Path) -> list[Came]:
    """Return what comes out of C's penlogd, and of ours with each format."""
    return [c_penlogd(traffic, folder), *(ours(traffic, style) for style in FORMATS)]


def ours(traffic: Traffic, style: str, *, acknowledged: bool = False) -> Came:
    """Drive our engine in simulated time; what is lost may be sent again."""
    simulation = Simulation(traffic)
    came, lost = events(simulation, simulation.exchanges(), style)
    if acknowledged:
        came = sorted(came + [replace(event, when=event.when + RESENT) for event in lost])
    consolidator = Consolidator(
        make_format([FORMATS[style]]),
        Attribution(1000, spared=HOLD + SPARED),
        Connections(HOLD + SPARED),
        ReorderBuffer(HOLD),
    )
    return judge(simulation, _driven(consolidator, came))


def _driven(consolidator: Consolidator, came: Iterable[Event]) -> Iterator[bytes]:
    for event in came:
        consolidator.take([(event.data, event.sender)], event.when)
        yield from consolidator.due(event.when)
    yield from consolidator.flush()


def c_penlogd(traffic: Traffic, folder: Path) -> Came:
    """Send the same to Debian's penlogd."""
    simulation = Simulation(traffic)
    came, _ = events(simulation, simulation.exchanges(), "common")
    log = folder / "c.log"
    feed(debians("penlogd"), log, ((event.sender, event.data) for event in came))
    with log.open("rb") as lines:
        return judge(simulation, lines)


def feed(
    path: str,
    log: Path,
    what: Iterable[tuple[str, bytes]],
    *,
    cache: int = 1000,
    before: Iterable[tuple[str, bytes]] = (),
    paced: bool = True,
    room: int = 40,
) -> float:
    """Send datagrams to a new penlogd; return the seconds of CPU that they cost it.

    Args:
        path: The penlogd.
        log: What it writes.
        what: The datagrams, each with the address to send it from.
        cache: Records of pen's that it is to keep.
        before: What it gets before; does not count.
        paced: No faster than it reads.
        room: Datagrams that it has room for.
    """
    port = free_port(PEN)
    log.unlink(missing_ok=True)
    words = [path, "-f", "-n", str(cache), "-l", str(log), str(port)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port)
        with Senders(port, room=room) as senders:
            for sender, data in before:
                senders.send(sender, data)
        wait_until_read(port)
        spent = cpu_ns(process.pid)
        with Senders(port, paced=paced) as senders:
            for sender, data in what:
                senders.send(sender, data)
        wait_until_read(port)
        wait_until_written(log)
        spent = cpu_ns(process.pid) - spent
        process.terminate()
        process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    return spent / 1e9
