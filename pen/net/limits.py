"""Time limits that may change while they run."""

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

from pen.net.reactor import Reactor

T = TypeVar("T")


class TimeLimit(Generic[T]):
    """Calls `expire` for each item whose limit has passed.

    What is queued is when something *started*; when it is due is computed at each look,
    once a second or when the first is due, so that a new limit holds for what is queued.

    Args:
        reactor: whose timers are used.
        limit: the limit in seconds, asked at each look; 0 means there is none.
        expire: called with the item and its start.
    """

    def __init__(
        self, reactor: Reactor, limit: Callable[[], float], expire: Callable[[T, float], None]
    ) -> None:
        self._reactor = reactor
        self._limit = limit
        self._expire = expire
        self._heap: list[tuple[float, int, T]] = []
        self._sequence = itertools.count()
        self._scheduled = False

    def add(self, item: T, start: float) -> None:
        """Queue an item that started at this monotonic time."""
        heapq.heappush(self._heap, (start, next(self._sequence), item))
        if not self._scheduled:
            self._schedule()

    def clear(self) -> None:
        """Forget what is queued."""
        self._heap.clear()

    def _schedule(self) -> None:
        self._scheduled = True
        due = self._heap[0][0] + self._limit()
        self._reactor.call_at(min(due, self._reactor.now + 1.0), self._look)

    def _look(self) -> None:
        self._scheduled = False
        limit, due = self._limit(), []
        while limit and self._heap and self._heap[0][0] + limit <= self._reactor.now:
            due.append(heapq.heappop(self._heap))
        for start, _, item in due:
            self._expire(item, start)
        if self._heap and limit and not self._scheduled:
            self._schedule()
