"""Handshakes: what clients that come by TLS do before they become sessions.

No server is chosen until the handshake is over: a client that never finishes one must not
take a server's place. A client that would be denied is closed before it costs one. Until
its end a handshake counts among the connections (`Sessions.arriving`).
"""

import errno
import logging
import os
from _socket import socket
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Final

from pen.net.limits import TimeLimit
from pen.net.relays import Relays
from pen.net.tls_contexts import Front
from pen.net.tls_relay import TLSRelay
from pen.net.tls_stream import Progress, TLSStream

logger = logging.getLogger("pen")

NODELAY: Final = (int(IPPROTO_TCP), int(TCP_NODELAY), 1)
WAITS: Final = {Progress.READS: (True, False), Progress.WRITES: (False, True)}
"""What to watch for: reading, writing."""


class Handshakes:
    """Those that go on now."""

    def __init__(self, relays: Relays, front: Front) -> None:
        self.relays = relays
        self.front = front
        self.under_way: set[Handshake] = set()
        settings = relays.settings
        self._limit = TimeLimit(
            relays.reactor, lambda: settings.ssl_handshake_timeout, self._too_slow
        )

    def begin(self, client: socket, fd: int, address: str, port: int) -> None:
        """A client was accepted."""
        sessions = self.relays.sessions
        if sessions.turns_away(address):
            if self.relays.settings.debug:
                logger.debug("client %s: denied, closed", address)
            client.close()
            return
        try:
            # Or what follows the handshake would wait for the client to acknowledge it.
            client.setsockopt(*NODELAY)
        except OSError:
            pass  # a Unix socket
        handshake = Handshake(self, TLSStream(self.front.context, client), fd, address, port)
        self.under_way.add(handshake)
        sessions.arriving += 1
        handshake.start()

    def wait(self, handshake: "Handshake") -> None:
        """It must wait for its client, but not for ever."""
        self._limit.add(handshake, self.relays.reactor.now)

    def _too_slow(self, handshake: "Handshake", start: float) -> None:  # noqa: ARG002
        if handshake in self.under_way:
            handshake.fail(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def close(self) -> None:
        """Give all up."""
        for handshake in list(self.under_way):
            handshake.abandon()


class Handshake:
    """One client's, from accept to session."""

    __slots__ = ("_address", "_all", "_fd", "_port", "_stream", "_waits_for")

    def __init__(
        self, all: Handshakes, stream: TLSStream, fd: int, address: str, port: int
    ) -> None:
        self._all = all
        self._stream = stream
        self._fd = fd
        self._address = address
        self._port = port
        self._waits_for = Progress.READS

    def start(self) -> None:
        """Begin with what the client may have sent by now."""
        relays = self._all.relays
        relays.reactor.handlers[self._fd] = self.advance
        relays.poller.watch(self._fd)
        self._all.wait(self)
        self.advance(0)

    def advance(self, mask: int) -> None:  # noqa: ARG002
        """The client sent something, or takes something."""
        try:
            progress = self._stream.handshake()
        except OSError as error:
            return self.fail(error)
        if progress is Progress.DONE:
            return self._become_session()
        if progress is not self._waits_for:
            self._waits_for = progress
            read, write = WAITS[progress]
            self._all.relays.poller.change(self._fd, read=read, write=write)
        return None

    def _become_session(self) -> None:
        relays, stream = self._all.relays, self._stream
        if self._waits_for is Progress.WRITES:
            relays.poller.change(self._fd, read=False, write=False)
        relays.forget(self._fd)
        self._leave()
        relays.begin(stream, self._fd, self._address, self._port, TLSRelay)

    def fail(self, error: OSError) -> None:
        """There will be no session."""
        if self._all.relays.settings.debug:
            logger.debug(
                "client %s port %d: handshake failed: %s",
                self._address, self._port, error.strerror,
            )  # fmt: skip
        self.abandon()

    def abandon(self) -> None:
        """Close the client."""
        relays = self._all.relays
        relays.forget(self._fd)
        stream = self._stream
        self._leave()
        stream.close()
        if relays.room_made is not None:
            relays.room_made()

    def _leave(self) -> None:
        self._all.under_way.discard(self)
        self._all.relays.sessions.arriving -= 1
        del self._stream  # for the time limit remembers the handshake a while
