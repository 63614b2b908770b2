"""What can be asked of a pen that runs: its own facts, or those of all its workers."""

from collections.abc import Callable
from typing import Protocol

from pen.core.state import State
from pen.stats.snapshot import (
    ClientFacts,
    ConnectionFacts,
    Many,
    ServerFacts,
    Snapshot,
    clients_since,
    connection_facts,
    servers_now,
    take_snapshot,
)


class Facts(Protocol):
    """The questions."""

    def servers(self) -> Many[ServerFacts]:
        """The regular servers, by slot."""

    def clients(self, seconds: float) -> Many[ClientFacts]:
        """Clients that connected in the last `seconds`, in the order of their slots."""

    def connection(self, number: int) -> ConnectionFacts | None:
        """The session of this number; None if there is none."""

    def connection_of(self, descriptor: int) -> int:
        """The number of the session that a socket belongs to; -1: none."""

    def snapshot(self, epoch: int) -> Snapshot:
        """All of it; `epoch` is the wall clock's time, in seconds."""


class LocalFacts:
    """Those of this process.

    Args:
        state: where they are.
        clock: gives monotonic seconds.
    """

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock

    def servers(self) -> Many[ServerFacts]:
        """See `Facts`."""
        return servers_now(self._state, self._clock)

    def clients(self, seconds: float) -> Many[ClientFacts]:
        """See `Facts`."""
        return clients_since(self._state, self._clock, seconds)

    def connection(self, number: int) -> ConnectionFacts | None:
        """See `Facts`."""
        session = self._state.sessions.get(number)
        return connection_facts(session) if session is not None else None

    def connection_of(self, descriptor: int) -> int:
        """See `Facts`."""
        for session in self._state.sessions:
            traffic = session.traffic()
            if descriptor in (traffic.client_fd, traffic.server_fd):
                return session.number
        return -1

    def snapshot(self, epoch: int) -> Snapshot:
        """See `Facts`."""
        return take_snapshot(self._state, self._clock, epoch)
