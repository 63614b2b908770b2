"""The request log in a file: one line for each piece that a client sent."""

import logging
import os

from pen.core.errors import PenError
from penlog import records

logger = logging.getLogger("pen")

HELD_MAX = 8 << 20
"""Bytes kept while the disk is full; beyond that, records are counted as lost."""


class FileLog:
    """Appends lines; once a turn, with one write."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.lost = 0
        self._lines: list[bytes] = []
        self._rest = b""
        self._complained = False
        self._fd = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(self.target, flags, 0o644)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise PenError(f"cannot open log file '{self.target}': {reason}") from None

    def record(self, client: str, epoch: int, server: str, piece: bytes) -> None:
        """Note a line."""
        self._lines.append(records.file_line(client, epoch, server, piece))

    def add(self, line: bytes) -> None:
        """Note a line as it is."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was noted. A full disk or a stuck pipe is said once, and tried again.

        Once closed it does nothing: its descriptor's number may be a client's by then.
        """
        if self._fd < 0:
            self._lines.clear()
            return
        data = self._rest + b"".join(self._lines)
        count = len(self._lines)
        self._lines.clear()
        try:
            written = os.write(self._fd, data) if data else 0
        except OSError as error:
            written = 0
            if not self._complained:
                logger.error("cannot write log file '%s': %s", self.target, error.strerror)
                self._complained = True
        else:
            self._complained = False
        self._rest = data[written:]
        if len(self._rest) > HELD_MAX:
            self.lost += count
            self._rest = self._rest[: self._rest.rfind(b"\n", 0, HELD_MAX) + 1]

    def reopen(self) -> None:
        """Open the file by its name again."""
        self.flush()
        old, self._fd = self._fd, self._open()
        os.close(old)

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        os.close(self._fd)
        self._fd = -1
