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
from dataclasses import dataclass
from typing import Any

from sortedcontainers import SortedList

from penlog.records import DATAGRAM_REQUEST_MINIMUM

_Entry = tuple[float, bytes]  # when, client

LONG = 1000
"""A list of as many entries becomes a SortedList: faster from here on, much slower for a few."""

CEILING = 500_000
"""Records kept at most, however young they are."""


@dataclass(slots=True)
class _Sightings:
    """The records of one server and request."""

    unused: Any  # list[_Entry] | SortedList[_Entry], by time
    newest: _Entry


class Attribution:
    """Pen's records, to be asked for the client of a request.

    Args:
        capacity: Records to keep, used ones counted; None for no limit. The oldest go first.
        spared: Records younger than this many seconds stay beyond the capacity (up to `CEILING`):
            their lines may still be on the way.
        window: A record further than this many seconds from the line is not its own.
    """

    def __init__(self, capacity: int | None, *, spared: float = 0.0, window: float = 60.0) -> None:
        self._capacity = CEILING if capacity is None else capacity
        self._bounded = capacity is not None
        self._spared = spared
        self._window = window
        self._index: dict[bytes, _Sightings] = {}
        self._by_age: deque[tuple[_Entry, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, server: bytes, request: bytes, client: bytes, when: float) -> None:
        """Remember that the client sent the request to the server."""
        key = _key(server, request)
        entry = (when, client)
        sightings = self._index.get(key)
        if sightings is None:
            self._index[key] = _Sightings([entry], entry)
        else:
            _insert(sightings, entry)
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
        sightings = self._index.get(_key(server, request))
        if sightings is None or not sightings.unused:
            return None
        unused = sightings.unused
        place = _nearest(unused, began, latest)
        when, client = unused[place]
        if not began - self._window <= when <= latest + self._window:
            return None
        del unused[place]
        return client  # type: ignore[no-any-return]

    def newest(self, server: bytes, request: bytes) -> bytes | None:
        """Return the client of the newest record, which may have been used before."""
        sightings = self._index.get(_key(server, request))
        return None if sightings is None else sightings.newest[1]

    def _forget_old(self, now: float) -> None:
        by_age = self._by_age
        while len(by_age) > self._capacity:
            entry, key = by_age[0]
            if now - entry[0] < self._spared and len(by_age) <= CEILING:
                return
            by_age.popleft()
            self._forget(entry, key)

    def _forget(self, entry: _Entry, key: bytes) -> None:
        sightings = self._index.get(key)
        if sightings is None:
            return
        if sightings.newest is entry:
            del self._index[key]
            return
        unused = sightings.unused
        place = _left(unused, entry)
        if place < len(unused) and unused[place] is entry:
            del unused[place]


def _key(server: bytes, request: bytes) -> bytes:
    return server + b" " + request[:DATAGRAM_REQUEST_MINIMUM]


def _insert(sightings: _Sightings, entry: _Entry) -> None:
    unused = sightings.unused
    if type(unused) is not list:
        unused.add(entry)
    elif len(unused) < LONG:
        insort(unused, entry)
    else:
        sightings.unused = SortedList(unused)
        sightings.unused.add(entry)
    if entry >= sightings.newest:
        sightings.newest = entry


def _nearest(unused: Any, began: float, latest: float) -> int:
    after = _right(unused, (latest, b"\xff"))
    if after == 0:
        return 0
    before = after - 1
    if after == len(unused):
        return before
    gap_before = began - unused[before][0]
    if gap_before <= 0 or gap_before <= unused[after][0] - latest:
        return before
    return after


def _left(unused: Any, entry: _Entry) -> int:
    return bisect_left(unused, entry) if type(unused) is list else unused.bisect_left(entry)


def _right(unused: Any, entry: _Entry) -> int:
    return bisect_right(unused, entry) if type(unused) is list else unused.bisect_right(entry)
