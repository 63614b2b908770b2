"""Two pens that know nothing of each other send the same client to the same server.

So a router may spread clients over several pens, or one may take over from another.
"""

import random
import socket
import threading

import pytest

CLIENTS = [f"127.{64 + (n >> 12)}.{n >> 6 & 63}.{1 + (n & 63)}" for n in range(10_000)]


@pytest.fixture
def farm():
    """Five servers that say who they are as soon as somebody comes."""

    def greet(listener, name):
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with stream:
                stream.sendall(name)

    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(5)]
    for number, listener in enumerate(listeners):
        name = f"{number}".encode()
        threading.Thread(target=greet, args=(listener, name), daemon=True).start()
    yield [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def visit(running, clients) -> dict[str, bytes]:
    """Who serves each of them."""
    servers = {}
    for client in clients:
        with running.connect(client) as stream:
            servers[client] = stream.recv(10)
    return servers


@pytest.mark.parametrize("command", ["hash", "hash consistent"])
def test_two_pens_agree_about_ten_thousand_clients(pen, farm, command):
    one, other = pen("-o", command, *farm), pen("-o", command, *farm)
    servers = visit(one, CLIENTS)
    assert set(servers.values()) == {b"0", b"1", b"2", b"3", b"4"}
    assert visit(other, random.Random(1).sample(CLIENTS, len(CLIENTS))) == servers


def test_without_it_they_need_not_agree(pen, farm):
    one, other = pen(*farm), pen(*farm)
    assert visit(one, CLIENTS[:4]) != visit(other, CLIENTS[3::-1])
