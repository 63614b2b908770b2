"""The sessions of a worker: limits and bad news are shared with the other workers."""

from collections.abc import Callable
from dataclasses import dataclass

from pen.core.clients import Client
from pen.core.servers import Server
from pen.core.session import S, Session, Sessions
from pen.core.state import State
from pen.workers.tally import ALL, Tally


@dataclass(frozen=True, slots=True)
class ServerNews:
    """A server failed, or works again."""

    slot: int
    banned_until: float
    failed_at: int

    @classmethod
    def of(cls, server: Server) -> "ServerNews":
        """How it fares now."""
        return cls(server.slot, server.banned_until, server.failed_at)

    def tell(self, state: State) -> None:
        """Let a state know; a ban that was given by hand stays."""
        for server in state.servers.all():
            if server.slot == self.slot:
                server.failed_at = self.failed_at
                if not server.banned_by_hand:
                    server.banned_until = self.banned_until


@dataclass(frozen=True, slots=True)
class Membership:
    """Which worker this is, and what it shares."""

    number: int
    tally: Tally
    tell: Callable[[ServerNews], object]
    wait: Callable[[], object]
    """Called when others leave no room, which none of our own ends will change."""

    def note(self, server: Server, connections: int) -> None:
        """Let the others know how many connections this worker has to a server, and in all."""
        self.tally.put(self.number, server.slot, server.connections)
        self.tally.put(self.number, ALL, connections)

    def look(self, server: Server) -> None:
        """See how many the others have."""
        server.elsewhere = self.tally.elsewhere(self.number, server.slot)


class SharedSessions(Sessions[S]):
    """Sessions that count the other workers' connections for the limits."""

    __slots__ = ("_membership",)

    def __init__(self, alone: Sessions[S], membership: Membership) -> None:
        super().__init__(alone.settings, alone.servers, alone.clients, alone.selector, alone.acls)
        self._membership = membership

    @property
    def room(self) -> int:
        """See `Sessions.room`; `conn_max` is for all workers together."""
        us = self._membership
        left = self.settings.conn_max - len(self) - us.tally.elsewhere(us.number, ALL)
        if left < 1:
            us.wait()
        return min(super().room, left)

    def begin(self, session: S, now: float) -> bool:
        """See `Sessions.begin`."""
        if self.settings.weight:
            for server in self.servers:
                self._membership.look(server)
        begun = super().begin(session, now)
        if begun:
            self._membership.note(session.server, len(self))
        return begun

    def _admits(self, server: Server, client: Client | None, address: str) -> bool:
        if server.max:
            self._membership.look(server)
        return super()._admits(server, client, address)

    def failed(self, session: S, now: float, epoch: int, *, blame: bool = True) -> Server | None:
        """See `Sessions.failed`."""
        tried = session.server
        following = super().failed(session, now, epoch, blame=blame)
        if blame:
            self._membership.tell(ServerNews.of(tried))
        self._membership.note(tried, len(self))
        self._membership.note(session.server, len(self))
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
        self._membership.note(session.server, len(self))


def join(state: State, membership: Membership) -> None:
    """Make a state's sessions those of a worker; before there are any."""
    state.sessions = SharedSessions(state.sessions, membership)
    state.shares = membership.tally.workers
    state.selector.turn = membership.number  # so that not all begin with the same server
