"""The log in use, which follows the settings `log` and `log_format`."""

from collections.abc import Callable
from typing import Protocol

from pen.core.address import Resolve
from pen.core.applying import Prepared
from pen.core.session import Session
from pen.core.settings import LogFormat, Settings
from pen.logs import RequestLog, open_log, penlogdlog
from pen.logs.connections import ConnectionLog
from pen.logs.connections import Loop as Turns
from pen.logs.observer import make_observer

Observe = Callable[[Session, bytes], None]


class Loop(Turns, penlogdlog.Loop, Protocol):
    """What the logs need of the loop."""


class CurrentLog:
    """Owns the log that is open, if any.

    Args:
        loop: the loop.
        find: gives the address of a host.
        observe_with: told what should see the clients' pieces from now on; None: nobody.
        watch_with: told what should see connections begin and end from now on; None: nobody.
    """

    def __init__(
        self,
        loop: Loop,
        find: Resolve,
        observe_with: Callable[[Observe | None], object],
        watch_with: Callable[[ConnectionLog | None], object],
    ) -> None:
        self._loop = loop
        self._find = find
        self._observe_with = observe_with
        self._watch_with = watch_with
        self._log: RequestLog | None = None
        self._connections: ConnectionLog | None = None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        moves = wanted.log != applied.log
        if not moves and wanted.log_format is applied.log_format:
            return None
        new = self._open(wanted.log) if moves and wanted.log is not None else None

        def commit() -> None:
            if moves:
                self.close()
                self._log = new
            self._tell(wanted.log_format)

        return Prepared(commit, new.close if new is not None else _no_log)

    def _open(self, target: str) -> RequestLog:
        return open_log(target, self._find, self._loop, self._tell_all)

    def _tell_all(self) -> None:
        if self._connections is not None:
            self._connections.tell_all()

    def _tell(self, kind: LogFormat) -> None:
        """Have the log told what this format wants."""
        log = self._log
        tells = kind is not LogFormat.CONNECTIONS
        self._observe_with(make_observer(log, self._loop) if log is not None and tells else None)
        if self._connections is not None:
            self._connections.close()
        tells = kind is not LogFormat.REQUESTS
        self._connections = ConnectionLog(log, self._loop) if log is not None and tells else None
        self._watch_with(self._connections)

    def reopen(self) -> None:
        """After log rotation.

        Raises:
            PenError: it cannot be opened anew; the old file stays in use.
        """
        if self._log is not None:
            self._log.reopen()

    def close(self) -> None:
        """Write the rest and close."""
        if self._log is not None:
            self._log.close()


def _no_log() -> None:
    """Nothing was opened."""
