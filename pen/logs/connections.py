"""Which connections to servers there are, told to a log as `penlog.records` says.

Each is told of when a server has taken it, once a minute while it lasts (so that a penlogd that was
started meanwhile knows it too), and at its end. Records are bytes; a `RequestLog` carries them.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pen.core.session import Session
from pen.logs.log import RequestLog
from penlog import records

REPEATED: Final = 60.0
"""Seconds after which a connection that is still open is told of again."""

AT_ONCE: Final = 200
"""Connections told of again in one turn (0.5 ms of CPU); the next ones `PAUSE` later."""

PAUSE: Final = 0.01
"""Seconds: 9,000 connections take half a second, and penlogd holds lines for longer."""

NEVER: Final = float("-inf")


class Loop(Protocol):
    """The loop: its clock, its timers, and the end of its turns."""

    now: float
    at_turn_end: list[Callable[[], object]]

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Call once at or after a monotonic time."""


@dataclass(slots=True)
class _Open:
    session: Session
    about: str
    since: float
    told: float


class ConnectionLog:
    """Tells a log of the sessions that it is told of."""

    def __init__(self, log: RequestLog, loop: Loop) -> None:
        self._log = log
        self._loop = loop
        self._open: OrderedDict[int, _Open] = OrderedDict()  # by number; the longest untold first
        self._due: float | None = None

    def opened(
        self, session: Session, protocol: str, source: tuple[str, int], since: float
    ) -> None:
        """A server has taken a session.

        Args:
            session: The session.
            protocol: ``tcp`` or ``udp``.
            source: Address and port of pen's own from which it was made.
            since: When that was; monotonic seconds.
        """
        loop, server = self._loop, session.server
        client = (session.address or "unix", session.port)
        about = records.about_connection(
            protocol, client, source, (server.address, server.port), time.time() - loop.now + since
        )
        entry = self._open[session.number] = _Open(session, about, since, loop.now)
        self._tell(entry, None)
        if self._due is None:
            self._repeat_at(loop.now + REPEATED)

    def ended(self, session: Session, reason: str) -> None:
        """A session is over; nothing is told of one that no server has taken."""
        entry = self._open.pop(session.number, None)
        if entry is not None:
            self._tell(entry, reason)

    def tell_all(self) -> None:
        """Tell of every open connection soon, for whoever has heard of none."""
        for entry in self._open.values():
            entry.told = NEVER
        if self._open:
            self._repeat_at(self._loop.now)

    def close(self) -> None:
        """Tell nothing more."""
        self._open.clear()

    def _repeat_at(self, when: float) -> None:
        self._due = when
        self._loop.call_at(when, self._repeat)

    def _repeat(self) -> None:
        """Tell again of those that were told of longest ago, and set the next time."""
        loop, waiting = self._loop, self._open
        if self._due is None or loop.now < self._due:
            return  # this was for a time that has been replaced by another
        self._due = None
        try:
            self._tell_longest_untold()
        finally:  # whatever one of them met, the others are to be told of
            if waiting:
                due = next(iter(waiting.values())).told + REPEATED
                self._repeat_at(max(due, loop.now + PAUSE))

    def _tell_longest_untold(self) -> None:
        loop, waiting = self._loop, self._open
        for _ in range(min(AT_ONCE, len(waiting))):
            number, entry = next(iter(waiting.items()))
            if entry.told + REPEATED > loop.now:
                break
            waiting.move_to_end(number)
            entry.told = loop.now
            self._tell(entry, None)

    def _tell(self, entry: _Open, ended: str | None) -> None:
        traffic = entry.session.traffic()
        lasted = self._loop.now - entry.since
        self._log.add(records.connection_line(entry.about, lasted, traffic.up, traffic.down, ended))
        if self._log.flush not in self._loop.at_turn_end:
            self._loop.at_turn_end.append(self._log.flush)
