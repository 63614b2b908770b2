"""A connection to penlogd that delivers a stream exactly once, made anew whenever it is lost.

It never waits: `work` does what can be done at once. Whoever drives it calls `work` when `fd` is
readable (or writable, if `wants_write`), when `deadline` has come, and when the stream has grown.
penlog's loop drives it, and any other loop can.

===========  ==========================================  =================================
state        means                                       ends
===========  ==========================================  =================================
WAITING      no connection; the next try comes soon      at the deadline: CONNECTING
CONNECTING   TCP is being set up                         established: SHAKING, or GREETING
SHAKING      TLS is being set up                         done: GREETING
GREETING     our greeting is out                         penlogd's came: OPEN
OPEN         frames go out, acknowledgements come in
===========  ==========================================  =================================

Any failure, and `PATIENCE` seconds in which penlogd owes something and sends nothing, lead back to
WAITING. `outcome` says how the last try went.
"""

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from penlog.delivery import Delivery
from penlog.spool import Spool
from penlog.wire import AckReader, HelloReader, WireError, frame, hello

if TYPE_CHECKING:
    import ssl

PATIENCE = 10.0
"""Seconds in which penlogd must acknowledge something."""

CONNECT_PATIENCE = 3.0
"""Seconds for a connection to be set up, greetings included."""

PAUSES = (0.1, 2.0)
"""Seconds between the first tries; and at most, as they double."""

_READ = 64 << 10
_AGAIN = (BlockingIOError, InterruptedError)


class State(Enum):
    """Where a connection is."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    SHAKING = "shaking hands"
    GREETING = "greeting"
    OPEN = "open"


class Outcome(Enum):
    """How the last try to connect went."""

    NONE = "not known yet"
    GREETED = "a penlogd with the reliable protocol"
    REFUSED = "nobody listens there"
    UNREACHABLE = "no way there"
    SILENT = "no answer"
    STRANGER = "not a penlogd"


class ByteStream(Protocol):
    """What a connection needs of a socket; none of it waits."""

    def fileno(self) -> int: ...  # noqa: D102
    def recv(self, most: int, /) -> bytes: ...  # noqa: D102
    def send(self, data: bytes, /) -> int: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Peer:
    """Where penlogd is, and how to get there.

    Attributes:
        family: Address family.
        address: Socket address, already resolved.
        local: Address to connect from; None for any.
        context: TLS, if it is spoken there.
        name: The name in penlogd's certificate.
    """

    family: int
    address: tuple[str, int]
    local: str | None = None
    context: "ssl.SSLContext | None" = None
    name: str = ""


class Channel:
    """Delivers a stream to penlogd.

    Args:
        peer: Where to.
        session: 32 hexadecimal digits that stand for the stream, for ever.
        spool: The stream. Whoever adds to it then calls `work`.
        on_new_receiver: Called when the penlogd at the other end is another than before (the first,
            or one started anew), which lacks what the old one only had in mind.

    Attributes:
        state: Where the connection is.
        outcome: How the last try went.
        reason: Why the last connection ended, or could not be made.
        delivery: What has arrived.
    """

    def __init__(
        self,
        peer: Peer,
        session: bytes,
        spool: Spool,
        on_new_receiver: Callable[[], None] | None = None,
    ) -> None:
        self.state = State.WAITING
        self.outcome = Outcome.NONE
        self.reason = ""
        self.delivery = Delivery(spool)
        self._peer = peer
        self._session = session
        self._on_new_receiver = on_new_receiver
        self._instance = b""
        self._sock: ByteStream | None = None
        self._due = 0.0  # WAITING: of the next try; else of the end of patience
        self._pause = PAUSES[0]
        self._out = b""
        self._greeting = HelloReader()
        self._acks = AckReader()

    @property
    def fd(self) -> int:
        """The descriptor to watch; -1 if there is none."""
        return -1 if self._sock is None else self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether to watch for writing too."""
        return self.state is State.CONNECTING or bool(self._out)

    @property
    def deadline(self) -> float | None:
        """Monotonic time at which `work` must be called at the latest; None if at none."""
        if self.state is State.OPEN and not self.delivery.unacknowledged:
            return None
        return self._due

    def work(self, now: float) -> None:
        """Do all that can be done without waiting; now is monotonic time. Never raises."""
        try:
            deadline = self.deadline
            if self.state is State.WAITING:
                if now < self._due:
                    return
                self._begin(now)
            elif deadline is not None and now >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            while self._step(now):
                pass
        except _AGAIN:
            pass
        except (OSError, WireError) as error:
            self._fail(error, now)

    def farewell(self) -> None:
        """Tell penlogd to forget the session, all of which it has acknowledged, and disconnect."""
        if self.state is State.OPEN and self._sock is not None:
            try:
                self._sock.send(frame(self.delivery.sent, b""))
            except OSError:
                pass  # penlogd forgets it by itself, later
        self.close()

    def close(self) -> None:
        """Disconnect."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self.state = State.WAITING

    def _begin(self, now: float) -> None:
        peer = self._peer
        self.state = State.CONNECTING
        self._due = now + CONNECT_PATIENCE
        self._out = b""
        self._greeting = HelloReader()
        self._acks = AckReader()
        self._sock = sock = socket.socket(peer.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if peer.local is not None:
            sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((peer.local, 0))

    def _step(self, now: float) -> bool:
        """Take the state's next step; False if there is none to take now."""
        match self.state:
            case State.CONNECTING:
                return self._connect()
            case State.SHAKING:
                return self._shake()
            case State.GREETING:
                return self._greet(now)
            case _:
                return self._exchange(now)

    def _connect(self) -> bool:
        sock = self._sock
        assert isinstance(sock, socket.socket)
        result = sock.connect_ex(self._peer.address)
        if result in (errno.EINPROGRESS, errno.EALREADY):
            return False
        if result not in (0, errno.EISCONN):
            raise OSError(result, os.strerror(result))
        if sock.getsockname() == sock.getpeername():  # TCP finds itself on a port nobody has
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        if self._peer.context is None:
            self._send_greeting()
        else:
            from penlog.tls import TlsSocket  # only where TLS is asked for: it takes a while

            self._sock = TlsSocket(sock, self._peer.context, self._peer.name)
            self.state = State.SHAKING
        return True

    def _shake(self) -> bool:
        self._sock.do_handshake()  # type: ignore[union-attr]
        self._send_greeting()
        return True

    def _send_greeting(self) -> None:
        self.state = State.GREETING
        self._out = hello(self._session)
        self._push()

    def _greet(self, now: float) -> bool:
        welcome = self._greeting.welcome(self._receive())
        if welcome is None:
            return True
        instance, have = welcome
        self.state = State.OPEN
        self.outcome = Outcome.GREETED
        self.reason = ""
        self._pause = PAUSES[0]
        self.delivery.greeted(have)
        self._heard(self._greeting.rest, now)
        if instance != self._instance:
            self._instance = instance
            if self._on_new_receiver is not None:
                self._on_new_receiver()
        return True

    def _exchange(self, now: float) -> bool:
        """Take all acknowledgements that have come, then send as much as may be on the way."""
        if not self.delivery.unacknowledged:
            self._due = now + PATIENCE
        try:
            while True:
                self._heard(self._receive(), now)
        except _AGAIN:
            pass
        while self._out or (data := self.delivery.next_frame()):
            self._out = self._out or data
            self._push()
        return False

    def _heard(self, piece: bytes, now: float) -> None:
        self._due = now + PATIENCE
        offset = self._acks.feed(piece)
        if offset is not None:
            self.delivery.acknowledged(offset)

    def _receive(self) -> bytes:
        assert self._sock is not None
        piece = self._sock.recv(_READ)
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, "penlogd closed the connection")
        return piece

    def _push(self) -> None:
        assert self._sock is not None
        while self._out:
            self._out = self._out[self._sock.send(self._out) :]

    def _fail(self, error: Exception, now: float) -> None:
        self.reason = getattr(error, "strerror", None) or str(error)
        if self.state is not State.OPEN:
            self.outcome = _outcome(error)
        self.close()
        self._due = now + self._pause
        self._pause = min(self._pause * 2, PAUSES[1])


def _outcome(error: Exception) -> Outcome:
    match error:
        case ConnectionRefusedError():
            return Outcome.REFUSED
        case TimeoutError():
            return Outcome.SILENT
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN):
            return Outcome.UNREACHABLE
        case _:
            return Outcome.STRANGER


_IP_BIND_ADDRESS_NO_PORT = 24  # Linux: choose the port at connect, when it need not be unique
