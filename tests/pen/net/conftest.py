"""Relays with real sockets and a loop that the test turns."""

import _socket
import socket

import pytest

from pen.core.address import resolve
from pen.core.state import State
from pen.net.pollers import make_poller
from pen.net.reactor import Reactor
from pen.net.relays import Relays
from tests.pen.conftest import until


class Loop:
    """Relays in front of servers on the given ports of 127.0.0.1."""

    def __init__(self, poller, *ports):
        state = State()
        state.settings.roundrobin = True
        for slot, port in enumerate(ports):
            state.servers.slot(slot).move("127.0.0.1", resolve("127.0.0.1", port))
        self.reactor = Reactor(make_poller(poller))
        self.relays = Relays(self.reactor, state.sessions, state.settings)

    def connect(self, first=b""):
        """A client that has sent this by the time it is accepted."""
        client, ours = socket.socketpair()
        client.setblocking(False)
        client.sendall(first)
        fd = ours.detach()
        self.relays.begin(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd), fd, "", 0)
        return client

    def read(self, client, count):
        """So many bytes, or all until the end."""
        data = bytearray()

        def enough():
            self.reactor.turn(0.01)
            try:
                piece = client.recv(65536)
            except BlockingIOError:
                return False
            data.extend(piece)
            return len(data) >= count or not piece

        until(enough, f"{count} bytes arrive")
        return bytes(data)


@pytest.fixture(params=["epoll", "poll", "select"])
def loop(request):
    made = []

    def make(*ports):
        made.append(Loop(request.param, *ports))
        return made[-1]

    yield make
    for each in made:
        each.relays.close_all("the test ends")
