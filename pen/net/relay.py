"""A relay: the two sockets of a session, from connecting to closing.

`Relay` owns both sockets and closes them. It asks `core.session` which server to try,
connects, fails over with what the client has sent so far in hand; once a server has
accepted, its two flows (`net.flow`) move the bytes.
"""

import errno
import logging
import os
import time
from _socket import socket
from socket import MSG_DONTWAIT, SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET
from typing import TYPE_CHECKING, Final

from pen.core.servers import Server
from pen.core.session import Session, State
from pen.core.settings import FastClose
from pen.net.flow import Flow
from pen.net.pollers import GONE, WRITE

if TYPE_CHECKING:
    from pen.net.relays import Relays

logger = logging.getLogger("pen")

STREAM: Final = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
FIRST_READ: Final = 16384
"""Bytes of a client that are read before its server has accepted, at most."""


class Relay:
    """One client's connection and the server's."""

    __slots__ = (
        "active",
        "client",
        "client_fd",
        "down",
        "server",
        "server_fd",
        "session",
        "shared",
        "up",
    )

    def __init__(self, shared: "Relays", session: Session, client: socket) -> None:
        self.shared = shared
        self.session = session
        self.client = client
        self.client_fd = client.fileno()
        self.server: socket | None = None
        self.server_fd = -1
        self.active = shared.reactor.now
        """When something last happened here; monotonic seconds."""
        self.up = Flow(shared, self, b"")
        self.down = Flow(shared, self, None)
        self.up.source = self.down.sink = client

    def connect(self) -> None:
        """Ask the session's server, and those after it while they refuse at once."""
        server: Server | None = self.session.server
        while server is not None:
            error = self._ask(server)
            if error is None:
                return
            server = self._next_server(error)
        self.close("no server")

    def _ask(self, server: Server) -> OSError | None:
        """Begin to connect; the error if that fails at once."""
        shared = self.shared
        try:
            self._open_upstream(server)
        except OSError as failure:
            return failure
        first_time = self.client_fd not in shared.reactor.handlers
        if first_time:
            self._read_first()
        error = self._send_first()
        if error is not None and not isinstance(error, BlockingIOError):
            return error
        if first_time:
            shared.reactor.handlers[self.client_fd] = self.on_client
            shared.poller.watch(self.client_fd, read=self.up.wants_read)
        if error is None:
            shared.reactor.handlers[self.server_fd] = self.on_server
            shared.poller.watch(self.server_fd)
            # A client that is watched only from now on will tell of what else it sent.
            self._accepted(read_on=not first_time or self.up.moved == FIRST_READ)
        else:
            shared.reactor.handlers[self.server_fd] = self.on_connecting
            shared.poller.watch(self.server_fd, read=False, write=True)
            shared.await_connect(self.session)
        return None

    def _open_upstream(self, server: Server) -> None:
        endpoint = server.endpoint
        upstream = self.server = socket(endpoint.family, STREAM, 0)
        self.server_fd = upstream.fileno()
        self.up.sink = self.down.source = upstream
        if self.shared.tunes_sockets:
            self.shared.tune(upstream)
        code = upstream.connect_ex(endpoint.sockaddr)
        if code and code != errno.EINPROGRESS:
            raise OSError(code, os.strerror(code))

    def _read_first(self) -> None:
        """What the client has sent by now: often its request, and one wake-up is saved."""
        up = self.up
        try:
            piece = self.client.recv(FIRST_READ, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            up.ended = True
            return
        up.held = piece
        up.moved = len(piece)

    def _send_first(self) -> OSError | None:
        """Send what is held, which also tells whether the server has accepted.

        None: it has. BlockingIOError: not yet. (Sending nothing asks just that.)
        """
        up, upstream = self.up, self.server
        assert upstream is not None
        assert up.held is not None
        try:
            sent = upstream.send(up.held)
        except OSError as error:
            return error
        if up.held and up.observer is not None:
            up.observer(self, memoryview(up.held))
        up.held = up.held[sent:] or None
        return None

    def _accepted(self, *, read_on: bool) -> None:
        """The server is there: from now on the flows do the work.

        `read_on`: the client may have sent more, and its event came while it was held.
        """
        up = self.up
        self.shared.accepted(self.session)
        if up.held is not None or not self.shared.poller.edge:
            self.rewatch(up)
        if up.held is None:
            if up.ended:
                up.finish()
            elif read_on:
                up.pump()

    def on_connecting(self, mask: int) -> None:
        """News of a server that is being asked."""
        error: OSError | None
        if mask & GONE:
            error = self._connect_error()
        else:
            error = self._send_first()
        if error is None:
            fd = self.server_fd
            self.shared.reactor.handlers[fd] = self.on_server
            self.shared.poller.change(fd, read=True, write=False)
            self._accepted(read_on=True)
        elif not isinstance(error, BlockingIOError):
            self.fail_over(error)

    def _connect_error(self) -> OSError:
        assert self.server is not None
        code = self.server.getsockopt(SOL_SOCKET, SO_ERROR) or errno.ECONNREFUSED
        return OSError(code, os.strerror(code))

    def fail_over(self, error: OSError) -> None:
        """The server being asked will not do: ask the next one, or close the client."""
        if self._next_server(error) is None:
            self.close("no server")
        else:
            self.connect()

    def _next_server(self, error: OSError) -> Server | None:
        session, shared = self.session, self.shared
        self._close_upstream()
        tried = session.server
        server = shared.sessions.failed(session, shared.reactor.now, int(time.time()))
        if shared.settings.debug:
            logger.debug(
                "connection %d: server %d (%s) failed: %s; %s",
                session.number,
                tried.slot,
                tried.endpoint,
                error.strerror,
                f"trying server {server.slot}" if server else "no server left",
            )
        return server

    def _close_upstream(self) -> None:
        if self.server is not None:
            self.shared.forget(self.server_fd)
            self.server.close()
            self.server = None
            self.server_fd = -1

    def on_client(self, mask: int) -> None:
        """News of the client's socket."""
        self.active = self.shared.reactor.now
        if mask & WRITE:
            self.down.flush()
        if mask & ~WRITE:
            self.up.pump(mask)
            if mask & GONE:
                self._gone(self.up)

    def on_server(self, mask: int) -> None:
        """News of the server's socket."""
        self.active = self.shared.reactor.now
        if mask & WRITE:
            self.up.flush()
        if mask & ~WRITE:
            self.down.pump(mask)
            if mask & GONE:
                self._gone(self.down)

    def _gone(self, flow: Flow) -> None:
        """A socket with an error pending while its flow cannot read and so cannot see it."""
        if flow.done or self.session.state is State.CLOSED:
            return
        if flow.held is not None:
            code = flow.source.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                self.broken(OSError(code, os.strerror(code)))

    def rewatch(self, flow: Flow) -> None:
        """A flow began or ceased to be held: watch its sockets for what matters now."""
        poller = self.shared.poller
        up, down = self.up, self.down
        if flow is up or not poller.edge:
            poller.change(self.server_fd, read=down.wants_read, write=up.held is not None)
        if flow is down or not poller.edge:
            poller.change(self.client_fd, read=up.wants_read, write=down.held is not None)

    def rewatch_source(self, flow: Flow) -> None:
        """A flow's source has ended: level-triggered pollers must not look at it again."""
        if not self.shared.poller.edge and self.session.state is not State.CLOSED:
            self.rewatch(flow)

    def closes_fast(self, flow: Flow) -> bool:
        """Whether the end of this flow closes both sides (`tcp_fastclose`)."""
        mode = self.shared.settings.tcp_fastclose
        if mode is FastClose.OFF:
            return False
        return mode is FastClose.BOTH or (mode is FastClose.UP) == (flow is self.down)

    def broken(self, error: OSError) -> None:
        """A socket failed; there is nothing more to move."""
        self.close(error.strerror or str(error))

    def close(self, reason: str) -> None:
        """End the session: both sockets, both flows, and the counts."""
        session, shared = self.session, self.shared
        if session.state is State.CLOSED:
            return
        self.up.stop()
        self.down.stop()
        shared.forget(self.client_fd)
        self.client.close()
        self._close_upstream()
        shared.ended(self, reason)
