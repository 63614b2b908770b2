"""Which way lines go, with real sockets of every kind of penlogd there may be."""

import socket
import time

import pytest

from penlog.channel import Channel, Outcome, Peer, State
from penlog.sender import connect
from penlog.spool import Spool
from penlog.spoolfolder import in_memory
from penlog.transport import Transport, Way
from penlog.wire import ACK, FrameReader, welcome

SESSION, INSTANCE = b"0" * 32, b"f" * 32


class Place:
    """An address where somebody may listen, by TCP, UDP or both."""

    def __init__(self):
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for sock in (self.tcp, self.udp):
            sock.settimeout(5)
        self.peer = Peer(socket.AF_INET, ("127.0.0.1", self.port))

    def transport(self, wish=Way.ASKING, known=False):
        udp = connect("127.0.0.1", str(self.port), None)
        return Transport(in_memory(), self.peer, udp, wish, known=known)

    def close(self):
        self.tcp.close()
        self.udp.close()


@pytest.fixture
def place():
    place = Place()
    yield place
    place.close()


def work(worker, until):
    """Drive what has a `work` until a condition holds."""
    end = time.monotonic() + 10
    while not (result := until()):
        assert time.monotonic() < end, "waited in vain"
        worker.work(time.monotonic())
    return result


def greeted(place, channel, have=0):
    """Accept a channel's connection and greet; returns the connection."""
    work(channel, lambda: channel.state is State.GREETING)
    connection, _ = place.tcp.accept()
    connection.settimeout(5)
    connection.sendall(welcome(INSTANCE, have))
    return connection


def test_a_penlogd_that_greets_gets_frames_and_acknowledges_them(place):
    spool = Spool(None)
    spool.append(b"one\n")
    news = []
    channel = Channel(place.peer, SESSION, spool, lambda: news.append("new"))
    connection = greeted(place, channel)
    work(channel, lambda: channel.delivery.sent == 4)
    data = b""
    while data.count(b"\n") < 2:
        data += connection.recv(100)
    assert FrameReader().feed(data.partition(b"\n")[2]) == [(0, b"one\n")]
    assert not channel.delivery.done
    connection.sendall(ACK.pack(4))
    work(channel, lambda: channel.delivery.done)
    assert (channel.outcome, news, channel.deadline) == (Outcome.GREETED, ["new"], None)
    connection.close()


def test_after_a_lost_connection_it_goes_on_with_what_penlogd_lacks(place):
    spool = Spool(None)
    spool.append(b"one\ntwo\n")
    news = []
    channel = Channel(place.peer, SESSION, spool, lambda: news.append("new"))
    greeted(place, channel).close()
    work(channel, lambda: channel.state is State.WAITING)
    connection = greeted(place, channel, have=4)
    work(channel, lambda: channel.delivery.sent == 8)
    assert (spool.start, news) == (4, ["new"])
    assert connection.recv(100).endswith(b"two\n") or connection.recv(100).endswith(b"two\n")
    connection.close()


def test_a_penlogd_that_says_nothing_is_left_and_tried_again(place):
    spool = Spool(None)
    spool.append(b"one\n")
    channel = Channel(place.peer, SESSION, spool)
    connection = greeted(place, channel)
    work(channel, lambda: channel.delivery.unacknowledged)
    channel.work(channel.deadline)
    assert (channel.state, channel.reason) == (State.WAITING, "Connection timed out")
    connection.close()


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", ACK.pack(99), b"x" * 500])
def test_whatever_a_stranger_says_is_survived(place, answer):
    channel = Channel(place.peer, SESSION, Spool(None))
    work(channel, lambda: channel.state is State.GREETING)
    connection, _ = place.tcp.accept()
    connection.sendall(answer)
    connection.close()
    work(channel, lambda: channel.outcome is Outcome.STRANGER)
    assert channel.fd == -1


def test_acknowledging_what_was_not_sent_ends_the_connection(place):
    channel = Channel(place.peer, SESSION, Spool(None))
    connection = greeted(place, channel)
    connection.sendall(ACK.pack(99))
    work(channel, lambda: "99 acknowledged" in channel.reason)
    assert channel.state is State.WAITING
    connection.close()


def test_ours_is_found(place):
    transport = place.transport()
    greeted(place, transport.channel).close()
    work(transport, lambda: transport.way is Way.RELIABLE)


@pytest.mark.parametrize("known", [False, True])
def test_a_penlogd_without_tcp_gets_datagrams(place, known):
    place.tcp.close()
    transport = place.transport(known=known)
    transport.stream.spool.append(b"one\n")
    work(transport, lambda: transport.done)
    assert transport.way is Way.PLAIN
    assert [place.udp.recv(9), place.udp.recv(9)] == [b"\n", b"one\n"]


def test_while_nobody_is_there_lines_are_kept(place):
    place.close()
    transport = place.transport()
    transport.stream.spool.append(b"one\n")
    work(transport, lambda: transport.channel.outcome is Outcome.REFUSED)
    end = time.monotonic() + 1
    work(transport, lambda: time.monotonic() > end)
    assert (transport.way, transport.done) == (Way.ASKING, False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", place.port))
        late.settimeout(5)
        work(transport, lambda: transport.done)
        received = [late.recv(9)]
        while received[-1] != b"one\n":
            received.append(late.recv(9))
    assert set(received) == {b"\n", b"one\n"}


def test_a_plain_penlogd_that_goes_away_is_waited_for(place):
    place.tcp.close()
    transport = place.transport()
    transport.stream.spool.append(b"one\n")
    work(transport, lambda: transport.done)
    place.udp.close()
    transport.stream.spool.append(b"two\nthree\n")
    work(transport, lambda: transport.way is Way.ASKING)
    transport.stream.spool.append(b"four\n")
    transport.work(time.monotonic())
    assert not transport.done


def test_a_plain_penlogd_that_becomes_ours_is_noticed(place):
    place.tcp.close()
    transport = place.transport()
    transport.stream.spool.append(b"one\n")
    work(transport, lambda: transport.done)
    place.tcp = socket.create_server(("127.0.0.1", place.port))
    later = transport.deadline()
    transport.work(later)
    transport.channel.work(later)
    connection, _ = place.tcp.accept()
    connection.sendall(welcome(INSTANCE, 0))
    end = time.monotonic() + 5
    while transport.way is not Way.RELIABLE:
        assert time.monotonic() < end
        transport.work(later)
    transport.stream.spool.append(b"two\n")
    transport.work(later)
    data = b""
    while not data.endswith(b"two\n"):
        data += connection.recv(100)
    assert b"one" not in data
    connection.close()


def test_asked_to_be_plain_it_never_connects(place):
    transport = place.transport(Way.PLAIN)
    transport.stream.spool.append(b"one\n")
    work(transport, lambda: transport.done)
    assert place.udp.recv(9) == b"one\n"
    place.tcp.settimeout(0.01)
    with pytest.raises(TimeoutError):
        place.tcp.accept()
