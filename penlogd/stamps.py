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


class StampReader:
    """Reads time stamps, remembering those it has read.

    A busy log repeats each stamp many times, and parsing one costs over 100 µs.

    Args:
        parse: How they are read; None means in any usual form.
    """

    def __init__(self, parse: Parse | None = None) -> None:
        self._parse = parse or UsualParser()
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
