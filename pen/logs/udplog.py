"""The request log to a penlogd: one datagram for each piece that a client sent."""

import socket

from pen.core.address import parse_port, resolve
from pen.core.errors import AddressError, PenError
from penlog import records


class UdpLog:
    """Sends at once and never waits; what the system does not take is counted."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.lost = 0
        self._socket = self._open()

    def _open(self) -> socket.socket:
        host, _, port = self.target.rpartition(":")
        try:
            endpoint = resolve(host.removeprefix("[").removesuffix("]"), parse_port(port, "udp"))
        except AddressError as error:
            raise PenError(f"cannot log to '{self.target}': {error}") from None
        opened = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            opened.connect(endpoint.sockaddr)
        except OSError as error:
            opened.close()
            raise PenError(f"cannot log to '{self.target}': {error.strerror}") from None
        return opened

    def record(self, client: str, epoch: int, server: str, piece: bytes) -> None:  # noqa: ARG002
        """Send a record; penlogd goes by the time of its arrival."""
        datagram = records.datagram(client, server, piece)
        try:
            self._socket.send(datagram)
        except OSError:
            self._send_again(datagram)

    def _send_again(self, datagram: bytes) -> None:
        """The error may be an earlier datagram's (nobody listened, ICMP said): try once more."""
        try:
            self._socket.send(datagram)
        except OSError:
            self.lost += 1

    def flush(self) -> None:
        """Nothing is held back."""

    def reopen(self) -> None:
        """Resolve the name again; the host may have moved."""
        old, self._socket = self._socket, self._open()
        old.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
