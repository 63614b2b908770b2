"""Datagrams come as they were sent, each with its sender, by either way of receiving."""

import socket
import time
from contextlib import ExitStack

import pytest

from penlogd.manymessages import AT_ONCE, ManyMessages, one_by_one, receive_from
from penlogd.receiver import Receiver


@pytest.fixture
def sockets():
    with ExitStack() as stack:

        def bound(family, host):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.bind((host, 0))
            return sock

        yield bound


def received_by(receive):
    taken = []
    while some := receive()[0]:
        taken += some
    return taken


@pytest.mark.parametrize("way", [lambda sock: ManyMessages(sock).receive, one_by_one])
@pytest.mark.parametrize(
    ("family", "hosts"),
    [(socket.AF_INET, ["127.0.0.1", "127.0.0.9"]), (socket.AF_INET6, ["::1"])],
)
def test_datagrams_come_whole_in_order_and_with_their_senders(sockets, way, family, hosts):
    target = sockets(family, hosts[0])
    target.setblocking(False)
    receive = way(target)
    senders = [(host, sockets(family, host)) for host in hosts]
    assert receive() == ([], [])
    for size in (1, 65_507):  # a long one after a short one, and the other way round
        sent = []
        for number, length in enumerate((size, 0, 65_508 - size)):
            host, sender = senders[number % len(senders)]
            sender.sendto(bytes([65 + number]) * length, target.getsockname())
            sent.append((bytes([65 + number]) * length, host))
        assert received_by(receive) == sent
    assert receive() == ([], [])


def test_one_call_takes_many_and_a_receiver_stops_at_its_limit(sockets):
    receiver = Receiver("127.0.0.1", "0")
    (target,) = receiver.sockets
    sender = sockets(socket.AF_INET, "127.0.0.1")
    sent = [b"%d" % number for number in range(3 * AT_ONCE + 1)]
    for data in sent:
        sender.sendto(data, target.getsockname())
    first, times = receiver.drain(target, AT_ONCE + 1)
    assert len(first) == len(times) == 2 * AT_ONCE
    rest, _ = receiver.drain(target, 10 * AT_ONCE)
    assert [data for data, _ in first + rest] == sent
    receiver.close()


def test_a_datagram_keeps_the_time_at_which_it_came(sockets):
    target, sender = sockets(socket.AF_INET, "127.0.0.1"), sockets(socket.AF_INET, "127.0.0.1")
    receive = ManyMessages(target).receive
    clock = [time.time()]
    for data in (b"a", b"b"):
        sender.sendto(data, target.getsockname())
        clock.append(time.time())
    (_, (first, second)) = receive()
    assert clock[0] <= first <= clock[1] <= second <= clock[2]


def test_what_the_socket_cannot_do_is_an_error(sockets):
    closed = sockets(socket.AF_INET, "127.0.0.1")
    receive = receive_from(closed)
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receive()
