"""Connections are told of when they begin, each minute, and when they end."""

import socket

import pytest

from pen.core.session import Session, Traffic
from pen.core.settings import LogFormat
from pen.logs.connections import AT_ONCE, PAUSE, REPEATED, ConnectionLog
from penlog.records import CONNECTIONS_LIMIT, parse_connection
from tests.pen.conftest import receive, until

SOURCE = ("10.0.0.254", 40001)


class FakeLoop:
    """A clock that the test moves; timers run when it has passed them."""

    def __init__(self):
        self.now = 1000.0
        self.at_turn_end = []
        self.timers = []

    def call_at(self, when, callback):
        self.timers.append((when, callback))

    def pass_to(self, when):
        while due := sorted((t for t in self.timers if t[0] <= when), key=lambda t: t[0]):
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = when


class FakeLog:
    target, lost = "", 0

    def __init__(self):
        self.connections = []

    def add(self, line):
        self.connections.append(parse_connection(line))

    def flush(self):
        """Nothing is held back."""


class FakeServer:
    address, port = "10.0.0.1", 80


class FakeSession(Session):
    def __init__(self, number):
        super().__init__("192.0.2.9", 51234)
        self.number, self.server = number, FakeServer()

    def traffic(self):
        return Traffic(up=5, down=7)


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def log():
    return FakeLog()


def opened(connections, loop, count=1, first=0):
    sessions = [FakeSession(number) for number in range(first, first + count)]
    for session in sessions:
        connections.opened(session, "tcp", SOURCE, loop.now)
    return sessions


def test_the_end_repeats_what_the_beginning_told(loop, log):
    connections = ConnectionLog(log, loop)
    (session,) = opened(connections, loop)
    loop.now += 2.5
    connections.ended(session, "done")
    first, last = log.connections
    assert (first.ended, first.lasted, first.reason) == (False, 0.0, "")
    assert (last.ended, last.lasted, last.reason, last.up, last.down) == (True, 2.5, "done", 5, 7)
    for name in ("client", "client_port", "source", "source_port", "server", "server_port"):
        assert getattr(first, name) == getattr(last, name)
    assert first.opened == last.opened
    assert loop.at_turn_end == [log.flush]


def test_nothing_is_told_of_a_session_that_no_server_took(loop, log):
    ConnectionLog(log, loop).ended(FakeSession(1), "no server")
    assert log.connections == []


def test_an_open_connection_is_told_of_each_minute_and_no_more_after_its_end(loop, log):
    connections = ConnectionLog(log, loop)
    (session,) = opened(connections, loop)
    loop.pass_to(1000.0 + 3.5 * REPEATED)
    assert [connection.lasted for connection in log.connections] == [0.0, 60.0, 120.0, 180.0]
    connections.ended(session, "done")
    loop.pass_to(1000.0 + 10 * REPEATED)
    assert [connection.ended for connection in log.connections] == [False] * 4 + [True]
    assert loop.timers == []


def test_many_connections_are_told_of_again_in_portions(loop, log):
    connections = ConnectionLog(log, loop)
    opened(connections, loop, 3 * AT_ONCE)
    log.connections.clear()
    loop.pass_to(1000.0 + REPEATED)
    assert len(log.connections) == AT_ONCE
    loop.pass_to(1000.0 + REPEATED + 3 * PAUSE)
    assert len(log.connections) == 3 * AT_ONCE
    assert len(loop.timers) == 1


def test_a_connection_that_cannot_be_told_of_does_not_silence_the_others(loop, log):
    connections = ConnectionLog(log, loop)
    broken, _ = opened(connections, loop, 2)
    log.connections.clear()
    broken.traffic = None
    with pytest.raises(TypeError):
        loop.pass_to(1000.0 + REPEATED)
    loop.pass_to(1000.0 + REPEATED + PAUSE)
    assert len(log.connections) == 1
    assert len(loop.timers) == 1


def test_all_open_connections_can_be_asked_for_and_come_in_portions_without_delay(loop, log):
    connections = ConnectionLog(log, loop)
    first, *_ = opened(connections, loop, 3 * AT_ONCE)
    loop.pass_to(1030.0)
    log.connections.clear()
    connections.tell_all()
    connections.ended(first, "done")
    assert [connection.ended for connection in log.connections] == [True]
    loop.pass_to(1030.0)
    assert len(log.connections) == 1 + AT_ONCE
    connections.tell_all()  # the receiver is another once more
    loop.pass_to(1030.0 + 4 * PAUSE)
    assert len(log.connections) == AT_ONCE + 3 * AT_ONCE
    log.connections.clear()
    loop.pass_to(1030.0 + REPEATED - 1)
    assert log.connections == []
    loop.pass_to(1030.0 + REPEATED + 1)
    assert len(log.connections) == 3 * AT_ONCE - 1
    loop.pass_to(1030.0 + REPEATED + 30)
    assert len(loop.timers) == 1


class Collector:
    """Receives what pen sends to penlogd."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.datagrams = []

    @property
    def target(self):
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def read(self):
        try:
            while True:
                self.datagrams.append(self.socket.recv(65536))
        except BlockingIOError:
            return self.datagrams

    @property
    def requests(self):
        return [data for data in self.read() if data.startswith(b"+ ")]

    @property
    def connections(self):
        return [
            parse_connection(line)
            for data in self.read()
            if data.startswith(b"=")
            for line in data.splitlines()
        ]


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.socket.close()


def test_a_connection_is_told_of_with_the_port_that_the_server_sees(pen, backend, collector):
    seen = []

    def serve(stream):
        seen.append(stream.getpeername())
        stream.sendall(stream.recv(100))

    server = backend(serve)
    running = pen("-l", collector.target, "--log-format", "connections", f"127.0.0.1:{server.port}")
    with running.connect("127.0.0.7") as client:
        port = client.getsockname()[1]
        client.sendall(b"hello")
        assert receive(client, 100) == b"hello"
    first, last = until(lambda: len(collector.connections) == 2 and collector.connections, "both")
    for each in (first, last):
        assert (each.client, each.client_port) == (b"127.0.0.7", port)
        assert (each.source.decode(), each.source_port) == seen[0]
        assert (each.server, each.server_port) == (b"127.0.0.1", server.port)
    assert (last.ended, last.reason, last.up, last.down) == (True, "done", 5, 5)
    assert collector.requests == []


@pytest.mark.parametrize("kind", list(LogFormat))
def test_log_format_says_what_is_told(pen, backend, collector, kind):
    server = backend()
    running = pen("-l", collector.target, f"127.0.0.1:{server.port}")
    assert running.ctl("log_format") == "requests\n"
    assert running.ctl(f"log_format {kind.value}") == f"{kind.value}\n"
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.0\r\n")
        assert receive(client, 5) == b"GET /"
    requests = kind is not LogFormat.CONNECTIONS
    connections = kind is not LogFormat.REQUESTS
    until(lambda: len(collector.requests) == requests, "requests")
    until(lambda: len(collector.connections) == 2 * connections, "connections")


def test_connections_that_are_open_already_are_told_of_when_asked_for(pen, backend, collector):
    server = backend()
    running = pen("-l", collector.target, f"127.0.0.1:{server.port}")
    clients = [running.connect(f"127.0.0.{n}") for n in range(10, 40)]
    for client in clients:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
    running.ctl("log_format both")
    told = until(lambda: len(collector.connections) == 30 and collector.connections, "all")
    assert {each.client for each in told} == {b"127.0.0.%d" % n for n in range(10, 40)}
    batches = [data for data in collector.read() if data.startswith(b"=")]
    assert 2 <= len(batches) <= 4
    assert max(map(len, batches)) <= CONNECTIONS_LIMIT
    running.ctl("log_format requests")
    for client in clients:
        client.close()
    until(lambda: "conn 0" in running.ctl("servers"), "all are closed")
    assert len(collector.connections) == 30


def test_in_a_file_connections_stand_beside_requests(pen, backend, tmp_path):
    server, path = backend(), tmp_path / "pen.log"
    running = pen("-l", path, "--log-format", "both", f"127.0.0.1:{server.port}")
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.0\r\n")
        assert receive(client, 5) == b"GET /"
    until(lambda: path.read_bytes().count(b"\n") == 3, "three lines")
    assert running.stop() == 0
    kinds = [line.split()[:2] for line in path.read_bytes().splitlines()]
    assert [b"=1", b"open"] in kinds
    assert [b"=1", b"end"] in kinds


def test_at_the_end_of_pen_its_connections_are_told_to_have_ended(pen, backend, collector):
    server = backend()
    running = pen("-l", collector.target, "--log-format", "both", f"127.0.0.1:{server.port}")
    with running.connect() as client:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert running.stop() == 0
    assert [(each.ended, each.reason) for each in collector.connections] == [
        (False, ""),
        (True, "pen ends"),
    ]
