"""The sender never waits, and counts what it knows to be lost."""

import socket

import pytest

from penlog.sender import Sender, connect


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


def test_what_cannot_be_sent_waits_in_order_and_beyond_the_queue_is_counted():
    sock = FullSocket()
    sender = Sender(sock, queue=6)
    sender.send([b"a", b"b", b"c", b"d"])
    assert (sender.waiting, sender.lost) == (True, 1)
    sock.full = False
    sender.send([b"later"])  # no room left in the queue, and it may not overtake
    sender.flush()
    assert sock.sent == [b"a\n", b"b\n", b"c\n"]
    assert sender.lost == 2
    sender.send([b"e"])
    assert sock.sent[-1] == b"e\n"


def test_giving_up_counts_what_waits():
    sender = Sender(FullSocket())
    sender.send([b"a", b"b"])
    sender.give_up()
    assert (sender.waiting, sender.lost) == (False, 2)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_lines_arrive_one_a_datagram_from_the_address_asked_for(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, 0))
        receiver.settimeout(5)
        local = None if ":" in address else "127.0.0.77"
        with connect(address, str(receiver.getsockname()[1]), local) as sock:
            sender = Sender(sock)
            sender.send([b"one", b"", b'x "' + b"y" * 70_000 + b'" 200'])
            assert receiver.recvfrom(70_000)[1][0] == (local or address)
            assert receiver.recv(70_000) == b"\n"
            long = receiver.recv(70_000)
        assert len(long) == 65507
        assert long.endswith(b'[cut]" 200\n')
        assert (sender.cut, sender.lost) == (1, 0)


def test_nobody_listening_is_counted_and_the_next_line_arrives_when_somebody_does():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with connect("localhost", str(port), "127.0.0.1") as sock:
        sender = Sender(sock)
        sender.send([b"a", b"b", b"c"])
        assert sender.lost >= 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", port))
            receiver.settimeout(5)
            sender.send([b"heard"])
            assert receiver.recv(100) == b"heard\n"
