"""Get the page by USR1: signal pen, then wait for the page that *this* signal made.

pen may rename a new file into place (ours) or write into the old one (the C pen), so a page is new
when the file's inode, time of change or size differ from before the signal, and is whole when it
ends as a page ends and did not change while it was read.
"""

import os
import stat
import time
from typing import NamedTuple

from penstats.errors import Deadline, NoPageError
from penstats.page import LARGEST, is_whole
from penstats.process import Pen

_POLL = 0.005
_LONGEST_TICK = 0.05
"""Seconds; a kernel's clock tick is at most 10 ms."""
_COARSE_CLOCK = 5
"""CLOCK_REALTIME_COARSE, from which files get their times; the time module has no name for it."""


class _Stamp(NamedTuple):
    """What changes with every write of a file."""

    inode: int
    changed_ns: int
    size: int


def save_and_read(pid_file: str, web_file: str, deadline: Deadline) -> bytes:
    """Have pen write its page, and return it.

    Raises:
        NoPageError: 503 pen does not run, 504 no new whole page in time, 500 a wrong set-up.
    """
    with Pen(pid_file) as pen:
        before = _settled_stamp(web_file)
        pen.signal()
        while True:
            ended = pen.has_ended()
            page = _read_new(web_file, before)
            if page is not None:
                return page
            if ended:
                problem = f"pen (process {pen.pid}) ended before it wrote {web_file}"
                raise NoPageError(503, problem, "Start pen.")
            if deadline.passed():
                raise _too_late(pen.pid, web_file, before, deadline)
            time.sleep(min(_POLL, deadline.remaining()))


def _settled_stamp(path: str) -> _Stamp | None:
    """Take the file's stamp at a moment when a later write is sure to change it.

    Two writes within one tick of the kernel's clock carry the same time, so a file that was written
    in this very tick is given the time to age.
    """
    end = time.monotonic() + _LONGEST_TICK
    while True:
        now = time.clock_gettime_ns(_COARSE_CLOCK)
        stamp = _stamp(path)
        if stamp is None or stamp.changed_ns < now or time.monotonic() > end:
            return stamp
        time.sleep(0.001)


def _stamp(path: str) -> _Stamp | None:
    try:
        return _stamp_of(os.stat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoPageError(500, f"{path} cannot be looked at: {error.strerror}") from None


def _stamp_of(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _read_new(path: str, before: _Stamp | None) -> bytes | None:
    """Return the page if it is a new one and whole."""
    if _stamp(path) in (before, None):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        advice = "pen and the web server run as different users: let the latter read the file."
        raise NoPageError(500, f"{path} cannot be read: {error.strerror}", advice) from None
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            advice = "PENSTATS_WEBFILE must be the file of pen's option -w."
            raise NoPageError(500, f"{path} is not a page that pen wrote", advice)
        page = file.read(status.st_size + 1) or b""
        steady = _stamp_of(os.fstat(descriptor)) == _stamp_of(status)
    return page if steady and is_whole(page) else None


def _too_late(pid: int, path: str, before: _Stamp | None, deadline: Deadline) -> NoPageError:
    changed = _stamp(path) not in (before, None)
    what = "holds no whole page" if changed else "was not written"
    problem = f"pen (process {pid}) was sent USR1, but {path} {what} within {deadline.seconds:g} s"
    return NoPageError(
        504, problem, f"Is pen running with -w {path}, and may its user write there?"
    )
