"""How the lines of a server come: how long after pen's records, and by which clock.

Nobody tells, so it is learnt from lines whose record is certain, since there is no other like it.
"""

from dataclasses import dataclass
from math import exp, log

from penlogd.accesslog import AccessLine

SHORTEST = 1e-4
"""Seconds that a lag is taken to last at least: no time is known better than this."""

LEARNT = 20
"""Lines after which what was learnt is gone by."""

STEP = 0.03
"""By how much a line moves what is known of the lags' logarithms: fifty make a factor of 4."""

CLOCK_STEP = 0.006
"""Share of a line in what is known of the clock: stamps of whole seconds make it sure to 0.02 s."""

BELOW = 0.16
"""Share of a normal distribution that is more than a standard deviation below its mean."""

AGREED = 0.05
"""Seconds by which clocks may differ and count as one; and how well their difference is known."""

SET = 2.0
"""A stamp this many seconds from what is known tells of a clock that was set, or of a mistake."""

ANY = 60.0
"""Seconds from its line within which a record is, where nothing better is known."""


@dataclass(slots=True)
class Habits:
    """What was learnt of a server.

    Attributes:
        mode: The likeliest lag, in seconds: the mode of a log-normal distribution.
        ahead: Seconds by which the server's clock is ahead of ours; 0 if it agrees.
        known: Whether enough lines have been learnt from.
    """

    mode: float = 0.0
    ahead: float = 0.0
    known: bool = False
    _count: int = 0
    _odd: int = 0
    _median: float = 0.0  # of the lags' logarithms
    _low: float = 0.0  # and a standard deviation below it: there, late lines do not show
    _ahead: float = 0.0

    def span(self, line: AccessLine, came: float) -> tuple[float, float, float]:
        """Return from when the lag of a line that came then is reckoned, and its record's bounds.

        A line that shows how long the request took has a lag of the delays alone.
        """
        stamp, duration, shape = line.stamp, line.duration, line.shape
        if duration is None:
            if stamp is None or shape.at_end:
                return came, came - ANY, came
            began, end = self._by_stamp(stamp, shape.precision)
            return came, began, max(began, min(end, came))
        came -= max(0.0, duration)
        if stamp is None or not self.known:
            return came, came - ANY, came + ANY
        if shape.at_end:
            stamp -= max(0.0, duration) + shape.granularity
        return came, *self._by_stamp(stamp, shape.precision + shape.granularity)

    def learn(self, line: AccessLine, lag: float, when: float) -> None:
        """Learn from a line, its lag, and when its record came."""
        stamp = line.stamp
        if stamp is not None:
            if line.shape.at_end and line.duration is not None:
                stamp -= line.duration
            ahead = stamp + 0.5 * line.shape.precision - when
            if self._count and abs(ahead - self._ahead) > SET:
                self._odd += 1
                if self._odd < LEARNT:
                    return
                self._count = 0
            self._odd = 0
            self._ahead += max(1 / (self._count + 1), CLOCK_STEP) * (ahead - self._ahead)
        logarithm = log(lag if lag > SHORTEST else SHORTEST)
        if self._count == 0:
            self._median = self._low = logarithm
        self._count += 1
        step = max(1 / self._count, STEP)
        self._median += step if logarithm > self._median else -step
        self._low += 2 * step * (BELOW if logarithm > self._low else BELOW - 1)
        self.known = self._count >= LEARNT
        if self.known:
            self.mode = exp(self._median - (self._median - self._low) ** 2)
            self.ahead = self._ahead if abs(self._ahead) > AGREED else 0.0

    def _by_stamp(self, stamp: float, precision: float) -> tuple[float, float]:
        if self.ahead:
            stamp -= self.ahead
            return stamp - AGREED, stamp + precision + AGREED
        return stamp, stamp + precision
