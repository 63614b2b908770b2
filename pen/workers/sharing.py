"""The sessions of a worker: limits and bad news are shared with the other workers."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pen.core.clients import Client
from pen.core.servers import Server
from pen.core.session import S, Session, Sessions
from pen.core.state import State
from pen.workers.tally import ALL, WAITING, Tally


@dataclass(frozen=True, slots=True)
class ServerNews:
    """A server failed, or works again."""

    PACKED: ClassVar = struct.Struct("=idq")

    slot: int
    banned_until: float
    failed_at: int

    def pack(self) -> bytes:
        """As one packet."""
        return self.PACKED.pack(self.slot, self.banned_until, self.failed_at)

    @classmethod
    def unpack(cls, packet: bytes) -> "ServerNews":
        """What `pack` made a packet of."""
        return cls(*cls.PACKED.unpack(packet))

    @classmethod
    def of(cls, server: Server) -> "ServerNews":
        """How it fares now."""
        return cls(server.slot, server.banned_until, server.failed_at)

    def tell(self, state: State) -> None:
        """Let a state know; a ban that was given by hand stays."""
        for server in state.servers.all():
            if server.slot == self.slot:
                server.hear(self.failed_at, self.banned_until)


@dataclass(frozen=True, slots=True)
class Membership:
    """Which worker this is, and what it shares."""

    number: int
    tally: Tally
    tell: Callable[[ServerNews], object]
    wait: Callable[[], object]
    """Called when others leave no room, which none of our own ends will change."""

    def put(self, column: int, count: int) -> None:
        """Let the others know."""
        self.tally.put(self.number, column, count)

    def elsewhere(self, column: int) -> int:
        """What the others have, added up."""
        return self.tally.elsewhere(self.number, column)

    def look(self, server: Server) -> None:
        """See how many connections the others have to a server."""
        server.elsewhere = self.elsewhere(server.slot)

    def share(self, limit: int) -> int:
        """What part of a limit is this worker's, rounded up."""
        return -(-limit // self.tally.workers)

    def due(self, limit: int) -> int:
        """What part of a limit every worker can have at once: its share rounded down."""
        return limit // self.tally.workers


class SharedSessions(Sessions[S]):
    """Sessions that count the other workers' connections for the limits.

    `max` and `hard` of the servers and, for streams, `conn_max` are looked at anew for every
    client, and what was let in is written down before the next look. So no more than one
    client for each other worker can come too many: between their looks and ours.

    Where `conn_max` is reached, a worker whose clients wait and that has less than its share
    says that it is `WAITING`; those that have their share then leave it what becomes free.
    The share is rounded down here, for rounded up they may be more than there is: whoever
    ends a connection would always be below it, and take the place back before others look.
    Where there are fewer places than workers it is 0, so all leave a place to who waits;
    not even two who wait do so for ever, for who finds a place says no more that it waits.

    `pending_max`, and `conn_max` for datagrams, where a new session ends the least recent
    one, are divided: each worker has its share.
    """

    __slots__ = ("_arriving", "_membership")

    def __init__(self, alone: Sessions[S], membership: Membership) -> None:
        self._membership = membership
        super().__init__(alone.settings, alone.servers, alone.clients, alone.selector, alone.acls)
        self.holdable = alone.holdable

    @property
    def arriving(self) -> int:
        """See `Sessions.arriving`."""
        return self._arriving

    @arriving.setter
    def arriving(self, count: int) -> None:
        self._arriving = count
        self._note_all()

    @property
    def vacant(self) -> int:
        """See `Sessions.vacant`."""
        return min(self._membership.share(self.settings.conn_max), self.holdable) - len(self)

    @property
    def room(self) -> int:
        """See `Sessions.room`."""
        settings, us = self.settings, self._membership
        ours = len(self) + self._arriving
        left = settings.conn_max - us.elsewhere(ALL) - ours
        due = us.due(settings.conn_max)
        us.put(WAITING, left < 1 and ours < max(1, due))
        if ours >= due and us.elsewhere(WAITING):
            left = 0
        if left < 1:
            us.wait()
        return min(left, self.holdable - ours, us.share(settings.pending_max) - self.pending)

    def places(self, most: int) -> Iterator[int]:
        """See `Sessions.places`."""
        yield 0
        for place in range(1, most):
            if self.room < 1:
                return
            yield place

    def _note(self, server: Server) -> None:
        self._membership.put(server.slot, server.connections)
        self._note_all()

    def _note_all(self) -> None:
        self._membership.put(ALL, len(self._open) + self._arriving)

    def begin(self, session: S, now: float) -> bool:
        """See `Sessions.begin`."""
        if self.settings.weight:
            for server in self.servers:
                self._membership.look(server)
        begun = super().begin(session, now)
        if begun:
            self._note(session.server)
        return begun

    def _admits(self, server: Server, client: Client | None, address: str) -> bool:
        if server.max:
            self._membership.look(server)
        return super()._admits(server, client, address)

    def failed(self, session: S, now: float, epoch: int, *, blame: bool = True) -> Server | None:
        """See `Sessions.failed`."""
        tried = session.server
        known = tried.failed_at
        following = super().failed(session, now, epoch, blame=blame)
        if blame and tried.failed_at != known:  # at most once a second
            self._membership.tell(ServerNews.of(tried))
        self._note(tried)
        self._note(session.server)
        return following

    def accepted(self, session: Session) -> None:
        """See `Sessions.accepted`."""
        recovers = session.server.failed_at
        super().accepted(session)
        if recovers:
            self._membership.tell(ServerNews.of(session.server))

    def end(self, session: S, up: int, down: int) -> None:
        """See `Sessions.end`."""
        super().end(session, up, down)
        self._note(session.server)


def join(state: State, membership: Membership) -> None:
    """Make a state's sessions those of a worker; before there are any."""
    state.sessions = SharedSessions(state.sessions, membership)
    state.shares = membership.tally.workers
    state.selector.turn = membership.number  # so that not all begin with the same server
