"""How the lines of a server come: how long after pen's records, and by which clock.

Nobody tells, so it is learnt from lines whose record is certain, since there is no other like it.

The *lag* is the time from the record to the line, less the duration if the line shows it. What is
left of it is then delays on the way, of the record's too, so it may be less than nothing. Such lags
are taken to be distributed exponentially to both sides of their mode, each with a scale of its own.
Without a duration the lag is how long the request took, and is taken to be distributed
log-normally: likelihood falls with the distance from the mode by ratio.
"""

from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import exp, log

from penlogd.accesslog import AccessLine

SHORTEST = 1e-4
"""Seconds that a lag is taken to last at least: no time is known better than this."""

LEARNT = 20
"""Lines after which what was learnt is gone by."""

WINDOW = 500
"""Lags that are remembered."""

RECKONED = 8
"""After how many more lags what they are like is reckoned anew."""

CLOCK_STEP = 0.006
"""Share of a line in what is known of the clock: stamps of whole seconds make it sure to 0.02 s."""

LOW, HIGH = 0.16, 0.8
"""Quantiles looked at beside the median; the first is a standard deviation below a normal mean."""

TO_MODE = 1.5
"""How many times the quantiles' skew the mode is below the median: right for exponential delays."""

BACKWARDS = 100.0
"""How many times as far away a record counts that came after its line, unless learnt better."""

AGREED = 0.05
"""Seconds by which clocks may differ and count as one; and how well their difference is known."""

SET = 2.0
"""A stamp this many seconds from what is known tells of a clock that was set, or of a mistake."""

ANY = 60.0
"""Seconds from its line within which a record is, where nothing better is known."""


def _floats() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class Habits:
    """What was learnt of a server.

    Attributes:
        timed: Whether its lines show durations.
        mode: The likeliest lag, in seconds.
        ahead: Seconds by which the server's clock is ahead of ours; 0 if it agrees.
        known: Whether enough lines have been learnt from.
    """

    timed: bool = False
    mode: float = 0.0
    ahead: float = 0.0
    known: bool = False
    _below: float = 1 / BACKWARDS  # scales of the distribution of lags below the mode, and above
    _above: float = 1.0
    _lags: "array[float]" = field(default_factory=_floats)  # the last ones, sorted
    _recent: "array[float]" = field(default_factory=_floats)  # the same, by age
    _to_come: int = LEARNT
    _count: int = 0
    _odd: int = 0
    _ahead: float = 0.0

    def is_newer_likelier(self, older: float, newer: float) -> bool:
        """Return which of two records is a line's, by their lags, between which the mode is."""
        if self.timed:
            return (older - self.mode) * self._below >= (self.mode - newer) * self._above
        if newer < 0.0:
            return older > BACKWARDS * -newer
        return max(older, SHORTEST) * max(newer, SHORTEST) >= self.mode * self.mode

    def span(self, line: AccessLine, came: float) -> tuple[float, float, float]:
        """Return from when the lag of a line that came then is reckoned, and its record's bounds.

        A line that shows how long the request took has a lag of the delays alone.
        """
        stamp, duration, shape = line.stamp, line.duration, line.shape
        if duration is None:
            if stamp is None or shape.at_end:
                return came, came - ANY, came
            began, end = self._by_stamp(stamp, shape.precision)
            return came, began, came if began < came < end else max(began, min(end, came))
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
            if self.known:
                self.ahead = self._ahead if abs(self._ahead) > AGREED else 0.0
        self._count += 1
        self._remember(lag)
        self._to_come -= 1
        if self._to_come == 0:
            self.known = True
            self._to_come = RECKONED
            self._reckon()

    def _remember(self, lag: float) -> None:
        lags, recent = self._lags, self._recent
        insort(lags, lag)
        recent.append(lag)
        if len(recent) > WINDOW:
            del lags[bisect_left(lags, recent.pop(0))]

    def _reckon(self) -> None:
        """Reckon the distribution of lags anew."""
        lags = self._lags
        low, median, high = (lags[int(share * len(lags))] for share in (LOW, 0.5, HIGH))
        if self.timed:
            below, above = median - low, high - median
            skew = above - below
            self.mode = median - TO_MODE * skew
            self._below, self._above = max(below - skew, SHORTEST), max(above + skew, SHORTEST)
        else:
            middle = log(max(median, SHORTEST))
            self.mode = exp(middle - (middle - log(max(low, SHORTEST))) ** 2)

    def _by_stamp(self, stamp: float, precision: float) -> tuple[float, float]:
        if self.ahead:
            stamp -= self.ahead
            return stamp - AGREED, stamp + precision + AGREED
        return stamp, stamp + precision
