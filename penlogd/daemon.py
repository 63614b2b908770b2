"""What a daemon needs of the system: background, another user, a chroot, a pid file, messages."""

import fcntl
import os
import pwd
import resource
import sys
import syslog
from typing import Protocol


class DaemonError(Exception):
    """A daemon cannot be set up as asked; the message says what and why."""


class Messages(Protocol):
    """Where a daemon's messages go."""

    def say(self, text: str) -> None:
        """Tell the people who run it."""

    def debug(self, text: str) -> None:
        """Tell whoever asked for debugging."""


class TerminalMessages:
    """Messages to stderr."""

    def __init__(self, name: str, *, debugging: bool) -> None:
        self._name = name
        self._debugging = debugging

    def say(self, text: str) -> None:
        """Write a line; a closed stderr is no reason to stop."""
        try:
            print(f"{self._name}: {text}", file=sys.stderr, flush=True)
        except OSError:
            pass

    def debug(self, text: str) -> None:
        """Write a line if debugging is on."""
        if self._debugging:
            self.say(text)


class SyslogMessages:
    """Messages to syslog, facility user; connects at once, since a chroot has no /dev/log."""

    def __init__(self, name: str, *, debugging: bool) -> None:
        self._debugging = debugging
        syslog.openlog(name, syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_USER)

    def say(self, text: str) -> None:
        """Log a notice."""
        syslog.syslog(syslog.LOG_NOTICE, text.replace("\0", ""))

    def debug(self, text: str) -> None:
        """Log at priority debug if debugging is on."""
        if self._debugging:
            syslog.syslog(syslog.LOG_DEBUG, text.replace("\0", ""))


class PidFile:
    """A file with the process id, locked for as long as the process lives.

    It is opened early, so that a mistake is told on the terminal, and written once the process id
    is final.

    Raises:
        DaemonError: It cannot be opened, or a running process has it.
    """

    def __init__(self, path: str) -> None:
        directory, self._name = os.path.split(path)
        try:
            self._directory = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._name, flags, 0o644, dir_fd=self._directory)
        except OSError as error:
            raise DaemonError(f"pid file {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(self._fd, 20).decode("ascii", "replace").strip()
            raise DaemonError(f"pid file {path}: in use by running process {pid}") from error

    def write(self) -> None:
        """Write this process's id."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file; empty it where the directory may not be written any more."""
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except OSError:
            os.ftruncate(self._fd, 0)


def allowed_descriptors(wanted: int) -> int:
    """Have the system allow so many open descriptors; return how many it does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def find_user(name: str) -> pwd.struct_passwd:
    """Return the user of that name or number.

    Raises:
        DaemonError: There is none.
    """
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError) as error:
        raise DaemonError(f"unknown user {name}") from error


def enter_chroot(directory: str) -> None:
    """Make the directory this process's root.

    Raises:
        DaemonError: It is no directory, or this process is not root.
    """
    try:
        os.chroot(directory)
        os.chdir("/")
    except OSError as error:
        raise DaemonError(f"chroot to {directory}: {error.strerror}") from error


def drop_privileges(user: pwd.struct_passwd) -> None:
    """Become the user, with the user's group and supplementary groups, for good.

    Raises:
        DaemonError: This process may not.
    """
    if user.pw_uid == os.geteuid() and user.pw_uid != 0:
        return
    try:
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        os.setgroups(groups)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise DaemonError(f"become user {user.pw_name}: {error.strerror}") from error


def become_daemon(null: int) -> None:
    """Go into the background: the parent exits 0, the child loses its terminal.

    Args:
        null: /dev/null, opened for both ways (a chroot may lack it), for stdin, stdout and stderr.
    """
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    for fd in (0, 1, 2):
        os.dup2(null, fd)
