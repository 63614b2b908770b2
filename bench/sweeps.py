"""What is made larger, step by step, while the cost of a connection is measured.

A sweep starts the pens anew for each size, brings them there, and gives them short
connections to serve.
"""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import loads
from bench.peers import BASELINE, Balancer, Setup

KNOWN_TO_C = 10_000
"""C pen looks at its whole table for each new client: filling a larger one takes minutes."""
AT_ONCE = 50
"""Connections at once."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One thing that grows.

    Attributes:
        title: what is measured.
        axis: what is counted.
        sizes: how many there are of it.
        setup: how a pen is started for a size, with files in the folder if need be.
        servers: how many servers it has.
        prepared: brings a pen to a size, at which it is while the block runs.
        load: does so many visits, in the round of this number, from -1; returns how many.
    """

    title: str
    axis: str
    sizes: tuple[int, ...]
    setup: Callable[[int, Path], Setup]
    load: Callable[[Balancer, int, int, int], int]
    servers: Callable[[int], int] = lambda _size: 2
    prepared: Callable[[Balancer, int], contextlib.AbstractContextManager[object]] = (
        lambda _balancer, _size: contextlib.nullcontext()
    )


def is_c(balancer: Balancer) -> bool:
    """Whether this is Debian's."""
    return balancer.peer.name == BASELINE


# Servers, by round robin.


def _visits_of_one(balancer: Balancer, _size: int, visits: int, _number: int) -> int:
    return loads.visit(balancer.port, itertools.repeat("127.0.0.1", visits), AT_ONCE)


# Clients that are remembered.


def _clients(size: int, _folder: Path) -> Setup:
    return Setup(tracking=True, clients=size)


def known(balancer: Balancer, size: int) -> int:
    """How many clients a pen is made to remember."""
    return min(size, KNOWN_TO_C) if is_c(balancer) else size


@contextmanager
def _clients_known(balancer: Balancer, size: int) -> Iterator[None]:
    loads.visit(balancer.port, map(loads.address, range(known(balancer, size))), AT_ONCE)
    yield


def _visits_again(balancer: Balancer, size: int, visits: int, number: int) -> int:
    pick, count = random.Random(number), known(balancer, size)
    again = (loads.address(pick.randrange(count)) for _ in range(visits))
    return loads.visit(balancer.port, again, AT_ONCE)


def _first_visits(balancer: Balancer, size: int, visits: int, number: int) -> int:
    """Of clients that nobody has seen, for the table is made for more than come."""
    if is_c(balancer):
        visits = max(20, min(visits, 2_000_000 // size))  # it takes 20 ns for each slot
    first = (number + 1) * visits
    return loads.visit(balancer.port, map(loads.address, range(first, first + visits)), AT_ONCE)


# Open connections.


def _connections(size: int, _folder: Path) -> Setup:
    return Setup(connections=size + 2 * AT_ONCE)


@contextmanager
def _connections_open(balancer: Balancer, size: int) -> Iterator[None]:
    with loads.IdleConnections() as idle:
        idle.open(balancer.port, size)
        yield


# Entries of the access list that clients must pass.


def _entries(size: int, folder: Path) -> Setup:
    """Networks of nine sizes, /24 to /32, that are not the client's, and at the end one that is."""
    config = folder / f"acl{size}"
    lines = [f"acl 1 deny {_network(number)}" for number in range(size - 1)]
    lines += ["acl 1 permit 127.0.0.0 255.0.0.0", "client_acl 1"]
    config.write_text("\n".join(lines) + "\n")
    return Setup(options=("-F", str(config)))


def _network(number: int) -> str:
    """Network `number`, of 10.0.0.0/8; with a mask, for C knows no other way."""
    mask = (1 << 32) - (1 << number % 9)
    return f"{_dotted((10 << 24) + (number << 8))} {_dotted(mask)}"


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


SWEEPS = {
    "servers": Sweep(
        "round robin over servers",
        "servers",
        (2, 10, 100, 1_000, 10_000),
        lambda _size, _folder: Setup(),
        _visits_of_one,
        servers=lambda size: size,
    ),
    "clients": Sweep(
        "a client that comes again",
        "clients remembered (C: in a table of that size)",
        (1, 10, 100, 1_000, 10_000, 100_000),
        _clients,
        _visits_again,
        prepared=_clients_known,
    ),
    "newcomers": Sweep(
        "a client that comes for the first time",
        "slots of the client table (-c)",
        (1_000, 10_000, 100_000, 1_000_000),
        _clients,
        _first_visits,
    ),
    "connections": Sweep(
        "while connections are open",
        "open connections",
        (10, 100, 1_000, 9_000),
        _connections,
        _visits_of_one,
        prepared=_connections_open,
    ),
    "entries": Sweep(
        "past an access list",
        "entries of the access list",
        (1, 10, 100, 1_000, 10_000),
        _entries,
        _visits_of_one,
    ),
}
