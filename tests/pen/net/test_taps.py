"""What a tap sees and says, with real sockets and a loop that the test turns."""

import socket

from tests.pen.conftest import echo
from tests.ports import free_port


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
