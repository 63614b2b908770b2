"""UDP sessions: the datagrams of one client port, and the replies of the server it got.

UDP has no connections, so a session is what people mean by one: all that comes from one
client address and port (and, on a wildcard address, to one address of ours). Each has a
socket of its own that is connected to its server, for only a connected socket is told that
nobody listens there (udp(7), ECONNREFUSED). That is a refusal like TCP's: the server is
blacklisted, the next one tried, and the last datagram, if it has had no reply, sent again.

The datagrams that are still unanswered beyond that one, and whatever a full buffer does not
take, are lost as on any network; whoever uses UDP asks again.

Datagrams are read one by one, several a turn. A prototype with recvmmsg and sendmmsg (by
ctypes) took less CPU for a client port that sends much, whose datagrams make one batch: 6.9 us
a DNS query rather than 8.5; but with ten ports more, 10.3 rather than 9.3. A connected socket
for each client, as C pen has, was no faster, and what comes before it is connected is misplaced.
"""

import _socket
import errno
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final

from pen.core.address import unmapped
from pen.core.servers import Server
from pen.core.session import CLOSED, CONNECTING, Sessions, Traffic
from pen.core.settings import Settings
from pen.net.carrier import Carried, Carrier
from pen.net.reactor import Reactor

if TYPE_CHECKING:
    from pen.net.udplistener import UdpListener

Peer = tuple[str, int] | tuple[str, int, int, int]
"""A client as recvfrom() names it."""
Reply = Callable[[bytes, Peer], object]
"""Sends a client a datagram from the address that it asked; may raise OSError."""

DATAGRAM: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
DATAGRAM_MAX: Final = 65535
"""No datagram is longer: its length has 16 bits (RFC 768)."""
REPLIES_PER_TURN: Final = 16
"""Replies taken from one server for one client before others get their turn."""
GROWTH: Final = 1.25
"""By this grows what may be read in a turn, while every turn uses all of it.

A read that finds nothing costs as much as one that does. At this rate, while datagrams come
one by one, it happens every fourth turn.
"""
CLOSED_PER_TURN: Final = 200
"""Idle sessions ended in one turn; the next ones follow in the next."""
REFUSALS: Final = {
    errno.ECONNREFUSED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
}
"""What the network says of a server that is not there (ICMP, RFC 1122 4.1.3.3)."""


class UdpSession(Carried):
    """A session and its socket to the server; the socket to the client is the listener's."""

    __slots__ = (
        "_allowance",
        "active",
        "down",
        "key",
        "listener",
        "owed",
        "peer",
        "reply",
        "server_fd",
        "shared",
        "unanswered",
        "up",
    )

    def __init__(
        self, shared: "Datagrams", listener: "UdpListener", peer: Peer, reply: Reply
    ) -> None:
        super().__init__(unmapped(peer[0]), peer[1])
        self.shared = shared
        self.listener = listener
        self.peer = peer
        self.reply = reply
        self.key: Hashable = peer
        """What `Datagrams.by_key` has it under."""
        self.server_fd = -1
        """-1: no socket to a server is open."""
        self.active = 0.0
        """When something last came, monotonic seconds; `Datagrams.by_key` is in this order."""
        self.up = 0
        """Bytes sent to the server."""
        self.down = 0
        """Bytes that came from it."""
        self.owed = 0
        """Replies after which it ends (`udp_replies`); 0: they are not counted."""
        self.unanswered: bytes | None = None
        """The last datagram to the server, if no reply came since."""
        self._allowance = 1.0

    # From client to server.

    def forward(self, datagram: bytes) -> None:
        """Send the server what the client sent."""
        shared = self.shared
        if self.active != shared.reactor.now:
            shared.touch(self)
        try:
            self.server_socket.send(datagram)
        except OSError as error:
            # A refusal is of an earlier datagram; anything else means that this one is lost.
            return self.refused(error, datagram) if error.errno in REFUSALS else None
        return self._sent(datagram)

    def _sent(self, datagram: bytes) -> None:
        shared = self.shared
        self.up += len(datagram)
        self.unanswered = datagram
        self.owed += shared.settings.udp_replies
        if shared.see_up is not None:
            shared.see_up(self, datagram)

    def ask(self, server: Server) -> OSError | None:
        """Turn to a server; the error if that fails at once."""
        endpoint, shared = server.endpoint, self.shared
        try:
            upstream = self.server_socket = _socket.socket(endpoint.family, DATAGRAM, 0)
            self.server_fd = upstream.fileno()
            shared.lend_address(upstream, endpoint.family, self.address)
            upstream.connect(endpoint.sockaddr)
            shared.reactor.add(self.server_fd, self.on_replies)
        except OSError as error:
            return error
        shared.sessions.remember(self)
        if shared.tells:
            shared.tell_accepted(self)
        return None

    def refused(self, error: OSError, *unsent: bytes) -> None:
        """The server is not there: go to the next one, with what it has not answered."""
        waiting = [each for each in (self.unanswered, *unsent) if each is not None]
        failure: OSError | None = error
        while failure is not None:
            self.up -= len(self.unanswered or b"")
            self.unanswered = None
            self.owed = 0
            server = self._next_server(failure)
            if server is None:
                return self.close("no server")
            failure = self.ask(server) or self._send_again(waiting)
        return None

    def _send_again(self, waiting: Sequence[bytes]) -> OSError | None:
        """Send the next server what the last one did not answer; the refusal, if it refuses."""
        for datagram in waiting:
            try:
                self.server_socket.send(datagram)
            except OSError as error:
                if error.errno in REFUSALS:
                    return error
            else:
                self._sent(datagram)
        return None

    def _next_server(self, error: OSError) -> Server | None:
        shared, tried = self.shared, self.server
        self._close_upstream()
        if shared.watch is not None:
            shared.watch.ended(self, error.strerror or str(error))
        server = shared.sessions.failed(
            self, shared.reactor.now, int(time.time()), blame=error.errno in REFUSALS
        )
        if shared.settings.debug:
            shared.tell_failed(self, tried, server, error)
        return server

    # From server to client.

    def on_replies(self, mask: int) -> None:  # noqa: ARG002
        """The server has sent something, or the network tells that it is not there."""
        shared = self.shared
        if self.active != shared.reactor.now:
            shared.touch(self)
        receive, allowance = self.server_socket.recv, self._allowance
        number = 1
        while number <= allowance:
            try:
                datagram = receive(DATAGRAM_MAX)
            except OSError as error:
                return self._no_reply(error, number - 1)
            self.down += len(datagram)
            self.unanswered = None
            if self.state is CONNECTING:
                shared.sessions.accepted(self)
            if shared.see_down is not None:
                shared.see_down(self, datagram)
            try:
                self.reply(datagram, self.peer)
            except OSError:
                pass  # lost, as on any network
            if self.owed:
                self.owed -= 1
                if not self.owed:
                    return self.close("answered")
            number += 1
        if allowance < REPLIES_PER_TURN:
            self._allowance = allowance * GROWTH
        return None

    def _no_reply(self, error: OSError, taken: int) -> None:
        """There are no more, or the network tells that the server is not there."""
        if error.errno in REFUSALS:
            return self.refused(error)
        self._allowance = max(1.0, taken)
        return None

    def moved(self) -> tuple[int, int]:
        """See `Session`."""
        return self.up, self.down

    def traffic(self) -> Traffic:
        """What statistics show of the sockets."""
        return Traffic(
            self.up, self.down, client_fd=self.listener.fileno(), server_fd=self.server_fd
        )

    # Ending.

    def abandon(self) -> None:
        """Give up the session after a mistake of ours."""
        self.close("internal error")

    def _close_upstream(self) -> None:
        if self.server_fd >= 0:
            self.shared.forget(self.server_fd)
            self.server_socket.close()
            self.server_fd = -1

    def close(self, reason: str) -> None:
        """End the session: its socket and the counts."""
        if self.state is CLOSED:
            return
        shared = self.shared
        self._close_upstream()
        shared.sessions.end(self, self.up, self.down)
        del shared.by_key[self.key]
        if shared.tells:  # last: should this fail, the session is gone all the same
            shared.tell_closed(self, reason)


See = Callable[[UdpSession, bytes], object]


class Datagrams(Carrier[UdpSession]):
    """What all UDP sessions share, how they begin, and when they end."""

    protocol = "udp"

    def __init__(
        self, reactor: Reactor, sessions: Sessions[UdpSession], settings: Settings
    ) -> None:
        super().__init__(reactor, sessions, settings)
        self.see_up: See | None = None
        """Sees each datagram sent to a server."""
        self.see_down: See | None = None
        """Sees each datagram that a server sent."""
        self.by_key: OrderedDict[Hashable, UdpSession] = OrderedDict()
        """The sessions, the least recently active first."""
        self._watching = False

    def begin(
        self, listener: "UdpListener", peer: Peer, key: Hashable, reply: Reply
    ) -> UdpSession | None:
        """A client that has no session sent a datagram: find it a server, or None.

        When there are as many sessions as may be, the least recently active one ends for it.
        """
        if self.sessions.vacant < 1:
            if not self.by_key:
                return None
            next(iter(self.by_key.values())).close("made room")
        session = UdpSession(self, listener, peer, reply)
        if not self.find_server(session, self.reactor.now):
            return None
        session.key = session.number if self.settings.udp_per_packet else key
        session.active = self.reactor.now
        self.by_key[session.key] = session
        failure = session.ask(session.server)
        if failure is not None:
            session.refused(failure)
        if not self._watching:
            self._watching = True
            self._look_again(self.reactor.now + self._lasting)
        return session if session.state is not CLOSED else None

    def touch(self, session: UdpSession) -> None:
        """Something came for this session, for the first time in this turn."""
        session.active = self.reactor.now
        self.by_key.move_to_end(session.key)

    def taken(self, session: UdpSession) -> bool:  # noqa: ARG002
        """Every session's server has been sent something, and may never reply."""
        return True

    # Idle sessions.

    @property
    def _lasting(self) -> int:
        """Seconds that a session lasts without datagrams."""
        settings = self.settings
        idle = settings.idle_timeout
        return min(settings.udp_timeout, idle) if idle else settings.udp_timeout

    def _look_again(self, due: float) -> None:
        """End idle sessions when one is due, but look each second, for limits may change."""
        self.reactor.call_at(min(due, self.reactor.now + 1.0), self._end_idle)

    def _end_idle(self) -> None:
        for _ in range(CLOSED_PER_TURN):
            oldest = next(iter(self.by_key.values()), None)
            if oldest is None:
                self._watching = False
                return
            due = oldest.active + self._lasting
            if due > self.reactor.now:
                self._look_again(due)
                return
            try:
                oldest.close("idle")
            except Exception:
                self.reactor.abandon(self._end_idle, oldest)
        self.reactor.again.append(self._end_idle)
