"""Long work on the loop, a little of it each turn, so that clients do not wait for it."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from pen.core.errors import PenError
from pen.net.reactor import Reactor

SPAN: Final = 0.0005
"""Seconds of it in a turn."""


class Work:
    """Takes piece after piece, and calls `done` with all of them, or `failed`.

    What takes less than `SPAN` is done before this returns. Nothing refers to the work but the
    loop, and that only until it is done: what a long reply takes is then free at once.
    """

    def __init__(
        self,
        reactor: Reactor,
        pieces: Iterator[str],
        done: Callable[[str], object],
        failed: Callable[[PenError], object],
    ) -> None:
        self._reactor = reactor
        self._pieces = pieces
        self._done = done
        self._failed = failed
        self._made: list[str] = []
        self._is_over = False
        self.go_on()

    def go_on(self) -> None:
        """Work for `SPAN`, and in the next turn again."""
        if not self._is_over and not self._work_until(time.perf_counter() + SPAN):
            self._reactor.again.append(self.go_on)

    def finish(self) -> None:
        """Do the rest in one go, if there is any."""
        if not self._is_over:
            self._work_until(float("inf"))

    def abandon(self) -> None:
        """Give up after a mistake of ours."""
        self._is_over = True
        self._failed(PenError("internal error"))

    def _work_until(self, end: float) -> bool:
        """Work; whether all is done."""
        try:
            for piece in self._pieces:
                self._made.append(piece)
                if time.perf_counter() >= end:
                    return False
        except PenError as error:
            self._is_over = True
            self._failed(error)
        else:
            self._is_over = True
            self._done("".join(self._made))
        return True
