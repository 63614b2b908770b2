"""Time stamps of access logs, as seconds since 1970."""

from dateutil import parser

_CACHED = 4096


class StampReader:
    """Reads time stamps of any common shape, remembering those it has read.

    A busy log repeats each stamp many times, and parsing one costs over 100 µs.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, float | None] = {}

    def seconds(self, text: bytes) -> float | None:
        """Return seconds since 1970, or None if the text is no time.

        A stamp without a zone is in this machine's own. Second 60 counts as 59.
        """
        try:
            return self._known[text]
        except KeyError:
            pass
        if len(self._known) >= _CACHED:
            self._known.clear()
        seconds = self._known[text] = _parse(text.decode("ascii", "replace"))
        return seconds


def _parse(text: str) -> float | None:
    if (
        text[2:3] == "/"
    ):  # Apache's form, 23/Nov/2026:16:00:45 +0000, joins date and time by a colon
        text = text.replace(":", " ", 1).replace(":60 ", ":59 ", 1)
    try:
        return parser.parse(text).timestamp()
    except (ValueError, OverflowError, TypeError, AttributeError):
        return None
