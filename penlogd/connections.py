"""Which client had a port of pen's, and when: the exact join.

A server's line that shows its client's port shows a port of pen's, and pen tells which connections
it makes, from which port, for which client. Ports come round again in seconds under load, so a line
belongs to the connection that had its port *at that time*. Times compared are those of arrival
here: servers' clocks do not matter.

A key is pen's address, its port, and the server's address. Connections of a key to different ports
of the server may be open at once; to one port they follow each other, so a new one ends the one
before it, whether or not its end was told. Nothing here reads a clock: times are passed in.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum

CEILING = 500_000
"""Connections kept at most."""

SILENCE = 200.0
"""Seconds without news, which pen sends each minute, after which an open connection has ended."""

MARGIN = 1.0
"""Seconds by which a connection must be nearer than one to another port of the server to be it."""

_NEVER = float("inf")

Key = tuple[bytes, bytes, bytes]  # pen's address, its port, server's address


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
    """What all news of this connection repeats, and no other has."""
    opened: float
    heard: float
    closed: float = _NEVER

    def distance(self, began: float, latest: float) -> float:
        """Return by how many seconds the connection missed this span; 0 if it was open in it."""
        return max(0.0, self.opened - latest, began - self.closed)


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
        self._open: OrderedDict[_Connection, None] = OrderedDict()  # longest without news first
        self._ended: deque[_Connection] = deque()  # in the order of their ends

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
            identity: What all news of it repeats.
            lasted: Seconds that it has been open.
            now: The time.
            ended: Whether it has ended now.
        """
        some = self._known.get(key)
        connection = None if some is None else _of(some, server_port, identity)
        if connection is None:
            connection = _Connection(key, server_port, client, identity, now - lasted, now)
            if some is None:
                self._known[key] = [connection]
            else:
                self._end_others(some, server_port, now)
                some.append(connection)
            self._open[connection] = None
        elif connection.closed is _NEVER:
            connection.heard = now
            self._open.move_to_end(connection)
        if ended and connection.closed is _NEVER:
            self._end(connection, now)
        self._forget(now)

    def _end_others(self, some: list[_Connection], server_port: bytes, now: float) -> None:
        """Where a port is used anew, the connection that had it is over."""
        for each in some:
            if each.server_port == server_port and each.closed is _NEVER:
                self._end(each, now)

    def client(
        self, key: Key, server_port: bytes | None, began: float, latest: float
    ) -> bytes | Unknown:
        """Return the client of the connection that was open between these times, or nearest."""
        some = self._known.get(key)
        if some is None:
            return Unknown.MISSING
        if server_port is not None:
            some = [each for each in some if each.server_port == server_port]
        best, missed = None, self._keep
        for each in some:  # by age: of equally near ones the newest
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
        some: list[_Connection], best: _Connection, missed: float, began: float, latest: float
    ) -> bool:
        return any(
            each.server_port != best.server_port
            and each.client != best.client
            and each.distance(began, latest) < missed + MARGIN
            for each in some
        )

    def _end(self, connection: _Connection, now: float) -> None:
        del self._open[connection]
        connection.closed = now
        self._ended.append(connection)

    def _forget(self, now: float) -> None:
        """Forget what ended long ago, what pen is silent about, and what is too much."""
        oldest = now - self._keep
        while self._ended and (self._ended[0].closed < oldest or len(self) > self._ceiling):
            self._remove(self._ended.popleft())
        while self._open:
            connection = next(iter(self._open))
            if connection.heard >= now - SILENCE and len(self) <= self._ceiling:
                return
            del self._open[connection]
            self._remove(connection)

    def _remove(self, connection: _Connection) -> None:
        some = self._known[connection.key]
        some.remove(connection)
        if not some:
            del self._known[connection.key]


def _of(some: list[_Connection], server_port: bytes, identity: bytes) -> _Connection | None:
    """Return the connection that news with this identity is of, if it is known."""
    for each in reversed(some):
        if each.identity == identity and each.server_port == server_port:
            return each
    return None
