"""The facts that statistics show, taken at one moment.

For a server sx counts bytes to it and rx bytes from it; for a client sx counts bytes to
the client and rx bytes from it. Both include the connections that are open.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pen.core.clients import Client
from pen.core.servers import Duty, Server
from pen.core.session import Session
from pen.core.state import State


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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it."""

    epoch: int
    current: int
    """The slot of the regular server that the latest client got last; -1: none yet."""
    servers: list[ServerFacts]
    clients: list[ClientFacts]
    connections: list[ConnectionFacts]
    clients_max: int
    conn_max: int
    last: int
    """Number of the newest connection; 0 when there was none yet."""


def take_snapshot(state: State, now: float, epoch: int) -> Snapshot:
    """Look at everything; `now` is monotonic, `epoch` the wall clock."""
    sessions = list(state.sessions)
    moved = _open_bytes(sessions)
    connections = [connection_facts(session) for session in sessions]
    client = state.clients.latest
    newest = max(sessions, key=lambda session: session.opened, default=None)
    return Snapshot(
        epoch=epoch,
        current=client.server if client else 0,
        servers=[server_facts(server, moved, now) for server in state.servers],
        clients=sorted(_client_facts(state, now, moved), key=lambda facts: facts.slot),
        connections=connections,
        clients_max=state.clients.capacity,
        conn_max=state.settings.conn_max,
        last=newest.number if newest else 0,
    )


def servers_now(state: State, now: float) -> list[ServerFacts]:
    """The regular servers alone."""
    moved = _open_bytes(list(state.sessions))
    return [server_facts(server, moved, now) for server in state.servers]


def clients_since(state: State, now: float, seconds: float) -> list[ClientFacts]:
    """Clients that connected in the last `seconds`, in the order of their slots."""
    moved = _open_bytes(list(state.sessions))
    recent = state.clients.recent(now - seconds)
    return [client_facts(client, now, moved) for client in recent]


def _open_bytes(sessions: list[Session]) -> dict[int, tuple[int, int]]:
    """Bytes up and down of open sessions, by the identity of their server and client."""
    moved: dict[int, tuple[int, int]] = {}
    for session in sessions:
        traffic = session.traffic()
        for owner in (session.server, session.client):
            if owner is not None:
                so_far = moved.get(id(owner), (0, 0))
                moved[id(owner)] = (so_far[0] + traffic.up, so_far[1] + traffic.down)
    return moved


def server_facts(server: Server, moved: dict[int, tuple[int, int]], now: float) -> ServerFacts:
    """One server's, open connections included."""
    up, down = moved.get(id(server), (0, 0))
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


def _client_facts(
    state: State, now: float, moved: dict[int, tuple[int, int]]
) -> Iterator[ClientFacts]:
    return (client_facts(client, now, moved) for client in state.clients)


def client_facts(client: Client, now: float, moved: dict[int, tuple[int, int]]) -> ClientFacts:
    """One client's, open connections included."""
    up, down = moved.get(id(client), (0, 0))
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
