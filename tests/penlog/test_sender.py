"""Plain mode: a datagram a line, at a pace, without waiting; known losses are counted."""

import socket

import pytest

from penlog.sender import BURST, Sender, connect
from penlog.spool import Spool
from tests.ports import free_port


class FullSocket:
    """A socket whose network takes nothing until told."""

    def __init__(self):
        self.full = True
        self.sent = []

    def setblocking(self, _):
        pass

    def send(self, data):
        if self.full:
            raise BlockingIOError
        self.sent.append(data)


def spool_of(data):
    spool = Spool(None)
    spool.append(data)
    return spool


def work_through(sender, now=0.0):
    for _ in range(100):
        if not sender.waiting:
            return
        now = max(now, sender.due)
        sender.work(now)
    raise AssertionError("still waiting")


def test_what_the_network_does_not_take_stays_in_order():
    sock, spool = FullSocket(), spool_of(b"a\nb\n")
    sender = Sender(sock, spool)
    sender.work(0.0)
    spool.append(b"later\n")
    assert (sender.waiting, sender.position, sender.between_bursts) == (True, 0, False)
    sock.full = False
    sender.work(0.0)
    assert sock.sent == []  # not before it is due
    work_through(sender)
    assert sock.sent == [b"a\n", b"b\n", b"later\n"]
    assert (sender.position, spool.size, sender.between_bursts) == (10, 0, True)


def test_a_burst_is_no_larger_than_a_small_receive_buffer():
    sock = FullSocket()
    sock.full = False
    sender = Sender(sock, spool_of(b"line\n" * 200))
    sender.work(0.0)
    assert len(sock.sent) == BURST
    assert sender.due > 0.0
    work_through(sender)
    assert len(sock.sent) == 200


def test_a_line_that_is_not_whole_yet_waits_for_its_end_and_stays_in_the_spool():
    sock, spool = FullSocket(), spool_of(b"one\ntw")
    sock.full = False
    sender = Sender(sock, spool)
    work_through(sender)
    assert (sock.sent, spool.read(spool.start, 9)) == ([b"one\n"], b"tw")
    spool.append(b"o\n")
    work_through(sender, 1.0)
    assert sock.sent == [b"one\n", b"two\n"]


def test_another_way_goes_on_where_this_one_stopped():
    sock, spool = FullSocket(), spool_of(b"one\ntw")
    sock.full = False
    sender = Sender(sock, spool)
    work_through(sender)
    spool.append(b"o\nthree\n")
    spool.trim(8)  # somebody else has sent line two
    sender.begin()
    work_through(sender, 1.0)
    assert sock.sent == [b"one\n", b"three\n"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_lines_arrive_one_a_datagram_from_the_address_asked_for(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, 0))
        receiver.settimeout(5)
        local = None if ":" in address else "127.0.0.77"
        with connect(address, str(receiver.getsockname()[1]), local) as sock:
            sender = Sender(sock, spool_of(b'one\n\nx "' + b"y" * 70_000 + b'" 200\n'))
            work_through(sender)
            assert receiver.recvfrom(70_000)[1][0] == (local or address)
            assert receiver.recv(70_000) == b"\n"
            long = receiver.recv(70_000)
        assert len(long) == 65507
        assert long.endswith(b'[cut]" 200\n')
        assert (sender.cut, sender.lost) == (1, 0)


def test_nobody_listening_is_noticed_and_the_next_line_arrives_when_somebody_does():
    port = free_port()
    with connect("localhost", str(port), "127.0.0.1") as sock:
        spool = spool_of(b"a\nb\nc\n")
        sender = Sender(sock, spool)
        work_through(sender)
        assert sender.lost >= 1
        assert sender.refused
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", port))
            receiver.settimeout(5)
            spool.append(b"heard\n")
            work_through(sender, 1.0)
            assert receiver.recv(100) == b"heard\n"
