"""The facts that statistics show, taken at one moment.

For a server sx counts bytes to it and rx bytes from it; for a client sx counts bytes to
the client and rx bytes from it. Both include the connections that are open.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pen.core.clients import Client
from pen.core.servers import Duty, Server
from pen.core.session import CLOSED, Session
from pen.core.state import State

F = TypeVar("F", covariant=True)
Clock = Callable[[], float]
"""Gives monotonic seconds."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One regular server."""

    slot: int
    address: str
    status: int
    """Epoch second of the failure that counts; 0: none."""
    ban: int
    """Seconds until it is tried again; 0: it is not blacklisted."""
    port: int
    connections: int
    max: int
    hard: int
    sx: int
    rx: int
    weight: int
    prio: int
    duty: Duty


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """One remembered client."""

    slot: int
    address: str
    age: int
    """Seconds since its last connect."""
    server: int
    connects: int
    sx: int
    rx: int


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """One session."""

    number: int
    state: int
    down_fd: int
    up_fd: int
    pending_down: int
    """Bytes read from the server that the client has not taken yet."""
    pending_up: int
    client: int
    server: int


class Many(Protocol[F]):
    """Facts of many: a list, or `Later`."""

    def __iter__(self) -> Iterator[F]: ...

    def __len__(self) -> int: ...


class Later(Generic[F]):
    """Facts that are looked at when their turn comes, each time anew.

    So a table of a million clients need not be looked at in one go. What is sent to another
    process is a list.

    Args:
        look: gives the facts one by one, while the table goes on changing.
        count: how many there are, or may be.
    """

    def __init__(self, look: Callable[[], Iterator[F]], count: int) -> None:
        self._look = look
        self._count = count

    def __iter__(self) -> Iterator[F]:
        return self._look()

    def __len__(self) -> int:
        return self._count

    def __reduce__(self) -> tuple[type[list[F]], tuple[list[F]]]:
        return list, (list(self),)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it. A session is there if it was when the snapshot was taken."""

    epoch: int
    current: int
    """The slot of the regular server that the latest client got last; -1: none yet."""
    servers: Many[ServerFacts]
    clients: Many[ClientFacts]
    """By slot."""
    connections: Many[ConnectionFacts]
    clients_max: int
    conn_max: int
    last: int
    """Number of the newest connection; 0 when there was none yet."""


def take_snapshot(state: State, clock: Clock, epoch: int) -> Snapshot:
    """Look at everything; `clock` gives monotonic seconds, `epoch` is the wall clock."""
    sessions = list(state.sessions)
    carried = _by_owner(sessions)
    client = state.clients.latest
    newest = max(sessions, key=lambda session: session.opened, default=None)
    return Snapshot(
        epoch=epoch,
        current=client.server if client else 0,
        servers=_servers(state, carried, clock),
        clients=_clients(state, carried, clock, math.inf),
        connections=Later(lambda: map(connection_facts, sessions), len(sessions)),
        clients_max=state.clients.capacity,
        conn_max=state.settings.conn_max,
        last=newest.number if newest else 0,
    )


def servers_now(state: State, clock: Clock) -> Many[ServerFacts]:
    """The regular servers alone."""
    return _servers(state, _by_owner(state.sessions), clock)


def clients_since(state: State, clock: Clock, seconds: float) -> Many[ClientFacts]:
    """Clients that connected in the last `seconds`, in the order of their slots."""
    return _clients(state, _by_owner(state.sessions), clock, seconds)


Carried = Mapping[int, Sequence[Session]]
"""Sessions, by the identity of their server and of their client."""


def _by_owner(sessions: Iterable[Session]) -> Carried:
    carried: defaultdict[int, list[Session]] = defaultdict(list)
    for session in sessions:
        carried[id(session.server)].append(session)
        if session.client is not None:
            carried[id(session.client)].append(session)
    return carried


def _open_bytes(owner: Server | Client, carried: Carried) -> tuple[int, int]:
    """Bytes up and down of its sessions that are open still; others' are counted already."""
    up = down = 0
    for session in carried.get(id(owner), ()):
        if session.state is not CLOSED:
            more_up, more_down = session.moved()
            up += more_up
            down += more_down
    return up, down


def _servers(state: State, carried: Carried, clock: Clock) -> Later[ServerFacts]:
    servers = list(state.servers)
    return Later(
        lambda: (server_facts(server, carried, clock()) for server in servers), len(servers)
    )


def _clients(state: State, carried: Carried, clock: Clock, seconds: float) -> Later[ClientFacts]:
    """Those seen in the last `seconds`."""
    since, clients = clock() - seconds, state.clients.by_slot

    def look() -> Iterator[ClientFacts]:
        return (
            client_facts(client, carried, clock()) for client in clients if client.seen >= since
        )

    return Later(look, len(clients))


def server_facts(server: Server, carried: Carried, now: float) -> ServerFacts:
    """One server's, open connections included."""
    up, down = _open_bytes(server, carried)
    return ServerFacts(
        slot=server.slot,
        address=server.address,
        status=server.failed_at,
        ban=max(0, math.ceil(server.banned_until - now)),
        port=server.port,
        connections=server.connections,
        max=server.max,
        hard=server.hard,
        sx=server.sx + up,
        rx=server.rx + down,
        weight=server.weight,
        prio=server.prio,
        duty=server.duty,
    )


def client_facts(client: Client, carried: Carried, now: float) -> ClientFacts:
    """One client's, open connections included."""
    up, down = _open_bytes(client, carried)
    return ClientFacts(
        slot=client.slot,
        address=client.address,
        age=int(now - client.seen),
        server=client.server,
        connects=client.connects,
        sx=client.sx + down,
        rx=client.rx + up,
    )


def connection_facts(session: Session) -> ConnectionFacts:
    """One session's."""
    traffic = session.traffic()
    return ConnectionFacts(
        number=session.number,
        state=int(session.state),
        down_fd=traffic.client_fd,
        up_fd=traffic.server_fd,
        pending_down=traffic.pending_down,
        pending_up=traffic.pending_up,
        client=session.client.slot if session.client else -1,
        server=session.server.slot,
    )
