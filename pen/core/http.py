"""What a client sends, split into HTTP/1 requests.

The rules:

- A *head* is a request line and header fields up to the empty line, at most `HEAD_MAX`
  bytes: a method of any name, a target, ``HTTP/1.0`` or ``HTTP/1.1``; lines end with CRLF;
  a field is a name, a colon right after it, and a value without control characters
  (RFC 9112). Nothing of a head is given out before all of it is there.
- The body is delimited by one Content-Length, or in HTTP/1.1 by one ``Transfer-Encoding:
  chunked``, or there is none. Chunk extensions and trailers are understood. Bodies, and
  empty lines between requests, are never changed.
- After a request that asks to leave HTTP (Upgrade, CONNECT) the server's answer decides.
  It said yes: the rest is a TUNNEL. It said no: the next request follows. Clients must wait
  for the answer, so bytes that come before it are UNKNOWN.
- Whatever does not fit is UNKNOWN, from the beginning of the head or the line that does not
  fit until the end of the stream, for a server may see other requests in it than we would:
  lines ended by a bare LF, folded fields, a blank before the colon, Content-Length twice or
  beside Transfer-Encoding, other transfer codings, a bad chunk size, too long a head, other
  versions, other protocols. So is a request that would undo the headers we add
  (`core.forwarding`): by naming them in Connection, which has the next proxy drop them, or
  by sending them as trailers, which some servers take for headers.

So a request is changed whole or not at all, and never one that we and a server might read
differently. What becomes of UNKNOWN bytes is for the caller to say: they are sent on as
they came when the client is trusted, and are the end of its stream when it is not.

How the stream was cut into pieces makes no difference to what comes out in the end. What
is kept back is at most `HEAD_MAX` bytes.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from pen.core.forwarding import OUR_FIELD

HEAD_MAX: Final = 65536
"""Bytes of a request head, and of the trailers of a body."""
LINE_MAX: Final = 4096
"""Bytes in the line that begins a chunk."""
LENGTH_DIGITS: Final = 18
"""Digits of a Content-Length; more is more than any file has."""


class Kind(Enum):
    """What a part of the stream is."""

    HEAD = "a whole request head, with its empty line"
    BODY = "of a body, or an empty line before a request"
    TUNNEL = "after the server agreed to leave HTTP"
    UNKNOWN = "no HTTP/1, or none that everybody reads alike"


HEAD: Final = Kind.HEAD
BODY: Final = Kind.BODY
TUNNEL: Final = Kind.TUNNEL
UNKNOWN: Final = Kind.UNKNOWN


class Part(NamedTuple):
    """A part of the stream, in order."""

    kind: Kind
    data: bytes


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_LINE = _TOKEN + rb"{1,32}+ [!-~\x80-\xff]++ HTTP/1\.[01]\r\n"
_FIELD = _TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n"
_REQUEST_LINE = re.compile(_LINE)
_FIELDS = re.compile(rb"(?:" + _FIELD + rb")*+")
_WHOLE_HEAD = re.compile(_LINE + rb"(?:" + _FIELD + rb")*+\r\n")
_BEGINNING = re.compile(_TOKEN + rb"{1,32}+(?: (?:[!-~\x80-\xff]++(?: [HTP/1.0]{0,8}\r?)?)?)?")
"""A request line that is not complete yet."""
_FRAMING = re.compile(
    rb"\n(content-length|transfer-encoding|upgrade|connection(?=:[^\r]*x-forwarded))"
    rb":[ \t]*([^\r]*?)[ \t]*\r",
    re.IGNORECASE,
)
"""What decides where the body ends, and what else a request may ask that concerns us."""
_LENGTH = re.compile(rb"[0-9]{1,%d}" % LENGTH_DIGITS)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_STATUS_SIZE: Final = 13

_MORE = (UNKNOWN, -1)
"""What a step returns that must see more bytes."""
_GLANCE: Final = 80
"""Bytes of an incomplete request line that are enough to tell another protocol."""


def _is_simple(piece: bytes) -> bool:
    """Whether this is one whole head, of a request without a body that stays in HTTP."""
    return (
        len(piece) <= HEAD_MAX
        and _WHOLE_HEAD.fullmatch(piece) is not None
        and _FRAMING.search(piece) is None
        and not piece.startswith(b"CONNECT ")
    )


class RequestStream:
    """The parser of one client's stream. It takes everything and raises nothing."""

    __slots__ = (
        "_answer",
        "_checked",
        "_granted",
        "_held",
        "_leaves",
        "_left",
        "_searched",
        "_step",
        "_trailers",
    )

    def __init__(self) -> None:
        self._step: Callable[[RequestStream, bytes, int], tuple[Kind, int]] = RequestStream._head
        self._held = b""
        self._searched = 0
        """Bytes of `_held` known to hold no end of the head."""
        self._checked = 0
        """Bytes of `_held` that are good lines."""
        self._left = 0
        """Bytes left of the body, or of the chunk."""
        self._trailers = 0
        """Bytes that trailers may still take."""
        self._leaves = b""
        """How the status begins by which a server lets the last request leave HTTP."""
        self._granted: bool | None = False
        """Whether it did; None: it has not answered."""
        self._answer = b""

    def feed(self, piece: bytes) -> list[Part]:
        """The parts that are complete with this piece."""
        if self._step is _IN_HEAD and not self._held and _is_simple(piece):
            return [Part(HEAD, piece)]
        data = self._held + piece
        parts, at = self._split(data)
        self._held = data[at:]
        return parts

    def end(self) -> list[Part]:
        """The stream has ended: what was kept back."""
        rest, self._held = self._held, b""
        self._step = RequestStream._unknown
        return [Part(UNKNOWN, rest)] if rest else []

    @property
    def request_line(self) -> bytes:
        """What has come of a head that is not complete but has a request line, else nothing."""
        return self._held[: self._checked]

    @property
    def awaits_answer(self) -> bool:
        """Whether the last request asked to leave HTTP, and the server has yet to answer."""
        return self._granted is None

    def hear(self, piece: bytes) -> None:
        """What the server sent since the request that awaits an answer."""
        self._answer += piece
        while self._granted is None:
            status = _STATUS.match(self._answer)
            if status is None:
                if len(self._answer) < _STATUS_SIZE:
                    return
                self._granted = False
            elif status[1].startswith(self._leaves):
                self._granted = True
            elif not status[1].startswith(b"1"):
                self._granted = False
            elif not self._skip_interim():
                return
        self._answer = b""

    def _skip_interim(self) -> bool:
        """Leave out a response that only says: wait (1xx)."""
        end = self._answer.find(b"\r\n\r\n") + 4
        if end < 4 and len(self._answer) <= HEAD_MAX:
            return False
        self._answer = self._answer[end:] if end >= 4 else b"." * _STATUS_SIZE
        return True

    def _split(self, data: bytes) -> tuple[list[Part], int]:
        """Parts, and where the bytes begin that must wait for more."""
        parts: list[Part] = []
        at, begin, kind = 0, 0, BODY
        while at < len(data):
            found, end = self._step(self, data, at)
            if end < 0:
                break
            if (found is HEAD or found is not kind) and begin < at:
                parts.append(Part(kind, data[begin:at]))
                begin = at
            at, kind = end, found
        if begin < at:
            parts.append(Part(kind, data[begin:at]))
        return parts, at

    # Steps: each takes one part that begins at `at` and returns its kind and end.

    def _head(self, data: bytes, at: int) -> tuple[Kind, int]:
        if data.startswith(b"\r\n", at):
            return BODY, at + 2
        end = data.find(b"\r\n\r\n", at + self._searched) + 4
        if end < 4:
            return self._part_of_head(data, at)
        self._searched = self._checked = 0
        if end - at > HEAD_MAX or not _WHOLE_HEAD.fullmatch(data, at, end):
            return self._lost(data)
        if not self._frame(data[at:end]):
            return self._lost(data)
        return HEAD, end

    def _part_of_head(self, data: bytes, at: int) -> tuple[Kind, int]:
        """Wait for the rest, unless it is plain already that this is no head."""
        if len(data) - at > HEAD_MAX:
            return self._lost(data)
        lines = data.rfind(b"\n", at + self._searched) + 1
        if lines:
            good = at + self._checked
            if not self._checked:
                match = _REQUEST_LINE.match(data, at)
                good = match.end() if match else lines + 1
            if good > lines or not _FIELDS.fullmatch(data, good, lines):
                return self._lost(data)
            self._checked = lines - at
        elif not self._checked:
            glance = data[at : at + _GLANCE]
            if glance != b"\r" and not _BEGINNING.fullmatch(glance):
                return self._lost(data)
        self._searched = max(0, len(data) - at - 3)
        return _MORE

    def _frame(self, head: bytes) -> bool:
        """Note what follows the head; False when that is not certain."""
        fields = [(name.lower(), value) for name, value in _FRAMING.findall(head)]
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        connects = head.startswith(b"CONNECT ")
        names = {name for name, _ in fields}
        self._leaves = b"2" if connects else b"101" if b"upgrade" in names else b""
        self._granted = None if self._leaves else False
        if b"connection" in names:
            return False
        if not lengths and not codings:
            self._complete()
            return True
        if len(lengths) + len(codings) > 1 or connects:
            return False
        if codings:
            self._step = RequestStream._chunk
            version = head[head.index(b"\r") - 1 : head.index(b"\r")]
            return codings[0].lower() == b"chunked" and version == b"1"
        if not _LENGTH.fullmatch(lengths[0]):
            return False
        self._left = int(lengths[0])
        self._step = RequestStream._body
        if not self._left:
            self._complete()
        return True

    def _complete(self) -> None:
        """A request is complete; what comes next is another, or after an answer."""
        self._step = RequestStream._asking if self._leaves else RequestStream._head
        self._searched = self._checked = 0

    def _body(self, data: bytes, at: int) -> tuple[Kind, int]:
        end = min(len(data), at + self._left)
        self._left -= end - at
        if not self._left:
            self._complete()
        return BODY, end

    def _chunk(self, data: bytes, at: int) -> tuple[Kind, int]:
        """The line that begins a chunk."""
        end = self._line(data, at, LINE_MAX)
        if end <= 0:
            return _MORE if end else self._lost(data)
        match = _CHUNK.fullmatch(data, at, end - 2)
        if match is None:
            return self._lost(data)
        self._left = int(match[1], 16)
        self._trailers = HEAD_MAX
        self._step = RequestStream._chunk_data if self._left else RequestStream._trailer
        return BODY, end

    def _chunk_data(self, data: bytes, at: int) -> tuple[Kind, int]:
        end = min(len(data), at + self._left)
        self._left -= end - at
        if not self._left:
            self._step = RequestStream._chunk_end
        return BODY, end

    def _chunk_end(self, data: bytes, at: int) -> tuple[Kind, int]:
        if data.startswith(b"\r\n", at):
            self._step = RequestStream._chunk
            return BODY, at + 2
        return _MORE if data[at:] == b"\r" else self._lost(data)

    def _trailer(self, data: bytes, at: int) -> tuple[Kind, int]:
        """A field after the last chunk, or the empty line that ends the body."""
        end = self._line(data, at, self._trailers)
        if end <= 0:
            return _MORE if end else self._lost(data)
        self._trailers -= end - at
        if end == at + 2:
            self._complete()
        elif not _FIELDS.fullmatch(data, at, end) or OUR_FIELD.match(data, at):
            return self._lost(data)
        return BODY, end

    @staticmethod
    def _line(data: bytes, at: int, longest: int) -> int:
        """Where the line ends, its CRLF included; -1: not yet; 0: it is no good line."""
        end = data.find(b"\n", at, at + longest + 2) + 1
        if end:
            return end if data[end - 2 : end - 1] == b"\r" and end - 2 >= at else 0
        return -1 if len(data) - at <= longest + 1 else 0

    def _asking(self, data: bytes, at: int) -> tuple[Kind, int]:
        """The first bytes after a request to leave HTTP."""
        if self._granted is None:
            return self._lost(data)
        self._step = RequestStream._tunnel if self._granted else RequestStream._head
        return self._step(self, data, at)

    def _tunnel(self, data: bytes, at: int) -> tuple[Kind, int]:  # noqa: ARG002
        return TUNNEL, len(data)

    def _unknown(self, data: bytes, at: int) -> tuple[Kind, int]:  # noqa: ARG002
        return UNKNOWN, len(data)

    def _lost(self, data: bytes) -> tuple[Kind, int]:
        self._step = RequestStream._unknown
        return UNKNOWN, len(data)


_IN_HEAD: Final = RequestStream._head
