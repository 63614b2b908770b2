"""The one error of this package, and the time within which an answer must be there."""

import time


class NoPageError(Exception):
    """There is no page to show.

    Args:
        status: the HTTP status code that says whose fault it is.
        problem: what went wrong, one line.
        advice: what to do about it, one line; may be empty.
    """

    def __init__(self, status: int, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.advice = advice


class Deadline:
    """A moment after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Whether the time is up."""
        return self.remaining() <= 0
