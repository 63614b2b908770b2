"""Time stamps of access logs, as seconds since 1970."""

import re
from collections.abc import Callable
from datetime import datetime

from dateutil import parser

_CACHED = 4096

_APACHES = re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:[0-5]\d [-+]\d{4}", re.ASCII)

Parse = Callable[[str], float]
"""Raises ValueError or the like if the text is no time."""


def parse_usual(text: str) -> float:
    """Read a time in any usual form; one without a zone is in this machine's own."""
    if text[2:3] == "/":  # Apache's form, 23/Nov/2026:16:00:45 +0000, joins date and time by ':'
        text = text.replace(":", " ", 1).replace(":60 ", ":59 ", 1)
    return parser.parse(text).timestamp()


class UsualParser:
    """Reads times as `parse_usual` does, those of Apache's form a minute at a time.

    Lines in no order, of more seconds than are remembered, would else cost 100 µs each.
    """

    def __init__(self) -> None:
        self._minutes: dict[str, float] = {}

    def __call__(self, text: str) -> float:
        """Return seconds since 1970.

        Raises:
            ValueError: It is no time; also what else dateutil raises then.
        """
        if not _APACHES.fullmatch(text):
            return parse_usual(text)
        minute = text[:18] + "00" + text[20:]
        seconds = self._minutes.get(minute)
        if seconds is None:
            if len(self._minutes) >= _CACHED:
                self._minutes.clear()
            seconds = self._minutes[minute] = parse_usual(minute)
        return seconds + int(text[18:20])


def parse_by(form: str, unit: float = 1.0) -> Parse:
    """Return a function that reads times of a strptime format, or numbers of a unit for ``%s``."""
    if form == "":
        return UsualParser()
    if form.startswith("%s"):
        return lambda text: float(text.rstrip(".,")) * unit
    return lambda text: datetime.strptime(text, form).timestamp()


class Stamps(dict[bytes, float | None]):
    """Time stamps' seconds since 1970, None for what is no time. Second 60 counts as 59.

    A busy log repeats each stamp many times, and reading one costs over 100 µs. So this is a
    dictionary of those that have been read; one that it lacks is read when it is looked up.

    Args:
        parse: How they are read; None means in any usual form.
    """

    def __init__(self, parse: Parse | None = None) -> None:
        super().__init__()
        self._parse = parse or UsualParser()

    def __missing__(self, text: bytes) -> float | None:
        """Read a stamp and remember it."""
        if len(self) >= _CACHED:
            self.clear()
        seconds = self[text] = self._read(text.decode("ascii", "replace"))
        return seconds

    def _read(self, text: str) -> float | None:
        try:
            return self._parse(text)
        except (ValueError, OverflowError, TypeError, AttributeError):
            return None
