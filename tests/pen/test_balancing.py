"""Which server a client gets, and what happens when one is down or full."""

import resource
import socket
import threading

import pytest

from tests.pen.conftest import DEADLINE, echo, naming, receive, until
from tests.ports import free_port


@pytest.fixture
def three(backend):
    return [backend(naming(name)) for name in (b"a", b"b", b"c")]


def addresses(servers) -> list[str]:
    return [f"127.0.0.1:{server.port}" for server in servers]


def test_new_clients_in_turn_and_back_again(pen, three):
    running = pen(*addresses(three))
    first = [running.ask(f"127.0.0.{n}") for n in range(10, 16)]
    assert first == [b"a", b"b", b"c", b"a", b"b", b"c"]
    assert [running.ask(f"127.0.0.{n}") for n in range(15, 9, -1)] == first[::-1]


def test_round_robin_forgets(pen, three):
    running = pen("-r", *addresses(three))
    assert b"".join(running.ask() for _ in range(6)) == b"abcabc"


def test_the_least_recently_used_client_is_forgotten(pen, three):
    running = pen("-c", "2", *addresses(three))
    assert running.ask("127.0.0.1") == b"a"
    assert running.ask("127.0.0.2") == b"b"
    assert running.ask("127.0.0.1") == b"a"
    assert running.ask("127.0.0.3") == b"c"  # the second is forgotten
    assert running.ask("127.0.0.1") == b"a"
    assert running.ask("127.0.0.2") == b"a"  # the next in turn


def test_failover_with_the_request_in_hand(pen, three):
    three[0].stop()
    running = pen(*addresses(three))
    assert running.ask("127.0.0.1", b"please") == b"b"
    assert running.servers()[0]["conn"] == "0"
    assert running.ask("127.0.0.2") == b"b"  # a is blacklisted, and b's turn came after it
    assert running.ask("127.0.0.3") == b"c"


def test_a_server_comes_back_when_its_ban_is_lifted(pen, backend):
    dead = free_port()
    running = pen(f"127.0.0.1:{dead}", *addresses([backend(naming(b"b"))]))
    assert running.ask("127.0.0.1") == b"b"
    revived = socket.create_server(("127.0.0.1", dead))
    try:
        assert running.ask("127.0.0.2") == b"b"
        running.ctl("server 0 blacklist 0")
        with running.connect("127.0.0.3") as client:
            client.sendall(b"hello")
            revived.settimeout(DEADLINE)
            stream, _ = revived.accept()
            stream.sendall(b"revived")
            stream.close()
            assert receive(client, 7) == b"revived"
    finally:
        revived.close()


def test_a_ban_ends(pen, backend):
    dead = free_port()
    running = pen("-b", "1", "-r", f"127.0.0.1:{dead}", *addresses([backend(naming(b"b"))]))
    assert running.ask() == b"b"
    revived = socket.create_server(("127.0.0.1", dead))
    revived.setblocking(False)
    try:

        def tried_again() -> bool:
            with running.connect(timeout=0.2) as client:
                client.sendall(b"hello")
                try:
                    revived.accept()[0].close()
                except BlockingIOError:
                    return False
                return True

        until(tried_again, "the server is tried again")
    finally:
        revived.close()


def test_all_banned_after_failures_means_the_first_to_be_free_is_tried(pen, backend):
    server = backend(naming(b"a"))
    running = pen(f"127.0.0.1:{server.port}")
    server.stop()
    with running.connect() as client:  # says nothing, for unread bytes would reset it
        assert receive(client, 1) == b""
    revived = socket.create_server(("127.0.0.1", server.port))
    try:
        revived.settimeout(DEADLINE)
        with running.connect() as client:
            client.sendall(b"hello")
            stream, _ = revived.accept()
            stream.sendall(b"yes")
            stream.close()
            assert receive(client, 3) == b"yes"
    finally:
        revived.close()


def test_stubborn_closes_the_client(pen, three):
    three[0].stop()
    running = pen("-s", *addresses(three))
    assert running.ask() == b""


def test_emergency_server(pen, three):
    three[0].stop()
    three[1].stop()
    running = pen("-e", f"127.0.0.1:{three[2].port}", *addresses(three[:2]))
    assert running.ask("127.0.0.1") == b"c"
    assert running.ask("127.0.0.2") == b"c"


def test_abuse_server(pen, three):
    options = [
        "-B",
        f"127.0.0.1:{three[1].port}",
        "-o",
        "acl 1 deny 127.0.0.66",
        "-o",
        "client_acl 1",
    ]
    running = pen(*options, f"127.0.0.1:{three[0].port}")
    assert running.ask("127.0.0.1") == b"a"
    assert running.ask("127.0.0.66") == b"b"


def test_denied_clients_are_closed(pen, three):
    running = pen("-o", "acl 0 deny 127.0.0.66", *addresses(three[:1]))
    with running.connect("127.0.0.66") as client:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
    assert running.ask("127.0.0.67") == b"a"


def test_soft_and_hard_limits(pen, backend):
    a, b = backend(echo), backend(echo)
    running = pen(f"127.0.0.1:{a.port}:1:2", f"127.0.0.1:{b.port}")

    def open_from(address: str) -> socket.socket:
        stream = running.connect(address)
        stream.sendall(b"x")
        assert stream.recv(1) == b"x"
        return stream

    def counts() -> list[str]:
        return [server["conn"] for server in running.servers()]

    streams = [open_from("127.0.0.1")]
    assert counts() == ["1", "0"]
    streams.append(open_from("127.0.0.1"))  # known to a, so up to its hard limit
    assert counts() == ["2", "0"]
    streams.append(open_from("127.0.0.1"))  # beyond it: b
    assert counts() == ["2", "1"]
    for stream in streams:
        stream.close()
    until(lambda: counts() == ["0", "0"], "all are closed")


def test_connect_timeout(pen, backend):
    """A server whose backlog is full does not answer at all."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            fillers.append(filler)
        running = pen(
            "-t", "1", f"127.0.0.1:{deaf.getsockname()[1]}", *addresses([backend(naming(b"b"))])
        )
        assert running.ask(request=b"in hand") == b"b"
        status = running.ctl("server 0") + running.ctl("status")
        assert 'class="down"' in status
        for filler in fillers:
            filler.close()


def test_conn_max_makes_clients_wait(pen, backend):
    running = pen("-x", "2", f"127.0.0.1:{backend(echo).port}")
    streams = [running.connect() for _ in range(4)]
    for stream in streams:
        stream.sendall(b"x")
    assert [stream.recv(1) for stream in streams[:2]] == [b"x", b"x"]
    assert running.servers()[0]["conn"] == "2"
    streams[0].close()
    streams[1].close()
    assert [stream.recv(1) for stream in streams[2:]] == [b"x", b"x"]
    for stream in streams:
        stream.close()


def test_too_few_descriptors_does_not_spin_or_blame_the_server(pen, backend):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    server = backend(echo)
    running = pen(f"127.0.0.1:{server.port}", preexec=few)
    streams = []
    for _ in range(20):
        stream = running.connect()
        stream.sendall(b"x")
        streams.append(stream)
    assert streams[0].recv(1) == b"x"
    until(lambda: "cannot accept" in running.stderr, "pen says what is wrong")
    before = running.cpu()
    threading.Event().wait(0.5)
    assert running.cpu() - before < 0.2
    for stream in streams:
        stream.close()

    def served() -> bool:
        try:
            with running.connect(timeout=1) as client:
                client.sendall(b"y")
                return client.recv(1) == b"y"
        except OSError:
            return False

    until(served, "clients are served again")
    assert 'class="down"' not in running.ctl("status")


def test_changes_take_effect_on_live_traffic(pen, three):
    running = pen("-r", *addresses(three[:2]))
    assert running.ask() == b"a"
    running.ctl(f"server 1 port {three[2].port}")
    assert running.ask() == b"c"
    running.ctl("server 0 address 0.0.0.0")
    assert [running.ask() for _ in range(3)] == [b"c", b"c", b"c"]
    assert running.servers()[0]["addr"] == "0.0.0.0"
    port = free_port()
    assert running.ctl(f"listen 127.0.0.1:{port}") == f"127.0.0.1:{port}\n"
    running.port = port
    assert running.ask() == b"c"


def test_a_listen_that_fails_keeps_the_old_one(pen, three):
    running = pen("-r", *addresses(three[:1]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        reply = running.ctl(f"listen 127.0.0.1:{taken.getsockname()[1]}")
    assert reply.startswith("error: cannot listen on 127.0.0.1:")
    assert running.ask() == b"a"
    assert running.ctl("listen") == f"127.0.0.1:{running.port}\n"
