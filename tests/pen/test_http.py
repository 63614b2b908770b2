"""`-H`: servers are told who the client is, and nothing else is touched."""

import socket

import pytest

from tests.pen import tls
from tests.pen.conftest import receive, talk, until
from tests.ports import free_port

ADDED = b"X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.7\r\n"
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nContent-Length: 22\r\n\r\n"
BODY = b"GET /in-body HTTP/1.1\n"
UPGRADE = b"GET /u HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"


def with_headers(head: bytes) -> bytes:
    return head[:-2] + ADDED + b"\r\n"


@pytest.mark.parametrize("poller", ["epoll", "poll", "select"])
def test_every_request_gets_headers_and_no_body_does(pen, origin, poller):
    running = pen("-H", "-o", poller, f"127.0.0.1:{origin.port}")
    one, two = GET % b"1", GET % b"2"
    with talk(running, one, one + two, POST + BODY[:9], BODY[9:], two):
        origin.gets(
            with_headers(one) * 2
            + with_headers(two)
            + with_headers(POST)
            + BODY
            + with_headers(two)
        )


def test_a_head_in_pieces(pen, origin):
    running = pen("-H", f"127.0.0.1:{origin.port}")
    head = GET % b"slow"
    with running.connect("127.0.0.7") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(head)):
            client.sendall(head[at : at + 1])
        assert client.recv(100) == b"ok"
        client.sendall(head[:20])
        client.shutdown(socket.SHUT_WR)
        origin.gets(with_headers(head) + head[:20])


def test_headers_after_a_failover(pen, origin, tmp_path):
    log = tmp_path / "log"
    running = pen("-H", "-l", log, f"127.0.0.1:{free_port()}", f"127.0.0.1:{origin.port}")
    with talk(running, GET % b"x"):
        origin.gets(with_headers(GET % b"x"))
    assert until(log.read_text, "the request is logged").count("\n") == 1


def test_what_is_no_plain_http_passes_as_it_is(pen, origin):
    running = pen("-H", f"127.0.0.1:{origin.port}")
    odd = b"GET / HTTP/1.1\r\nHost: x\n\n" + POST + BODY
    with talk(running, b"EHLO x\r\n", POST + BODY), talk(running, odd, GET % b"x"):
        origin.gets(b"EHLO x\r\n" + POST + BODY + odd + GET % b"x")


def test_clients_outside_http_trust_cannot_say_who_they_are(pen, origin):
    running = pen(
        "-H", "-d", "-o", "acl 3 permit 127.0.0.8", "-o", "http_trust 3",
        f"127.0.0.1:{origin.port}",
    )  # fmt: skip
    head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nx_forwarded_proto: https\r\n\r\n"
    told = head[:-2] + b"X-Forwarded-Proto: http\r\n\r\n"
    with talk(running, head), talk(running, head, source="127.0.0.8"):
        origin.gets(with_headers(b"GET / HTTP/1.1\r\n\r\n") + told)
    sneaky = head.replace(b"\r\n\r\n", b"\r\nA : b\r\n\r\n")
    origin.got = b""
    with talk(running, GET % b"1") as client:
        client.sendall(GET % b"2" + sneaky + head)
        assert receive(client, 100) == b"ok"
        origin.gets(with_headers(GET % b"1") + with_headers(GET % b"2"))
    assert "client 127.0.0.7, outside http_trust, sent what is no plain HTTP" in running.stderr
    assert running.ctl("http_trust") == "3\n"
    assert running.ctl("no http_trust") == ""
    origin.got = b""
    with talk(running, sneaky):
        origin.gets(sneaky)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_stream_that_leaves_http_is_let_alone(pen, origin, trusted):
    options = [] if trusted else ["-o", "acl 1 deny 127.0.0.7", "-o", "http_trust 1"]
    running = pen("-H", *options, f"127.0.0.1:{origin.port}")
    origin.answers = [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    with talk(running, UPGRADE, GET % b"frame", b"\x82\x00"):
        origin.gets(with_headers(UPGRADE) + GET % b"frame" + b"\x82\x00")
    origin.got, origin.answers = b"", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    with talk(running, UPGRADE, GET % b"next", GET % b"again"):
        origin.gets(
            with_headers(UPGRADE) + with_headers(GET % b"next") + with_headers(GET % b"again")
        )


def test_http_holds_for_connections_that_begin(pen, origin):
    running = pen(f"127.0.0.1:{origin.port}")
    with talk(running, GET % b"a") as before:
        assert running.ctl("http") == ""
        with talk(running, GET % b"b") as after:
            before.sendall(GET % b"c")
            assert before.recv(100)
            assert running.ctl("no http") == ""
            after.sendall(GET % b"d")
            assert after.recv(100)
            origin.gets(
                GET % b"a" + with_headers(GET % b"b") + GET % b"c" + with_headers(GET % b"d")
            )
    origin.got = b""
    with talk(running, GET % b"e"):
        origin.gets(GET % b"e")


def test_bulk_through_all_taps(pen, origin):
    """Bodies larger than every buffer, with a log, headers and dumps at once."""
    running = pen("-H", "-ddd", "-l", "/dev/null", f"127.0.0.1:{origin.port}")
    body = bytes(range(256)) * 20_000
    head = b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running.connect("127.0.0.7") as client:
        client.sendall(head + body + GET % b"end")
        origin.gets(with_headers(head) + body + with_headers(GET % b"end"))


def test_clients_by_tls_are_told_of_as_https(pen, origin, authority, site):
    running = pen("-H", "-ddd", "-a", *site, f"127.0.0.1:{origin.port}")
    https = ADDED.replace(b"http", b"https").replace(b"0.7", b"0.1")
    with tls.connect(running, tls.trusting(authority)) as client:
        for piece in (GET % b"1", (GET % b"2")[:9], (GET % b"2")[9:]):
            client.sendall(piece)
        origin.gets(b"".join((GET % path)[:-2] + https + b"\r\n" for path in (b"1", b"2")))
        assert client.recv(2) == b"ok"
    assert "> X-Forwarded-Proto: https" in running.stderr
    assert "< ok" in running.stderr
