"""What a tap sees and says, with real sockets and a loop that the test turns."""

import _socket
import socket

import pytest

from pen.core.address import resolve
from pen.core.state import State
from pen.net.pollers import make_poller
from pen.net.reactor import Reactor
from pen.net.relays import Relays
from tests.pen.conftest import echo, until
from tests.ports import free_port


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


class Keeper:
    """Sends whole lines only, in capitals; at `STOP` the stream ends."""

    def __init__(self):
        self.seen = []
        self.kept = b""

    def __call__(self, relay, piece):
        self.seen.append((piece, relay.server.slot))
        *lines, self.kept = (self.kept + piece).split(b"\n")
        if not piece:
            lines, self.kept = [*lines, self.kept], b""
            return b"\n".join(lines).upper()
        if b"STOP" in lines:
            relay.up.ended = True
            self.kept = b""
            lines = lines[: lines.index(b"STOP")]
        return b"".join(line + b"\n" for line in lines).upper()


def fit_up(relays):
    tap = Keeper()

    def fit(relay):
        relay.up.tap = tap

    relays.fit_taps = fit
    return tap


def test_what_a_tap_returns_is_sent(loop, backend):
    running = loop(backend(echo).port)
    tap = fit_up(running.relays)
    client = running.connect(b"one\ntw")
    assert running.read(client, 4) == b"ONE\n"
    client.sendall(b"o\nthree")
    assert running.read(client, 4) == b"TWO\n"
    client.shutdown(socket.SHUT_WR)
    assert running.read(client, 100) == b"THREE"
    assert [piece for piece, _ in tap.seen] == [b"one\ntw", b"o\nthree", b""]


def test_a_failover_shows_nothing_twice(loop, backend):
    running = loop(free_port(), backend(echo).port)
    tap = fit_up(running.relays)
    client = running.connect(b"one\n")
    assert running.read(client, 4) == b"ONE\n"
    assert tap.seen == [(b"one\n", 1)]


def test_a_tap_may_end_the_stream(loop, backend):
    running = loop(backend(echo).port)
    fit_up(running.relays)
    for first in (b"STOP\n", b""):
        client = running.connect(first)
        if not first:
            client.sendall(b"one\nSTOP\nmore\n")
        expected = b"" if first else b"ONE\n"
        assert running.read(client, 100) == expected
        assert len(running.relays.sessions) == 0


def test_a_slow_sink_holds_what_the_tap_returned(loop, backend):
    running = loop(backend(echo).port)
    tap = fit_up(running.relays)
    line = b"x" * 999 + b"\n"
    size = 4_000_000
    client = running.connect()
    sent = received = 0
    while received < size:
        running.reactor.turn(0.01)
        if sent < size:
            try:
                at = sent % 1000
                sent += client.send((line * 70)[at : 65536 + at][: size - sent])
            except BlockingIOError:
                pass
        if sent > size // 2:
            try:
                piece = client.recv(65536)
            except BlockingIOError:
                continue
            at = received % 1000
            assert piece == (line.upper() * 67)[at : at + len(piece)]
            received += len(piece)
    assert sum(len(piece) for piece, _ in tap.seen) == size


def test_taps_come_and_go_on_open_connections(loop, backend):
    running = loop(backend(echo).port)
    client = running.connect(b"one\n")
    assert running.read(client, 4) == b"one\n"
    relay = running.relays.sessions.get(0)
    relay.up.tap = Keeper()
    client.sendall(b"two\n")
    assert running.read(client, 4) == b"TWO\n"
    relay.up.tap = None
    client.sendall(b"three\n")
    assert running.read(client, 6) == b"three\n"
