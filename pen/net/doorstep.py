"""Clients who must say something before anything is done for them: `peek` and `dummy`.

While neither is on, clients go straight from the listener to `Relays.begin`. While one is,
`Doorstep.hold` stands between: a client waits until its first bytes are there, and then
gets a server (`peek`) or a page (`dummy`). One who leaves without a word costs no server
anything. Who waits counts as a connection.
"""

from _socket import socket
from socket import MSG_PEEK, SHUT_WR
from typing import Final

from pen.net.flow import MSG_DONTWAIT, SMALL_READ
from pen.net.limits import TimeLimit
from pen.net.relays import Relays

PAGE: Final = b"Ulric was here."
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Length: %d\r\n"
    b"Content-Type: text/html\r\n"
    b"Connection: close\r\n\r\n%s" % (len(PAGE), PAGE)
)
"""What `dummy` says to everything: C pen's page."""


class Waiting:
    """One client on the doorstep."""

    __slots__ = ("_answered", "_client", "_doorstep", "_fd", "_peer")

    def __init__(
        self, doorstep: "Doorstep", client: socket, fd: int, address: str, port: int
    ) -> None:
        self._doorstep = doorstep
        self._client = client
        self._fd = fd
        self._peer = (address, port)
        self._answered = False

    def on_readable(self, mask: int) -> None:  # noqa: ARG002
        """The client has sent something, or has gone."""
        if self._doorstep.answers or self._answered:
            self._answer()
        elif self._has_gone():
            self.close()
        else:
            self._doorstep.admit(self, self._client, self._fd, self._peer)

    def _has_gone(self) -> bool:
        try:
            return not self._client.recv(1, MSG_DONTWAIT | MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _answer(self) -> None:
        """Answer what came first; then read on to the end, or close() would take it back."""
        try:
            if not self._client.recv(SMALL_READ, MSG_DONTWAIT):
                self.close()
            elif not self._answered:
                self._answered = True
                self._client.send(ANSWER, MSG_DONTWAIT)
                self._client.shutdown(SHUT_WR)
                self._doorstep.linger(self)
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def abandon(self) -> None:
        """Give up after a mistake of ours."""
        self.close()

    def close(self) -> None:
        """Send the client away; a second time does nothing."""
        if self._doorstep.forget(self, self._fd):
            self._client.close()


class Doorstep:
    """Everyone who waits; each gets what holds when it speaks."""

    def __init__(self, relays: Relays) -> None:
        self._relays = relays
        self._waiting: set[Waiting] = set()
        settings, reactor = relays.settings, relays.reactor
        self._silent: TimeLimit[Waiting] = TimeLimit(
            reactor, lambda: settings.idle_timeout, _send_away
        )
        self._lingering: TimeLimit[Waiting] = TimeLimit(
            reactor, lambda: settings.timeout, _send_away
        )

    @property
    def answers(self) -> bool:
        """Whether clients get a page rather than a server."""
        return self._relays.settings.dummy

    def hold(self, client: socket, fd: int, address: str, port: int) -> None:
        """A client was accepted: wait for what it says."""
        waiting = Waiting(self, client, fd, address, port)
        relays = self._relays
        self._waiting.add(waiting)
        relays.sessions.arriving += 1
        relays.reactor.add(fd, waiting.on_readable)
        if relays.settings.idle_timeout:
            self._silent.add(waiting, relays.reactor.now)

    def linger(self, waiting: Waiting) -> None:
        """A client was answered, and has some time to go."""
        self._lingering.add(waiting, self._relays.reactor.now)

    def admit(self, waiting: Waiting, client: socket, fd: int, peer: tuple[str, int]) -> None:
        """A client has spoken: it gets a server."""
        relays = self._relays
        relays.reactor.remove(fd)
        self._waiting.discard(waiting)
        relays.sessions.arriving -= 1
        relays.begin(client, fd, *peer)
        if relays.room_made is not None:
            relays.room_made()  # in case there was no server for it

    def forget(self, waiting: Waiting, fd: int) -> bool:
        """A client is sent away; False: it was before."""
        if waiting not in self._waiting:
            return False
        relays = self._relays
        self._waiting.discard(waiting)
        relays.reactor.remove(fd)
        relays.sessions.arriving -= 1
        if relays.room_made is not None:
            relays.room_made()
        return True

    def close(self) -> None:
        """Send everyone away."""
        for waiting in list(self._waiting):
            waiting.close()


def _send_away(waiting: Waiting, start: float) -> None:  # noqa: ARG001
    waiting.close()
