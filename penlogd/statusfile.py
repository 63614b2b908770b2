"""The status file: the figures, ``name=value`` a line, in a file that readers always find whole.

It is written beside the old one and renamed, `EVERY` seconds after the last time if anything was
counted since, else after `AT_LAST`. A file that cannot be written harms nothing: that is told
once, and tried again.
"""

import os
import stat
from collections.abc import Callable

from penlogd import figures
from penlogd.parts import Parts

EVERY = 1.0
AT_LAST = 10.0


class StatusFile:
    """Keeps the file up to date.

    Args:
        path: Its name.
        parts: What the figures are read from.
        say: Tells people.

    Attributes:
        fd: -1: it waits for no descriptor.
        deadline: Monotonic time of the next writing.
    """

    fd = -1

    def __init__(self, path: str, parts: Parts, say: Callable[[str], None]) -> None:
        self.deadline = 0.0
        self._path = path
        self._parts = parts
        self._say = say
        self._told: list[float] = []
        self._write_at = 0.0
        self._failing = False

    def write(self) -> None:
        """Write it now.

        Raises:
            OSError: That is not possible.
        """
        if os.path.exists(self._path) and not stat.S_ISREG(os.stat(self._path).st_mode):
            raise OSError(0, "not a regular file")  # it would be replaced: /dev/null, for instance
        beside = f"{self._path}.new"
        try:
            _write_whole(beside, "\n".join([*figures.words(self._parts), ""]).encode())
            os.replace(beside, self._path)
        except OSError:
            _remove(beside)
            raise

    def work(self, now: float) -> None:
        """Write it if it is time to."""
        if now < self.deadline:
            return
        self.deadline = now + EVERY
        counted = figures.counters(self._parts)
        if now < self._write_at and (self._failing or counted == self._told):
            return
        self._told, self._write_at = counted, now + AT_LAST
        self._try()

    def close(self) -> None:
        """Write it for the last time."""
        self._try()

    def _try(self) -> None:
        try:
            self.write()
        except OSError as error:
            if not self._failing:
                self._say(f"status file {self._path}: {error.strerror}; trying again now and then")
            self._failing = True
            return
        if self._failing:
            self._say(f"status file {self._path}: written again")
        self._failing = False


def _write_whole(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o644), "wb") as file:
        file.write(data)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it may never have been made
