"""Bytes get across: every one, in order, both ways, whatever the event mechanism."""

import hashlib
import random
import socket
import struct
import threading
from pathlib import Path

import pytest

from tests.pen.conftest import DEADLINE, echo, receive, until
from tests.ports import free_port

POLLERS = ["epoll", "poll", "select"]


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.fixture(params=POLLERS)
def poller(request):
    return request.param


def exchange(stream: socket.socket, data: bytes, seed: int) -> bytes:
    """Send data in random chunks while reading; all that came back until the end."""
    chance = random.Random(seed)

    def send() -> None:
        at = 0
        while at < len(data):
            size = chance.choice([1, 7, 100, 1460, 16384, 65536, 200_000])
            stream.sendall(data[at : at + size])
            at += size
        stream.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    pieces = []
    while piece := stream.recv(chance.choice([1, 100, 5000, 70_000])):
        pieces.append(piece)
    sender.join(DEADLINE)
    return b"".join(pieces)


def test_random_streams_come_back_whole(pen, backend, poller):
    running = pen("-o", poller, f"127.0.0.1:{backend(echo).port}")
    failures = []

    def one(seed: int) -> None:
        data = random.Random(seed).randbytes(
            random.Random(seed).choice([0, 1, 999, 70_000, 900_000])
        )
        with running.connect() as stream:
            if exchange(stream, data, seed) != data:
                failures.append(seed)

    for start in range(0, 60, 20):
        threads = [threading.Thread(target=one, args=(start + n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3 * DEADLINE)
            assert not thread.is_alive()
    assert not failures
    until(lambda: running.servers()[0]["conn"] == "0", "all connections are gone")
    assert running.servers()[0]["sx"] == running.servers()[0]["rx"]


def test_bulk_both_ways(pen, backend, poller):
    size = 64 << 20
    block = random.Random(1).randbytes(1 << 20)

    def serve(stream: socket.socket) -> None:
        digest, count = hashlib.sha256(), 0
        while data := stream.recv(1 << 20):
            digest.update(data)
            count += len(data)
        stream.sendall(digest.digest())
        for _ in range(count >> 20):
            stream.sendall(block)

    running = pen("-o", poller, f"127.0.0.1:{backend(serve).port}")
    with running.connect() as client:
        expected = hashlib.sha256()
        for _ in range(size >> 20):
            client.sendall(block)
            expected.update(block)
        client.shutdown(socket.SHUT_WR)
        got, count = hashlib.sha256(), 0
        first = receive(client, 32)
        while data := client.recv(1 << 20):
            got.update(data)
            count += len(data)
    assert first == expected.digest()
    assert (count, got.digest()) == (size, expected.digest())


def test_a_slow_reader_holds_its_sender_and_nobody_else(pen, backend, poller):
    def serve(stream: socket.socket) -> None:
        if stream.recv(5) == b"flood":
            while True:
                stream.sendall(b"x" * 65536)
        else:
            stream.sendall(b"fine")

    running = pen("-o", poller, f"127.0.0.1:{backend(serve).port}")
    before = rss(running.process.pid)
    slow = [running.connect() for _ in range(5)]
    for stream in slow:
        stream.sendall(b"flood")
        assert stream.recv(1) == b"x"
    for _ in range(20):
        assert running.ask(request=b"hello") == b"fine"
    used = running.cpu()
    for _ in range(20):
        assert running.ask(request=b"hello") == b"fine"
    assert running.cpu() - used < 1.0, "pen spins while a reader is slow"
    assert rss(running.process.pid) - before < 16 << 20
    for stream in slow:
        assert len(receive(stream, 1 << 20)) == 1 << 20
        stream.close()


def test_half_close_from_the_client(pen, backend, poller):
    def serve(stream: socket.socket) -> None:
        data = b""
        while piece := stream.recv(65536):
            data += piece
        stream.sendall(b"all of " + data)

    running = pen("-o", poller, f"127.0.0.1:{backend(serve).port}")
    with running.connect() as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"all of question"


def test_half_close_from_the_server(pen, backend, poller):
    heard = []

    def serve(stream: socket.socket) -> None:
        stream.sendall(b"greeting")
        stream.shutdown(socket.SHUT_WR)
        heard.append(receive(stream, 100))

    running = pen("-o", poller, f"127.0.0.1:{backend(serve).port}")
    with running.connect() as client:
        assert receive(client, 100) == b"greeting"
        client.sendall(b"still here")
    assert until(lambda: heard, "the server heard the client") == [b"still here"]


@pytest.mark.parametrize(
    ("mode", "who_ends", "closes"),
    [
        ("up", "server", True), ("down", "server", False),
        ("up", "client", False), ("down", "client", True),
        ("both", "server", True), ("both", "client", True), ("off", "client", False),
    ],
)  # fmt: skip
def test_fastclose(pen, backend, mode, who_ends, closes):
    ended = threading.Event()

    def serve(stream: socket.socket) -> None:
        if who_ends == "server":
            stream.sendall(b"last")
            stream.shutdown(socket.SHUT_WR)
        while stream.recv(1000):
            pass
        ended.set()

    running = pen("-o", f"tcp_fastclose {mode}", f"127.0.0.1:{backend(serve).port}")
    with running.connect() as client:
        if who_ends == "client":
            until(lambda: running.servers()[0]["conn"] == "1", "the connection is open")
            client.shutdown(socket.SHUT_WR)
            assert ended.wait(DEADLINE)
        else:
            assert receive(client, 10) == b"last"
        if closes:
            until(lambda: running.servers()[0]["conn"] == "0", "both sides are closed")
        elif who_ends == "server":
            assert running.servers()[0]["conn"] == "1"


def test_urgent_data_does_not_stall_a_stream(pen, backend, poller):
    running = pen("-o", poller, f"127.0.0.1:{backend(echo).port}")
    with running.connect() as client:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        assert receive(client, 5) == b"after"


def test_clients_that_reset_at_once(pen, backend, poller):
    running = pen("-o", poller, f"127.0.0.1:{backend(echo).port}")
    for _ in range(300):
        client = running.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with running.connect() as client:
        client.sendall(b"fine")
        assert receive(client, 4) == b"fine"
    until(lambda: running.servers()[0]["conn"] == "0", "all connections are gone")


def test_an_answer_before_the_request_is_read(pen, backend):
    """A server may answer and close while the client still sends: the answer gets across."""

    def serve(stream: socket.socket) -> None:
        stream.recv(10)
        stream.sendall(b"enough")
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass

    running = pen(f"127.0.0.1:{backend(serve).port}")
    with running.connect() as client:
        client.sendall(b"x" * 3_000_000)
        assert receive(client, 6) == b"enough"


def test_server_speaks_first_and_client_says_nothing(pen, backend):
    running = pen(f"127.0.0.1:{backend(lambda stream: stream.sendall(b'220 hi')).port}")
    with running.connect() as client:
        assert receive(client, 6) == b"220 hi"
        assert client.recv(1) == b""


def test_idle_timeout(pen, backend):
    running = pen("-o", "idle_timeout 1", f"127.0.0.1:{backend(echo).port}")
    with running.connect() as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert client.recv(1) == b""


def test_idle_timeout_set_later_holds_for_open_connections(pen, backend):
    running = pen(f"127.0.0.1:{backend(echo).port}")
    with running.connect() as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert running.ctl("idle_timeout 1") == "Idle timeout: 1 seconds\n"
        assert client.recv(1) == b""


def test_unix_socket(pen, backend, tmp_path):
    path = str(tmp_path / "front")
    running = pen(f"127.0.0.1:{backend(echo).port}", listen=path)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(path)
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"hello"
    assert running.stop() == 0
    assert not Path(path).exists()


def test_ipv6_listener_knows_ipv4_clients_as_ipv4(pen, backend):
    server = backend(echo)
    port = free_port("::")
    running = pen(f"127.0.0.1:{server.port}", listen=f":::{port}")
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port), timeout=DEADLINE) as client:
            client.sendall(b"hello")
            assert receive(client, 5) == b"hello"
    recent = running.ctl("recent")
    assert "127.0.0.1 connects 1 " in recent
    assert "::1 connects 1 " in recent
    assert "ffff" not in recent


def test_ipv6_server(pen, backend):
    running = pen(f"[::1]:{backend(echo, host='::1').port}")
    with running.connect() as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
