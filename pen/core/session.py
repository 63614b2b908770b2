"""A session: one client's connection, from accept to close, and the server it gets.

The rules:

- A session begins CONNECTING when a server was found for a client, or is never begun
  (the client is closed at once): nobody available, or the client not welcome.
- CONNECTING lasts until one server accepts. A server that refuses, does not answer in
  time, is full or does not admit the client makes the session try the next one, and the
  session stays CONNECTING; when there is no next one, it is CLOSED.
- OPEN begins when a server accepts: from then on there is no failover, for bytes may
  have gone out. The client is remembered with that server. (One that was given an idle
  connection, which turns out to have been closed before anything arrived, goes back to
  CONNECTING.)
- A UDP session is OPEN from its server's first reply, but its client is remembered when
  something was sent, for some servers never reply. It fails over at any time, since what
  is lost is sent again by those who care: it is then CONNECTING once more.
- CLOSED is the end. Whatever ends a session, its bytes are added to its client and
  its server once, and its number becomes free.

This module decides and counts. It opens no sockets and has no clock: `now` is
monotonic seconds, `epoch` is the wall clock's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Generic, TypeVar

from pen.core.acl import AccessLists
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
    State.OPEN: {State.CONNECTING, State.CLOSED},
    State.CLOSED: set(),
}


# Bound once: looking a member up in its enum goes through the slow path of its metaclass.
CLOSED: Final = State.CLOSED
CONNECTING: Final = State.CONNECTING
OPEN: Final = State.OPEN


@dataclass(frozen=True, slots=True)
class Traffic:
    """What statistics show of a session's sockets; bytes since it began."""

    up: int = 0
    down: int = 0
    pending_up: int = 0
    """Bytes read from the client that the server has not taken yet."""
    pending_down: int = 0
    client_fd: int = -1
    server_fd: int = -1


class Session:
    """One client's connection; what moves its bytes is a kind of it (`net.relay.Relay`)."""

    __slots__ = (
        "address",
        "client",
        "initial",
        "number",
        "opened",
        "port",
        "server",
        "state",
    )

    number: int
    """Free numbers are reused; `connection N` and `close N` mean this."""
    client: Client | None
    """None for one who is not remembered: on a Unix socket, or denied."""
    server: Server
    """The server being tried, or used."""
    initial: Server
    """The server that selection named first; failover ends when it is back there."""
    opened: float
    """When the client connected; monotonic seconds."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        """The client's, numeric; "" for a client on a Unix socket."""
        self.port = port
        self.state = CLOSED

    def moved(self) -> tuple[int, int]:
        """Bytes to the server and to the client since it began."""
        return 0, 0

    def traffic(self) -> Traffic:
        """Look at the sockets; a session that has none has had no traffic."""
        return Traffic()


S = TypeVar("S", bound=Session)


@dataclass(slots=True)
class Sessions(Generic[S]):
    """Every session there is, and the decisions about them."""

    settings: Settings
    servers: ServerTable
    clients: ClientTable
    selector: Selector
    acls: AccessLists
    _open: dict[int, S] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    pending: int = 0
    """Sessions that are CONNECTING."""
    arriving: int = 0
    """Clients that were accepted and are not sessions yet: in a handshake, or before `peek`."""
    idle: int = 0
    """Connections to servers that wait for clients; they give way to these."""
    holdable: int = 1 << 30
    """Sessions that the system's limits leave room for."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[S]:
        """The sessions, in order of their numbers."""
        return iter([self._open[number] for number in sorted(self._open)])

    def get(self, number: int) -> S | None:
        """The session with this number."""
        return self._open.get(number)

    @property
    def vacant(self) -> int:
        """How many more may be held."""
        return min(self.settings.conn_max, self.holdable) - len(self._open)

    @property
    def room(self) -> int:
        """How many more may begin; below 1, clients must wait in the kernel's backlog."""
        return min(self.vacant - self.arriving, self.settings.pending_max - self.pending)

    def places(self, most: int) -> Iterable[int]:
        """Counts the clients accepted in one go, no more than `most`, for which there was room."""
        return range(most)

    def turns_away(self, address: str) -> bool:
        """Whether `client_acl` leaves nowhere to go for this client."""
        denied = self.acls.in_use and not self.selector.welcomes(address)
        return denied and self.servers.abuse is None

    @property
    def limit(self) -> str:
        """The limit that leaves no `room`, for people."""
        if self.pending >= self.settings.pending_max:
            return f"{self.pending} connections are being made (pending_max)"
        return f"{len(self._open)} connections are open (conn_max, or the limit of open files)"

    def begin(self, session: S, now: float) -> bool:
        """A client connected: find it a server; False: close it, for nobody takes it."""
        selector, address = self.selector, session.address
        client = initial = None
        if self.acls.in_use and not selector.welcomes(address):
            server = self.servers.abuse
        else:
            if address:
                client = self.clients.visit(address, now, self.settings.tracking)
            initial = selector.first(client, address, session.port, now)
            server = self._admitting(initial, initial, client, address, now)
            if server is None and not self.settings.stubborn:
                server = self.servers.emergency or self._last_resort(client, address, now)
        if server is None:
            return False
        session.number = number = self._free.pop() if self._free else len(self._open)
        session.client = client
        session.server = server
        session.initial = initial or server
        session.opened = now
        session.state = CONNECTING
        self._open[number] = session
        server.connections += 1
        self.pending += 1
        return True

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
        if server.max or not server.takes_new:
            known = client is not None and client.server == server.slot
            if not server.has_room(known):
                return False
        return not self.acls.in_use or self.acls.permits(server.acl, address)

    def _last_resort(
        self, client: Client | None, address: str, now: float, since: int | None = None
    ) -> Server | None:
        """The selector's; None if it does not admit the client, or has failed `since`."""
        server = self.selector.last_resort(now)
        if server is None or (since is not None and server.failed_at >= since):
            return None
        return server if self._admits(server, client, address) else None

    def failed(self, session: S, now: float, epoch: int, *, blame: bool = True) -> Server | None:
        """The server being tried refused or did not answer: the next one, or None.

        `blame`: whether it was the server's fault, for which it is blacklisted.
        """
        tried = session.server
        if session.state is OPEN:
            self.reopened(session)
            session.initial = tried
        if blame:
            tried.fail(self.settings.blacklist, now, epoch)
        following = self.selector.after(tried, session.initial)
        server = self._admitting(following, session.initial, session.client, session.address, now)
        if server is None and blame and tried.slot >= 0 and not self.settings.stubborn:
            began = int(epoch - (now - session.opened))
            server = self._last_resort(session.client, session.address, now, since=began)
        if server is not None:
            tried.connections -= 1
            server.connections += 1
            session.server = server
        return server

    def accepted(self, session: Session) -> None:
        """A server took the session."""
        session.state = OPEN
        self.pending -= 1
        if session.server.failed_at:
            session.server.succeed()
        self.remember(session)

    def remember(self, session: Session) -> None:
        """Send the client to this server when it comes again."""
        server, client = session.server, session.client
        if client is not None and server.slot >= 0:
            client.server = server.slot

    def reopened(self, session: Session) -> None:
        """The server is not there after all: an idle connection was dead, or UDP was refused."""
        session.state = CONNECTING
        self.pending += 1

    def end(self, session: S, up: int, down: int) -> None:
        """The session is over; `up` and `down` are the bytes it moved each way."""
        if session.state is CONNECTING:
            self.pending -= 1
        session.state = CLOSED
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
        assert self.pending == sum(s.state is CONNECTING for s in sessions)
        assert not set(self._free) & set(self._open)
        assert sorted([*self._free, *self._open]) == list(range(len(self._free) + len(self._open)))
        counts: dict[int, int] = {}
        for session in sessions:
            counts[id(session.server)] = counts.get(id(session.server), 0) + 1
        for server in self.servers.all():
            assert server.connections == counts.get(id(server), 0)
        self.clients.check()
