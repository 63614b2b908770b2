"""Which record of pen's log belongs to a line: the join by request and time, in files.

The record has the line's server and request. Of those that its stamp allows, which is in whole
seconds as pen's is, the oldest is taken that no line has had; failing that, the nearest in time. A
request reaches pen first, so at the edge of a second the line's stamp may be of the next one: an
older record is preferred. By how much a server's clock is wrong is learnt from lines whose request
is the only one of its kind.
Nothing is lost in files, so each record is used once; penlogd, where it is otherwise, has
`attribution`.

Nothing here reads a clock or a file: times are passed in, in seconds since 1970.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Any

from sortedcontainers import SortedList

from penlogd.accesslog import AccessLine
from penlogd.attribution import CEILING
from penlogd.habits import Habits

_Entry = tuple[float, bytes]  # when, client
_Entries = Any  # list[_Entry] | SortedList[_Entry], by time

LONG = 1000
"""A list of as many entries becomes a SortedList: faster from here on, much slower for a few."""

EARLIER = 0.02
"""Seconds before the span from which a record may be: it is no more exact than that."""

AGREED = 0.15
"""Seconds by which clocks may differ and count as one: no better is it known from files."""

SECOND = 1.0
"""Seconds by which an older record may be further away than a newer one and be preferred."""


class Pairing:
    """Pen's records, to be asked for the client of a request.

    Args:
        window: A record further than this many seconds from the line is not its own.
        kept: Seconds for which records are kept, by the newest; but `CEILING` records at most.
    """

    def __init__(self, window: float, kept: float) -> None:
        self._window = window
        self._kept = kept
        self._unused: dict[bytes, _Entries] = {}
        self._by_age: deque[tuple[_Entry, bytes]] = deque()
        self._habits: dict[bytes, Habits] = {}  # by server

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, server: bytes, request: bytes, client: bytes, when: float) -> None:
        """Remember that the client sent the request to the server; records come in time order."""
        key = server + b" " + request
        entry = (when, client)
        if key in self._unused:
            self._insert(key, entry)
        else:
            self._unused[key] = [entry]
        self._by_age.append((entry, key))
        self._forget_old(when)

    def client(self, line: AccessLine, request: bytes, stamp: float) -> tuple[bytes, bool] | None:
        """Return who sent a line's request, and True; None if that is not known.

        Args:
            line: The line.
            request: Its request, as pen's log has it.
            stamp: Its stamp, or what stands for it.
        """
        key = line.server + b" " + request
        unused = self._unused.get(key)
        if unused is None:
            return None
        habits = self._habits.get(line.server)
        if habits is None:
            habits = self._habits[line.server] = Habits()
        ahead = habits.ahead if abs(habits.ahead) > AGREED else 0.0
        began, latest = line.span_by_stamp(stamp - ahead)
        place = 0 if len(unused) == 1 else _nearest_oldest(unused, began, latest)
        when, client = unused[place]
        if len(unused) == 1:
            habits.learn(line, 0.0, when)
        if not began - self._window <= when <= latest + self._window:
            return None
        self._remove(key, unused, place)
        return client, True

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
        while by_age[0][0][0] < now - self._kept or len(by_age) > CEILING:
            self._forget(*by_age.popleft())

    def _forget(self, entry: _Entry, key: bytes) -> None:
        unused = self._unused.get(key)
        if unused is None:
            return
        place = bisect_left(unused, entry) if type(unused) is list else unused.bisect_left(entry)
        if place < len(unused) and unused[place] is entry:
            self._remove(key, unused, place)


def _nearest_oldest(unused: _Entries, began: float, latest: float) -> int:
    """Return the place of the first entry not before began, or the previous, if that is nearer."""
    edge = (began - EARLIER, b"")  # sorts before every entry of that time
    after = bisect_left(unused, edge) if type(unused) is list else unused.bisect_left(edge)
    if after < len(unused) and unused[after][0] <= latest:
        return int(after)
    return _nearer(unused, after, began, latest)


def _nearer(unused: _Entries, after: int, began: float, latest: float) -> int:
    """Return after or the place before it: which is nearer to the span, or hardly further."""
    if after == 0:
        return 0
    if after == len(unused) or began - unused[after - 1][0] <= unused[after][0] - latest + SECOND:
        return after - 1
    return after
