"""A session: one client's connection, from accept to close, and the server it gets.

The rules:

- A session begins CONNECTING when a server was found for a client, or is never begun
  (the client is closed at once): nobody available, or the client not welcome.
- CONNECTING lasts until one server accepts. A server that refuses, does not answer in
  time, is full or does not admit the client makes the session try the next one, and the
  session stays CONNECTING; when there is no next one, it is CLOSED.
- OPEN begins when a server accepts: from then on there is no failover, for bytes may
  have gone out. The client is remembered with that server.
- CLOSED is the end. Whatever ends a session, its bytes are added to its client and
  its server once, and its number becomes free.

This module decides and counts. It opens no sockets and has no clock: `now` is
monotonic seconds, `epoch` is the wall clock's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pen.core.clients import Client, ClientTable
from pen.core.selection import Selector
from pen.core.servers import Server, ServerTable
from pen.core.settings import Settings


class State(IntEnum):
    """The states, with the numbers that `connection N` prints."""

    CLOSED = 0
    CONNECTING = 1
    OPEN = 2


FOLLOWS = {
    State.CONNECTING: {State.CONNECTING, State.OPEN, State.CLOSED},
    State.OPEN: {State.CLOSED},
    State.CLOSED: set(),
}


class Session:
    """One client's connection. A plain class with slots: one is made per connection."""

    __slots__ = (
        "address",
        "client",
        "initial",
        "number",
        "opened",
        "port",
        "relay",
        "server",
        "state",
        "tried_at",
    )

    def __init__(
        self,
        number: int,
        client: Client | None,
        address: str,
        port: int,
        now: float,
        server: Server,
        initial: Server,
    ) -> None:
        self.number = number
        """Free numbers are reused; `connection N` and `close N` mean this."""
        self.client = client
        """None for a client on a Unix socket, which has no address to remember."""
        self.address = address
        self.port = port
        self.opened = now
        self.tried_at = now
        """When the server now being tried was asked."""
        self.state = State.CONNECTING
        self.server = server
        """The server being tried, or used."""
        self.initial = initial
        """The server that selection named first; failover ends when it is back there."""
        self.relay: Any = None
        """Whoever moves its bytes."""


@dataclass(slots=True)
class Sessions:
    """Every session there is, and the decisions about them."""

    settings: Settings
    servers: ServerTable
    clients: ClientTable
    selector: Selector
    pending: int = 0
    """Sessions that are CONNECTING."""
    _open: dict[int, Session] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Session]:
        """The sessions, in order of their numbers."""
        return iter([self._open[number] for number in sorted(self._open)])

    def get(self, number: int) -> Session | None:
        """The session with this number."""
        return self._open.get(number)

    @property
    def full(self) -> bool:
        """At a limit: clients must wait in the kernel's backlog."""
        settings = self.settings
        return len(self._open) >= settings.conn_max or self.pending >= settings.pending_max

    def begin(self, address: str, port: int, now: float) -> Session | None:
        """A client connected; None: close it, for nobody takes it.

        Args:
            address: the client's, numeric; "" for a client on a Unix socket.
            port: the client's port.
            now: monotonic seconds.
        """
        selector, settings = self.selector, self.settings
        if not selector.welcomes(address):
            return self._start(self.servers.abuse, None, None, address, port, now)
        client = self.clients.visit(address, now, settings.tracking) if address else None
        initial = selector.first(client, address, port, now)
        server = self._admitting(initial, initial, client, address, now)
        if server is None and not settings.stubborn:
            server = self.servers.emergency or self._last_resort(client, address, now)
        return self._start(server, initial, client, address, port, now)

    def _start(
        self,
        server: Server | None,
        initial: Server | None,
        client: Client | None,
        address: str,
        port: int,
        now: float,
    ) -> Session | None:
        if server is None:
            return None
        number = self._free.pop() if self._free else len(self._open)
        session = Session(number, client, address, port, now, server, initial or server)
        self._open[number] = session
        server.connections += 1
        self.pending += 1
        return session

    def _admitting(
        self,
        server: Server | None,
        initial: Server | None,
        client: Client | None,
        address: str,
        now: float,
    ) -> Server | None:
        """The first of `server` and those after it that is available and admits the client."""
        while server is not None and initial is not None:
            if server.slot < 0:
                return server
            if server.available(now) and self._admits(server, client, address):
                return server
            server = self.selector.after(server, initial)
        return None

    def _admits(self, server: Server, client: Client | None, address: str) -> bool:
        """Whether the server's limits and its access list let this client in."""
        known = client is not None and client.server == server.slot
        return server.has_room(known) and self.selector.acls.permits(server.acl, address)

    def _last_resort(self, client: Client | None, address: str, now: float) -> Server | None:
        server = self.selector.last_resort(now)
        return server if server and self._admits(server, client, address) else None

    def failed(self, session: Session, now: float, epoch: int) -> Server | None:
        """The server being tried refused or did not answer: the next one, or None."""
        tried = session.server
        tried.fail(self.settings.blacklist, now, epoch)
        following = self.selector.after(tried, session.initial)
        server = self._admitting(following, session.initial, session.client, session.address, now)
        if server is not None:
            tried.connections -= 1
            server.connections += 1
            session.server = server
            session.tried_at = now
        return server

    def accepted(self, session: Session) -> None:
        """A server took the session."""
        session.state = State.OPEN
        self.pending -= 1
        server = session.server
        if server.failed_at:
            server.succeed()
        if session.client is not None and server.slot >= 0:
            session.client.server = server.slot

    def end(self, session: Session, up: int, down: int) -> None:
        """The session is over; `up` and `down` are the bytes it moved each way."""
        if session.state is State.CONNECTING:
            self.pending -= 1
        session.state = State.CLOSED
        server, client = session.server, session.client
        server.connections -= 1
        server.sx += up
        server.rx += down
        if client is not None:
            client.rx += up
            client.sx += down
        del self._open[session.number]
        self._free.append(session.number)

    def check(self) -> None:
        """Assert the invariants (for tests)."""
        sessions = list(self)
        assert self.pending == sum(s.state is State.CONNECTING for s in sessions)
        assert not set(self._free) & set(self._open)
        assert sorted([*self._free, *self._open]) == list(range(len(self._free) + len(self._open)))
        counts: dict[int, int] = {}
        for session in sessions:
            counts[id(session.server)] = counts.get(id(session.server), 0) + 1
        for server in self.servers.all():
            assert server.connections == counts.get(id(server), 0)
        self.clients.check()
