"""What has come in and may not have been written yet: a log of entries that outlives the process.

Two files, ``PATH.0`` and ``PATH.1``, take turns. Entries are added to the active one. When it has
grown to `SEGMENT` bytes and the other holds nothing that is still needed, the other is emptied, and
becomes active with a *checkpoint* as its first entry. So the files are bounded by what penlogd
holds, and each can be read without what came before it.

An entry is length, CRC-32, and these bytes: a head (JSON, on one line) and a body. The kinds are

==========  ==============================================================  ====================
kind        head                                                            body
==========  ==============================================================  ====================
checkpoint  generation, serial, sessions, output                            begun lines
datagrams   when, serial, senders, sizes                                    their times, and they
piece       when, serial, session, sender, offset                           a piece of a stream
farewell    session
written     output: where the log then ended                                the lines' serials
==========  ==============================================================  ====================

What an entry says holds from the moment its write(2) has returned: the kernel has it, so killing
penlogd loses nothing. A machine that goes down loses what the kernel had not put on disk, unless
`sync` is called. An entry that was cut off there, or by a full disk, ends the journal.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

SEGMENT = 16 << 20
"""Bytes after which the files change turns."""

_ENTRY = Struct(">II")
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read back."""

    head: dict[str, Any]
    body: bytes


class JournalInUseError(OSError):
    """Another process has the journal."""


class Journal:
    """The files, opened for good: no right to make files is needed afterwards.

    Args:
        path: The files' names, but for .0 and .1.
        segment: Bytes after which they change turns.

    Raises:
        OSError: They cannot be used.
        JournalInUseError: Another process uses them.
    """

    def __init__(self, path: str, *, segment: int = SEGMENT) -> None:
        self._segment = segment
        self._fds = [_opened(f"{path}.{number}") for number in (0, 1)]
        try:
            fcntl.flock(self._fds[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalInUseError(0, "in use by another penlogd") from None
        self._active = 0
        self._end = 0
        self._generation = 0

    @property
    def due(self) -> bool:
        """Whether the files should change turns."""
        return self._end > self._segment

    def chown(self, user: int) -> None:
        """Make the files a user's."""
        for fd in self._fds:
            os.fchown(fd, user, -1)

    def recover(self) -> list[Entry]:
        """Return the entries of both files in the order of writing, and go on behind them."""
        found = [list(_entries(fd)) for fd in self._fds]
        generations = [_generation(entries) for entries in found]
        self._active = generations.index(max(generations))
        self._generation = generations[self._active]
        self._end = found[self._active][-1][1] if found[self._active] else 0
        os.ftruncate(self._fds[self._active], self._end)
        order = (1 - self._active, self._active)
        return [entry for number in order if generations[number] for entry, _ in found[number]]

    def append(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Add an entry; all of it or nothing.

        Raises:
            OSError: The disk takes no more.
        """
        data = encode(head, body)
        fd, done = self._fds[self._active], 0
        try:
            while done < len(data):
                done += os.pwrite(fd, data[done:], self._end + done)
        except OSError:
            os.ftruncate(fd, self._end)
            raise
        self._end += len(data)

    def turn(self, head: dict[str, Any], body: bytes) -> None:
        """Empty the other file and go on there, with a checkpoint.

        Raises:
            OSError: The disk takes no more; nothing has changed.
        """
        before = (self._active, self._end)
        self._active, self._end = 1 - self._active, 0
        os.ftruncate(self._fds[self._active], 0)
        generation = self._generation + 1
        try:
            self.append({"kind": "checkpoint", "generation": generation, **head}, body)
        except OSError:
            self._active, self._end = before
            raise
        self._generation = generation

    def empty_other(self) -> None:
        """Empty the file that is not active."""
        os.ftruncate(self._fds[1 - self._active], 0)

    def sync(self) -> None:
        """Have the disk take what the kernel has.

        Raises:
            OSError: It does not.
        """
        os.fdatasync(self._fds[self._active])

    def close(self) -> None:
        """Close the files."""
        for fd in self._fds:
            os.close(fd)


def encode(head: dict[str, Any], body: bytes) -> bytes:
    """Return an entry as it is in the file."""
    content = json.dumps(head, separators=(",", ":")).encode() + b"\n" + body
    return _ENTRY.pack(len(content), zlib.crc32(content)) + content


def decode(data: bytes) -> Iterator[tuple[Entry, int]]:
    """Yield the entries of a file, each with the place of its end, as far as they are whole."""
    place = 0
    while place + _ENTRY.size <= len(data):
        length, checksum = _ENTRY.unpack_from(data, place)
        start, place = place + _ENTRY.size, place + _ENTRY.size + length
        content = data[start:place]
        if len(content) != length or length > _LARGEST or zlib.crc32(content) != checksum:
            return
        head, newline, body = content.partition(b"\n")
        try:
            entry = Entry(json.loads(head), body)
        except ValueError:
            return
        if not newline or not isinstance(entry.head, dict):
            return
        yield entry, place


def _entries(fd: int) -> Iterator[tuple[Entry, int]]:
    size = os.fstat(fd).st_size
    data = bytearray()
    while piece := os.pread(fd, min(1 << 24, size - len(data)), len(data)):
        data += piece
    return decode(bytes(data))


def _generation(entries: list[tuple[Entry, int]]) -> int:
    """Return a file's generation: 0 if it is empty, or begins with no checkpoint."""
    generation = entries[0][0].head.get("generation", 0) if entries else 0
    return generation if isinstance(generation, int) else 0


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
