"""What all sessions of one kind share, whatever moves their bytes (`relays`, `udp`)."""

import logging
from _socket import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar, cast

from pen.core.reasons import why, why_nobody
from pen.core.servers import Server
from pen.core.session import OPEN, Session, Sessions
from pen.core.settings import Settings
from pen.net.reactor import Reactor
from pen.net.source import use_address
from pen.net.transparent import borrow_address

logger = logging.getLogger("pen")

WHY_LEVEL: Final = 2
"""The `debug` level from which on it is told why clients get their servers."""


class Watch(Protocol):
    """Sees connections to servers begin and end (`pen.logs.connections`)."""

    def opened(
        self, session: Session, protocol: str, source: tuple[str, int], since: float
    ) -> None:
        """A server has taken a session, over a socket whose own address is `source`."""

    def ended(self, session: Session, reason: str) -> None:
        """A session is over."""


class Carried(Session):
    """A session with a socket to its server."""

    __slots__ = ("server_socket",)

    server_socket: socket

    @abstractmethod
    def close(self, reason: str) -> None:
        """End the session."""


C = TypeVar("C", bound=Carried)


class Carrier(Generic[C]):
    """What all sessions of one kind share."""

    protocol: str
    """tcp or udp."""

    def __init__(self, reactor: Reactor, sessions: Sessions[C], settings: Settings) -> None:
        self.reactor = reactor
        self.poller = reactor.poller
        self.sessions = sessions
        self.settings = settings
        self.watch: Watch | None = None
        """Sees connections begin and end (the log)."""
        self.tells = False
        """Whether beginnings and ends are told at all: with -d, or to `watch`."""
        self.find_server: Callable[[C, float], bool] = sessions.begin
        """Finds a session its server, if need be with a word on why."""
        self.room_made: Callable[[], object] | None = None
        """Called when a session ended or was accepted, while a listener waits for that."""

    def enter(self, reactor: Reactor, sessions: Sessions[C]) -> None:
        """Go on in a process just forked, with its loop and its sessions."""
        self.reactor, self.poller, self.sessions = reactor, reactor.poller, sessions
        self.retune()

    # What is told, with -d or to the log.

    def _find_and_tell(self, session: C, now: float) -> bool:
        """As `Sessions.begin`, and tell what was decided."""
        found = self.sessions.begin(session, now)
        sessions = cast(Sessions[Session], self.sessions)
        client = session.address or "on Unix socket"
        if not found:
            logger.debug("client %s: %s", client, why_nobody(sessions, session, now))
        else:
            reason = why(sessions, session, now)
            logger.debug("connection %d: client %s gets %s", session.number, client, reason)
        return found

    def tell_accepted(self, session: C) -> None:
        """A server took a session."""
        if self.settings.debug:
            logger.debug(
                "connection %d: client %s port %d, server %d (%s)",
                session.number, session.address, session.port,
                session.server.slot, session.server.endpoint,
            )  # fmt: skip
        if self.watch is not None:
            self._tell_watch(self.watch, session, self.reactor.now)

    def tell_failed(
        self, session: C, tried: Server, following: Server | None, error: OSError
    ) -> None:
        """A server did not take a session."""
        logger.debug(
            "connection %d: server %d (%s) failed: %s; %s",
            session.number, tried.slot, tried.endpoint, error.strerror,
            f"trying server {following.slot}" if following else "no server left",
        )  # fmt: skip

    def tell_closed(self, session: C, reason: str) -> None:
        """A session is over."""
        if self.settings.debug:
            traffic = session.traffic()
            logger.debug(
                "connection %d: closed (%s), %d bytes up, %d down",
                session.number, reason, traffic.up, traffic.down,
            )  # fmt: skip
        if self.watch is not None:
            self.watch.ended(session, reason)

    def _tell_watch(self, watch: Watch, session: C, since: float) -> None:
        try:
            source = session.server_socket.getsockname()
        except OSError:
            return  # no descriptor or memory to ask with: the log does without
        watch.opened(session, self.protocol, (source[0], source[1]), since)

    def set_watch(self, watch: Watch | None) -> None:
        """Let this see connections begin and end, beginning with the open ones; None: nobody."""
        self.watch = watch
        self.retune()
        if watch is not None:
            for session in self.sessions:
                if self.taken(session):
                    self._tell_watch(watch, session, session.opened)

    def taken(self, session: C) -> bool:
        """Whether a server has taken this session."""
        return session.state is OPEN

    def watch_idle(self) -> None:
        """`idle_timeout` has changed."""

    def retune(self) -> None:
        """A socket option or `debug` changed: connections made from now on go by it."""
        debug = self.settings.debug
        self.tells = self.watch is not None or debug > 0
        self.find_server = self._find_and_tell if debug >= WHY_LEVEL else self.sessions.begin

    def lend_address(self, upstream: socket, family: int, client: str) -> None:
        """Bind a socket to a server of this family as `transparent` and `source` say.

        Raises:
            OSError: it cannot be given the address it is to have.
        """
        if self.settings.transparent:
            borrow_address(upstream, family, client)
        elif self.settings.source is not None:
            use_address(upstream, family, self.settings.source)

    # Ending.

    def forget(self, fd: int) -> None:
        """A descriptor is about to be closed."""
        if self.reactor.handlers.pop(fd, None) is not None and not self.poller.edge:
            self.poller.closed(fd)

    def close_all(self, reason: str) -> None:
        """End every session."""
        for session in self.sessions:
            session.close(reason)
