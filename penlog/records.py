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

A *connection record* says that a connection to a server is open, or has ended, and for which client
it was made. It is a line of its own, the same in a file and in a datagram, which may hold several::

    =1 open|end tcp|udp client port source port server port opened lasted up down reason

``source`` and its port are pen's own, which the server takes for the client's. ``opened`` is in
seconds since 1970 and ``lasted`` in seconds, both with a fraction; ``up`` and ``down`` count bytes
from and to the client. A connection is told of when a server has taken it, each minute while it
lasts, and at its end, each time with all there is to say, so that any one of them is enough. ``1``
is the version. A line never begins with ``+ `` and never holds ``"``: penlogd 0.34.1 ignores it.
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

CONNECTIONS_LIMIT = 1400
"""Bytes of connection records in a datagram: with its headers it fits an Ethernet frame."""

_ASCII = bytes(range(128)) + b"." * 128
_ADDRESS = rb"([!#-~\x80-\xff]+)"  # no blank, quote or control byte
_DATAGRAM = re.compile(rb"\+ " + _ADDRESS + b" " + _ADDRESS + rb" ([^\n]*)\n?")
_FILE_LINE = re.compile(_ADDRESS + rb" (\d{1,12}) " + _ADDRESS + rb" ([^\n]*)\n?")
_PORT = rb"(\d{1,5})"
_SECONDS = rb"(\d{1,12}\.\d{1,9})"
_CONNECTION = re.compile(
    rb" ".join([
        rb"=1 (open|end) ([a-z]{1,16})", _ADDRESS, _PORT, _ADDRESS, _PORT, _ADDRESS, _PORT,
        _SECONDS, _SECONDS, rb"(\d{1,20}) (\d{1,20}) ([^\"\n]*)\n?",
    ])
)  # fmt: skip
_NEWS = re.compile(
    r"^=1 (open|end) ([a-z]{{1,16}} ({0}) {1} ({0} {1} {0}) ({1}) {2}) ({2})"
    r" \d{{1,20}} \d{{1,20}} [^\"\n]*$".format(
        *(group[1:-1].decode() for group in (_ADDRESS, _PORT, _SECONDS))
    ).encode(),
    re.MULTILINE,
)  # a record among others, as `_CONNECTION`, with less groups
_UNSAFE = re.compile(r"[^ !#-~]")


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
    client, epoch, server, request = split_file_line(line)
    return Record(client, server, request, int(epoch))


def split_file_line(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return client, epoch, server and request of a line, as `parse_file_line` but quicker.

    Raises:
        RecordError: The line is not ``client epoch server request``.
    """
    match = _FILE_LINE.fullmatch(line)
    if match is None:
        raise RecordError("not a record: expected 'client epoch server request'")
    return match.groups()  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that pen made to a server for a client.

    Attributes:
        ended: Whether this tells of its end.
        protocol: ``tcp`` or ``udp``.
        client: Address of the client, as text; ``unix`` for one on a Unix socket.
        client_port: Its port; 0 for one on a Unix socket.
        source: Address that the server saw it come from.
        source_port: Port that the server saw it come from.
        server: Address of the server, as text.
        server_port: Its port.
        opened: When the server took it, by pen's clock; seconds since 1970.
        lasted: Seconds from then to the record.
        up: Bytes from the client so far.
        down: Bytes to the client so far.
        reason: Why it ended; empty while it is open.
    """

    ended: bool
    protocol: str
    client: bytes
    client_port: int
    source: bytes
    source_port: int
    server: bytes
    server_port: int
    opened: float
    lasted: float
    up: int
    down: int
    reason: str


ConnectionFields = tuple[bytes, ...]
"""The 13 fields of a connection record after its version, as they stand in it."""


ConnectionNews = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
"""Of a connection record: event; protocol to ``opened`` as `about_connection` has them; of these
the client, ``source port server`` and the server's port; and ``lasted``."""


def about_connection(
    protocol: str,
    client: tuple[str, int],
    source: tuple[str, int],
    server: tuple[str, int],
    opened: float,
) -> str:
    """Return the part of a connection's records that stays the same while it lasts."""
    (host, port), (source_host, source_port), (server_host, server_port) = client, source, server
    return (
        f"{protocol} {host} {port} {source_host} {source_port} {server_host} {server_port}"
        f" {opened:.6f}"
    )


def connection_line(about: str, lasted: float, up: int, down: int, ended: str | None) -> bytes:
    """Return a connection record, newline included.

    Args:
        about: What `about_connection` gave.
        lasted: Seconds since it was opened.
        up: Bytes from the client so far.
        down: Bytes to the client so far.
        ended: Why it has ended; None if it has not.
    """
    event, reason = ("open", "") if ended is None else ("end", _UNSAFE.sub("?", ended))
    return f"=1 {event} {about} {max(0.0, lasted):.6f} {up} {down} {reason}\n".encode()


def split_connection(line: bytes) -> ConnectionFields:
    """Return the fields of a connection record, as `parse_connection` but quicker.

    Raises:
        RecordError: The line is no connection record of version 1.
    """
    match = _CONNECTION.fullmatch(line)
    if match is None:
        raise RecordError("not a connection record: expected '=1 open|end protocol client ...'")
    return match.groups()


def find_connections(data: bytes) -> list[ConnectionNews]:
    """Return what each connection record of a datagram tells; lines that are none are passed over.

    One search through all of them takes a third of the time of `parse_connection`.
    """
    return _NEWS.findall(data)


def parse_connection(line: bytes) -> Connection:
    """Read a connection record; its newline may be missing.

    Raises:
        RecordError: The line is no connection record of version 1.
    """
    fields = split_connection(line)
    event, protocol, client, port, source, source_port, server, server_port = fields[:8]
    opened, lasted, up, down, reason = fields[8:]
    return Connection(
        event == b"end", protocol.decode(), client, int(port), source, int(source_port),
        server, int(server_port), float(opened), float(lasted), int(up), int(down),
        reason.decode("ascii", "replace"),
    )  # fmt: skip
