"""Making the world agree with the settings: whole, or not at all.

What must follow a setting (the listener, the log, a TLS context, ...) is a *part*: a
function of the settings wanted and of those applied last. It does all that can fail, such
as opening the new log, and returns what is still to be done, which cannot fail; or None
when nothing it follows has changed. All parts prepare before any takes effect. When one
raises, what the others prepared is discarded, and the world is as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pen.core.settings import Settings


def _nothing() -> None:
    """There is nothing to take back."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that is ready: exactly one of the two will be called."""

    commit: Callable[[], object]
    """Take effect; must not raise."""
    discard: Callable[[], object] = _nothing
    """Give back what was prepared, for another part has failed."""


Part = Callable[[Settings, Settings], Prepared | None]
"""Called with the settings wanted and those applied; raises PenError if it cannot be done."""


class Applier:
    """Keeps the world in agreement with the settings, through its parts in their order.

    Args:
        parts: what follows.
        applied: the settings with which the world agrees; None: the defaults.
    """

    def __init__(self, *parts: Part, applied: Settings | None = None) -> None:
        self._parts: Sequence[Part] = parts
        self._applied = replace(applied) if applied is not None else Settings()

    def apply(self, wanted: Settings) -> None:
        """Let every part follow.

        Raises:
            PenError: what kept a part from following; nothing was changed.
        """
        prepared: list[Prepared] = []
        try:
            for part in self._parts:
                step = part(wanted, self._applied)
                if step is not None:
                    prepared.append(step)
        except BaseException:
            for step in reversed(prepared):
                step.discard()
            raise
        for step in prepared:
            step.commit()
        self._applied = replace(wanted)
