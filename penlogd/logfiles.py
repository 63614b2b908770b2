"""Log files as mergelogs is given them: gzipped or not, or standard input."""

import gzip
import ipaddress
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

_GZIP = b"\x1f\x8b"

STEP = 1 << 20
"""Bytes of a file between reports of progress."""

Progress = Callable[[int], None]
"""Told how many more bytes of a file have been read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A web server's log file.

    Attributes:
        name: The server as it was given; it stands in lines whose client is not found.
        path: Its log; ``-`` is standard input.
    """

    name: str
    path: str


class SourceError(ValueError):
    """What was given is not ``server:logfile``; the message says so."""


def split_source(word: str) -> Source:
    """Split ``server:logfile``; the server may be an IPv6 address, in brackets or not.

    Raises:
        SourceError: It is not of that form.
    """
    if word.startswith("[") and "]:" in word:
        name, _, path = word[1:].partition("]:")
        return Source(name, path)
    name, colon, path = word.partition(":")
    for place in (i for i, letter in enumerate(word) if letter == ":"):
        if _is_address(word[:place]):
            name, path = word[:place], word[place + 1 :]
    if not (name and colon and path):
        raise SourceError(f"{word}: expected server:logfile")
    return Source(name, path)


def size(path: str) -> int:
    """Return how many bytes of progress reading the file will report; 0 if that is not known."""
    try:
        about = os.stat(path) if path != "-" else os.fstat(sys.stdin.fileno())
    except OSError:
        return 0
    return about.st_size if stat.S_ISREG(about.st_mode) else 0


@contextmanager
def opened(path: str, progress: Progress | None = None) -> Iterator[Iterator[bytes]]:
    """Open a log and give its lines, with their newlines.

    Args:
        path: The file, gzipped or not; ``-`` is standard input.
        progress: Told of the bytes read of a regular file, as they are in it.

    Raises:
        OSError: It cannot be read; the error has its name.
        EOFError: It is gzipped and damaged; the message has its name.
    """
    try:
        with open(0 if path == "-" else path, "rb", 1 << 16, closefd=path != "-") as file:
            lines = _unzipped(file)
            yield iter(lines) if progress is None else _reporting(lines, file, progress)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EOFError(f"{path}: {error}") from error
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise OSError(error.errno, error.strerror or str(error), where) from error


def _unzipped(file: BinaryIO) -> BinaryIO:
    peek = getattr(file, "peek")  # noqa: B009 - BinaryIO lacks what its buffered readers have
    return cast(BinaryIO, gzip.open(file)) if peek(2)[:2] == _GZIP else file


def _reporting(lines: BinaryIO, file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    if not file.seekable():
        yield from lines
        return
    told = 0
    while some := lines.readlines(STEP):
        yield from some
        place = file.tell()
        progress(place - told)
        told = place


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
