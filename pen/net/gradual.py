"""Long work on the loop, a little of it each turn, so that clients do not wait for it."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from pen.core.errors import PenError
from pen.net.reactor import Reactor

SPAN: Final = 0.0005
"""Seconds of it in a turn."""


def gradually(
    reactor: Reactor,
    pieces: Iterator[str],
    done: Callable[[str], object],
    failed: Callable[[PenError], object],
) -> None:
    """Take piece after piece, and call `done` with all of them, or `failed`.

    What takes less than `SPAN` is done before this returns.
    """
    made: list[str] = []

    def go_on() -> None:
        until = time.perf_counter() + SPAN
        try:
            for piece in pieces:
                made.append(piece)
                if time.perf_counter() >= until:
                    reactor.again.append(go_on)
                    return
        except PenError as error:
            failed(error)
        else:
            done("".join(made))

    go_on()
