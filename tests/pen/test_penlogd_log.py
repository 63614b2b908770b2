"""By which way records go to a penlogd, driven by pen's loop with every kind of event mechanism."""

import socket

import pytest

from pen.core.address import resolve
from pen.logs import PenlogdLog
from pen.logs.penlogdlog import HELD_MAX, Way
from pen.net.pollers import make_poller
from pen.net.reactor import Reactor
from penlog.wire import ACK, FrameReader, welcome
from tests.pen.conftest import until

FIRST, SECOND = b"a" * 32, b"b" * 32


class Place:
    """Where a penlogd may be; our hand is the penlogd."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for sock in (self.listener, self.udp):
            sock.setblocking(False)
        self.connections = []
        self.told_anew = 0
        self.log = PenlogdLog(f"127.0.0.1:{self.port}", resolve, reactor, self.tell)

    def tell(self):
        self.told_anew += 1
        self.log.add(b"=1 all\n")

    def turns(self, ready):
        def turn():
            self.reactor.turn(0.01)
            try:
                return ready()
            except BlockingIOError:
                return None

        return until(turn, "the loop gets there")

    def accept(self, instance, have=0):
        sock, _ = self.turns(self.listener.accept)
        sock.setblocking(False)
        self.connections.append(sock)
        assert self.turns(lambda: sock.recv(100)).startswith(b"penlog 1 ")
        sock.sendall(welcome(instance, have))
        return sock

    def stream(self, sock, size):
        """So many bytes of the stream, acknowledged."""
        frames, data = FrameReader(), b""
        while len(data) < size:
            for _, piece in frames.feed(self.turns(lambda: sock.recv(65536))):
                data += piece
        return data

    def close(self):
        for sock in (self.listener, self.udp, *self.connections):
            sock.close()


@pytest.fixture(params=["epoll", "poll", "select"])
def place(request, monkeypatch):
    made = Place(Reactor(make_poller(request.param)))
    yield made
    monkeypatch.setattr("pen.logs.penlogdlog.LINGER", 0.05)
    made.log.close()
    made.close()


def note(place, line=b"=1 line\n"):
    place.log.add(line)
    place.log.flush()


def test_a_penlogd_of_ours_gets_what_was_held_then_all_that_is_open(place):
    note(place)
    place.log.record("192.0.2.1", 0, "10.0.0.1", b"GET / HTTP/1.0\r\n")
    place.log.flush()
    sock = place.accept(FIRST)
    expected = b"=1 line\n+ 192.0.2.1 10.0.0.1 GET / HTTP/1.0\n=1 all\n"
    assert place.stream(sock, len(expected)) == expected
    assert place.log.way is Way.RELIABLE
    with pytest.raises(BlockingIOError):
        place.udp.recv(100)


def test_what_is_not_acknowledged_comes_again_and_a_new_penlogd_is_told_all(place):
    note(place)
    sock = place.accept(FIRST)
    place.stream(sock, 15)
    sock.sendall(ACK.pack(8))
    sock.close()
    sock = place.accept(FIRST, have=8)
    assert place.stream(sock, 7) == b"=1 all\n"
    assert place.told_anew == 1
    sock.close()
    note(place, b"=1 more\n")
    sock = place.accept(SECOND, have=15)
    assert place.stream(sock, 15) == b"=1 more\n=1 all\n"
    assert place.told_anew == 2


def test_debians_penlogd_gets_datagrams(place):
    place.listener.close()
    note(place)
    assert place.turns(lambda: place.udp.recv(100)) == b"=1 line\n"
    assert place.log.way is Way.PLAIN
    place.log.record("192.0.2.1", 0, "10.0.0.1", b"GET / HTTP/1.0\r\n")
    assert place.udp.recv(100) == b"+ 192.0.2.1 10.0.0.1 GET / HTTP/1.0\n"


def test_a_stranger_gets_nothing_more_and_its_port_datagrams(place):
    note(place)
    sock, _ = place.turns(place.listener.accept)
    place.connections.append(sock)
    sock.sendall(b"220 mail.example.com ESMTP\r\n" * 20)
    assert place.turns(lambda: place.udp.recv(100)) == b"=1 line\n"
    assert place.log.way is Way.PLAIN


def test_what_is_held_and_kept_is_bounded(place):
    for _ in range(HELD_MAX + 5):
        place.log.add(b"=1 line\n")
    assert place.log.lost == 5
    note(place)
    place.accept(FIRST)
    place.turns(lambda: place.log.way is Way.RELIABLE)
    before = place.log.lost
    for _ in range(12):
        note(place, b"x" * (1 << 20) + b"\n")
    assert place.log.lost > before


def test_nothing_is_set_up_before_there_is_something_to_tell(place):
    place.reactor.turn(0)
    with pytest.raises(BlockingIOError):
        place.listener.accept()
    assert place.reactor.handlers == {}


def test_once_closed_it_is_gone(place):
    note(place)
    sock = place.accept(FIRST)
    place.stream(sock, 15)
    place.reactor.running = True
    place.log.close()
    assert len(place.reactor.handlers) == 1, "it lingers for the acknowledgement"
    sock.sendall(ACK.pack(15))
    place.turns(lambda: not place.reactor.handlers)
    note(place)
    assert place.reactor.handlers == {}
