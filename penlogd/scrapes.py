"""Answers Prometheus: HTTP on a port of its own, in penlogd's loop.

Nobody who asks can hold up the log or take much from it. Nothing here waits; each connection has
one request, in `HEAD_MAX` bytes, and `SECONDS` for all of it; beyond `MOST` connections the oldest
is closed for the newest. What HTTP is, the standard library knows: a request that has come whole
is answered into memory.

It waits on an epoll of its own, whose descriptor becomes readable when there is something to do:
all that the loop must know of it.
"""

import select
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from math import inf

from penlogd.exposition import Exposition
from penlogd.parts import Parts

HEAD_MAX = 16 << 10
"""Bytes of a request."""

SECONDS = 5.0
"""Seconds for a request to come and its answer to be taken."""

MOST = 20
"""Connections at once."""

PAUSE = 1.0
"""Seconds to accept nobody after the system refused a descriptor."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format, which every scraper takes; so what it says it accepts is not read."""

Figures = Callable[[], bytes]
"""Gives the figures in that format."""

_ENDS_OF_HEAD = (b"\r\n\r\n", b"\n\n")
_PIECE = 4096


class _Request(BaseHTTPRequestHandler):
    """A request that has come whole."""

    default_request_version = "HTTP/1.0"  # so that every answer has a head

    def __init__(self, head: bytes, figures: Figures) -> None:  # the base class wants a socket
        self._figures = figures
        self.rfile = BytesIO(head)
        self.wfile = self.answer = BytesIO()
        self.handle_one_request()

    def do_GET(self) -> None:
        """Answer with the figures, wherever /metrics is asked for."""
        self.wfile.write(self._head_and_body())

    def do_HEAD(self) -> None:
        """Answer as to GET, without a body."""
        self._head_and_body()

    def _head_and_body(self) -> bytes:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, explain="The figures are at /metrics.")
            return b""
        body = self._figures()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def version_string(self) -> str:
        """Return what answers."""
        return "penlogd"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who asks is of no interest."""


def respond(head: bytes, figures: Figures) -> bytes:
    """Return the HTTP answer to a request, whatever it is."""
    return _Request(head, figures).answer.getvalue()


class _Client:
    """Somebody who asks.

    Attributes:
        fd: The descriptor.
        deadline: Monotonic time by which all must be done.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        sock.setblocking(False)
        self.fd = sock.fileno()
        self.deadline = deadline
        self._sock = sock
        self._head = b""
        self._answer = b""

    def work(self, figures: Figures) -> int:
        """Go on; return which event to wait for, 0 if all is done.

        Raises:
            OSError: The connection has ended, or must.
        """
        try:
            if not self._answer:
                self._read()
                if not any(end in self._head for end in _ENDS_OF_HEAD):
                    return select.EPOLLIN
                self._answer = respond(self._head, figures)
            self._answer = self._answer[self._sock.send(self._answer) :]
        except (BlockingIOError, InterruptedError):
            return select.EPOLLOUT if self._answer else select.EPOLLIN
        return select.EPOLLOUT if self._answer else 0

    def _read(self) -> None:
        piece = self._sock.recv(_PIECE)
        self._head += piece
        if not piece or len(self._head) > HEAD_MAX:
            raise ConnectionAbortedError

    def close(self) -> None:
        """Disconnect."""
        self._sock.close()


class Scrapes:
    """Listens from the start; answers when told to work.

    Args:
        host: Where to listen.
        port: Number or name of the port.

    Attributes:
        fd: Readable when there is something to do.
        deadline: Monotonic time at which `work` must be called even so.

    Raises:
        OSError: It cannot listen there.
    """

    def __init__(self, host: str, port: str) -> None:
        self._listener = _listening(host, port)
        self._poller = select.epoll()
        self._clients: dict[int, _Client] = {}  # the oldest first
        self._figures: Figures = bytes
        self._accept_again = inf
        self.fd = self._poller.fileno()
        self._poller.register(self._listener, select.EPOLLIN)

    def show(self, parts: Parts) -> None:
        """Answer with what these count from now on."""
        self._figures = Exposition(parts).text

    @property
    def deadline(self) -> float:
        """When `work` must be called even if nobody asks."""
        oldest = next(iter(self._clients.values()), None)
        return min(self._accept_again, inf if oldest is None else oldest.deadline)

    def work(self, now: float) -> None:
        """Do what can be done now."""
        for fd, _ in self._poller.poll(0):
            if fd == self._listener.fileno():
                self._accept(now)
            elif fd in self._clients:
                self._serve(self._clients[fd])
        for client in [each for each in self._clients.values() if each.deadline <= now]:
            self._close(client)
        if self._accept_again <= now:
            self._accept_again = inf
            self._poller.register(self._listener, select.EPOLLIN)

    def close(self) -> None:
        """Disconnect all, and listen no more."""
        for client in list(self._clients.values()):
            self._close(client)
        self._poller.close()
        self._listener.close()

    def _accept(self, now: float) -> None:
        try:
            for _ in range(MOST):
                sock, _ = self._listener.accept()
                client = _Client(sock, now + SECONDS)
                if len(self._clients) >= MOST:
                    self._close(next(iter(self._clients.values())))
                self._clients[client.fd] = client
                self._poller.register(client.fd, select.EPOLLIN)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError:  # no descriptor is left, and epoll would tell so without end
            self._poller.unregister(self._listener)
            self._accept_again = now + PAUSE

    def _serve(self, client: _Client) -> None:
        try:
            waits_for = client.work(self._figures)
        except OSError:
            waits_for = 0
        if waits_for:
            self._poller.modify(client.fd, waits_for)
        else:
            self._close(client)

    def _close(self, client: _Client) -> None:
        del self._clients[client.fd]
        client.close()


def _listening(host: str, port: str) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(MOST)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
