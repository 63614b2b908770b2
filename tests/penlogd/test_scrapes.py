"""The port for Prometheus: whatever comes in, it answers or hangs up, and never waits."""

import re
import resource
import select
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penlogd.scrapes import HEAD_MAX, MOST, PAUSE, SECONDS, Scrapes, respond
from tests.penlogd.test_end_to_end import wait_for

FIGURES = b"penlogd_x_total 1.0\n"
ASK = b"GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: text/plain\r\n\r\n"


@pytest.fixture
def scrapes():
    made = Scrapes("127.0.0.1", "0")
    made._figures = lambda: FIGURES
    yield made
    made.close()


@pytest.fixture
def connect(scrapes):
    opened = []

    def connect():
        opened.append(socket.create_connection(scrapes._listener.getsockname(), timeout=10))
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()


def answered(scrapes, sock, now=0.0):
    """All that comes back while the loop turns."""
    got = []
    sock.setblocking(False)

    def ended():
        scrapes.work(now)
        try:
            got.append(sock.recv(65536))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        return not got[-1]

    wait_for(ended)
    return b"".join(got)


@pytest.mark.parametrize("pieces", [[ASK], [ASK[:9], ASK[9:30], ASK[30:]], [b"GET /metrics\n\n"]])
def test_a_request_is_answered_however_it_comes(scrapes, connect, pieces):
    sock = connect()
    for piece in pieces:
        sock.sendall(piece)
        scrapes.work(0.0)
    assert answered(scrapes, sock).endswith(FIGURES)


def test_the_answer_has_a_type_and_a_length():
    head, _, body = respond(ASK, lambda: FIGURES).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert b"Content-Length: %d" % len(body) in head
    assert body == FIGURES
    assert respond(b"HEAD" + ASK[3:], lambda: FIGURES).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"501"),
        (b"\xff\x00 is nonsense\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_what_is_wrong_is_answered_by_its_status(ask, status):
    assert respond(ask, lambda: FIGURES).split()[1] == status


@given(
    st.binary(max_size=200) | st.builds(lambda a, b: ASK[:a] + b, st.integers(0, 70), st.binary())
)
@example(b"GET /metrics HTTP/1.1\r\nContent-Length: x\r\nA\xff: \x00\r\n\r\n")
@example(b"GET http://[::1 HTTP/1.1\r\n\r\n")
def test_no_request_raises(head):
    answer = respond(head, lambda: FIGURES)
    assert not answer or answer.startswith(b"HTTP/1.0 ")


def test_who_is_slow_is_hung_up_on_in_time(scrapes, connect):
    idle, slow = connect(), connect()
    slow.sendall(ASK[:5])
    scrapes.work(100.0)
    scrapes.work(100.0)
    assert scrapes.deadline == 100.0 + SECONDS
    slow.sendall(ASK[5:6])
    scrapes.work(100.0 + SECONDS)
    assert (idle.recv(10), slow.recv(10)) == (b"", b"")
    assert scrapes.deadline == float("inf")


def test_who_reads_nothing_is_hung_up_on_too(scrapes, connect):
    scrapes._figures = lambda: b"x" * 50_000_000
    deaf = connect()
    deaf.sendall(ASK)
    for _ in range(5):
        scrapes.work(0.0)
    assert len(scrapes._clients) == 1
    scrapes.work(SECONDS)
    assert not scrapes._clients


def test_a_request_without_end_is_hung_up_on(scrapes, connect):
    endless = connect()
    endless.sendall(b"GET /" + b"x" * HEAD_MAX + b"x" * 100)
    assert answered(scrapes, endless) == b""


def test_of_very_many_the_oldest_go_and_the_newest_is_answered(scrapes, connect):
    crowd = []
    for _ in range(5):
        crowd += [connect() for _ in range(MOST)]
        scrapes.work(0.0)
        assert len(scrapes._clients) <= MOST
    last = connect()
    last.sendall(ASK)
    assert answered(scrapes, last).endswith(FIGURES)
    assert crowd[0].recv(10) == b""


def test_out_of_descriptors_it_waits_and_goes_on(scrapes, connect):
    sock = connect()
    sock.sendall(ASK)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, limits[1]))
    try:
        scrapes.work(7.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert scrapes.deadline == 7.0 + PAUSE
    scrapes.work(7.5)
    assert scrapes.deadline == 7.0 + PAUSE
    assert answered(scrapes, sock, 7.0 + PAUSE).endswith(FIGURES)


def test_its_descriptor_is_readable_only_when_there_is_something_to_do(scrapes, connect):
    def readable():
        poll = select.poll()
        poll.register(scrapes.fd, select.POLLIN)
        return bool(poll.poll(0))

    assert not readable()
    sock = connect()
    wait_for(readable)
    scrapes.work(0.0)
    assert not readable()
    sock.sendall(ASK)
    wait_for(readable)
    assert re.search(rb"Content-Length: (\d+)", answered(scrapes, sock))[1] == b"20"
    assert not readable()
