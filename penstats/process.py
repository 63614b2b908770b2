"""Find the pen that a pid file names, and signal it and nothing else.

A pid file outlives a crash and its number comes round again, so the number alone is never trusted:
the process is held by a pidfd (which never means another process, pidfd_open(2)) before it is asked
what it runs, and the signal goes through that pidfd.
"""

import os
import re
import select
import signal
import stat
from types import TracebackType

from penstats.errors import NoPageError

_OTHER = "The pid file is stale or not pen's; nothing was signalled. Start pen with -p {path}."
_MODULES = (b"pen", b"pen.cli")


class Pen:
    """A running pen, held so that its process id cannot come to mean another process."""

    def __init__(self, pid_file: str) -> None:
        """Find the process.

        Raises:
            NoPageError: 503 it does not run, 500 the file is wrong or the process is not a pen.
        """
        self.pid = _read_pid(pid_file)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            raise _stale(self.pid, pid_file) from None
        try:
            self._check_program(pid_file)
        except BaseException:
            os.close(self._pidfd)
            raise

    def __enter__(self) -> "Pen":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._pidfd)

    def signal(self) -> None:
        """Send USR1: "save statistics".

        Raises:
            NoPageError: 503 it has ended meanwhile, 500 it belongs to another user.
        """
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGUSR1)
        except ProcessLookupError:
            raise NoPageError(
                503, f"pen (process {self.pid}) has just ended", "Start pen."
            ) from None
        except PermissionError:
            advice = "Run pen as the web server's user (its -u), or use PENSTATS_CONTROL instead."
            problem = (
                f"This process may not signal pen (process {self.pid}), which is another user's"
            )
            raise NoPageError(500, problem, advice) from None

    def has_ended(self) -> bool:
        """Whether the process is gone; a pidfd is readable from then on."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _check_program(self, pid_file: str) -> None:
        program = _executable(self.pid)
        words = _command_line(self.pid)
        # Only now is it sure that what was read is about the process that is held.
        if self.has_ended() or not words:
            raise _stale(self.pid, pid_file)
        if not runs_pen(program, words):
            shown = ascii(b" ".join(words)[:80].decode("utf-8", "replace"))
            problem = f"Process {self.pid}, which {pid_file} names, is not pen but {shown}"
            raise NoPageError(500, problem, _OTHER.format(path=pid_file))


def runs_pen(program: bytes | None, words: list[bytes]) -> bool:
    """Whether a process is a pen: the executable `pen`, or a Python with pen's script or module.

    Args:
        program: the name of the file it executes; None when this may not be known, as for
            another user's process.
        words: its command line.
    """
    name = os.path.basename(words[0]) if program is None else program
    if not re.fullmatch(rb"python[0-9.]*", name):
        return name == b"pen"
    arguments = iter(words[1:])
    for word in arguments:
        if word == b"-m":
            return next(arguments, b"") in _MODULES
        if word in (b"-W", b"-X"):
            next(arguments, b"")
        elif not word.startswith(b"-"):
            return os.path.basename(word) == b"pen"
        elif word.startswith(b"-c"):
            return False
    return False


def _read_pid(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        advice = f"Is pen running with -p {path}?"
        raise NoPageError(503, f"There is no pid file {path}", advice) from None
    except OSError as error:
        raise NoPageError(500, f"The pid file {path} cannot be read: {error.strerror}") from None
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        content = os.read(descriptor, 64) if regular else b""
    finally:
        os.close(descriptor)
    number = re.fullmatch(rb"[ \t]*([0-9]{1,10})[ \t]*\n?", content)
    if not number or int(number[1]) < 2:
        advice = "PENSTATS_PIDFILE must be the file of pen's option -p."
        raise NoPageError(500, f"{path} is not a pid file: one process number is wanted", advice)
    return int(number[1])


def _executable(pid: int) -> bytes | None:
    """Name what the process executes; an upgraded one is shown as deleted (proc(5))."""
    try:
        path = os.readlink(b"/proc/%d/exe" % pid)
    except OSError:
        return None
    return os.path.basename(path.removesuffix(b" (deleted)"))


def _command_line(pid: int) -> list[bytes]:
    """Give the words of the command line; none for a zombie or a process that is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(1 << 16).split(b"\0")[:-1]
    except OSError:
        return []


def _stale(pid: int, path: str) -> NoPageError:
    return NoPageError(
        503, f"pen is not running: {path} names process {pid}, which is gone", "Start pen."
    )
