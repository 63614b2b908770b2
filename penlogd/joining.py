"""The best join that there is for a line: exact by the port, else by request and time."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

from penlogd.accesslog import AccessLine
from penlogd.connections import Connections, Unknown, place_of

Span = Callable[[AccessLine, float], tuple[float, float]]
"""A method of `AccessLine` that tells between which times its connection was open."""


@dataclass(slots=True)
class Statistics:
    """What became of what came in. Every line received is counted once more below it."""

    records: int = 0
    bad_records: int = 0
    connections: int = 0
    lines: int = 0
    exact: int = 0
    exact_missing: int = 0
    ambiguous: int = 0
    joined: int = 0
    guessed: int = 0
    unmatched: int = 0
    unreadable: int = 0
    garbage: int = 0
    late: int = 0

    def text(self) -> str:
        """Return ``name=value`` pairs on one line."""
        return " ".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))


class ByRequest(Protocol):
    """Pen's records of requests."""

    def client(self, line: AccessLine, request: bytes, when: float) -> tuple[bytes, bool] | None:
        """Return who sent the request of a line, and whether at about the time passed in."""


class Join:
    """Asks what pen told for the client of a line, and counts how it was found.

    Args:
        requests: Pen's records of requests.
        connections: Pen's records of connections.
        statistics: Where it is counted.
        address: Brings an address into the spelling that keys of connections have.
        span_on_connection: When a line's connection was open.
    """

    def __init__(
        self,
        requests: ByRequest,
        connections: Connections,
        statistics: Statistics,
        address: Callable[[bytes], bytes],
        *,
        span_on_connection: Span = AccessLine.span_on_connection,
    ) -> None:
        self._requests = requests
        self._connections = connections
        self._statistics = statistics
        self._address = address
        self._span_on_connection = span_on_connection

    def client(self, line: AccessLine, when: float) -> bytes | None:
        """Return who sent the request, by the best rule that knows; None if none does.

        Args:
            line: The server's line.
            when: When it came, or its stamp, as `requests` and `span_on_connection` take it.
        """
        if line.port is not None:
            client = self._by_port(line, line.port, when)
            if client is not Unknown.MISSING:
                return client if isinstance(client, bytes) else None
        return None if line.request is None else self._by_request(line, line.request, when)

    def _by_port(self, line: AccessLine, port: bytes, when: float) -> bytes | Unknown:
        """Return whose connection had the port that the line shows."""
        key = place_of(self._address(line.pen()), port, line.server)
        span = self._span_on_connection(line, when)
        client = self._connections.client(key, line.server_port, *span)
        if client is Unknown.MISSING:
            self._statistics.exact_missing += 1
        elif client is Unknown.AMBIGUOUS:
            self._statistics.ambiguous += 1
        else:
            self._statistics.exact += 1
        return client

    def _by_request(self, line: AccessLine, request: bytes, when: float) -> bytes | None:
        """Return who asked for the same at about that time, else who did at any."""
        found = self._requests.client(line, request, when)
        if found is None:
            self._statistics.unmatched += 1
            return None
        client, timely = found
        if timely:
            self._statistics.joined += 1
        else:
            self._statistics.guessed += 1
        return client
