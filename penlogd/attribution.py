"""Which client sent the request that a web server logged: the join by request and time.

Pen tells which client sent which request to which server, and when that was. A line of the server's
log is joined to a record with the same server and request: of those that its stamp allows, to the
one whose *lag* is the most likely, by what `Habits` has learnt of the server.

A record may have several lines. Using each once seems right, as it has but one line; but one record
lost, or one mistake, then makes more mistakes of the lines to come than it prevents (simulated with
bench/logs.py). In files, where nothing is lost, it is right: `pairing`.

Nothing here reads a clock or a socket: times are passed in, in seconds since 1970.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from penlog.records import DATAGRAM_REQUEST_MINIMUM
from penlogd.accesslog import AccessLine
from penlogd.habits import ANY, Habits

CEILING = 500_000
"""Records kept at most, however young they are."""


ALONE = 2.0
"""A record with no other of its kind within this many seconds is surely its line's."""

QUICK = 5.0
"""Seconds of lag up to which a line and its only record teach."""

_SERVERS = 10_000

_CUT = 64
"""Records forgotten of a kind before they are cut off its list, which moves all others."""

_Key = tuple[bytes, bytes]  # server, request


@dataclass(slots=True)
class _Records:
    """The records of one server and request by time, the first `gone` of them forgotten.

    Attributes:
        newest: The time of the newest.
        is_alone: Whether no other was near it when it came.
    """

    key: _Key
    times: list[float] = field(default_factory=list)
    clients: list[bytes] = field(default_factory=list)
    gone: int = 0
    newest: float = float("-inf")
    is_alone: bool = True

    def add(self, when: float, client: bytes) -> None:
        """Add a record, usually the newest."""
        self.is_alone = when - self.newest > ALONE
        if when >= self.newest:
            self.newest = when
            self.times.append(when)
            self.clients.append(client)
        else:  # the clock was set back
            place = bisect_right(self.times, when, self.gone)
            self.times.insert(place, when)
            self.clients.insert(place, client)

    def cut(self) -> None:
        """Take those that are forgotten off the lists, if they are many."""
        if self.gone > _CUT and self.gone > len(self.times) // 2:
            del self.times[: self.gone], self.clients[: self.gone]
            self.gone = 0


class Attribution:
    """Pen's records, to be asked for the client of a request.

    Args:
        capacity: Records to keep. The oldest go first.
        spared: Records younger than this many seconds stay beyond the capacity (up to `CEILING`):
            their lines may still be on the way.
    """

    def __init__(self, capacity: int, *, spared: float = 0.0) -> None:
        self._capacity = capacity
        self._spared = spared
        self._records: dict[_Key, _Records] = {}
        self._habits: dict[tuple[bytes, bool], Habits] = {}
        self._by_age: deque[_Records] = deque()  # each as often as it has records
        self._full_until = float("-inf")  # till then the oldest is too young to be forgotten

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, server: bytes, request: bytes, client: bytes, when: float) -> None:
        """Remember that the client sent the request to the server; records come in time order."""
        key = (server, request[:DATAGRAM_REQUEST_MINIMUM])
        records = self._records.get(key)
        if records is None:
            records = self._records[key] = _Records(key)
        records.add(when, client)
        by_age = self._by_age
        by_age.append(records)
        if len(by_age) > self._capacity and (when >= self._full_until or len(by_age) > CEILING):
            self._forget_old(when)

    def client(self, line: AccessLine, request: bytes, came: float) -> tuple[bytes, bool] | None:
        """Return who sent a line's request, and whether at about that time; None if nobody did.

        Args:
            line: The line.
            request: Its request, escapes undone.
            came: When it came.
        """
        records = self._records.get((line.server, request[:DATAGRAM_REQUEST_MINIMUM]))
        if records is None:
            return None
        with_habits = (line.server, line.duration is None)
        habits = self._habits.get(with_habits) or self._unknown(with_habits)
        end, began, latest = habits.span(line, came)
        place = self._likeliest(records, end, habits, began, latest)
        newest = records.newest
        earliest = -QUICK if habits.timed else 0.0
        if records.is_alone and earliest <= end - newest < QUICK:
            habits.learn(line, end - newest, newest)
        return records.clients[place], -ANY <= end - records.times[place] <= ANY

    def _unknown(self, with_habits: tuple[bytes, bool]) -> Habits:
        """Begin to learn the habits of a server, of its lines with durations or without."""
        if len(self._habits) >= _SERVERS:
            self._habits.clear()
        _, untimed = with_habits
        habits = self._habits[with_habits] = Habits(not untimed)
        return habits

    def _likeliest(
        self, records: _Records, end: float, habits: Habits, began: float, latest: float
    ) -> int:
        """Return the place of the likeliest record.

        Likelihood falls with the distance from the mode, so it is one of the two beside it.
        """
        times, first = records.times, records.gone
        target = end - habits.mode
        target = began if target < began else latest if target > latest else target
        after = bisect_right(times, target, first)
        if after == len(times):
            return after - 1
        if after == first:
            return first
        older, newer = times[after - 1], times[after]
        if older < began or newer > latest:
            is_newer = newer - latest < began - older
        else:
            is_newer = habits.is_newer_likelier(end - older, end - newer)
        return after if is_newer else after - 1

    def _forget_old(self, now: float) -> None:
        by_age = self._by_age
        while len(by_age) > self._capacity:
            records = by_age[0]
            self._full_until = records.times[records.gone] + self._spared
            if now < self._full_until and len(by_age) <= CEILING:
                return
            by_age.popleft()
            self._forget_oldest(records)

    def _forget_oldest(self, records: _Records) -> None:
        records.gone += 1
        if records.gone == len(records.times):
            del self._records[records.key]
        else:
            records.cut()
