"""Time limits that may change while they run."""

import heapq
import math
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from pen.net.reactor import Reactor

T = TypeVar("T")

TICK: Final = 0.125
"""Seconds by which something may be late; what started in the same tick is kept together."""


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
        self._ticks: list[float] = []
        """A heap of the ticks in `_started`."""
        self._started: dict[float, dict[T, float]] = {}
        """Items and their starts, by tick."""
        self._tick_of: dict[T, float] = {}
        self._scheduled = False

    def add(self, item: T, start: float) -> None:
        """Queue an item that started at this monotonic time; again: it started anew."""
        self.discard(item)
        tick = math.ceil(start / TICK) * TICK
        if tick not in self._started:
            self._started[tick] = {}
            heapq.heappush(self._ticks, tick)
        self._started[tick][item] = start
        self._tick_of[item] = tick
        if not self._scheduled:
            self._schedule()

    def discard(self, item: T) -> None:
        """Forget an item, if it is queued, and all that hangs on it."""
        tick = self._tick_of.pop(item, None)
        if tick is not None:
            items = self._started[tick]
            del items[item]
            if not items:
                items.clear()  # an empty dict keeps the room that it once took

    def clear(self) -> None:
        """Forget what is queued."""
        self._ticks.clear()
        self._started.clear()
        self._tick_of.clear()

    def _schedule(self) -> None:
        self._scheduled = True
        due = self._ticks[0] + self._limit()
        self._reactor.call_at(min(due, self._reactor.now + 1.0), self._look)

    def _look(self) -> None:
        self._scheduled = False
        limit = self._limit()
        due: list[tuple[T, float]] = []
        while limit and self._ticks and self._ticks[0] + limit <= self._reactor.now:
            due += self._started.pop(heapq.heappop(self._ticks)).items()
        for item, _ in due:
            del self._tick_of[item]
        for item, start in due:
            try:
                self._expire(item, start)
            except Exception:
                self._reactor.abandon(self._expire, item)
        if self._ticks and limit and not self._scheduled:
            self._schedule()
