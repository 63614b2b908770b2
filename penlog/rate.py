"""Whether much comes: then it pays to let more of it gather, and do it all at once."""

JUDGED = 0.1
"""Seconds over which it is judged."""


class Rate:
    """Judges a rate.

    Args:
        much: So many a second are much.
        total: What has come by now, ever.
        now: Monotonic time.
    """

    def __init__(self, much: float, total: int, now: float) -> None:
        self._much = much
        self._total = total
        self._since = now
        self._is_much = False

    def is_much(self, total: int, now: float) -> bool:
        """Return whether much has come of late; total and now as before."""
        passed = now - self._since
        if passed >= JUDGED:
            self._is_much = total - self._total > self._much * passed
            self._since, self._total = now, total
        return self._is_much
