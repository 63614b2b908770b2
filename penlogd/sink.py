"""Where finished lines go: a file that is reopened on HUP, or standard output.

Lines are written once a turn. While a write fails (full disk) or would block (slow pipe) they are
kept, in order, up to a limit; beyond it new lines are dropped and counted. `settled` tells which
lines are out, so that a journal need not keep them.
"""

import os
import select
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT = 64 << 20
"""Bytes kept while the file or pipe takes none."""

RETRY = 1.0
"""Seconds between tries."""

Mark = tuple[int, int, int]
"""Device and inode of the log, and its size after the last whole batch; all 0 for a pipe."""

NOWHERE: Mark = (0, 0, 0)

_PORTION = 1 << 20


@dataclass(slots=True)
class _Batch:
    """Lines that were finished together.

    Attributes:
        data: The lines.
        done: How many bytes of it have been written.
        lines: How many lines they are.
        serials: The lines' numbers.
    """

    data: bytes
    lines: int
    serials: list[int]
    done: int = 0


class Sink:
    """Writes lines to a file or to standard output.

    Args:
        path: The file, appended to; None for standard output.
        say: Called with a message when writing begins to fail and when it works again.
        limit: Bytes to keep while nothing can be written.

    Attributes:
        written: Lines that were written.
        dropped: Lines that were dropped.
        kept: Bytes that are kept.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str | None, say: Callable[[str], None], *, limit: int = LIMIT) -> None:
        self.written = 0
        self.dropped = 0
        self.kept = 0
        self._path = path
        self._say = say
        self._limit = limit
        self._batches: deque[_Batch] = deque()
        self._settled: list[int] = []
        self._failing = False
        self._use(1 if path is None else _opened(path))

    @property
    def fd(self) -> int:
        """The descriptor that is written to."""
        return self._fd

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which can be cut back."""
        return not self._may_block

    @property
    def blocked(self) -> bool:
        """Whether lines are kept because a pipe's reader is slow."""
        return bool(self._batches) and self._may_block and not self._failing

    @property
    def waiting(self) -> bool:
        """Whether lines are kept that could not be written yet."""
        return bool(self._batches)

    @property
    def crowded(self) -> bool:
        """Whether so much is kept that no more should be taken in from who can keep it."""
        return self.kept > self._limit // 2

    def write(self, lines: list[bytes], serials: list[int] | None = None) -> None:
        """Write lines, adding a newline to each, after those that are kept."""
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        if not self._batches or self.kept + len(data) <= self._limit:  # one may be longer alone
            self._batches.append(_Batch(data, len(lines), serials or []))
            self.kept += len(data)
        else:
            self.dropped += len(lines)
            self._settled += serials or []
        self.flush()

    def flush(self) -> None:
        """Write what is kept, as far as that works without waiting.

        Raises:
            BrokenPipeError: Standard output has no reader any more.
        """
        try:
            while self._batches and self._ready():
                self._write_some(self._batches[0])
        except BrokenPipeError:
            raise
        except OSError as error:
            self._fail(error)
            return
        if self._failing and not self._batches:
            self._failing = False
            self._say(f"{self._name()}: writing again; {self.dropped} lines dropped so far")

    def settled(self) -> list[int]:
        """Return the numbers of the lines written, or dropped, since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def mark(self) -> Mark:
        """Return where the log ends now."""
        if self._may_block:
            return NOWHERE
        status = os.fstat(self._fd)
        begun = self._batches[0].done if self._batches else 0
        return (status.st_dev, status.st_ino, status.st_size - begun)

    def cut_back(self, mark: Mark) -> int:
        """Undo what was written after a mark, in the file it is of, whatever its name is now.

        Returns:
            How many bytes were undone.
        """
        device, inode, size = mark
        if self._may_block or self._path is None or not inode:
            return 0
        for path in (self._path, *_siblings(self._path)):
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) == (device, inode):
                    beyond = max(0, status.st_size - size)
                    if beyond:
                        os.truncate(path, size)
                    return beyond
            except OSError as error:
                self._say(f"{path}: {error.strerror}; it may have lines twice")
        return 0

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
        self._take_back()
        os.close(self._fd)
        self._use(fd)

    def close(self) -> int:
        """Write what is kept, waiting for a slow reader a second, and close the file.

        Returns:
            How many bytes could not be written.
        """
        self.flush()
        while self._batches and not self._failing and self._ready(1000):
            self.flush()
        if self._path is not None:
            os.close(self._fd)
        return self.kept

    def _use(self, fd: int) -> None:
        self._fd = fd
        self._may_block = not stat.S_ISREG(os.fstat(fd).st_mode)

    def _write_some(self, batch: _Batch) -> None:
        # A pipe that is ready takes this much without blocking.
        most = select.PIPE_BUF if self._may_block else _PORTION
        portion = batch.data[batch.done : batch.done + most] if batch.done else batch.data[:most]
        written = os.write(self._fd, portion)
        batch.done += written
        self.kept -= written
        if batch.done == len(batch.data):
            self._batches.popleft()
            self.written += batch.lines
            self._settled += batch.serials

    def _take_back(self) -> None:
        """Take back the part of a batch that is in the file: all of it goes into the next one."""
        if not self._batches or not self._batches[0].done or self._may_block:
            return
        batch = self._batches[0]
        os.ftruncate(self._fd, os.fstat(self._fd).st_size - batch.done)
        self.kept += batch.done
        batch.done = 0

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


def _siblings(path: str) -> list[str]:
    """Return what else is in the log's folder: the file may have been moved aside."""
    folder = Path(path).parent
    try:
        return [str(each) for each in folder.iterdir() if each.is_file()]
    except OSError:
        return []


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
