"""Servers and clients that speak UDP, and a pen between them."""

import socket
import threading
from contextlib import ExitStack

import pytest

from tests.pen.conftest import DEADLINE
from tests.ports import free_port

POLLERS = ["epoll", "poll", "select"]


def udp_socket(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.settimeout(DEADLINE)
    return made


class Server:
    """Answers datagrams with what `answer` makes of them, in a thread; notes all that came."""

    def __init__(self, answer, host="127.0.0.1", port=0):
        self.socket = udp_socket(host, port)
        self.socket.settimeout(None)
        self.port = self.socket.getsockname()[1]
        self.heard = []
        self.peers = []
        self.ports = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            datagram, peer = self.socket.recvfrom(65535)
            if datagram == b"\0stop":
                return
            self.heard.append(datagram)
            self.peers.append(peer[0])
            self.ports.append(peer[1])
            for reply in self._answer(datagram):
                self.socket.sendto(reply, peer)

    def stop(self):
        """Refuse from now on."""
        if self._thread.is_alive():
            with udp_socket(self.socket.getsockname()[0]) as teller:
                teller.sendto(b"\0stop", self.socket.getsockname())
            self._thread.join(DEADLINE)
        self.socket.close()


def naming(name):
    return lambda datagram: [name + b":" + datagram]


def echo(datagram):
    return [datagram]


@pytest.fixture
def server():
    """Makes servers."""
    with ExitStack() as stack:

        def make(answer=echo, **where):
            made = Server(answer, **where)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def balance(pen):
    """Starts pen in front of servers and gives a client's way to it."""

    def start(*servers, options=(), host="127.0.0.1"):
        port = free_port(host)
        shown = f"[{host}]" if ":" in host else host
        places = [
            f"127.0.0.1:{each.port}" if isinstance(each, Server) else str(each) for each in servers
        ]
        running = pen("-U", *options, *places, listen=f"{shown}:{port}")
        running.port = port
        return running

    return start


@pytest.fixture
def client():
    """Makes clients' sockets."""
    with ExitStack() as stack:
        yield lambda host="127.0.0.1": stack.enter_context(udp_socket(host))


def ask(client, running, datagram, host="127.0.0.1"):
    client.sendto(datagram, (host, running.port))
    reply, peer = client.recvfrom(65535)
    assert peer[:2] == (host, running.port)
    return reply


def connections(running):
    return [int(row["conn"]) for row in running.servers()]
