"""A sender's stream of log lines, kept until the receiver has it.

The stream is kept in *segments* of about a megabyte. Each is a file in the spool's folder, named by
the offset of its first byte; so a spool says by its names alone what it holds, and is read again
after any crash. A segment is removed when the receiver has all of it. Where there is no folder, or
its disk takes no more, segments are kept in memory.

From a pipe, bytes are moved into a file by splice(2): at no time are they in this process only, so
killing it loses none.

When the spool is full, the line that has been begun is kept to its end, and whole new lines are
lost and counted.
"""

import errno
import os
from typing import Protocol

from penlog.lines import LONGEST

SEGMENT = 1 << 20
"""Bytes in a segment, about."""

PIECE = 256 << 10
"""Bytes taken at once."""

MARK = "mark"
"""The file with the offset up to which the stream has gone out, in decimal."""

_NAME_WIDTH = 20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Segment(Protocol):
    """A run of the stream's bytes.

    Attributes:
        base: Offset of its first byte.
        size: How many bytes it has.
        lasting: Whether it outlives this process.
    """

    base: int
    size: int
    lasting: bool

    def append(self, data: bytes) -> int:
        """Add bytes and return how many; OSError if none can be."""

    def fill(self, pipe: int, most: int) -> int:
        """Add what is in a pipe and return how many bytes; 0 at end of file; OSError."""

    def read(self, place: int, most: int) -> bytes:
        """Return bytes from a place within."""

    def close(self) -> None:
        """Have done with it."""

    def remove(self) -> None:
        """Have done with it, and leave nothing behind."""


class MemorySegment:
    """A segment that is nowhere else."""

    lasting = False

    def __init__(self, base: int) -> None:
        self.base = base
        self.size = 0
        self._data = bytearray()

    def append(self, data: bytes) -> int:
        """Add bytes."""
        self._data += data
        self.size += len(data)
        return len(data)

    def fill(self, pipe: int, most: int) -> int:
        """Add what is in a pipe."""
        return self.append(os.read(pipe, most))

    def read(self, place: int, most: int) -> bytes:
        """Return bytes from a place within."""
        return bytes(self._data[place : place + most])

    def close(self) -> None:
        """Forget the bytes."""
        self._data.clear()

    remove = close


class FileSegment:
    """A segment in a file of a folder (a descriptor)."""

    lasting = True

    def __init__(self, folder: int, base: int) -> None:
        self.base = base
        self._folder = folder
        self._name = f"{base:0{_NAME_WIDTH}}"
        self._fd = os.open(self._name, _FLAGS, 0o600, dir_fd=folder)
        self.size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> int:
        """Add bytes."""
        taken = os.pwrite(self._fd, data, self.size)
        self.size += taken
        return taken

    def fill(self, pipe: int, most: int) -> int:
        """Add what is in a pipe, by way of no one."""
        flags = os.SPLICE_F_NONBLOCK
        taken = os.splice(pipe, self._fd, most, offset_dst=self.size, flags=flags)
        self.size += taken
        return taken

    def read(self, place: int, most: int) -> bytes:
        """Return bytes from a place within."""
        return os.pread(self._fd, min(most, self.size - place), place)

    def remove(self) -> None:
        """Remove the file."""
        os.unlink(self._name, dir_fd=self._folder)
        self.close()

    def close(self) -> None:
        """Keep the file for whoever comes."""
        os.close(self._fd)


class Spool:
    """The bytes of a stream from `start`, up to which the receiver has it, to `end`.

    Args:
        folder: Descriptor of the folder for the segments; None to keep all in memory. What is there
            already is the stream so far.
        limit: Bytes to keep in files; beyond it new lines are lost.
        in_memory: Bytes to keep where files cannot be had.

    Attributes:
        start: Offset of the first byte that the receiver may not have.
        lost: Lines lost because the spool was full.
        refusal: Why segments were last kept in memory though there is a folder.

    Raises:
        OSError: The folder cannot be used.
    """

    def __init__(
        self, folder: int | None, *, limit: int = 1 << 30, in_memory: int = 16 << 20
    ) -> None:
        self.start = 0
        self.lost = 0
        self.refusal: OSError | None = None
        self._folder = folder
        self._on_disk = folder is not None
        self._limit = limit
        self._in_memory = in_memory
        self._segments: list[Segment] = []
        self._skipping = False
        self._mark: int | None = None
        if folder is not None:
            self._mark = self._load(folder)

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        last = self._segments[-1] if self._segments else None
        return self.start if last is None else last.base + last.size

    @property
    def size(self) -> int:
        """Bytes that the receiver may not have."""
        return self.end - self.start

    def append(self, data: bytes) -> None:
        """Add whole lines, or a part of one to be followed by the rest."""
        self._add(self._admitted(data) if self._is_full() else data)

    def fill(self, pipe: int) -> int:
        """Take what is in the pipe, and return how many bytes; 0 at end of file.

        Raises:
            BlockingIOError: There is nothing in it.
            OSError: It cannot be read.
        """
        if self._is_full():
            piece = os.read(pipe, PIECE)
            self._add(self._admitted(piece))
            return len(piece)
        try:
            return self._active().fill(pipe, PIECE)
        except BlockingIOError:
            raise
        except OSError as error:
            piece = os.read(pipe, PIECE)
            if error.errno != errno.EINVAL:  # which says: no pipe, or not into this file system
                self._refuse(error)
            self._add(piece)
            return len(piece)

    def finish(self) -> None:
        """End the last line, if it was not ended."""
        if not self._at_line_start():
            self._add(b"\n")
        self._skipping = False

    def read(self, offset: int, most: int) -> bytes:
        """Return bytes from an offset, at most this many; empty at the end."""
        for segment in self._segments:
            if offset < segment.base + segment.size:
                return segment.read(max(0, offset - segment.base), most)
        return b""

    def trim(self, offset: int) -> None:
        """Forget what comes before the offset, which the receiver has.

        An offset beyond the end, which the spool lost by a crash of the machine or from memory, is
        where the stream goes on.
        """
        if offset <= self.start:
            return
        if offset > self.end:
            self._segments.append(self._new_segment(offset))
        self.start = offset
        if self._mark is not None:
            self._write_mark(self._mark)
        # The last byte stays: it says whether a line has been begun.
        while len(self._segments) > 1 and self._segments[1].base <= offset and self._has_last(1):
            self._segments.pop(0).remove()
        if not self.size:
            self._on_disk = self._folder is not None

    def close(self) -> None:
        """Leave the files to whoever comes."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None

    def remove(self) -> None:
        """Forget all, files and all."""
        for segment in self._segments:
            segment.remove()
        self._segments.clear()
        if self._folder is not None and self._mark is not None:
            os.unlink(MARK, dir_fd=self._folder)
        self.close()

    def _load(self, folder: int) -> int:
        names = sorted(name for name in os.listdir(folder) if name.isdecimal())
        self._segments = [FileSegment(folder, int(name)) for name in names]
        self.start = self._segments[0].base if names else 0
        mark = os.open(MARK, _FLAGS, 0o600, dir_fd=folder)
        marked = os.pread(mark, _NAME_WIDTH, 0)
        if marked.isdigit():
            self.trim(int(marked))
        return mark

    def _write_mark(self, mark: int) -> None:
        try:
            os.pwrite(mark, b"%0*d" % (_NAME_WIDTH, self.start), 0)
        except OSError as error:  # penlogd knows too
            self.refusal = error

    def _active(self) -> Segment:
        """Return the segment to add to."""
        last = self._segments[-1] if self._segments else None
        if last is None or last.size >= SEGMENT or (self._on_disk and not last.lasting):
            last = self._new_segment(self.end)
            self._segments.append(last)
        return last

    def _new_segment(self, base: int) -> Segment:
        if self._folder is not None and self._on_disk:
            try:
                return FileSegment(self._folder, base)
            except OSError as error:
                self.refusal, self._on_disk = error, False
        return MemorySegment(base)

    def _refuse(self, error: OSError) -> None:
        """Go on in memory, until all that is kept has gone out."""
        self.refusal, self._on_disk = error, False
        self._segments.append(MemorySegment(self.end))

    def _add(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._active().append(data) :]
            except OSError as error:
                self._refuse(error)

    def _is_full(self) -> bool:
        return self._skipping or self.size >= self._room()

    def _room(self) -> int:
        return self._limit if self._on_disk else self._in_memory

    def _admitted(self, piece: bytes) -> bytes:
        """Return what of a piece is kept although the spool is full, or has just been."""
        if self._skipping:
            end = piece.find(b"\n") + 1
            if not end:
                return b""
            self._skipping = False
            self.lost += 1
            piece = piece[end:]
        if self.size < self._room():
            return piece
        begun = 0 if self._at_line_start() else piece.find(b"\n") + 1 or len(piece)
        if begun and self.size > self._room() + LONGEST:
            self._skipping = True  # a line without end
            return b"\n"
        self.lost += piece.count(b"\n", begun)
        self._skipping = begun < len(piece) and not piece.endswith(b"\n")
        return piece[:begun]

    def _at_line_start(self) -> bool:
        return self.read(self.end - 1, 1) in (b"", b"\n")

    def _has_last(self, number: int) -> bool:
        """Whether the stream's last byte is in a segment from this number on."""
        return any(segment.size for segment in self._segments[number:])
