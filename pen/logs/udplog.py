"""The log to a penlogd: a datagram for each piece that a client sent, or of many lines."""

import socket

from pen.core.address import Endpoint, Resolve, parse_port
from pen.core.errors import AddressError, PenError
from penlog import records


class UdpLog:
    """Sends at once and never waits; what the system does not take is counted."""

    def __init__(self, target: str, find: Resolve) -> None:
        self.target = target
        self.lost = 0
        self._find = find
        self._lines: list[bytes] = []
        self._size = 0
        self.endpoint: Endpoint
        self._socket = self._open()

    def _open(self) -> socket.socket:
        host, _, port = self.target.rpartition(":")
        try:
            endpoint = self._find(host.removeprefix("[").removesuffix("]"), parse_port(port, "udp"))
        except AddressError as error:
            raise PenError(f"cannot log to '{self.target}': {error}") from None
        opened = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            opened.connect(endpoint.sockaddr)
        except OSError as error:
            opened.close()
            raise PenError(f"cannot log to '{self.target}': {error.strerror}") from None
        self.endpoint = endpoint
        return opened

    def record(self, client: str, epoch: int, server: str, piece: bytes) -> None:  # noqa: ARG002
        """Send a record; penlogd goes by the time of its arrival."""
        self.send(records.datagram(client, server, piece))

    def add(self, line: bytes) -> None:
        """Send a line together with others, at the latest when flushed."""
        if self._size + len(line) > records.CONNECTIONS_LIMIT:
            self.flush()
        self._lines.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Send the lines that were gathered; records are not held back."""
        if self._lines:
            self.send(b"".join(self._lines), len(self._lines))
            self._lines.clear()
            self._size = 0

    def send(self, datagram: bytes, lines: int = 1) -> None:
        """Send a datagram of so many lines."""
        try:
            self._socket.send(datagram)
        except OSError:
            self._send_again(datagram, lines)

    def _send_again(self, datagram: bytes, lines: int) -> None:
        """The error may be an earlier datagram's (nobody listened, ICMP said): try once more."""
        try:
            self._socket.send(datagram)
        except OSError:
            self.lost += lines

    def reopen(self) -> None:
        """Resolve the name again; the host may have moved."""
        self.flush()
        old, self._socket = self._socket, self._open()
        old.close()

    def close(self) -> None:
        """Send the rest and close."""
        self.flush()
        self._socket.close()
