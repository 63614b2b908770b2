"""Connections of senders that speak the reliable protocol: TCP on the same port as the datagrams.

A connection reads and writes without ever waiting; what its bytes mean is `penlog.wire`'s.
"""

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from penlog.channel import ByteStream
from penlog.wire import ACK, FRAME_MAX, FrameReader, HelloReader, welcome

if TYPE_CHECKING:
    import ssl

CONNECTIONS = 1000
"""Connections at once; each may have two frames in memory."""

GREETING = 10.0
"""Seconds for a sender to greet."""

_BACKLOG = 128
_UNREAD = 4096  # bytes of acknowledgements
_READ = 2 * FRAME_MAX
_AGAIN = (BlockingIOError, InterruptedError)
_KEEP_ALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class Connection:
    """A sender's connection.

    Attributes:
        sender: Its address.
        session: Its session, once it has greeted.
        frames: Frames that have come and have not been taken.
        deadline: Monotonic time by which it must have greeted.
    """

    def __init__(
        self, sock: socket.socket, sender: str, context: "ssl.SSLContext | None", now: float
    ) -> None:
        self.sender = sender
        self.session: str | None = None
        self.frames: list[tuple[int, bytes]] = []
        self.deadline = now + GREETING
        self._sock: ByteStream = sock
        self._shaking = context is not None
        self._greeting = HelloReader()
        self._reader = FrameReader()
        self._out = b""
        if context is not None:
            from penlog.tls import TlsSocket  # only where TLS is asked for

            self._sock = TlsSocket(sock, context, None)

    @property
    def fd(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def receive(self) -> None:
        """Take what has come: the session first, then frames. To be called when it is readable.

        Raises:
            WireError: It is not the protocol.
            OSError: The connection has ended.
        """
        try:
            if self._shaking:
                self._sock.do_handshake()  # type: ignore[attr-defined]
                self._shaking = False
            piece = self._sock.recv(_READ)
        except _AGAIN:
            return
        if not piece:
            raise ConnectionResetError
        if self.session is None:
            session = self._greeting.session(piece)
            if session is None:
                return
            self.session = session.decode()
            piece = self._greeting.rest
        self.frames += self._reader.feed(piece)

    def acknowledge(self, offset: int) -> None:
        """Tell the sender that all up to an offset is here.

        Raises:
            OSError: The connection has ended, or the sender reads nothing.
        """
        self._send(ACK.pack(offset))

    def greet(self, instance: bytes, have: int) -> None:
        """Greet the sender.

        Raises:
            OSError: The connection has ended.
        """
        self._send(welcome(instance, have))

    def close(self) -> None:
        """Disconnect."""
        self._sock.close()

    def _send(self, data: bytes) -> None:
        """Send a few bytes; a sender that reads nothing for so long is none."""
        self._out += data
        if len(self._out) > _UNREAD:
            raise ConnectionAbortedError
        try:
            self._out = self._out[self._sock.send(self._out) :]
        except _AGAIN:
            pass


class Acceptor:
    """Listens for senders, at the addresses where datagrams come in.

    Args:
        addresses: Families and addresses to listen at.
        context: TLS, if senders must speak it.
        welcome_from: Says whether a sender's address is welcome.
        most: Connections at once.

    Attributes:
        sockets: The listening sockets.
        refused: Connections that were not let in.

    Raises:
        OSError: An address cannot be used.
    """

    def __init__(
        self,
        addresses: list[tuple[int, tuple[str, int]]],
        context: "ssl.SSLContext | None",
        welcome_from: Callable[[str], bool],
        most: int = CONNECTIONS,
    ) -> None:
        self.refused = 0
        self.connections: dict[int, Connection] = {}
        self._context = context
        self._welcome_from = welcome_from
        self._most = most
        self.sockets = [_listening(family, address) for family, address in addresses]

    def accept(self, listener: socket.socket, now: float) -> Iterator[Connection]:
        """Yield the connections that have come.

        Raises:
            OSError: No more can be had now: there are no descriptors, or no memory.
        """
        for _ in range(_BACKLOG):
            try:
                sock, address = listener.accept()
            except (*_AGAIN, ConnectionAbortedError):
                return
            connection = self._let_in(sock, address[0], now)
            if connection is not None:
                yield connection

    def close(self, connection: Connection) -> None:
        """Disconnect one."""
        self.connections.pop(connection.fd, None)
        connection.close()

    def close_all(self) -> None:
        """Disconnect all, and listen no more."""
        for connection in list(self.connections.values()):
            self.close(connection)
        for sock in self.sockets:
            sock.close()

    def _let_in(self, sock: socket.socket, sender: str, now: float) -> Connection | None:
        """Return a connection, unless it is not welcome, or has gone already."""
        if len(self.connections) < self._most and self._welcome_from(sender):
            try:
                return self._connection(sock, sender, now)
            except OSError:  # TLS looks at once whether it is still there
                pass
        self.refused += 1
        sock.close()
        return None

    def _connection(self, sock: socket.socket, sender: str, now: float) -> Connection:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, sender, self._context, now)
        self.connections[connection.fd] = connection
        return connection


def _listening(family: int, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
