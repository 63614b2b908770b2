"""Plain mode: each log line one UDP datagram, to any penlogd, as penlog has always done.

Nobody says what arrives. So lines are sent at a pace that a small receive buffer stands
(`BURST`, `PAUSE`); the spool holds what has to wait. A line is marked as gone before it is sent: if
this process is killed, lines may be lost, as they may on the network, but none comes twice.
"""

import socket
from collections import deque

from penlog.fitting import fit
from penlog.lines import LineSplitter
from penlog.spool import Spool

LARGEST = 65507
"""Bytes of data in the largest UDP datagram over IPv4."""

BURST = 64
"""Datagrams sent at once; a receive buffer of the usual 208 KiB holds four times as many."""

PAUSE = 0.001
"""Seconds between bursts."""

RETRY = 0.05
"""Seconds after which a network that takes nothing is tried again."""

_READ = 64 << 10
_AGAIN = (BlockingIOError, InterruptedError)


class Sender:
    """Sends a stream's lines through a connected UDP socket, without ever waiting.

    Args:
        sock: The socket; it is made non-blocking.
        spool: The stream.
        largest: Bytes in a datagram, its newline included; longer lines are cut to fit.

    Attributes:
        cut: Lines that were cut.
        lost: Lines that are known not to have arrived.
        refused: Whether nobody listens at the other end.
        due: Monotonic time at which `work` goes on.
        position: Offset up to which the stream has been sent.
    """

    def __init__(self, sock: socket.socket, spool: Spool, *, largest: int = LARGEST) -> None:
        sock.setblocking(False)
        self.lost = 0
        self.refused = False
        self.due = 0.0
        self.position = spool.start
        self._cut = 0
        self._sock = sock
        self._spool = spool
        self._largest = largest
        self._splitter = LineSplitter()
        self._read = spool.start
        self._lines: deque[tuple[bytes, int]] = deque()

    @property
    def cut(self) -> int:
        """How many lines were cut."""
        return self._cut + self._splitter.shortened

    @property
    def between_bursts(self) -> bool:
        """Whether what is marked as gone has gone, so that another way may go on."""
        return self.position == self._spool.start

    def begin(self) -> None:
        """Begin where the spool begins; somebody else has sent what came before."""
        self._cut = self.cut
        self._splitter = LineSplitter()
        self._lines.clear()
        self._read = self.position = self._spool.start
        self.refused = False

    @property
    def waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._lines) or self._read < self._spool.end

    def work(self, now: float) -> None:
        """Send a burst, if it is time for one."""
        if now < self.due:
            return
        if not self._lines:
            self._take()
        burst = min(BURST, len(self._lines))
        if burst:
            self._spool.trim(self._lines[burst - 1][1])
        for _ in range(burst):
            line, end = self._lines[0]
            if not self._send(line):
                self.due = now + RETRY
                return
            self.position = end
            self._lines.popleft()
        if self.waiting:
            self.due = now + PAUSE

    def _take(self) -> None:
        """Take the next lines out of the spool, each with the offset of its end."""
        piece = self._spool.read(self._read, _READ)
        end = self._read + piece.find(b"\n") + 1
        self._read += len(piece)
        for number, line in enumerate(self._splitter.feed(piece)):
            end += len(line) + 1 if number else 0
            self._lines.append((line, end))

    def _send(self, line: bytes) -> bool:
        """Send one line; False if it must wait."""
        too_long = len(line) >= self._largest
        datagram = (fit(line, self._largest - 1) if too_long else line) + b"\n"
        for _ in range(2):
            try:
                self._sock.send(datagram)
            except _AGAIN:
                return False
            except ConnectionRefusedError:  # it tells of an earlier one, and holds this one up
                self.refused = True
                self.lost += 1
                continue
            except OSError:  # no route, no interface, no buffers
                self.lost += 1
            break
        self._cut += too_long
        return True


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
