"""What a session is: its datagrams, whose replies they get, and how it ends."""

import random
from contextlib import ExitStack

import pytest

from tests.pen.conftest import until
from tests.pen.udp.conftest import POLLERS, ask, connections, naming, udp_socket


@pytest.mark.parametrize("poller", POLLERS)
def test_datagrams_of_every_size_come_back_as_they_are(balance, server, client, poller):
    running = balance(server(), options=["-o", poller])
    one = client()
    for size in (0, 1, 512, 1472, 1473, 9000, 65507):
        datagram = random.Random(size).randbytes(size)
        assert ask(one, running, datagram) == datagram
    assert running.servers()[0]["conn"] == "1"


@pytest.mark.parametrize("poller", POLLERS)
def test_a_burst_of_many_clients_goes_to_the_right_ones(balance, server, client, poller):
    running = balance(server(), server(), options=["-r", "-o", poller])
    clients = [client() for _ in range(40)]
    for turn in range(5):
        for number, each in enumerate(clients):
            each.sendto(b"%d/%d" % (number, turn), ("127.0.0.1", running.port))
    for number, each in enumerate(clients):
        got = {each.recv(100) for _ in range(5)}
        assert got == {b"%d/%d" % (number, turn) for turn in range(5)}
    assert connections(running) == [20, 20]


def test_sessions_rotate_and_a_session_stays(balance, server, client):
    running = balance(server(naming(b"A")), server(naming(b"B")), options=["-r"])
    one, two = client(), client()
    assert [ask(one, running, b"x") for _ in range(3)] == [b"A:x"] * 3
    assert [ask(two, running, b"x") for _ in range(3)] == [b"B:x"] * 3


def test_a_client_comes_back_to_its_server(balance, server, client):
    running = balance(server(naming(b"A")), server(naming(b"B")))
    assert ask(client("127.0.0.2"), running, b"x") == b"A:x"
    assert ask(client("127.0.0.3"), running, b"x") == b"B:x"
    assert [ask(client("127.0.0.2"), running, b"x") for _ in range(3)] == [b"A:x"] * 3
    assert "127.0.0.2 connects 4 sx 12 rx 4" in running.ctl("recent")


def test_a_client_whose_server_never_answers_is_remembered(balance, server, client):
    servers = [server(lambda datagram: []) for _ in range(2)]
    running = balance(*servers)
    for number in range(4):
        client().sendto(b"line %d" % number, ("127.0.0.1", running.port))
    until(lambda: len(servers[0].heard) == 4, "all lines are at the first server")
    assert not servers[1].heard


def test_per_packet(balance, server, client):
    running = balance(
        server(naming(b"A")),
        server(naming(b"B")),
        options=["-o", "udp_per_packet", "-o", "udp_replies 1"],
    )
    one = client()
    assert [ask(one, running, b"x") for _ in range(4)] == [b"A:x", b"B:x"] * 2
    until(lambda: connections(running) == [0, 0], "every answer has ended its session")


@pytest.mark.parametrize("replies", [1, 3])
def test_replies_end_a_session(balance, server, client, replies):
    running = balance(
        server(lambda datagram: [datagram] * replies), options=["-o", f"udp_replies {replies}"]
    )
    one = client()
    for turn in range(5):
        one.sendto(b"%d" % turn, ("127.0.0.1", running.port))
    got = sorted(one.recv(10) for _ in range(5 * replies))
    assert got == sorted([b"%d" % turn for turn in range(5)] * replies)
    until(lambda: connections(running) == [0], "the session is over")


def test_a_full_table_drops_the_least_recently_active_session(balance, server, client):
    running = balance(server(), options=["-x", "3"])
    clients = [client() for _ in range(4)]
    for each in clients[:3]:
        ask(each, running, b"x")
    busy = running.ctl("connection 0").splitlines()[2]
    ask(clients[0], running, b"again")
    ask(clients[3], running, b"new")
    assert connections(running) == [3]
    assert running.ctl("connection 0").splitlines()[2] == busy
    assert ask(clients[1], running, b"back") == b"back"


@pytest.mark.parametrize("command", ["udp_timeout 1", "idle_timeout 1"])
def test_idle_sessions_end(balance, server, client, command):
    running = balance(server())
    one = client()
    ask(one, running, b"x")
    running.ctl(command)
    until(lambda: connections(running) == [0], "the session is over")
    assert ask(one, running, b"y") == b"y"


def test_grace_does_not_keep_sessions(balance, server, client):
    running = balance(server(), options=["-o", "grace 60"])
    ask(client(), running, b"x")
    assert running.stop() == 0


def test_nothing_spins_when_clients_are_gone(balance, server):
    running = balance(server(lambda datagram: [datagram] * 3))
    with ExitStack() as stack:
        clients = [stack.enter_context(udp_socket()) for _ in range(50)]
        for one in clients:
            one.sendto(b"x", ("127.0.0.1", running.port))
    until(lambda: connections(running) == [50], "all have a session")
    used = running.cpu()
    for _ in range(20):
        assert running.ctl("pid")
    assert running.cpu() - used < 0.5


def test_too_large_for_the_way_is_lost_and_no_more(balance, server, client):
    """65527 bytes fit into IPv6, not into IPv4: they are lost, and no server is blamed."""
    running = balance(server(), host="::1")
    one = client("::1")
    one.sendto(bytes(65527), ("::1", running.port))
    assert ask(one, running, b"x", host="::1") == b"x"
    assert connections(running) == [1]
