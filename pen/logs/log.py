"""What every kind of request log offers."""

from typing import Protocol


class RequestLog(Protocol):
    """Takes records during a turn of the loop and writes them at its end."""

    target: str

    @property
    def lost(self) -> int:
        """Records that could not be written or sent."""

    def record(self, client: str, epoch: int, server: str, piece: bytes) -> None:
        """Note that `client` sent `piece` to `server` at `epoch` (seconds since 1970)."""

    def add(self, line: bytes) -> None:
        """Note a line of `penlog.records` as it is, newline included."""

    def flush(self) -> None:
        """Write what was noted; never blocks for long and never raises."""

    def reopen(self) -> None:
        """Open the file anew, after log rotation moved it away.

        Raises:
            PenError: it cannot be opened; the old one stays open.
        """

    def close(self) -> None:
        """Write the rest and close."""


def is_network(target: str) -> bool:
    """Whether a log's name means a penlogd rather than a file."""
    return ":" in target and not target.startswith("/")
