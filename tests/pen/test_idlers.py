"""Idle connections to servers: had, given away, replaced, and never a trap for a client."""

import signal
import socket
import struct
import threading

import pytest

from tests.pen.conftest import DEADLINE, echo, naming, receive, until

POLLERS = ["epoll", "poll", "select"]


def idle(running, have: int, want: int):
    until(lambda: running.ctl("idlers") == f"Idlers: {have}/{want}\n", f"{have} idlers")


def ask_at_once(running, request: bytes, count: int) -> bytes:
    """Send the request with the connect, so that pen finds it when it accepts."""
    with running.connect() as client:
        client.sendall(request)
        return receive(client, count)


def send_all(stream: socket.socket, data: bytes) -> None:
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("poller", POLLERS)
def test_clients_get_them_and_others_are_opened(pen, backend, poller):
    a, b = backend(echo), backend(echo)
    options = ("-r", "-o", poller, "-o", "peek", "-o", "idlers 3")
    running = pen(*options, f"127.0.0.1:{a.port}", f"127.0.0.1:{b.port}")
    idle(running, 3, 3)
    until(lambda: (a.accepted, b.accepted) == (2, 1), "each server has its share")
    data = bytes(300_000)
    for _ in range(4):
        with running.connect() as client:
            client.sendall(b"first")
            assert receive(client, 5) == b"first"
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            assert receive(client, len(data)) == data
            sender.join()
        idle(running, 3, 3)
    until(lambda: a.accepted + b.accepted == 7, "each client used one up")
    assert running.ctl("idlers 0") == "Idlers: 3/0\n"
    idle(running, 0, 0)
    assert ask_at_once(running, b"x", 1) == b"x"


def test_a_client_with_data_to_follow_at_once(pen, backend):
    """More than the first read, and the end of the client's data, while the idler is on trial."""
    running = pen("-o", "peek", "-o", "idlers 1", f"127.0.0.1:{backend(echo).port}")
    for size in (1, 16384, 16385, 500_000):
        idle(running, 1, 1)
        data = bytes(size)
        with running.connect() as client:
            sender = threading.Thread(target=send_all, args=(client, data))
            sender.start()
            assert receive(client, size + 1) == data
            sender.join()


def test_without_first_data_a_client_gets_a_fresh_connection(pen, backend):
    def speaks_first(stream: socket.socket) -> None:
        stream.sendall(b"220 hello")
        stream.recv(100)

    running = pen("-o", "idlers 2", f"127.0.0.1:{backend(speaks_first).port}")
    idle(running, 2, 2)
    with running.connect() as client:
        assert receive(client, 9) == b"220 hello"
    assert running.ctl("idlers") == "Idlers: 2/2\n"


def test_what_the_server_said_while_idle_reaches_the_client(pen, backend):
    def speaks_first(stream: socket.socket) -> None:
        stream.sendall(b"220 hello;")
        stream.sendall(stream.recv(100))

    running = pen("-o", "peek", "-o", "idlers 1", f"127.0.0.1:{backend(speaks_first).port}")
    idle(running, 1, 1)
    assert ask_at_once(running, b"HELO", 14) == b"220 hello;HELO"


class Fickle:
    """Drops its first connection when told; answers what comes over the others."""

    def __init__(self, reset: bool) -> None:
        self.reset = reset
        self.drops = threading.Event()
        self.dropped = threading.Event()
        self.asked: list[bytes] = []
        self._first = threading.Lock()

    def __call__(self, stream: socket.socket) -> None:
        if self._first.acquire(blocking=False):
            self.drops.wait(DEADLINE)
            if self.reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
            self.dropped.set()
        elif data := stream.recv(100):
            self.asked.append(data)
            stream.sendall(b"ok")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("poller", POLLERS)
@pytest.mark.parametrize("log", [False, True])
def test_what_went_over_a_dead_one_goes_over_a_fresh_one(
    pen, backend, tmp_path, poller, reset, log
):
    """pen is stopped while the client asks and the server closes, so it hears of both at once."""
    server = Fickle(reset)
    options = ["-d", "-o", poller, "-o", "idlers 1"]
    options += ["-l", tmp_path / "log"] if log else []
    running = pen(*options, f"127.0.0.1:{backend(server).port}")
    idle(running, 1, 1)
    running.process.send_signal(signal.SIGSTOP)
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        server.drops.set()
        assert server.dropped.wait(DEADLINE)
        running.process.send_signal(signal.SIGCONT)
        assert receive(client, 2) == b"ok"
    assert server.asked == [b"GET / HTTP/1.0\r\n\r\n"]
    # A reset is seen by the first send, which needs no second thoughts.
    assert ("idle connection was closed" in running.stderr) is not reset
    if log:
        until(lambda: (tmp_path / "log").read_text().count("GET /") == 1, "one request is logged")


def test_a_server_that_answers_nothing_is_not_asked_twice(pen, backend):
    """It took the request and closed: it may have acted on it."""
    asked = []

    def rude(stream: socket.socket) -> None:
        data = stream.recv(100)
        if data:
            asked.append(data)

    running = pen("-o", "peek", "-o", "idlers 1", f"127.0.0.1:{backend(rude).port}")
    idle(running, 1, 1)
    assert running.ask(request=b"buy") == b""
    assert asked == [b"buy"]


def test_they_count_for_conn_max_and_give_way(pen, backend):
    server = backend(echo)
    running = pen("-x", "3", "-o", "peek", "-o", "idlers 9", f"127.0.0.1:{server.port}")
    idle(running, 3, 9)
    clients = []
    for left in (2, 1, 0):
        client = running.connect()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        clients.append(client)
        idle(running, left, 9)
    for client in clients:
        client.close()
    idle(running, 3, 9)


def test_they_follow_the_servers(pen, backend):
    a, b = backend(naming(b"a")), backend(naming(b"b"))
    running = pen("-o", "peek", "-o", "idlers 2", f"127.0.0.1:{a.port}", f"127.0.0.1:{b.port}:1")
    idle(running, 2, 2)
    running.ctl("server 0 state drain")
    idle(running, 1, 2)  # server 1 takes one at most
    running.ctl(f"server 1 max 0 port {a.port}")
    idle(running, 2, 2)
    assert running.ask() == b"a"


def test_a_dead_server_costs_no_turns(pen, backend):
    server = backend(echo)
    running = pen("-o", "idlers 4", f"127.0.0.1:{server.port}")
    idle(running, 4, 4)
    server.close()
    idle(running, 0, 4)
    before = running.cpu()
    threading.Event().wait(0.5)
    assert running.cpu() - before < 0.1
