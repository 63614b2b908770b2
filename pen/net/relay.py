"""A relay: the two sockets of a session, from connecting to closing.

`Relay` owns both sockets and closes them. It asks `core.session` which server to try,
connects, fails over with what the client has sent so far in hand; once a server has
accepted, its two flows (`net.flow`) move the bytes.
"""

import errno
import os
import time
from _socket import socket
from socket import SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET
from typing import TYPE_CHECKING, ClassVar, Final

from pen.core.servers import Server
from pen.core.session import CLOSED, Traffic
from pen.core.settings import FastClose
from pen.net.carrier import Carried
from pen.net.flow import MSG_DONTWAIT, SMALL_READ, Flow
from pen.net.pollers import GONE

if TYPE_CHECKING:
    from pen.net.relays import Relays
    from pen.net.stream import Stream

OUR_FAULTS: Final = {
    errno.EADDRNOTAVAIL,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
}
"""What keeps us from asking a server, and says nothing about it."""
STREAM: Final = int(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)


class Relay(Carried):
    """A session and its sockets."""

    __slots__ = (
        "active",
        "client_fd",
        "client_socket",
        "down",
        "server_fd",
        "shared",
        "up",
    )

    secure: ClassVar[bool] = False
    """Whether clients come by TLS."""
    flow_up: ClassVar[type[Flow]] = Flow
    flow_down: ClassVar[type[Flow]] = Flow

    def __init__(
        self, shared: "Relays", client_socket: "Stream", client_fd: int, address: str, port: int
    ) -> None:
        self.shared = shared
        self.client_socket = client_socket
        self.client_fd = client_fd
        self.address = address
        self.port = port
        self.state = CLOSED
        self.server_fd = -1
        """-1: no socket to a server is open."""
        self.active = 0.0
        """When something last happened here; monotonic seconds."""
        self.up = self.flow_up(self, b"")
        self.down = self.flow_down(self, None)
        self.up.source = self.down.sink = client_socket

    # Connecting.

    def start(self) -> None:
        """Ask the server that was chosen, and read what the client has sent meanwhile."""
        error = self._ask(self.server)
        self._read_first()
        shared = self.shared
        if error is None:
            error = self._send_first()
        shared.reactor.handlers[self.client_fd] = self.up.pump
        shared.poller.watch(self.client_fd, read=False)
        if error is None:
            # The client is watched only from now on, so it will tell of what else it sent.
            self._accepted(read_on=self.up.moved == SMALL_READ, watched=False)
        else:
            self._not_accepted(error)

    def _ask(self, server: Server) -> OSError | None:
        """Begin to connect; the error if that fails at once."""
        endpoint = server.endpoint
        try:
            upstream = self.server_socket = socket(endpoint.family, STREAM, 0)
            self.server_fd = upstream.fileno()
            self.up.sink = self.down.source = upstream
            if self.shared.tunes_sockets:
                self.shared.tune_upstream(upstream, endpoint.family, self.address)
            code = upstream.connect_ex(endpoint.sockaddr)
        except OSError as error:
            return error
        if code and code != errno.EINPROGRESS:
            return OSError(code, os.strerror(code))
        return None

    def _read_first(self) -> None:
        """What the client has sent by now: often its request, and one wake-up is saved."""
        up = self.up
        try:
            up.held = piece = self.client_socket.recv(SMALL_READ, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        up.moved = len(piece)
        up.ended = not piece

    def _send_first(self) -> OSError | None:
        """Send what is held, which also tells whether the server has accepted.

        None: it has. BlockingIOError: not yet. (Sending nothing asks just that.)
        """
        up = self.up
        if up.tap is not None:
            return self._send_first_tapped()
        held = up.held or b""
        try:
            sent = self.server_socket.send(held)
        except OSError as error:
            return error
        up.held = held[sent:] if sent < len(held) else None
        return None

    def _send_first_tapped(self) -> OSError | None:
        """As `_send_first`; the tap sees what is held once, when a server has accepted.

        Until then it may go to another server, and whoever logs it must know which.
        """
        up = self.up
        try:
            self.server_socket.send(b"")
        except OSError as error:
            return error
        piece = up.tapped(up.held) if up.held else b""
        try:
            piece = piece[self.server_socket.send(piece) :] if piece else b""
        except OSError:
            pass  # too late for another server: the flow will meet the error again
        up.held = piece or None
        return None

    def _not_accepted(self, error: OSError) -> None:
        """The server has not accepted yet, or will not."""
        while not isinstance(error, BlockingIOError):
            server = self._next_server(error)
            if server is None:
                return self.close("no server")
            failure = self._ask(server) or self._send_first()
            if failure is None:
                return self._accepted(read_on=True, watched=False)
            error = failure
        shared = self.shared
        shared.reactor.handlers[self.server_fd] = self.on_connecting
        shared.poller.watch(self.server_fd, read=False, write=True)
        return shared.await_connect(self)

    def on_connecting(self, mask: int) -> None:
        """News of a server that is being asked."""
        error = self._connect_error() if mask & GONE else self._send_first()
        if error is None:
            self._accepted(read_on=True, watched=True)
        elif not isinstance(error, BlockingIOError):
            self.fail_over(error)

    def _connect_error(self) -> OSError:
        code = self.server_socket.getsockopt(SOL_SOCKET, SO_ERROR) or errno.ECONNREFUSED
        return OSError(code, os.strerror(code))

    def fail_over(self, error: OSError) -> None:
        """The server being asked will not do: ask the next one, or close the client."""
        self._not_accepted(error)

    def _next_server(self, error: OSError) -> Server | None:
        shared = self.shared
        self._close_upstream()
        tried = self.server
        server = shared.sessions.failed(
            self, shared.reactor.now, int(time.time()), blame=error.errno not in OUR_FAULTS
        )
        if shared.settings.debug:
            shared.tell_failed(self, tried, server, error)
        return server

    def _accepted(self, *, read_on: bool, watched: bool) -> None:
        """The server is there: from now on the flows do the work.

        Args:
            read_on: the client may have sent more, and its event came while it was held.
            watched: the server's socket is watched already.
        """
        shared, up, fd = self.shared, self.up, self.server_fd
        poller = shared.poller
        shared.reactor.handlers[fd] = self.down.pump
        if watched or not poller.edge:
            self.rewatch_both(watched=watched)
        else:
            poller.watch(fd, write=up.held is not None)
        shared.sessions.accepted(self)
        if shared.tells:
            shared.tell_accepted(self)
        if shared.room_made is not None:
            shared.room_made()
        if up.held is None:
            if up.ended:
                up.finish()
            elif read_on:
                up.pump()

    # What the poller should watch.

    def rewatch_both(self, *, watched: bool) -> None:
        """The server has accepted: watch its socket, and the client's, for what matters now."""
        poller, up, down = self.shared.poller, self.up, self.down
        watch = poller.change if watched else poller.watch
        watch(self.server_fd, read=down.wants_read, write=up.held is not None)
        if not poller.edge:
            poller.change(self.client_fd, read=up.wants_read, write=False)

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
        if not self.shared.poller.edge and self.state is not CLOSED:
            self.rewatch(flow)

    def moved(self) -> tuple[int, int]:
        """See `Session`."""
        return self.up.moved, self.down.moved

    def traffic(self) -> Traffic:
        """What statistics show of the sockets."""
        up, down = self.up, self.down
        return Traffic(
            up.moved, down.moved, up.pending, down.pending, self.client_fd, self.server_fd
        )

    # Ending.

    def closes_fast(self, flow: Flow) -> bool:
        """Whether the end of this flow closes both sides (`tcp_fastclose`)."""
        mode = self.shared.settings.tcp_fastclose
        if mode is FastClose.OFF:
            return False
        return mode is FastClose.BOTH or (mode is FastClose.UP) == (flow is self.down)

    def abandon(self) -> None:
        """Give up the connection after a mistake of ours."""
        self.close("internal error")

    def broken(self, error: OSError) -> None:
        """A socket failed; there is nothing more to move."""
        self.close(error.strerror or str(error))

    def _close_upstream(self) -> None:
        if self.server_fd >= 0:
            self.shared.forget(self.server_fd)
            self.server_socket.close()
            self.server_fd = -1

    def close(self, reason: str) -> None:
        """End the session: both sockets, both flows, and the counts."""
        if self.state is CLOSED:
            return
        shared, up, down = self.shared, self.up, self.down
        if not (up.done and down.done):
            up.stop()
            down.stop()
        handlers = shared.reactor.handlers
        if handlers.pop(self.client_fd, None) is not None and not shared.poller.edge:
            shared.poller.closed(self.client_fd)
        self.client_socket.close()
        self._close_upstream()
        if shared.tells:
            shared.tell_closed(self, reason)
        if shared.settings.idle_timeout:
            shared.unwatch_idle(self)
        shared.sessions.end(self, up.moved, down.moved)
        if shared.room_made is not None:
            shared.room_made()
        # Without circles the interpreter frees all of it here, and never has to search.
        del up.relay, down.relay
