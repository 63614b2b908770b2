"""Which client had a port of pen's, and when: the exact join.

A server's line that shows its client's port shows a port of pen's, and pen tells which connections
it makes, from which port, for which client. Ports come round again in seconds under load, so a line
belongs to the connection that had its port *at that time*. Times compared are those of arrival
here: servers' clocks do not matter.

A key is a *place*: pen's address, its port, and the server's address. Connections of a key to
different ports of the server may be open at once; to one port they follow each other, so a new one
ends the one before it, whether or not its end was told. Nothing here reads a clock: times are
passed in.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

CEILING = 500_000
"""Connections kept at most."""

SILENCE = 200.0
"""Seconds without news, which pen sends each minute, after which an open connection has ended."""

MARGIN = 1.0
"""Seconds by which a connection must be nearer than one to another port of the server to be it."""

_NEVER = float("inf")

Key = bytes
"""What `place_of` gives."""


def place_of(pen: bytes, port: bytes, server: bytes) -> Key:
    """Return the key for pen's address and port and the server's address."""
    return b" ".join((pen, port, server))


def canonical_place(told: bytes, addresses: Mapping[bytes | str, bytes]) -> Key:
    """Return the key for a place as pen told it, with addresses in their one spelling.

    Only IPv6 addresses have several.
    """
    if b":" not in told:
        return told
    pen, port, server = told.split(b" ")
    return place_of(addresses[pen], port, addresses[server])


class Unknown(Enum):
    """Why no client can be named."""

    MISSING = "no connection had this port at that time"
    AMBIGUOUS = "connections to several ports of the server had it"


@dataclass(slots=True, eq=False)
class _Connection:
    key: Key
    server_port: bytes
    client: bytes
    identity: bytes
    opened: float
    heard: float
    closed: float = _NEVER

    def distance(self, began: float, latest: float) -> float:
        """Return by how many seconds the connection missed this span; 0 if it was open in it."""
        if self.opened > latest:
            return self.opened - latest
        return began - self.closed if began > self.closed else 0.0


class Connections:
    """Pen's connections to servers, to be asked whose a port was.

    Args:
        keep: Seconds to keep a connection after its end, and how far from it a line may be.
        ceiling: Connections to keep at most; those without news for longest go first.
    """

    def __init__(self, keep: float, *, ceiling: int = CEILING) -> None:
        self._keep = keep
        self._ceiling = ceiling
        self._known: dict[Key, list[_Connection]] = {}
        # By identity; those that are longest without news come first.
        self._open: OrderedDict[bytes, _Connection] = OrderedDict()
        self._ended: deque[_Connection] = deque()  # in the order of their ends
        self._silent_from = float("-inf")  # till then no open one is without news for too long

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def tell(
        self, key: Key, server_port: bytes, client: bytes, identity: bytes,
        lasted: float, now: float, *, ended: bool,
    ) -> None:  # fmt: skip
        """Take news of a connection.

        Args:
            key: Which port of pen's it has, and to which server.
            server_port: The server's port.
            client: Whose it is.
            identity: What all news of it repeats, and no other has.
            lasted: Seconds that it has been open.
            now: The time.
            ended: Whether it has ended now.
        """
        if not self.tell_more(identity, now, ended=ended):
            connection = _Connection(key, server_port, client, identity, now - lasted, now)
            if self._add(connection) and ended:
                self._end(connection, now)
        self.forget(now)

    def tell_more(self, identity: bytes, now: float, *, ended: bool) -> bool:
        """Take further news of a connection, as `tell` but quicker; False if none such is open."""
        connection = self._open.get(identity)
        if connection is None:
            return False
        if ended:
            self._end(connection, now)
        else:
            connection.heard = now
            self._open.move_to_end(identity)
        return True

    def forget(self, now: float) -> None:
        """Forget what ended long ago, what pen is silent about, and what is too much."""
        ended, still_open, ceiling = self._ended, self._open, self._ceiling
        oldest = now - self._keep
        while ended and (ended[0].closed < oldest or len(ended) + len(still_open) > ceiling):
            self._remove(ended.popleft())
        if now > self._silent_from or len(still_open) > ceiling:
            self._forget_silent(now)

    def shift(self, seconds: float) -> None:
        """The clock was set: what is known happened by the new one, so many seconds later."""
        for connection in (*self._open.values(), *self._ended):
            connection.opened += seconds
            connection.heard += seconds
            if connection.closed is not _NEVER:
                connection.closed += seconds
        self._silent_from += seconds

    def _forget_silent(self, now: float) -> None:
        """Forget those without news for too long, and note when there may be one again."""
        while self._open:
            identity, connection = next(iter(self._open.items()))
            self._silent_from = connection.heard + SILENCE
            if now <= self._silent_from and len(self._open) <= self._ceiling:
                return
            del self._open[identity]
            self._remove(connection)

    def _add(self, new: _Connection) -> bool:
        """Add a connection unless it has ended already; it ends the one that had its port."""
        some = self._known.get(new.key)
        if some is None:
            self._known[new.key] = [new]
        else:
            for each in some:
                if each.identity == new.identity:
                    return False
            for each in some:
                if each.server_port == new.server_port and each.closed is _NEVER:
                    self._end(each, new.heard)
            some.append(new)
        self._open[new.identity] = new
        return True

    def client(
        self, key: Key, server_port: bytes | None, began: float, latest: float
    ) -> bytes | Unknown:
        """Return the client of the connection that was open between these times, or nearest."""
        some = self._known.get(key, ())
        best, missed = None, self._keep
        for each in some:  # by age: of equally near ones the newest
            if server_port is None or each.server_port == server_port:
                distance = each.distance(began, latest)
                if distance <= missed:
                    best, missed = each, distance
        if best is None:
            return Unknown.MISSING
        if server_port is None and self._is_ambiguous(some, best, missed, began, latest):
            return Unknown.AMBIGUOUS
        return best.client

    @staticmethod
    def _is_ambiguous(
        some: Sequence[_Connection], best: _Connection, missed: float, began: float, latest: float
    ) -> bool:
        return any(
            each.server_port != best.server_port
            and each.client != best.client
            and each.distance(began, latest) < missed + MARGIN
            for each in some
        )

    def _end(self, connection: _Connection, now: float) -> None:
        del self._open[connection.identity]
        connection.closed = now
        self._ended.append(connection)

    def _remove(self, connection: _Connection) -> None:
        some = self._known[connection.key]
        some.remove(connection)
        if not some:
            del self._known[connection.key]
