"""Which client sent the request that a web server logged: the join.

Pen tells which client sent which request to which server, and when that was. A line of the server's
log is joined to a record with the same server and request.

1. the *nearest* one in time that has not been used yet. The stamp says when the request began, give
   or take its precision, and the request began before its line came in: within that span all
   records are equally near, and the newest is taken, since most requests are answered quickly;
2. failing that, the *newest* one, used or not, which is what penlogd 0.34.1 always takes.

Nothing here reads a clock or a socket: times are passed in, in seconds since 1970.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import Any

from sortedcontainers import SortedList

from penlog.records import DATAGRAM_REQUEST_MINIMUM

_Entry = tuple[float, bytes]  # when, client
_Entries = Any  # list[_Entry] | SortedList[_Entry], by time

LONG = 1000
"""A list of as many entries becomes a SortedList: faster from here on, much slower for a few."""

CEILING = 500_000
"""Records kept at most, however young they are."""


class Attribution:
    """Pen's records, to be asked for the client of a request.

    Args:
        capacity: Records to keep, used ones counted; None for no limit. The oldest go first.
        spared: Records younger than this many seconds stay beyond the capacity (up to `CEILING`):
            their lines may still be on the way.
        window: A record further than this many seconds from the line is not its own.
        oldest_first: Of the equally near take the oldest: for times in whole seconds, where the
            time at which a line came in is not known.
    """

    def __init__(
        self,
        capacity: int | None,
        *,
        spared: float = 0.0,
        window: float = 60.0,
        oldest_first: bool = False,
    ) -> None:
        self._capacity = CEILING if capacity is None else capacity
        self._bounded = capacity is not None
        self._spared = spared
        self._window = window
        self._choose = _nearest_oldest if oldest_first else _nearest_newest
        self._unused: dict[bytes, _Entries] = {}
        self._newest: dict[bytes, _Entry] = {}
        self._by_age: deque[tuple[_Entry, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._by_age) if self._bounded else sum(map(len, self._unused.values()))

    def add(self, server: bytes, request: bytes, client: bytes, when: float) -> None:
        """Remember that the client sent the request to the server; records come in time order."""
        key = server + b" " + request[:DATAGRAM_REQUEST_MINIMUM]
        entry = (when, client)
        if key in self._unused:
            self._insert(key, entry)
        else:
            self._unused[key] = [entry]
        self._newest[key] = entry
        if self._bounded:
            self._by_age.append((entry, key))
            if len(self._by_age) > self._capacity:
                self._forget_old(when)

    def nearest(self, server: bytes, request: bytes, began: float, latest: float) -> bytes | None:
        """Return the client of the nearest unused record in time, and use the record up.

        Args:
            server: The server that logged the request.
            request: The request, escapes undone.
            began: The earliest time at which the request may have begun.
            latest: The latest such time.
        """
        key = server + b" " + request[:DATAGRAM_REQUEST_MINIMUM]
        unused = self._unused.get(key)
        if unused is None:
            return None
        place = 0 if len(unused) == 1 else self._choose(unused, began, latest)
        entry: _Entry = unused[place]
        when, client = entry
        if not began - self._window <= when <= latest + self._window:
            return None
        self._remove(key, unused, place)
        return client

    def newest(self, server: bytes, request: bytes) -> bytes | None:
        """Return the client of the newest record, which may have been used before."""
        entry = self._newest.get(server + b" " + request[:DATAGRAM_REQUEST_MINIMUM])
        return None if entry is None else entry[1]

    def _insert(self, key: bytes, entry: _Entry) -> None:
        unused = self._unused[key]
        if type(unused) is not list:
            unused.add(entry)
        elif len(unused) < LONG:
            insort(unused, entry)
        else:
            self._unused[key] = SortedList([*unused, entry])

    def _remove(self, key: bytes, unused: _Entries, place: int) -> None:
        if len(unused) == 1:
            del self._unused[key]
        else:
            del unused[place]

    def _forget_old(self, now: float) -> None:
        by_age = self._by_age
        while len(by_age) > self._capacity:
            entry, key = by_age[0]
            if now - entry[0] < self._spared and len(by_age) <= CEILING:
                return
            by_age.popleft()
            self._forget(entry, key)

    def _forget(self, entry: _Entry, key: bytes) -> None:
        if self._newest.get(key) is entry:
            del self._newest[key]
        unused = self._unused.get(key)
        if unused is None:
            return
        place = bisect_left(unused, entry) if type(unused) is list else unused.bisect_left(entry)
        if place < len(unused) and unused[place] is entry:
            self._remove(key, unused, place)


def _nearest_newest(unused: _Entries, began: float, latest: float) -> int:
    """Return the place of the last entry not after latest, or the next, if that is nearer."""
    edge = (latest, b"\xff")  # sorts after every entry of that time
    after = bisect_right(unused, edge) if type(unused) is list else unused.bisect_right(edge)
    return _nearer(unused, after, began, latest)


def _nearest_oldest(unused: _Entries, began: float, latest: float) -> int:
    """Return the place of the first entry not before began, or the previous, if that is nearer."""
    edge = (began, b"")  # sorts before every entry of that time
    after = bisect_left(unused, edge) if type(unused) is list else unused.bisect_left(edge)
    if after < len(unused) and unused[after][0] <= latest:
        return int(after)
    return _nearer(unused, after, began, latest)


def _nearer(unused: _Entries, after: int, began: float, latest: float) -> int:
    """Return after or the place before it, whichever is nearer to the span."""
    if after == 0:
        return 0
    if after == len(unused) or began - unused[after - 1][0] <= unused[after][0] - latest:
        return after - 1
    return after
