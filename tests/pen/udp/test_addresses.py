"""Where pen listens, from where replies leave, and what servers see."""

import pytest

from tests.pen.udp.conftest import ask, naming, udp_socket
from tests.ports import free_port


def test_listen_moves(balance, server, client):
    running = balance(server())
    one = client()
    ask(one, running, b"x")
    old = running.port
    running.port = free_port()
    assert running.ctl(f"listen 127.0.0.1:{running.port}") == f"127.0.0.1:{running.port}\n"
    assert ask(one, running, b"y") == b"y"
    with udp_socket() as stranger:
        stranger.connect(("127.0.0.1", old))
        stranger.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            stranger.recv(1)
    before = running.ctl("listen")
    taken = server()
    assert "address in use" in running.ctl(f"listen 127.0.0.1:{taken.port}")
    assert running.ctl("listen") == before
    assert ask(one, running, b"z") == b"z"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_replies_leave_from_the_address_that_was_asked(balance, server, client, host):
    running = balance(server(naming(b"A")), server(naming(b"B")), host=host, options=["-r"])
    one = client()
    assert ask(one, running, b"x", host="127.0.0.5") == b"A:x"
    assert ask(one, running, b"x", host="127.0.0.6") == b"B:x", "another address, another session"
    assert ask(one, running, b"x", host="127.0.0.5") == b"A:x"
    assert "127.0.0.1 connects 2 " in running.ctl("recent")


def test_ipv6_clients_and_servers(balance, server, client):
    six = server(naming(b"6"), host="::1")
    running = balance(f"[::1]:{six.port}", server(naming(b"4")), host="::", options=["-r"])
    assert ask(client("::1"), running, b"x", host="::1") == b"6:x"
    assert ask(client(), running, b"x") == b"4:x"


def test_a_second_pen_is_refused(balance, server, pen):
    running = balance(server())
    with pytest.raises(AssertionError, match=r"cannot listen on .*\(UDP\): address in use"):
        pen("-U", "127.0.0.1:9", listen=f"127.0.0.1:{running.port}")


def test_a_socket_path_is_refused(pen, tmp_path):
    with pytest.raises(AssertionError, match=r"cannot serve UDP at '.*': give \[host:]port"):
        pen("-U", "127.0.0.1:9", listen=str(tmp_path / "front"))


def test_source_of_what_goes_to_servers(balance, server, client):
    there = server()
    running = balance(there, options=["-o", "source 127.0.0.44"])
    assert ask(client(), running, b"x") == b"x"
    assert there.peers == ["127.0.0.44"]
