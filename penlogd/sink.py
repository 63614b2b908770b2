"""Where finished lines go: a file that is reopened on HUP, or standard output.

Lines are written once a turn. While a write fails (full disk) or would block (slow pipe) they are
kept, in order, up to a limit; beyond it new lines are dropped and counted.
"""

import os
import select
import stat
from collections.abc import Callable

LIMIT = 64 << 20
"""Bytes kept while the file or pipe takes none."""

RETRY = 1.0
"""Seconds between tries."""


class Sink:
    """Writes lines to a file or to standard output.

    Args:
        path: The file, appended to; None for standard output.
        say: Called with a message when writing begins to fail and when it works again.
        limit: Bytes to keep while nothing can be written.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str | None, say: Callable[[str], None], *, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._path = path
        self._say = say
        self._limit = limit
        self._pending = bytearray()
        self._failing = False
        self._fd = 1 if path is None else _opened(path)
        self._may_block = not stat.S_ISREG(os.fstat(self._fd).st_mode)

    @property
    def fd(self) -> int:
        """The descriptor that is written to."""
        return self._fd

    @property
    def blocked(self) -> bool:
        """Whether lines are kept because a pipe's reader is slow."""
        return bool(self._pending) and self._may_block and not self._failing

    @property
    def waiting(self) -> bool:
        """Whether lines are kept that could not be written yet."""
        return bool(self._pending)

    def write(self, lines: list[bytes]) -> None:
        """Write lines, adding a newline to each, after those that are kept."""
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        if len(self._pending) + len(data) <= self._limit:
            self._pending += data
        else:
            self.dropped += len(lines)
        self.flush()

    def flush(self) -> None:
        """Write what is kept, as far as that works without waiting.

        Raises:
            BrokenPipeError: Standard output has no reader any more.
        """
        try:
            while self._pending and self._ready():
                del self._pending[: os.write(self._fd, self._portion())]
        except BrokenPipeError:
            raise
        except OSError as error:
            self._fail(error)
            return
        if self._failing and not self._pending:
            self._failing = False
            self._say(f"{self._name()}: writing again; {self.dropped} lines dropped so far")

    def reopen(self) -> None:
        """Open the file again by its name, after writing what is kept to the old one.

        If that fails the old one stays in use, and the reason is said.
        """
        self.flush()
        if self._path is None:
            return
        try:
            fd = _opened(self._path)
        except OSError as error:
            self._say(f"{self._path}: {error.strerror}; still writing to the old file")
            return
        os.close(self._fd)
        self._fd = fd
        self._may_block = not stat.S_ISREG(os.fstat(fd).st_mode)

    def close(self) -> int:
        """Write what is kept, waiting for a slow reader a second, and close the file.

        Returns:
            How many bytes could not be written.
        """
        self.flush()
        while self._pending and not self._failing and self._ready(1000):
            self.flush()
        if self._path is not None:
            os.close(self._fd)
        return len(self._pending)

    def _portion(self) -> bytes:
        # A pipe that is ready takes this much without blocking.
        size = select.PIPE_BUF if self._may_block else 1 << 20
        return bytes(self._pending[:size])

    def _ready(self, milliseconds: int = 0) -> bool:
        if not self._may_block:
            return True
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(milliseconds))

    def _fail(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            self._say(f"{self._name()}: {error.strerror}; keeping up to {self._limit} bytes of log")

    def _name(self) -> str:
        return self._path or "standard output"


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
