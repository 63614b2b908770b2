"""What comes over connections: greetings answered, frames taken in, acknowledgements sent.

A frame is acknowledged at the end of the turn in which it was taken. When it cannot be taken, for
the journal's disk is full or too much waits to be written, its connection *stalls*: nothing more is
read, the sender keeps the rest, and hears the last acknowledgement again each second meanwhile.
"""

import secrets
import select
import socket
from collections.abc import Callable

from penlog.wire import WireError
from penlogd.acceptor import Acceptor, Connection
from penlogd.daemon import Messages
from penlogd.intake import Intake
from penlogd.sessions import TooMuchError

RETRY = 1.0
"""Seconds between tries for a stalled connection, and for a listener when descriptors are out."""


class Reception:
    """Works on all connections.

    Args:
        acceptor: Where they come in.
        intake: Where their frames go.
        crowded: Says whether too much waits to be written.
        messages: Where people are told.
        poller: Is told which descriptors to watch.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        intake: Intake,
        crowded: Callable[[], bool],
        messages: Messages,
        poller: select.epoll,
    ) -> None:
        self._acceptor = acceptor
        self._intake = intake
        self._crowded = crowded
        self._messages = messages
        self._poller = poller
        self._instance = secrets.token_hex(16).encode()
        self._listeners = {sock.fileno(): sock for sock in acceptor.sockets}
        self._greeted: dict[str, Connection] = {}
        self._ungreeted: set[Connection] = set()
        self._unacknowledged: set[Connection] = set()
        self._stalled: set[Connection] = set()
        self._retry_at = 0.0
        self._resting: list[int] = []  # listeners
        self._journal_fails = False
        for fd in self._listeners:
            poller.register(fd, select.EPOLLIN)

    def ready(self, fd: int, now: float, epoch: float) -> None:
        """Work on a descriptor that can be read; now is monotonic, epoch the wall clock's."""
        listener = self._listeners.get(fd)
        if listener is not None:
            self._accept(listener, now)
            return
        connection = self._acceptor.connections.get(fd)
        if connection is None:
            return
        try:
            connection.receive()
            if connection in self._ungreeted and connection.session is not None:
                self._greet(connection, connection.session)
            self._take(connection, now, epoch)
        except WireError as error:
            self._messages.debug(f"{connection.sender}: {error}")
            self._close(connection)
        except OSError:
            self._close(connection)

    def end_turn(self) -> None:
        """Acknowledge what has been taken."""
        if not self._unacknowledged:
            return
        try:
            self._intake.secure()
        except OSError as error:
            self._messages.say(f"journal: {error.strerror}; senders keep their lines")
            return
        for connection in self._unacknowledged:
            self._acknowledge(connection)
        self._unacknowledged.clear()

    def deadline(self) -> float | None:
        """Return the monotonic time at which `tick` must be called; None if nothing waits."""
        deadlines = [connection.deadline for connection in self._ungreeted]
        if self._stalled or self._resting:
            deadlines.append(self._retry_at)
        return min(deadlines, default=None)

    def tick(self, now: float, epoch: float) -> None:
        """Try stalled connections again, and close those that do not greet."""
        for connection in [each for each in self._ungreeted if each.deadline <= now]:
            self._close(connection)
        if now < self._retry_at:
            return
        while self._resting:
            self._poller.register(self._resting.pop(), select.EPOLLIN)
        if self._stalled:
            stalled, self._stalled = self._stalled, set()
            for connection in stalled:
                self._poller.register(connection.fd, select.EPOLLIN)
                self._take(connection, now, epoch)
                self._unacknowledged.add(connection)

    def close(self) -> None:
        """Disconnect all: they keep what was not acknowledged."""
        self._acceptor.close_all()

    def _accept(self, listener: socket.socket, now: float) -> None:
        try:
            for connection in self._acceptor.accept(listener, now):
                self._ungreeted.add(connection)
                self._poller.register(connection.fd, select.EPOLLIN)
        except OSError as error:  # the poller would tell of whoever waits without end
            self._messages.say(f"senders wait for {RETRY:g} s: {error.strerror}")
            self._rest(listener.fileno(), now)

    def _rest(self, listener: int, now: float) -> None:
        """Listen no more for a while."""
        if not self._stalled and not self._resting:
            self._retry_at = now + RETRY
        self._resting.append(listener)
        self._poller.unregister(listener)

    def _greet(self, connection: Connection, session: str) -> None:
        """Answer a greeting; an older connection of the session is dead by now."""
        self._ungreeted.discard(connection)
        if session in self._greeted:
            self._close(self._greeted[session])
        self._greeted[session] = connection
        self._intake.secure()
        connection.greet(self._instance, self._intake.sessions.resume(session))

    def _take(self, connection: Connection, now: float, epoch: float) -> None:
        """Take the frames that have come."""
        session = connection.session
        while connection.frames and session is not None:
            offset, data = connection.frames[0]
            if not data:
                self._intake.farewell(session)
                self._close(connection)
                return
            if self._crowded() or not self._try(connection, session, offset, data, epoch):
                self._stall(connection, now)
                return
            connection.frames.pop(0)
            self._unacknowledged.add(connection)

    def _try(
        self, connection: Connection, session: str, offset: int, data: bytes, epoch: float
    ) -> bool:
        try:
            self._intake.piece(session, connection.sender, offset, data, epoch)
        except TooMuchError:
            self._messages.say(f"{connection.sender}: lines without end; not taken now")
            return False
        except OSError as error:
            if not self._journal_fails:
                self._messages.say(f"journal: {error.strerror}; senders keep their lines")
            self._journal_fails = True
            return False
        if self._journal_fails:
            self._messages.say("journal: writing again")
            self._journal_fails = False
        return True

    def _stall(self, connection: Connection, now: float) -> None:
        if not self._stalled and not self._resting:
            self._retry_at = now + RETRY
        self._stalled.add(connection)
        self._poller.unregister(connection.fd)

    def _acknowledge(self, connection: Connection) -> None:
        if connection.session is None or connection.fd < 0:
            return
        try:
            connection.acknowledge(self._intake.sessions.have(connection.session))
        except OSError:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        for group in (self._ungreeted, self._stalled):
            group.discard(connection)
        if connection.session is not None and self._greeted.get(connection.session) is connection:
            del self._greeted[connection.session]
        self._acceptor.close(connection)
