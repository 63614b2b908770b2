"""What all relays share: how they begin, how they end, and their time limits."""

import errno
import logging
import os
from _socket import socket
from collections.abc import Callable, Iterator
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY
from typing import TYPE_CHECKING

from pen.core.session import CLOSED, CONNECTING, Sessions
from pen.core.settings import Settings
from pen.net.carrier import Carrier
from pen.net.limits import TimeLimit
from pen.net.reactor import Reactor
from pen.net.relay import Relay
from pen.net.splice import PipePool
from pen.net.stream import Stream

if TYPE_CHECKING:
    from pen.net.idlers import Idlers

logger = logging.getLogger("pen")

Tap = Callable[[Relay, bytes], bytes]
"""Sees a piece on its way through a relay and returns what is to be sent for it.

That is the same piece, or a changed one, or nothing when the tap must see more before it
can tell; what it keeps back is its to bound. When the source has ended it is called with
no bytes, and returns what it still keeps. A tap that sets the `ended` of its flow ends the
stream there: nothing more is read, and the sink is told.
"""


class Relays(Carrier[Relay]):
    """What all relays share, how they begin, and how they end."""

    protocol = "tcp"

    def __init__(self, reactor: Reactor, sessions: Sessions[Relay], settings: Settings) -> None:
        super().__init__(reactor, sessions, settings)
        self.plain: type[Relay] = Relay
        """The kind of relay for clients that come without TLS."""
        self.idlers: Idlers | None = None
        """Where idle connections to servers are had."""
        self.pipes = PipePool()
        self.tunes_sockets = False
        """Whether sockets get options (`tcp_nodelay`) or an address (`source`)."""
        self.fit_taps: Callable[[Relay], object] | None = None
        """Gives a relay's flows their taps; None while nobody wants to see bytes."""
        self.admit: Callable[[socket, int, str, int], object] = self.begin
        """Takes each client that was accepted: `begin`, unless something comes before that."""
        self._connecting = TimeLimit(reactor, lambda: settings.timeout, self._give_up)
        self._idle = TimeLimit(reactor, lambda: settings.idle_timeout, self._close_idle)

    def begin(
        self, client: Stream, fd: int, address: str, port: int, kind: type[Relay] | None = None
    ) -> None:
        """A client was accepted: find it a server, or close it."""
        relay = (kind or self.plain)(self, client, fd, address, port)
        now = self.reactor.now
        if not self.find_server(relay, now):
            if self.settings.debug:
                logger.debug("client %s: no server for it, closed", address or "on Unix socket")
            client.close()
            return
        try:
            if self.tunes_sockets:
                self.tune(client)
            if self.settings.idle_timeout:
                self._idle.add(relay, now)
            if self.fit_taps is not None:
                self.fit_taps(relay)
            relay.start()
        except Exception:
            self.reactor.abandon(relay.start)  # not the listener, whose event this is

    def relays(self) -> Iterator[Relay]:
        """The relays that are open."""
        return iter(self.sessions)

    def close_all(self, reason: str) -> None:
        """End every session."""
        super().close_all(reason)
        self.pipes.close()

    def retune(self) -> None:
        """A socket option or `debug` changed: connections made from now on go by it."""
        settings = self.settings
        self.tunes_sockets = (
            settings.tcp_nodelay
            or settings.keepalive
            or settings.transparent
            or settings.source is not None
        )
        super().retune()

    def tune(self, stream: Stream) -> None:
        """Set the options asked for; a Unix socket has no TCP_NODELAY, which does no harm."""
        try:
            if self.settings.keepalive:
                stream.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
            if self.settings.tcp_nodelay:
                stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except OSError:
            pass

    def tune_upstream(self, upstream: socket, family: int, client: str) -> None:
        """The same for a socket to a server of this family, on behalf of that client.

        Raises:
            OSError: it cannot be given the address it is to have.
        """
        self.tune(upstream)
        self.lend_address(upstream, family, client)

    # Time limits.

    def await_connect(self, relay: Relay) -> None:
        """Give the server being asked `timeout` seconds."""
        self._connecting.add(relay, self.reactor.now)

    def _give_up(self, relay: Relay, start: float) -> None:  # noqa: ARG002
        if relay.state is CONNECTING:
            relay.fail_over(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def watch_idle(self) -> None:
        """`idle_timeout` changed: begin to watch the connections that are open."""
        self._idle.clear()
        if self.settings.idle_timeout:
            for relay in self.relays():
                self._idle.add(relay, max(relay.opened, relay.active))

    def unwatch_idle(self, relay: Relay) -> None:
        """It has closed: not to be kept in memory until its time would have come."""
        self._idle.discard(relay)

    def _close_idle(self, relay: Relay, start: float) -> None:
        if relay.state is CLOSED:
            return
        if relay.active > start:
            self._idle.add(relay, relay.active)
        else:
            relay.close("idle")
