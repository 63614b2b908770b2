"""Send log lines to penlogd, a UDP datagram each, without ever making the web server wait.

A datagram that cannot be sent now, because the network takes none, waits in a queue of bounded
size; beyond that, lines are counted as lost. That nobody listens at the other end (ICMP "port
unreachable") is no reason to stop: penlogd may be back for the next line.
"""

import socket
from collections import deque

from penlog.fitting import fit

LARGEST = 65507
"""Bytes of data in the largest UDP datagram over IPv4."""

QUEUE = 16 << 20
"""Bytes that wait at most."""

_AGAIN = (BlockingIOError, InterruptedError)


class Sender:
    """Sends lines through a connected UDP socket.

    Args:
        sock: The socket; it is made non-blocking.
        largest: Bytes in a datagram, its newline included; longer lines are cut to fit.
        queue: Bytes that may wait while the network takes none.

    Attributes:
        cut: Lines that were cut.
        lost: Lines that are known not to have arrived.
    """

    def __init__(self, sock: socket.socket, *, largest: int = LARGEST, queue: int = QUEUE) -> None:
        sock.setblocking(False)
        self.cut = 0
        self.lost = 0
        self._sock = sock
        self._largest = largest
        self._room = queue
        self._waiting: deque[bytes] = deque()

    @property
    def waiting(self) -> bool:
        """Whether datagrams wait for the network."""
        return bool(self._waiting)

    def send(self, lines: list[bytes]) -> None:
        """Send lines, without their newlines, in order; returns at once."""
        limit = self._largest - 1
        for line in lines:
            if len(line) > limit:
                line = fit(line, limit)
                self.cut += 1
            datagram = line + b"\n"
            if self._waiting or not self._try(datagram):
                self._queue(datagram)

    def flush(self) -> None:
        """Send what waits, as far as the network takes it."""
        while self._waiting and self._try(self._waiting[0]):
            self._room += len(self._waiting.popleft())

    def give_up(self) -> None:
        """Count what still waits as lost."""
        self.lost += len(self._waiting)
        self._waiting.clear()

    def _try(self, datagram: bytes) -> bool:
        """Send one datagram; False if it must wait."""
        try:
            self._sock.send(datagram)
        except _AGAIN:
            return False
        except ConnectionRefusedError:
            self.lost += 1  # an earlier one: the error reports what came back for it
            return self._try_again(datagram)
        except OSError:
            self.lost += 1  # no route, no interface, no buffers: this one
        return True

    def _try_again(self, datagram: bytes) -> bool:
        try:
            self._sock.send(datagram)
        except _AGAIN:
            return False
        except OSError:
            self.lost += 1
        return True

    def _queue(self, datagram: bytes) -> None:
        if len(datagram) > self._room:
            self.lost += 1
            return
        self._room -= len(datagram)
        self._waiting.append(datagram)


def connect(host: str, port: str, local: str | None) -> socket.socket:
    """Return a UDP socket connected to penlogd.

    Args:
        host: Address or name of penlogd's machine.
        port: Its port or service name.
        local: Address to send from, by which penlogd knows this server; None for any.

    Raises:
        OSError: A name does not resolve, or no address of the host can be used from here.
    """
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            if local is not None:
                sock.bind(_local_address(local, family))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            return sock
    raise failure


def _local_address(local: str, family: int) -> tuple[str, int]:
    found = socket.getaddrinfo(local, 0, family=family, type=socket.SOCK_DGRAM)
    address = found[0][4]
    return str(address[0]), int(address[1])
