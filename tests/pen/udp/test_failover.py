"""Servers that are gone, full or closed to a client: the next one gets the datagrams."""

import signal

import pytest

from tests.pen.conftest import until
from tests.pen.udp.conftest import POLLERS, ask, connections, naming


@pytest.mark.parametrize("poller", POLLERS)
def test_failover_loses_nothing(balance, server, client, poller):
    """The first datagram finds nobody; it is sent to the next server."""
    gone = server()
    gone.stop()
    running = balance(f"127.0.0.1:{gone.port}", server(naming(b"B")), options=["-r", "-o", poller])
    assert [ask(client(), running, b"x") for _ in range(3)] == [b"B:x"] * 3
    assert connections(running) == [0, 3]
    assert "blacklist" not in running.ctl("servers")
    assert "127.0.0.1 connects 3 " in running.ctl("recent")


def test_failover_past_many_servers(balance, server, client):
    """Two datagrams at once, so that each server but the last refuses while they are sent."""
    gone = server()
    gone.stop()
    running = balance(*[f"127.0.0.1:{gone.port}"] * 600, server(naming(b"B")))
    one = client()
    running.process.send_signal(signal.SIGSTOP)
    for datagram in (b"1", b"2"):
        one.sendto(datagram, ("127.0.0.1", running.port))
    running.process.send_signal(signal.SIGCONT)
    assert {one.recv(10) for _ in range(2)} == {b"B:1", b"B:2"}


def test_failover_in_the_middle_of_a_session(balance, server, client):
    first = server(naming(b"A"))
    running = balance(first, server(naming(b"B")), options=["-d"])
    one = client()
    assert ask(one, running, b"1") == b"A:1"
    first.stop()
    assert ask(one, running, b"2") == b"B:2"
    assert connections(running) == [0, 1]
    assert ask(client(), running, b"3") == b"B:3", "the client is remembered with the new server"
    server(naming(b"A again"), port=first.port)
    running.ctl("server 0 blacklist 0")
    assert ask(one, running, b"4") == b"B:4"
    assert f"server 0 (127.0.0.1:{first.port}) failed: Connection refused" in running.stderr


def test_all_gone_and_back(balance, server, client):
    servers = [server(naming(b"A")), server(naming(b"B"))]
    running = balance(*servers)
    one = client()
    assert ask(one, running, b"1") == b"A:1"
    for each in servers:
        each.stop()
    one.sendto(b"2", ("127.0.0.1", running.port))
    until(lambda: connections(running) == [0, 0], "the session is given up")
    server(naming(b"A"), port=servers[0].port)
    server(naming(b"B"), port=servers[1].port)
    assert ask(one, running, b"3")[2:] == b"3"


def test_stubborn_does_not_fail_over(balance, server, client):
    gone, there = server(), server()
    gone.stop()
    running = balance(f"127.0.0.1:{gone.port}", there, options=["-s", "-d"])
    client().sendto(b"x", ("127.0.0.1", running.port))
    until(lambda: "no server left" in running.stderr, "the session is closed")
    assert connections(running) == [0, 0]
    assert not there.heard


def test_emergency_and_abuse(balance, server, client):
    emergency, abuse = server(naming(b"E")), server(naming(b"X"))
    gone = server()
    gone.stop()
    running = balance(
        f"127.0.0.1:{gone.port}",
        options=[
            "-e", f"127.0.0.1:{emergency.port}", "-B", f"127.0.0.1:{abuse.port}",
            "-o", "acl 1 deny 127.0.0.9", "-o", "client_acl 1",
        ],
    )  # fmt: skip
    assert ask(client(), running, b"x") == b"E:x"
    assert ask(client("127.0.0.9"), running, b"x") == b"X:x"


def test_limits_and_lists_of_servers(balance, server, client):
    a, b = server(naming(b"A")), server(naming(b"B"))
    running = balance(f"127.0.0.1:{a.port}:1", b, options=["-r", "-o", "acl 2 deny 127.0.0.7"])
    assert [ask(client(), running, b"x") for _ in range(3)] == [b"A:x", b"B:x", b"B:x"]
    running.ctl("server 1 acl 2")
    client("127.0.0.7").sendto(b"x", ("127.0.0.1", running.port))
    assert ask(client(), running, b"y") == b"B:y"
    assert connections(running) == [1, 3]
