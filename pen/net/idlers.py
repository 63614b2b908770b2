"""Connections to servers that are open before a client needs them (`idlers N`).

They are spread over the servers that take new clients, count for `conn_max`, and give way
to clients. A client that has said something by the time it is accepted gets one to the
server that was chosen for it, which saves it the connect.

A server may close a connection that has been idle for long. While it idles that is an
event, and another is opened. Just when a client has got it, `IdlerRelay` finds out: until
the server has answered, or its system has acknowledged what was sent, that is kept, and
goes over a fresh connection if this one turns out to be dead. What was acknowledged is
never sent twice.
"""

import errno
import struct
from _socket import socket
from socket import (
    IPPROTO_TCP,
    MSG_PEEK,
    SO_ERROR,
    SO_KEEPALIVE,
    SOL_SOCKET,
    TCP_INFO,
    TCP_KEEPIDLE,
)
from typing import Final

from pen.core.address import Endpoint
from pen.core.applying import Prepared
from pen.core.servers import Server
from pen.core.session import CLOSED, OPEN
from pen.core.settings import Settings
from pen.net.flow import MSG_DONTWAIT
from pen.net.pollers import WRITE
from pen.net.relay import STREAM, Relay
from pen.net.relays import Relays

LOOK: Final = 1.0
"""Seconds between looks at whether the servers have the idlers they should."""
LOOK_AGAIN: Final = 0.005
"""Seconds between looks at whether a server has acknowledged what was sent."""
PROBE: Final = 30
"""Seconds until the system begins to probe a silent connection, lest it be dead unnoticed."""
TCP_INFO_SIZE: Final = 128
BYTES_ACKED: Final = struct.Struct("120xQ")
"""Of struct tcp_info (linux/tcp.h, since 4.1): bytes the peer acknowledged, and 1 for the SYN."""


class Idler:
    """One connection that waits for a client."""

    __slots__ = ("endpoint", "fd", "pool", "ready", "server", "since", "stream")

    def __init__(self, pool: "Idlers", server: Server) -> None:
        self.pool = pool
        self.server = server
        self.endpoint: Endpoint = server.endpoint
        self.since = pool.relays.reactor.now
        self.ready = False
        self.stream = socket(self.endpoint.family, STREAM, 0)
        self.fd = self.stream.fileno()
        self._connect()

    def _connect(self) -> None:
        relays, stream = self.pool.relays, self.stream
        try:
            stream.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
            stream.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, PROBE)
            if relays.tunes_sockets:
                relays.tune_upstream(stream, self.endpoint.family, "")
            code = stream.connect_ex(self.endpoint.sockaddr)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, "")
        except OSError:
            stream.close()
            raise
        relays.reactor.handlers[self.fd] = self.on_connected
        relays.poller.watch(self.fd, read=False, write=True)

    def on_connected(self, mask: int) -> None:  # noqa: ARG002
        """The server has accepted, or will not."""
        relays = self.pool.relays
        code = self.stream.getsockopt(SOL_SOCKET, SO_ERROR)
        if code or not self._is_connected():
            if code:
                self.pool.lose(self)
            return
        self.ready = True
        relays.sessions.idle += 1
        relays.reactor.handlers[self.fd] = self.on_news
        relays.poller.change(self.fd, read=True, write=False)

    def _is_connected(self) -> bool:
        try:
            self.stream.getpeername()
        except OSError:
            return False
        return True

    def on_news(self, mask: int) -> None:  # noqa: ARG002
        """The server has closed it, or speaks first, which then waits for the client."""
        try:
            alive = bool(self.stream.recv(1, MSG_PEEK | MSG_DONTWAIT))
        except BlockingIOError:
            return
        except OSError:
            alive = False
        if alive:
            self.pool.relays.poller.change(self.fd, read=False, write=False)
        else:
            self.pool.lose(self)

    def abandon(self) -> None:
        """Give up after a mistake of ours."""
        self.pool.lose(self)


class Idlers:
    """All of them; the part that follows `idlers`."""

    def __init__(self, relays: Relays) -> None:
        self.relays = relays
        self._wanted = 0
        self._idle: dict[Server, list[Idler]] = {}
        self._looks = False
        self._settles = False
        relays.idlers = self

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:  # noqa: ARG002
        """See `core.applying.Part`. No idler can have a client's address (`transparent`)."""
        count = 0 if wanted.transparent else wanted.idlers
        if count == self._wanted:
            return None

        def commit() -> None:
            self._wanted = count
            self.relays.plain = IdlerRelay if count else Relay
            self._settle_later()

        return Prepared(commit)

    def take(self, server: Server) -> socket | None:
        """A connection to this server, if one is ready; the newest, for it is least stale."""
        self._settle_later()
        for idler in reversed(self._idle.get(server, ())):
            if idler.ready and idler.endpoint == server.endpoint:
                self._remove(idler)
                return idler.stream
        return None

    def lose(self, idler: Idler) -> None:
        """It is of no use any more; another is opened at the next look."""
        self._remove(idler)
        idler.stream.close()

    def close(self) -> None:
        """Close them all, and open no more."""
        self._wanted = 0
        self._settle()

    def _remove(self, idler: Idler) -> None:
        relays = self.relays
        if relays.reactor.handlers.pop(idler.fd, None) is not None:
            relays.poller.forget(idler.fd)
        self._idle[idler.server].remove(idler)
        relays.sessions.idle -= idler.ready

    def _settle_later(self) -> None:
        """At the end of this turn, once the client is served."""
        if not self._settles:
            self._settles = True
            self.relays.reactor.at_turn_end.append(self._settle)

    def _look(self) -> None:
        self._looks = False
        self._settle()

    def _settle(self) -> None:
        """Open and close such that every server has its share; look again in a while."""
        self._settles = False
        reactor = self.relays.reactor
        shares = self._shares()
        overdue = reactor.now - self.relays.settings.timeout
        for server, idlers in list(self._idle.items()):
            for idler in list(idlers):
                stale = idler.endpoint != server.endpoint
                stale |= not idler.ready and idler.since <= overdue
                if stale or len(idlers) > shares.get(server, 0):
                    self.lose(idler)
            if not idlers:
                del self._idle[server]
        for server, share in shares.items():
            self._open(server, share)
        if self._wanted and not self._looks:
            self._looks = True
            reactor.call_at(reactor.now + LOOK, self._look)

    def _open(self, server: Server, share: int) -> None:
        idlers = self._idle.setdefault(server, [])
        try:
            while len(idlers) < share:
                idlers.append(Idler(self, server))
        except OSError:
            pass  # the next look tries again; a client that needs the server will find out

    def _shares(self) -> dict[Server, int]:
        """How many each server should have, as far as limits leave room."""
        sessions = self.relays.sessions
        servers = [server for server in sessions.servers if self._may_have(server)]
        room = min(self.relays.settings.conn_max, sessions.holdable)
        left = min(self._wanted, room - len(sessions) - sessions.arriving)
        shares = dict.fromkeys(servers, 0)
        while left > 0 and servers:
            for server in list(servers):
                if server.max and server.connections + shares[server] >= server.max:
                    servers.remove(server)
                elif left > 0:
                    shares[server] += 1
                    left -= 1
        return shares

    def _may_have(self, server: Server) -> bool:
        return server.takes_new and server.banned_until <= self.relays.reactor.now


class IdlerRelay(Relay):
    """A relay that begins with an idle connection, if there is one."""

    __slots__ = ("_kept", "_on_trial")

    def start(self) -> None:
        """As `Relay.start`; what the client has said is read first."""
        self._kept: bytes | None = None
        """What went over an idler and is not known to have arrived."""
        self._on_trial = False
        Relay._read_first(self)
        super().start()

    def _read_first(self) -> None:
        """That was done at once."""

    def _ask(self, server: Server) -> OSError | None:
        idlers = self.shared.idlers
        if self.up.held and self._kept is None and idlers is not None:
            stream = idlers.take(server)
            if stream is not None:
                self.server_socket = self.up.sink = self.down.source = stream
                self.server_fd = stream.fileno()
                self._on_trial = True
                return None
        return super()._ask(server)

    def _send_first(self) -> OSError | None:
        up = self.up
        if not self._on_trial:
            return super()._send_first() if self._kept is None else self._send_kept()
        piece = up.held or b""
        if up.tap is not None:
            piece = up.tapped(piece)
        self._kept = piece
        if not piece:  # the tap waits for more
            self._on_trial = False
            self._kept = up.held = None
            return None
        try:
            sent = self.server_socket.send(piece)
        except OSError:
            self._on_trial = False
            self._close_upstream()
            return self._ask(self.server) or self._send_kept()
        up.held = piece[sent:] or None
        return None

    def _send_kept(self) -> OSError | None:
        """Over a fresh connection; no tap, for it has seen this."""
        kept = self._kept or b""
        try:
            sent = self.server_socket.send(kept)
        except OSError as error:
            return error
        self._kept = None
        self.up.held = kept[sent:] or None
        return None

    def _accepted(self, *, read_on: bool, watched: bool) -> None:
        super()._accepted(read_on=read_on and not self._on_trial, watched=watched)
        if self._on_trial and self.state is OPEN:
            handlers = self.shared.reactor.handlers
            handlers[self.server_fd] = self.on_server
            handlers[self.client_fd] = self.on_client
            if read_on:
                self._wait_for_server()

    # On trial: is the server there?

    def on_server(self, mask: int) -> None:
        """The server has answered, or was gone before it could read."""
        try:
            alive = bool(self.server_socket.recv(1, MSG_PEEK | MSG_DONTWAIT))
        except BlockingIOError:
            alive = bool(mask & WRITE)
            if not alive:
                return
        except OSError:
            alive = False
        if alive or self._was_heard():
            self._pass()
            if self.state is not CLOSED:
                self.down.pump(mask)
        else:
            self._ask_afresh()

    def on_client(self, mask: int) -> None:  # noqa: ARG002
        """The client says more: not before it is known that the server hears it."""
        if self._was_heard():
            self._pass()
        else:
            self._wait_for_server()

    def _wait_for_server(self) -> None:
        reactor, poller = self.shared.reactor, self.shared.poller
        if not poller.edge:
            poller.change(self.client_fd, read=False, write=False)
        reactor.call_at(reactor.now + LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        if self._on_trial and self.state is OPEN:
            self.on_client(0)

    def _was_heard(self) -> bool:
        """Whether the server's system has acknowledged anything that was sent."""
        try:
            info = self.server_socket.getsockopt(IPPROTO_TCP, TCP_INFO, TCP_INFO_SIZE)
        except OSError:
            return False
        return len(info) < TCP_INFO_SIZE or BYTES_ACKED.unpack(info)[0] > 1

    def _pass(self) -> None:
        """The trial is over: this is a connection like any other."""
        self._on_trial = False
        self._kept = None
        handlers = self.shared.reactor.handlers
        handlers[self.server_fd] = self.down.pump
        handlers[self.client_fd] = self.up.pump
        self.rewatch_source(self.up)
        self.up.pump()

    def broken(self, error: OSError) -> None:
        """A socket failed; on trial it is the server's, which had closed it."""
        if self._on_trial and self.state is OPEN and not self._was_heard():
            self._ask_afresh()
        else:
            super().broken(error)

    def _ask_afresh(self) -> None:
        """The server had closed it: the same to the same server, over a new connection."""
        shared, up = self.shared, self.up
        self._on_trial = False
        if shared.tells:
            shared.tell_closed(self, "idle connection was closed")
        self._close_upstream()
        shared.sessions.reopened(self)
        up.held, up.done = self._kept, False
        shared.reactor.handlers[self.client_fd] = up.pump
        if not shared.poller.edge:
            shared.poller.change(self.client_fd, read=False, write=False)
        error = self._ask(self.server) or self._send_first()
        if error is None:
            self._accepted(read_on=True, watched=False)
        else:
            self._not_accepted(error)
