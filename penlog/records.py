r"""The log records that pen writes and the log tools read: their formats are here and nowhere else.

A *record* says which client sent which request to which server. It has two forms, both those of
pen 0.34.1 (observed on the wire and in its log file):

* in a file, a line ``client epoch server request\n``. The request is at most 100 bytes, and each
  byte above 127 is written as ``.``;
* to penlogd, a UDP datagram ``+ client server request\n`` of at most 1024 bytes in all, the
  request's bytes as they came.

The request is the first line of the piece that pen read from the client: it ends before the first
CR or LF. Other control bytes, NUL too, stay as they are. A piece without any line end counts as one
line, and an empty first line gives an empty request.
"""

import re
from dataclasses import dataclass

DATAGRAM_LIMIT = 1024
"""Bytes in a datagram, its newline included."""

FILE_REQUEST_LIMIT = 100
"""Bytes of the request in a line of pen's log file."""

DATAGRAM_REQUEST_MINIMUM = 896
"""Bytes of the request that every datagram has room for: two long IPv6 addresses with their zones
and the blanks take less than 128 bytes. Requests longer than this are compared by this much."""

_ASCII = bytes(range(128)) + b"." * 128
_ADDRESS = rb"([!#-~\x80-\xff]+)"  # no blank, quote or control byte
_DATAGRAM = re.compile(rb"\+ " + _ADDRESS + b" " + _ADDRESS + rb" ([^\n]*)\n?")
_FILE_LINE = re.compile(_ADDRESS + rb" (\d{1,12}) " + _ADDRESS + rb" ([^\n]*)\n?")


class RecordError(ValueError):
    """What was read is not one of pen's log records; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """Client sent request to server.

    Attributes:
        client: Address of the client, as text.
        server: Address of the server, as text.
        request: First line of what the client sent; it may be cut at the form's limit.
        epoch: When pen read it, seconds since 1970; None in a datagram, which carries no time.
    """

    client: bytes
    server: bytes
    request: bytes
    epoch: int | None = None


def file_line(client: str, epoch: int, server: str, piece: bytes) -> bytes:
    """Return the line of pen's log file for a piece read from the client, newline included."""
    request = first_line(piece, FILE_REQUEST_LIMIT).translate(_ASCII)
    return b"%b %d %b %b\n" % (client.encode(), epoch, server.encode(), request)


def datagram(client: str, server: str, piece: bytes) -> bytes:
    """Return the datagram that tells penlogd about a piece read from the client."""
    head = f"+ {client} {server} ".encode()
    return head + first_line(piece, max(0, DATAGRAM_LIMIT - 1 - len(head))) + b"\n"


def first_line(piece: bytes, limit: int) -> bytes:
    """Return what comes before the first CR or LF, at most limit bytes."""
    return piece[:limit].partition(b"\n")[0].partition(b"\r")[0]


def as_in_file(request: bytes) -> bytes:
    """Return a request as pen's log file would hold it: cut, and with dots above 127."""
    return request[:FILE_REQUEST_LIMIT].translate(_ASCII)


def parse_datagram(data: bytes) -> Record:
    """Read a record from a datagram; its newline may be missing.

    Raises:
        RecordError: The datagram is not ``+ client server request``.
    """
    return Record(*split_datagram(data))


def split_datagram(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return client, server and request of a datagram, as `parse_datagram` but quicker.

    Raises:
        RecordError: The datagram is not ``+ client server request``.
    """
    match = _DATAGRAM.fullmatch(data)
    if match is None:
        raise RecordError("not a record: expected '+ client server request'")
    return match.groups()  # type: ignore[return-value]


def parse_file_line(line: bytes) -> Record:
    """Read a record from a line of pen's log file; its newline may be missing.

    Raises:
        RecordError: The line is not ``client epoch server request``.
    """
    match = _FILE_LINE.fullmatch(line)
    if match is None:
        raise RecordError("not a record: expected 'client epoch server request'")
    client, epoch, server, request = match.groups()
    return Record(client, server, request, int(epoch))
