"""TLS with real sockets: bytes, ends, and those who get no session."""

import os
import socket
import ssl
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from tests.pen.conftest import echo, naming, receive, until
from tests.pen.tls import REQUEST, ask, connect, exchange, trusting

RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("poller", ["epoll", "poll", "select"])
def test_bytes_get_across(pen, backend, authority, site, poller, version):
    running = pen(*site, "-o", poller, f"127.0.0.1:{backend(echo).port}")
    sent = os.urandom(3_000_000)
    context = trusting(authority, minimum_version=version, maximum_version=version)
    with connect(running, context) as client:
        assert client.version() == version.name.replace("_", ".")
        assert exchange(client, sent) == sent


def test_rsa(pen, backend, authority):
    certificate, key = authority.issue("www.example", kind="rsa")
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    running = pen("-E", certificate, f"127.0.0.1:{backend(naming(b'one')).port}")
    assert ask(running, trusting(authority)) == b"one"


@pytest.mark.parametrize("poller", ["epoll", "poll"])
def test_a_client_that_reads_slowly(pen, backend, authority, site, poller):
    """It slows the server down, and loses nothing."""
    size, sent = 30_000_000, []

    def serve(stream):
        for _ in range(size // 100_000):
            stream.sendall(b"x" * 100_000)
            sent.append(100_000)

    running = pen(*site, "-o", poller, f"127.0.0.1:{backend(serve).port}")
    with connect(running, trusting(authority), suppress_ragged_eofs=False) as client:
        client.recv(1)
        stalled = until_steady(lambda: sum(sent))
        assert stalled < size
        cpu = running.cpu()
        assert running.ctl("pid")
        received = 1 + sum(iter(lambda: len(client.recv(65536)), 0))
        assert received == size
        assert running.cpu() - cpu < 5


def until_steady(value):
    """A number once it is the same twice 0.2 s apart."""
    seen = [value()]

    def steady():
        threading.Event().wait(0.2)
        seen.append(value())
        return seen[-1] == seen[-2]

    until(steady, "a steady state")
    return seen[-1]


def test_a_server_that_reads_slowly(pen, backend, authority, site):
    go_on, sent = threading.Event(), os.urandom(20_000_000)

    def serve(stream):
        go_on.wait(20)
        stream.sendall(b"whole" if receive(stream, len(sent)) == sent else b"damaged")

    running = pen(*site, f"127.0.0.1:{backend(serve).port}")
    with connect(running, trusting(authority)) as client:
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        until(lambda: not running.ctl("connection 0").endswith("pend = 0\n"), "pen holds some")
        go_on.set()
        writer.join()
        assert receive(client, 5) == b"whole"


@pytest.mark.parametrize("poller", ["epoll", "poll"])
def test_half_close(pen, backend, authority, site, poller):
    """A client that has said close_notify still gets its answer."""

    def serve(stream):
        count = len(b"".join(iter(lambda: stream.recv(65536), b"")))
        stream.sendall(b"%d bytes" % count)

    running = pen(*site, "-o", poller, f"127.0.0.1:{backend(serve).port}")
    with running.connect() as plain:
        plain.settimeout(None)
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
        client.set_connect_state()
        client.sendall(b"x" * 100_000)
        client.shutdown()
        assert client.recv(100) == b"100000 bytes"
        with pytest.raises(SSL.ZeroReturnError):
            client.recv(100)


def test_a_fin_without_close_notify_ends_the_data(pen, backend, authority, site):
    ended = threading.Event()

    def serve(stream):
        while stream.recv(100):
            pass
        ended.set()

    running = pen(*site, f"127.0.0.1:{backend(serve).port}")
    with connect(running, trusting(authority)) as client:
        client.sendall(b"x")
        socket.socket.shutdown(client, socket.SHUT_WR)
        assert ended.wait(20)


def test_a_broken_server_is_no_clean_end(pen, backend, authority, site):
    """What was cut off must not look whole."""

    def serve(stream):
        stream.recv(100)
        stream.sendall(b"half of ")
        stream.recv(100)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    running = pen(*site, f"127.0.0.1:{backend(serve).port}")
    with connect(running, trusting(authority), suppress_ragged_eofs=False) as client:
        client.sendall(b"x")
        assert receive(client, 8) == b"half of "
        client.sendall(b"x")
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            client.recv(100)


def test_failover_keeps_what_the_client_sent(pen, backend, authority, site):
    dead, alive = backend(), backend(naming(b"alive"))
    dead.close()
    running = pen(*site, "-r", f"127.0.0.1:{dead.port}", f"127.0.0.1:{alive.port}")
    assert ask(running, trusting(authority)) == b"alive"


def test_no_server_left(pen, backend, authority, site):
    dead, alive = backend(), backend(naming(b"alive"))
    dead.close()
    running = pen(*site, "-rs", f"127.0.0.1:{dead.port}", f"127.0.0.1:{alive.port}")
    with connect(running, trusting(authority)) as client:
        assert client.recv(10) == b""
    assert ask(running, trusting(authority)) == b"alive"


def test_the_log_shows_what_is_in_it(pen, backend, authority, site, tmp_path):
    log = tmp_path / "log"
    running = pen(*site, "-l", log, f"127.0.0.1:{backend(naming(b'one')).port}")
    assert ask(running, trusting(authority)) == b"one"
    until(lambda: log.read_text().endswith(" 127.0.0.1 GET / HTTP/1.0\n"), "the request is logged")


# Those who get no session.


def test_plain_text_is_turned_away(pen, backend, authority, site):
    server = backend(echo)
    running = pen("-d", *site, f"127.0.0.1:{server.port}")
    with connect(running, trusting(authority)) as neighbour:
        with running.connect() as client:
            client.sendall(REQUEST)
            assert ended(client)
        until(lambda: "handshake failed: TLS: http request" in running.stderr, "a line says so")
        neighbour.sendall(b"undisturbed")
        assert receive(neighbour, 11) == b"undisturbed"
    assert server.accepted == 1


def ended(client):
    """Whether pen ends it, by FIN or, where it left bytes unread, by RST."""
    try:
        return b"".join(iter(lambda: client.recv(4096), b"")) is not None
    except ConnectionResetError:
        return True


def test_tls_to_a_plain_port_passes_through(pen, backend):
    running = pen(f"127.0.0.1:{backend(naming(b'plain text')).port}")
    with pytest.raises(ssl.SSLError):
        connect(running, ssl.create_default_context())
    assert running.ask() == b"plain text"


def test_a_slow_handshake_is_closed_and_takes_no_server(pen, backend, authority, site):
    server = backend(naming(b"one"))
    running = pen("-d", *site, "-o", "ssl_handshake_timeout 1", f"127.0.0.1:{server.port}")
    with running.connect() as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert ask(running, trusting(authority)) == b"one"
        assert slow.recv(100) == b""
    assert "handshake failed: Connection timed out" in running.stderr
    assert server.accepted == 1


def test_handshakes_count_as_connections(pen, backend, authority, site):
    running = pen(*site, "-x", 1, f"127.0.0.1:{backend(naming(b'one')).port}")
    asked = threading.Event()
    with running.connect() as first:
        until(lambda: accepted(running, first), "the first is accepted")
        waiting = threading.Thread(
            target=lambda: (ask(running, trusting(authority)), asked.set()), daemon=True
        )
        waiting.start()
        assert not asked.wait(0.3)
    assert asked.wait(20)


def accepted(pen, client):
    """Whether pen has a descriptor for this client."""
    port = f":{client.getsockname()[1]:04X}"
    table = Path(f"/proc/{pen.process.pid}/net/tcp").read_text().splitlines()
    inodes = [words[9] for words in map(str.split, table) if words[2].endswith(port)]
    folder = f"/proc/{pen.process.pid}/fd"
    held = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
    return any(f"socket:[{inode}]" in held for inode in inodes)


def test_a_denied_client_costs_no_handshake(pen, backend, authority, site):
    running = pen("-d", *site, "-o", "acl 1 deny 127.0.0.9", "-o", "client_acl 1",
                  f"127.0.0.1:{backend(naming(b'one')).port}")  # fmt: skip
    with running.connect("127.0.0.9") as client:
        assert client.recv(10) == b""
    assert "client 127.0.0.9: denied" in running.stderr
    assert ask(running, trusting(authority)) == b"one"


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_garbage_disturbs_nobody(pen, backend, authority, site):
    running = pen(*site, f"127.0.0.1:{backend(echo).port}")
    hello = client_hello()
    damage = st.tuples(st.integers(0, len(hello) - 1), st.binary(max_size=20))
    damaged = damage.map(lambda cut: hello[: cut[0]] + cut[1] + hello[cut[0] + len(cut[1]) :])

    with connect(running, trusting(authority)) as neighbour:

        @given(st.one_of(st.binary(max_size=300), damaged))
        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        def send(garbage):
            with running.connect() as client:
                try:
                    client.sendall(garbage)
                    client.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # it was closed before all was sent
                assert ended(client)
            neighbour.sendall(b"here")
            assert receive(neighbour, 4) == b"here"

        send()
    until(lambda: "conn 0" in running.ctl("servers"), "nothing is left")
