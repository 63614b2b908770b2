"""Where spools are on disk, and whose they are.

::

    SPOOL/DESTINATION/known               a penlogd there has spoken the reliable protocol
    SPOOL/DESTINATION/SOURCE.SESSION/     one stream: segments, and a mark (see `spool`)

SOURCE tells one pipe from another. Whoever has a stream's folder locked owns the stream, and a lock
ends with its process, however that ends. So a logger that takes the place of a killed one on the
same pipe goes on with its stream, in the middle of a line if need be, while the loggers of the old
and the new generation, side by side at Apache's graceful restart, have a stream each. A stream that
nobody owns, and whose pipe is no more, is sent by any logger with this destination; while there is
the pipe, a logger on it may be starting.
"""

import fcntl
import glob
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penlog.spool import Spool

KNOWN = "known"

_STREAM = re.compile(r"([0-9a-z]+)\.([0-9a-f]{32})")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Stream:
    """A session and what is spooled of it.

    Attributes:
        session: 32 hexadecimal digits.
        spool: Its bytes.
        folder: Where they are; None in memory.
        lock: Descriptor of the folder, locked.
    """

    session: bytes
    spool: Spool
    folder: Path | None = None
    lock: int | None = None

    def remove(self) -> None:
        """Forget it: all has been delivered."""
        self.spool.remove()
        if self.folder is not None and self.lock is not None:
            self.folder.rmdir()
            os.close(self.lock)
            self.lock = None

    def leave(self) -> None:
        """Leave it to the next logger."""
        self.spool.close()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def in_memory() -> Stream:
    """Return a new stream that dies with this process."""
    return Stream(_new_session(), Spool(None))


class SpoolFolder:
    """The streams to one destination.

    Args:
        path: The folder for all destinations; it is made if need be.
        destination: Words that tell this one from others.
        limit: Bytes that a stream may keep.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str, destination: list[str], limit: int) -> None:
        name = ",".join(re.sub(r"[^\w.:-]", "_", word) for word in destination)
        self._folder = Path(path) / name
        self._limit = limit
        os.makedirs(path, 0o700, exist_ok=True)
        self._folder.mkdir(0o700, exist_ok=True)

    @property
    def known(self) -> bool:
        """Whether a penlogd there has spoken the reliable protocol."""
        return (self._folder / KNOWN).exists()

    def note_known(self) -> None:
        """Remember that one has."""
        try:
            (self._folder / KNOWN).touch(0o600)
        except OSError:
            pass  # a full disk: the next connection tells again

    def own(self, source: str) -> Stream:
        """Return the stream that comes from a source, or a new one.

        Raises:
            OSError: Its files cannot be used.
        """
        for found, path in self._streams():
            if found == source and (stream := self._take(path)):
                return stream
        return self._make(source)

    def orphans(self, source: str) -> Iterator[Stream]:
        """Yield the streams of other sources that nobody owns or is going to own.

        Raises:
            OSError: Their files cannot be used.
        """
        others = [(found, path) for found, path in self._streams() if found != source]
        present = _open_pipes() if others else set()
        for found, path in others:
            if found not in present and (stream := self._take(path)):
                stream.spool.finish()
                yield stream

    def _streams(self) -> list[tuple[str, Path]]:
        matches = [(_STREAM.fullmatch(path.name), path) for path in sorted(self._folder.iterdir())]
        return [(match[1], path) for match, path in matches if match]

    def _take(self, path: Path) -> Stream | None:
        """Return the stream if nobody owns it."""
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.stat()  # it may have been removed by its owner in between
            spool = Spool(lock, limit=self._limit)
        except (BlockingIOError, FileNotFoundError):
            os.close(lock)
            return None
        return Stream(path.suffix[1:].encode(), spool, path, lock)

    def _make(self, source: str) -> Stream:
        """Make a stream; others see it only when it is locked."""
        session = _new_session()
        unseen = self._folder / f"new-{session.decode()}"
        unseen.mkdir(0o700)
        lock = os.open(unseen, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        spool = Spool(lock, limit=self._limit)
        path = unseen.rename(self._folder / f"{source}.{session.decode()}")
        return Stream(session, spool, path, lock)


def source_of(fd: int) -> str:
    """Return the name of what is read from: the same for the same pipe until the next boot.

    What is no pipe gets a name of its own each time, for nobody can go on where another stopped.
    """
    status = os.fstat(fd)
    if not stat.S_ISFIFO(status.st_mode):
        return "x" + os.urandom(8).hex()
    return _source(status)


def _source(pipe: os.stat_result) -> str:
    try:
        boot = _BOOT.read_text().replace("-", "")[:12]
    except OSError:
        boot = "0"
    return f"{boot}x{pipe.st_dev:x}x{pipe.st_ino:x}"


def _open_pipes() -> set[str]:
    """Return the names of the pipes that any process has open, as far as we may know."""
    found: set[str] = set()
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link).startswith("pipe:"):
                found.add(_source(os.stat(link)))
        except OSError:
            continue  # it has just been closed, or is none of our business
    return found


def _new_session() -> bytes:
    return os.urandom(16).hex().encode()
