"""What makes a program a daemon: background, chroot, user, pid file, limits, signals."""

import contextlib
import grp
import importlib
import logging
import logging.handlers
import os
import pwd
import resource
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType

from pen.core.errors import PenError

logger = logging.getLogger("pen")


@dataclass(frozen=True, slots=True)
class User:
    """Whom to become."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find_user(name: str) -> User:
    """Look a user up, while the system's files can still be seen (before chroot).

    Raises:
        PenError: there is no such user.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise PenError(f"user '{name}' does not exist") from None
    groups = tuple(group.gr_gid for group in grp.getgrall() if name in group.gr_mem)
    return User(name, entry.pw_uid, entry.pw_gid, (entry.pw_gid, *groups))


def confine(directory: str | None, user: User | None, *, raw_network: bool = False) -> None:
    """Enter the chroot, then become the user with that user's groups only.

    `raw_network`: of root's rights keep CAP_NET_RAW, which `transparent` needs.

    Raises:
        PenError: not allowed, or no such directory.
    """
    keeps = raw_network and user is not None and user.uid != 0
    # Loaded only where it is used, for ctypes takes a while, and while it can be seen.
    capability = importlib.import_module("pen.capability") if keeps else None
    try:
        if directory is not None:
            os.chroot(directory)
            os.chdir("/")
    except (OSError, ValueError) as error:
        raise PenError(f"cannot chroot to '{directory}': {_reason(error)}") from None
    if user is None:
        return
    if capability is None:
        _become(user)
    else:
        capability.keep_over_setuid()
        _become(user)
        capability.retain_only(capability.CAP_NET_RAW)


def _become(user: User) -> None:
    try:
        if os.geteuid() == 0:
            os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
    except OSError as error:
        raise PenError(f"cannot become user '{user.name}': {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def raise_descriptor_limit(wanted: int, ceiling: int | None = None) -> int:
    """Allow as many open files as wanted, as far as the system lets us; returns the limit.

    `ceiling`: the number that no descriptor may reach, though the system would let it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if ceiling is not None and max(soft, wanted) > ceiling:
        soft = wanted = min(ceiling, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft >= wanted:
        return soft
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return limits[0]
    return soft


class PidFile:
    """A file with the process id, opened early and written when the id is final.

    It may be another pen's until it is written, and again when that pen starts anew: it
    is removed only while it is empty or holds this process's id.

    Raises:
        PenError: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (OSError, ValueError) as error:
            raise PenError(f"cannot write pid file '{path}': {_reason(error)}") from None

    def write(self) -> None:
        """Write this process's id."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise PenError(f"cannot write pid file '{self.path}': {_reason(error)}") from None

    def remove(self) -> None:
        """Remove the file if it is ours; where we no longer may, leave it empty."""
        if self._is_ours():
            try:
                os.unlink(self.path)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _is_ours(self) -> bool:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return False
        return os.pread(self._fd, 32, 0).strip() in (b"", str(os.getpid()).encode())


class Background:
    """The way into the background.

    Made early, before a chroot hides /dev/null and the syslog socket; entered last, when all
    that can fail has been tried and the terminal has seen the message.
    """

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._syslog: logging.Handler = logging.handlers.SysLogHandler(
                "/dev/log", logging.handlers.SysLogHandler.LOG_USER
            )
        except OSError:
            self._syslog = logging.NullHandler()

    def enter(self, when_ready: Callable[[], None]) -> None:
        """Fork; the parent leaves once the child has run `when_ready` (the pid file is there).

        The child keeps the terminal until then, so that a message of what fails is seen; the
        parent's exit status is then 1.
        """
        ready, tell = os.pipe()
        if os.fork():
            os.close(tell)
            done = os.read(ready, 1)
            os._exit(0 if done else 1)
        os.close(ready)
        os.setsid()
        when_ready()
        self._syslog.setFormatter(logging.Formatter(f"pen[{os.getpid()}]: %(message)s"))
        _set_handler(self._syslog)
        for fd in (0, 1, 2):
            os.dup2(self._null, fd)
        os.write(tell, b"1")
        os.close(tell)


def log_to_stderr() -> None:
    """Messages of `logging` go to stderr, with the time; all of them, until settings say."""
    logger.setLevel(logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s pen: %(message)s", "%Y-%m-%d %H:%M:%S"))
    _set_handler(handler)


def _set_handler(handler: logging.Handler) -> None:
    logging.raiseExceptions = False
    logger.propagate = False
    logger.handlers[:] = [handler]


class Signals:
    """Signals as readable bytes on a socket, so that the loop handles them like the rest."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _noted)

    def fileno(self) -> int:
        """What to watch."""
        return self._reader.fileno()

    def take(self) -> list[int]:
        """The signals that came since the last look."""
        try:
            return list(self._reader.recv(4096))
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up byte says it all."""
