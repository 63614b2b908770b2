"""What deciding costs, without sockets: the core's own work for a connection, in this process.

For sizes that loopback cannot reach in the time, and for the algorithms one by one. A
connection is what `net.relay` asks of `core.session`: begin, accepted, end.
"""

import gc
import random
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pen.core.address import Endpoint
from pen.core.session import Session
from pen.core.state import State

NOW = 1000.0
"""Monotonic seconds of all that happens here."""


def address(number: int) -> str:
    """Name client or server `number`, by an address of 10.0.0.0/8: 16 million."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def make_state(servers: int, **settings: Any) -> State:
    """A pen with so many servers, each with a weight of 1."""
    state = State()
    for slot in range(servers):
        server = state.servers.slot(slot)
        server.move(address(slot), Endpoint(socket.AF_INET, (address(slot), 80)))
        server.weight = 1
    for name, value in settings.items():
        setattr(state.settings, name, value)
    state.clients.capacity = state.settings.clients_max
    return state


def serve(state: State, clients: Iterable[str]) -> None:
    """One connection of each, from its beginning to its end."""
    sessions = state.sessions
    for client in clients:
        session = Session(client, 1)
        if sessions.begin(session, NOW):
            sessions.accepted(session)
            sessions.end(session, 100, 1000)


def microseconds(state: State, clients: Sequence[str]) -> float:
    """CPU per connection."""
    gc.collect()
    gc.freeze()
    began = time.process_time_ns()
    serve(state, clients)
    return (time.process_time_ns() - began) / len(clients) / 1000


def newcomers(count: int, first: int = 1 << 22) -> list[str]:
    """Clients nobody has seen before."""
    return [address(first + number) for number in range(count)]


def by_algorithm(algorithm: str, servers: int, connections: int) -> float:
    """Microseconds for a new client, with this algorithm over so many servers."""
    state = make_state(servers, **ALGORITHMS[algorithm])
    if algorithm == ONE_LEFT:
        for server in state.servers.slots[1:]:
            server.fail(3600, NOW, 1)
    return microseconds(state, newcomers(connections))


ONE_LEFT = "round robin, all but one blacklisted"
ALGORITHMS: dict[str, dict[str, bool]] = {
    "round robin": {"roundrobin": True},
    ONE_LEFT: {"roundrobin": True},
    "hash": {"hash": True},
    "hash consistent": {"hash": True, "hash_consistent": True},
    "weight": {"weight": True},
    "prio": {"prio": True},
}


def by_clients(counts: Sequence[int], connections: int) -> dict[int, float]:
    """Microseconds for a client that comes again, by how many are remembered."""
    state = make_state(2, clients_max=max(counts))
    found, known, pick = {}, 0, random.Random(1)
    for count in counts:
        serve(state, (address(number) for number in range(known, count)))
        known = count
        again = [address(pick.randrange(count)) for _ in range(connections)]
        found[count] = microseconds(state, again)
    return found
