"""Lines in time order, although servers write them when requests end and networks delay them.

A line waits in the buffer until no earlier one is to be expected:

* every server that was heard of lately has sent a line stamped more than *hold* seconds later (the
  *watermark*; it lets lines go early when much comes at once), or
* it has waited for hold seconds. So an idle server holds nothing up for longer.

A line stamped before one that has been written already is *late*. It is not kept: the caller writes
it at once. Stamps from the future count as the time of arrival, so a server whose clock is wrong
does not make every other line late. With hold 0 nothing waits and order is that of arrival.

Nothing here reads a clock: times are passed in, in seconds since 1970.
"""

from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Generic, TypeVar

from sortedcontainers import SortedDict

Item = TypeVar("Item")

PER_SECOND = 10
"""Buckets in a second: lines leave a bucket at a time, sorted, so waiting is exact to 0.1 s."""

_stamp = itemgetter(0)


@dataclass(slots=True)
class _Bucket(Generic[Item]):
    """The lines stamped within one tenth of a second."""

    lines: list[tuple[float, Item]] = field(default_factory=list)  # stamp, line; as they came
    size: int = 0


class ReorderBuffer(Generic[Item]):
    """Holds lines back for a while and lets them go in the order of their stamps.

    Args:
        hold: Seconds to wait for earlier lines.
        max_lines: With more lines than this the oldest go at once.
        max_bytes: With more bytes than this the oldest go at once.
    """

    def __init__(
        self, hold: float, *, max_lines: int = 500_000, max_bytes: int = 128 << 20
    ) -> None:
        self._hold = hold
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._buckets: SortedDict[int, _Bucket[Item]] = SortedDict()
        self._opened: deque[tuple[float, int]] = deque()  # when the bucket got its first line
        self._newest: dict[bytes, tuple[float, float]] = {}  # server: newest stamp, last arrival
        self._released = float("-inf")
        self.lines = 0
        self.bytes = 0

    def add(self, item: Item, size: int, server: bytes, stamp: float, now: float) -> bool:
        """Keep a line; False if it is late, or if nothing is held, and must be written at once."""
        if stamp > now:
            stamp = now
        newest = self._newest.get(server)
        if newest is None or stamp > newest[0]:
            self._newest[server] = (stamp, now)
        if stamp < self._released:
            return False
        key = int(stamp * PER_SECOND)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
            self._opened.append((now, key))
        bucket.lines.append((stamp, item))
        bucket.size += size
        self.lines += 1
        self.bytes += size
        return True

    def due(self, now: float) -> list[Item]:
        """Return the lines whose time has come, in order."""
        last = self._watermark(now)
        while self._opened and self._opened[0][0] <= now - self._hold:
            last = max(last, self._opened.popleft()[1])
        released: list[Item] = []
        while self._buckets and (self._is_full() or self._buckets.peekitem(0)[0] <= last):
            self._release(released)
        while self._opened and self._opened[0][1] not in self._buckets:
            self._opened.popleft()
        return released

    def flush(self) -> list[Item]:
        """Return all lines that are held, in order; none that comes later is late by them."""
        released: list[Item] = []
        while self._buckets:
            self._release(released)
        self._opened.clear()
        self._newest.clear()
        self._released = float("-inf")
        return released

    def deadline(self) -> float | None:
        """Return when `due` must be asked again at the latest; None if nothing is held."""
        return self._opened[0][0] + self._hold if self._opened else None

    def lag(self, now: float) -> dict[bytes, float]:
        """Return for each server heard of lately how old its newest stamp is, in seconds."""
        return {server: now - stamp for server, (stamp, _) in self._newest.items()}

    def _watermark(self, now: float) -> int:
        """Return the last bucket for which no server heard of lately will send a line."""
        idle = [s for s, (_, heard) in self._newest.items() if heard < now - self._hold]
        for server in idle:
            del self._newest[server]
        if not self._newest:
            return -1 << 62
        slowest = min(stamp for stamp, _ in self._newest.values())
        return int((slowest - self._hold) * PER_SECOND) - 1

    def _is_full(self) -> bool:
        return self.lines > self._max_lines or self.bytes > self._max_bytes

    def _release(self, released: list[Item]) -> None:
        _, bucket = self._buckets.popitem(0)
        bucket.lines.sort(key=_stamp)
        self._released = max(self._released, bucket.lines[-1][0])
        released.extend([item for _, item in bucket.lines])
        self.lines -= len(bucket.lines)
        self.bytes -= bucket.size
