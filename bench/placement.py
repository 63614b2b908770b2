"""Who runs where, so that measured programs are not in each other's way, nor others in theirs."""

import os
from dataclasses import dataclass, replace

from bench.peers import Peer

PRIORITY = 1
"""Of all alike: a generator in front of the servers would keep them from working in batches."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Who runs where, so that neither they nor others on the machine are in each other's way."""

    balancer_cpu: int | None
    """None: there is but one."""
    first: bool
    """All run before everything else on the machine."""

    def describe(self) -> str:
        """A sentence or two for the report."""
        pinned = (
            "The balancers, one at a time busy, have a core of their own; clients and servers"
            " share another."
            if self.balancer_cpu is not None
            else "All share one core."
        )
        first = (
            " All run with the same real-time priority (SCHED_FIFO), so that other work on the"
            " machine hardly touches them."
            if self.first
            else " All run with ordinary priority: other work on the machine shows in the tails."
        )
        return pinned + first

    def balancer(self, peer: Peer) -> Peer:
        """The peer, started on its core."""
        if self.balancer_cpu is None:
            return peer
        prefix = ["taskset", "-c", str(self.balancer_cpu)]
        return replace(peer, command=lambda order: [*prefix, *peer.command(order)])


def place() -> Placement:
    """Take this process's place, which all it starts inherit."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, {cpus[1]})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return Placement(cpus[0] if len(cpus) > 1 else None, first=False)
    return Placement(cpus[0] if len(cpus) > 1 else None, first=True)
