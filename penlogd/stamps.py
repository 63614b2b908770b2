"""Time stamps of access logs, as seconds since 1970."""

from collections.abc import Callable
from datetime import datetime

from dateutil import parser

_CACHED = 4096

Parse = Callable[[str], float]
"""Raises ValueError or the like if the text is no time."""


def parse_usual(text: str) -> float:
    """Read a time in any usual form; one without a zone is in this machine's own."""
    if text[2:3] == "/":  # Apache's form, 23/Nov/2026:16:00:45 +0000, joins date and time by ':'
        text = text.replace(":", " ", 1).replace(":60 ", ":59 ", 1)
    return parser.parse(text).timestamp()


def parse_by(form: str, unit: float = 1.0) -> Parse:
    """Return a function that reads times of a strptime format, or numbers of a unit for ``%s``."""
    if form == "":
        return parse_usual
    if form.startswith("%s"):
        return lambda text: float(text.rstrip(".,")) * unit
    return lambda text: datetime.strptime(text, form).timestamp()


class StampReader:
    """Reads time stamps, remembering those it has read.

    A busy log repeats each stamp many times, and parsing one costs over 100 µs.

    Args:
        parse: How they are read.
    """

    def __init__(self, parse: Parse = parse_usual) -> None:
        self._parse = parse
        self._known: dict[bytes, float | None] = {}

    def seconds(self, text: bytes) -> float | None:
        """Return seconds since 1970, or None if the text is no time. Second 60 counts as 59."""
        try:
            return self._known[text]
        except KeyError:
            pass
        if len(self._known) >= _CACHED:
            self._known.clear()
        seconds = self._known[text] = self._read(text.decode("ascii", "replace"))
        return seconds

    def _read(self, text: str) -> float | None:
        try:
            return self._parse(text)
        except (ValueError, OverflowError, TypeError, AttributeError):
            return None
