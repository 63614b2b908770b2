"""The connection records of UDP sessions, and what penlogd makes of them."""

import socket

import pytest

from tests.pen.conftest import until
from tests.pen.test_connection_log import Collector
from tests.pen.udp.conftest import ask, echo
from tests.penlogd.test_end_to_end import Farm, stamp, stop, wait_for

FORMAT = '%h %l %u %t "%r" %>s %b %{remote}p %{local}p'


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.socket.close()


def logging_to(target, *words):
    return ["-l", target, "--log-format", "connections", *words]


def records(collector, count):
    return until(lambda: len(collector.connections) >= count and collector.connections, "records")


def test_a_session_is_told_of_when_it_begins_and_ends(balance, server, client, collector):
    one = server(echo)
    running = balance(one, options=logging_to(collector.target, "-o", "udp_replies 1"))
    asking = client("127.0.0.7")
    assert ask(asking, running, b"hello") == b"hello"
    first, last = records(collector, 2)
    for each in (first, last):
        assert (each.protocol, each.client) == ("udp", b"127.0.0.7")
        assert each.client_port == asking.getsockname()[1]
        assert (each.source.decode(), each.server_port) == (one.peers[0], one.port)
    assert (first.ended, last.ended, last.reason) == (False, True, "answered")
    assert (last.up, last.down) == (5, 5)
    assert first.source_port == last.source_port


def test_a_server_that_refuses_has_its_session_told_to_have_ended(
    balance, server, client, collector
):
    gone, there = server(echo), server(echo)
    running = balance(gone, there, options=logging_to(collector.target))
    gone.stop()
    assert ask(client(), running, b"x") == b"x"
    told = records(collector, 3)
    assert [(each.ended, each.server_port) for each in told] == [
        (False, gone.port), (True, gone.port), (False, there.port),
    ]  # fmt: skip
    assert told[1].reason == "Connection refused"
    assert told[1].up == 0
    running.stop()
    last = records(collector, 4)[3]
    assert (last.ended, last.server_port, last.up, last.down) == (True, there.port, 1, 1)


def test_penlogd_finds_the_client_of_a_udp_servers_line(balance, server, client, tmp_path):
    """A server that shows in its log which port asked it, as HTTP/3 servers can."""
    farm = Farm(tmp_path)
    try:
        daemon = farm.start("--format", FORMAT, "--hold", "1")
        teller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one = server(echo)
        running = balance(one, options=logging_to(f"127.0.0.1:{farm.port}"))
        for number in range(3):
            assert ask(client(f"127.0.0.{20 + number}"), running, b"x") == b"x"
        with teller:
            for number, port in enumerate(one.ports):
                line = b'127.0.0.1 - - [%b] "GET /%d" 200 5 %d %d'
                teller.sendto(line % (stamp(), number, port, one.port), ("127.0.0.1", farm.port))
        wait_for(lambda: len(farm.lines()) == 3, 40)
        stop(daemon)
    finally:
        farm.close()
    assert [line.split()[0] for line in farm.lines()] == [b"127.0.0.%d" % n for n in (20, 21, 22)]
