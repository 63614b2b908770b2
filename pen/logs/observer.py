"""What stands between the relays and a request log: it sees each piece that a client sent."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from pen.core.session import Session
from pen.logs.log import RequestLog

PIECE_MAX: Final = 1024
"""Bytes of a piece that a log looks at; no form of record holds more."""


class Turns(Protocol):
    """The loop, whose turns gather what is logged in them."""

    at_turn_end: list[Callable[[], object]]


def make_observer(log: RequestLog, turns: Turns) -> Callable[[Session, bytes], None]:
    """An observer that notes each piece, and has the log written once a turn."""

    def observe(session: Session, piece: bytes) -> None:
        if log.flush not in turns.at_turn_end:
            turns.at_turn_end.append(log.flush)
        client = session.address or "unix"
        log.record(client, int(time.time()), session.server.address, piece[:PIECE_MAX])

    return observe
