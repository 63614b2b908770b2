"""Who connects and is gone again harms nothing."""

import resource
import select
import socket
import ssl
import struct
import time

import pytest

from penlogd.acceptor import Acceptor
from penlogd.reception import Reception

RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def make():
    made = []

    def acceptor(context):
        made.append(Acceptor([(socket.AF_INET, ("127.0.0.1", 0))], context, lambda _: True))
        return made[-1]

    yield acceptor
    for each in made:
        each.close_all()


def connect(acceptor):
    return socket.create_connection(acceptor.sockets[0].getsockname())


@pytest.mark.parametrize("first", [b"", b"x"])
def test_a_client_of_tls_that_has_reset(make, first):
    acceptor = make(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with connect(acceptor) as gone:
        gone.sendall(first)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with connect(acceptor):
        accepted = list(acceptor.accept(acceptor.sockets[0], 0.0))
    assert (len(accepted), acceptor.refused) == (1, 1)


class Said(list):
    say = debug = list.append


def test_without_descriptors_senders_wait(make):
    acceptor, said, poller = make(None), Said(), select.epoll()
    reception = Reception(acceptor, None, lambda: False, said, poller)
    listener = acceptor.sockets[0]
    with connect(acceptor):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            reception.ready(listener.fileno(), 10.0, time.time())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert said == ["senders wait for 1 s: Too many open files"]
        assert (poller.poll(0), reception.deadline()) == ([], 11.0)
        reception.tick(11.0, time.time())
        assert poller.poll(0) == [(listener.fileno(), select.EPOLLIN)]
        reception.ready(listener.fileno(), 11.0, time.time())
    assert len(acceptor.connections) == 1
    poller.close()
