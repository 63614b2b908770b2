"""The request log in use, which follows the `log` setting."""

from collections.abc import Callable

from pen.core.applying import Prepared
from pen.core.session import Session
from pen.core.settings import Settings
from pen.logs import RequestLog, open_log
from pen.logs.observer import Turns, make_observer

Observe = Callable[[Session, bytes], None]


class CurrentLog:
    """Owns the log that is open, if any.

    Args:
        turns: the loop.
        observe_with: told what should see the clients' pieces from now on; None: nobody.
    """

    def __init__(self, turns: Turns, observe_with: Callable[[Observe | None], object]) -> None:
        self._turns = turns
        self._observe_with = observe_with
        self._log: RequestLog | None = None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if wanted.log == applied.log:
            return None
        new = open_log(wanted.log) if wanted.log is not None else None

        def commit() -> None:
            self.close()
            self._log = new
            self._observe_with(None if new is None else make_observer(new, self._turns))

        return Prepared(commit, new.close if new is not None else _no_log)

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
