"""The loop: one thread, a dict from descriptor to what handles it, and timers.

One turn: wait for events, read the clock once, call a handler per event, then what
was put off (`again`), then what belongs at the turn's end (`at_turn_end`), then the
timers that are due. A handler gets the event mask, which is only a hint: an earlier
handler of the same turn may have closed the descriptor, and a new one may have its
number by now. Handlers therefore stand being called for nothing.
"""

import heapq
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pen.net.pollers import EVENTS_MAX, Poller

logger = logging.getLogger("pen")

Handler = Callable[[int], object]


@runtime_checkable
class Abandonable(Protocol):
    """Whose handlers may be given up."""

    def abandon(self) -> None:
        """Close what this handles, whatever state it is in."""


class Reactor:
    """Owns the poller; everything else registers with it."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.handlers: dict[int, Handler] = {}
        self.now = time.monotonic()
        """Monotonic seconds, read once a turn."""
        self.again: deque[Callable[[], object]] = deque()
        """Work that was cut short so that others get their turn; goes on in the next."""
        self.at_turn_end: list[Callable[[], object]] = []
        """Called once at the end of this turn, then forgotten."""
        self.running = False
        self.aborts = False
        """Dump core after a mistake of ours, rather than go on without the one it met."""
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._sequence = itertools.count()

    def add(self, fd: int, handler: Handler) -> None:
        """Watch a listener or another level-triggered descriptor for reading."""
        self.handlers[fd] = handler
        self.poller.watch_listener(fd)

    def remove(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""
        if self.handlers.pop(fd, None) is not None:
            self.poller.forget(fd)

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Call once at or after a monotonic time."""
        heapq.heappush(self._timers, (when, next(self._sequence), callback))

    def restart(self, poller: Poller) -> None:
        """Forget all that is watched and timed: in a process just forked, it is the parent's."""
        self.poller.close()
        self.poller = poller
        self.handlers.clear()
        self._timers.clear()
        self.again.clear()
        self.at_turn_end.clear()

    def stop(self) -> None:
        """Leave the loop at the end of this turn."""
        self.running = False

    def run(self) -> None:
        """Turn until stopped."""
        self.running = True
        while self.running:
            self.turn(-1.0)

    def turn(self, longest: float) -> None:
        """One turn, waiting at most `longest` seconds (negative: for ever) for events."""
        handlers = self.handlers
        events = self.poller.poll(self._patience(longest), EVENTS_MAX)
        self.now = time.monotonic()
        for fd, mask in events:
            handler = handlers.get(fd)
            if handler is not None:
                try:
                    handler(mask)
                except Exception:
                    self.abandon(handler)
        if self.again:
            for _ in range(len(self.again)):
                callback = self.again.popleft()
                try:
                    callback()
                except Exception:
                    self.abandon(callback)
        if self._timers and self._timers[0][0] <= self.now:
            self._run_timers()
        if self.at_turn_end:
            callbacks, self.at_turn_end = self.at_turn_end, []
            for callback in callbacks:
                self._call(callback)

    def abandon(self, callback: Callable[..., object], item: object = None) -> None:
        """Tell of the exception in hand: a mistake of ours costs the connection that met it only.

        `callback` met it; if `item`, or else what `callback` is a method of, is
        `Abandonable`, that is abandoned.
        """
        logger.exception("internal error in %s; its connection is closed", callback)
        if self.aborts:
            os.abort()
        owner = item or getattr(callback, "__self__", None)
        if isinstance(owner, Abandonable):
            owner.abandon()

    def _patience(self, longest: float) -> float:
        if self.again:
            return 0.0
        if not self._timers:
            return longest
        wait = self._timers[0][0] - time.monotonic()
        if wait < 0.0:
            return 0.0
        return wait if longest < 0.0 or wait < longest else longest

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            self._call(heapq.heappop(self._timers)[2])

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:
            self.abandon(callback)
