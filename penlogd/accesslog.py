r"""Web servers' access-log lines: what the join needs from a line, and putting a client into it.

A `LineFormat` reads lines of one format. Here is the one that needs no telling: `ByShape` knows the
usual formats by how they look, ::

    common          client ident user [stamp] "request" status bytes
    combined        ... and "referer" "user agent", and whatever follows
    vhost_combined  host:port before the client

and, failing these, any line that has its client first and a request in quotes.

Only the client changes in a line; all other bytes stay as they came.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from penlogd.stamps import Stamps

_QUOTED = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'

# The bulk of lines, quickly: nothing unusual in them. All others are left to the full pattern.
_PLAIN = re.compile(rb'([^\s<"][^ ]*+) [^ ]++ [^ ]++ \[([^\]]*+)\] "([^"\\]*+)"')

# The user may hold blanks, quotes or a bracket, so the stamp is told by its own form. A first field
# with one colon, or with a port after brackets, is a virtual host: an IPv6 client has two colons.
_USUAL = re.compile(
    rb"(?:(?:[^\s:\[]+|\[[^\s\]]*\]):\d+ )?"
    rb"([^\s<\"]\S*) \S+ .*?"
    rb"\[(\d\d?/\w{3}/\d{4}:\d\d:\d\d:\d\d(?:\.\d+)?(?: [-+]\d{4})?)\] " + _QUOTED,
    re.DOTALL,
)
_FIRST_AND_QUOTED = re.compile(rb"([^\s<\"]\S*) [^\"]*" + _QUOTED, re.DOTALL)

_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"b": b"\b", b"f": b"\f"}


class Order(Enum):
    """Which time of a request lines are ordered by."""

    STAMP = "stamp"
    """The one that the line shows."""
    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the lines of a format have in common.

    Attributes:
        precision: A stamp stands for this many seconds from it on.
        at_end: Whether stamps are of the end of requests.
        granularity: A duration may be this many seconds longer than the line says.
    """

    precision: float = 1.0
    at_end: bool = False
    granularity: float = 0.0


BY_SECOND = Shape()
EXACT = Shape(precision=0.0)


@dataclass(slots=True)
class AccessLine:
    """One line of a web server's access log.

    Attributes:
        text: The line as it came, without its newline.
        server: Address of the server that wrote it.
        client_start: Where the client field begins in text.
        client_end: Where it ends.
        request: The request as bytes, escapes undone; None if the line does not show it.
        stamp: The line's time, seconds since 1970; None if it has none.
        shape: What holds for all lines of its format.
        duration: Seconds that the request took; None if the line does not show it.
        peer: Whom the server was connected to, where that is not the client field.
        port: The peer's port; None if the line does not show it.
        server_port: The server's port of that connection; None if the line does not show it.
    """

    text: bytes
    server: bytes
    client_start: int
    client_end: int
    request: bytes | None
    stamp: float | None
    shape: Shape = BY_SECOND
    duration: float | None = None
    peer: bytes | None = None
    port: bytes | None = None
    server_port: bytes | None = None

    def with_client(self, client: bytes) -> bytes:
        """Return the text with another client."""
        return self.text[: self.client_start] + client + self.text[self.client_end :]

    def pen(self) -> bytes:
        """Return the address that the server took for the client's: pen's."""
        return self.peer or self.text[self.client_start : self.client_end]

    def span_by_stamp(self, stamp: float) -> tuple[float, float]:
        """Return between which times the request began, by its stamp, or one that stands for it."""
        if self.shape.at_end and self.duration is not None:
            began, latest = self._before(stamp, self.duration)
            return began, latest + self.shape.precision
        return stamp, stamp + self.shape.precision

    def span_on_connection(self, came: float) -> tuple[float, float]:
        """Return between which times its connection was open, by times of arrival alone."""
        return (came, came) if self.duration is None else self._before(came, self.duration)

    def order_key(self, order: Order) -> float | None:
        """Return the time to order it by, as far as the line shows it."""
        stamp, duration = self.stamp, self.duration
        if stamp is None or duration is None or order is Order.STAMP:
            return stamp
        if self.shape.at_end:
            return stamp - duration if order is Order.START else stamp
        return stamp + duration if order is Order.END else stamp

    def _before(self, end: float, duration: float) -> tuple[float, float]:
        latest = end - duration if duration > 0.0 else end
        return latest - self.shape.granularity, latest


class LineFormat(Protocol):
    """How one kind of access log is read."""

    def read(self, text: bytes, sender: bytes) -> AccessLine | None:
        """Read a line without its newline; None if it does not have this format.

        Args:
            text: The line.
            sender: Address it came from: the server, unless the line itself names it.
        """


class ByShape:
    """Reads the usual formats, told apart by how the line looks."""

    def __init__(self) -> None:
        self._stamps = Stamps()

    def read(self, text: bytes, sender: bytes) -> AccessLine | None:
        """Read a line of common, combined, vhost_combined or a like format."""
        match = _PLAIN.match(text)
        if match is not None:
            _, stamp, request = match.groups()
            seconds = self._stamps[stamp]
            if seconds is not None and b"." not in stamp:
                return AccessLine(text, sender, 0, match.end(1), request, seconds)
        match = _USUAL.match(text)
        if match is None:
            return self._read_loosely(text, sender)
        start, end = match.span(1)
        stamp, request = match.group(2, 3)
        shape = EXACT if b"." in stamp else BY_SECOND
        seconds = self._stamps[stamp]
        return AccessLine(text, sender, start, end, unescape(request), seconds, shape)

    def _read_loosely(self, text: bytes, sender: bytes) -> AccessLine | None:
        match = _FIRST_AND_QUOTED.match(text)
        if match is None:
            return None
        start, end = match.span(1)
        return AccessLine(text, sender, start, end, unescape(match.group(2)), None)


def unreadable(text: bytes, sender: bytes) -> AccessLine | None:
    r"""Return a line of no known format, to be written as it is; None if it is no text at all.

    Text is not blank and has no control bytes but tabs and a CR at its end.
    """
    bare = text.removesuffix(b"\r").replace(b"\t", b" ")
    if not bare.strip() or min(bare) < 32:
        return None
    return AccessLine(text, sender, 0, 0, None, None)


def unescape(request: bytes) -> bytes:
    r"""Undo the escapes of Apache (``\"``, ``\n``, ``\xhh``) and nginx (``\x22``)."""
    return _ESCAPE.sub(_unescape_one, request) if b"\\" in request else request


def _unescape_one(match: re.Match[bytes]) -> bytes:
    code: bytes | None = match.group(1)
    if code is not None:
        return bytes((int(code, 16),))
    letter: bytes = match.group(2)
    return _LETTERS.get(letter, letter)
