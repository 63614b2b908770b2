"""A server that breaks off has not ended its answer."""

import socket
import struct

from tests.pen.conftest import until


def answer_half_and_reset(stream: socket.socket) -> None:
    stream.recv(100)
    stream.sendall(b"half")
    stream.recv(100)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_reset_ends_both_sides(loop, backend):
    running = loop(backend(answer_half_and_reset).port)
    client = running.connect(b"ask")
    assert running.read(client, 4) == b"half"
    client.send(b"go on")

    def is_over():
        running.reactor.turn(0.01)
        return not len(running.relays.sessions)

    until(is_over, "the session ends, though the client stays")
    client.close()
