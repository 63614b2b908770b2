"""How servers are connected to, and what happens before: source, peek, dummy, options."""

import ctypes
import errno
import os
import re
import socket
import threading

import pytest

from tests.pen.conftest import DEADLINE, echo, naming, receive, until

PIDFD_GETFD = 438
"""Number of the system call, the same on all architectures."""
POLLERS = ["epoll", "poll", "select"]


def telling_peer(stream: socket.socket) -> None:
    stream.recv(65536)
    stream.sendall(stream.getpeername()[0].encode())


def test_source_is_where_servers_see_connections_from(pen, backend):
    running = pen("-r", "-o", "source 127.0.0.9", f"127.0.0.1:{backend(telling_peer).port}")
    assert running.ask() == b"127.0.0.9"
    assert running.ctl("source 127.0.0.8") == ""
    assert running.ask() == b"127.0.0.8"
    running.ctl("no source")
    assert running.ask() == b"127.0.0.1"


def test_source_of_the_other_family_is_not_used(pen, backend):
    server = backend(telling_peer, "::1")
    running = pen("-o", "source 127.0.0.9", f"[::1]:{server.port}")
    assert running.ask() == b"::1"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("source", "needs IP"),
        ("source www", "'www' is no IPv4 or IPv6 address"),
        ("source 192.0.2.200", "it must be an address of this machine"),
    ],
)
def test_source_that_cannot_be_is_refused(pen, backend, command, said):
    running = pen("-o", "source 127.0.0.9", f"127.0.0.1:{backend(telling_peer).port}")
    reply = running.ctl(command)
    assert reply.startswith("error: ")
    assert said in reply
    assert running.ask() == b"127.0.0.9"


@pytest.mark.parametrize("poller", POLLERS)
def test_peek_connects_once_the_client_has_spoken(pen, backend, poller):
    server = backend(echo)
    running = pen("-o", poller, "-o", "peek", f"127.0.0.1:{server.port}")
    with running.connect() as silent, running.connect() as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert server.accepted == 1
        silent.sendall(b"late")
        assert receive(silent, 4) == b"late"
    assert server.accepted == 2


def test_peek_spares_servers_clients_that_leave(pen, backend):
    server = backend(naming(b"a"))
    running = pen("-x", "1", "-o", "peek", f"127.0.0.1:{server.port}")
    for _ in range(5):
        running.connect().close()
    assert running.ask() == b"a"
    assert server.accepted == 1


def test_who_waits_counts_as_a_connection_and_may_be_idle_only_so_long(pen, backend):
    options = ("-x", "1", "-o", "peek", "-o", "idle_timeout 1")
    running = pen(*options, f"127.0.0.1:{backend(naming(b'a')).port}")
    with running.connect() as silent:
        assert running.ask() == b"a"  # once the silent one has been sent away
        assert silent.recv(1) == b""


def test_peek_off_lets_those_who_wait_in_as_they_speak(pen, backend):
    running = pen("-o", "peek", f"127.0.0.1:{backend(naming(b'a')).port}")
    with running.connect() as waiting:
        assert running.ctl("no peek") == ""
        assert running.ask() == b"a"
        waiting.sendall(b"x")
        assert receive(waiting, 1) == b"a"


@pytest.mark.parametrize("poller", POLLERS)
def test_dummy_answers_everyone_and_asks_no_server(pen, backend, poller):
    server = backend(naming(b"a"))
    running = pen("-o", poller, "-o", "dummy", f"127.0.0.1:{server.port}")
    for request in (b"GET / HTTP/1.1\r\n\r\n", b"x", b"POST / HTTP/1.0\r\n\r\n" + bytes(100_000)):
        head, _, page = running.ask(request=request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: %d\r\n" % len(page) in head
    assert server.accepted == 0
    assert running.ctl("no dummy") == ""
    assert running.ask() == b"a"


def test_dummy_does_not_wait_for_ever_for_clients_to_go(pen, backend):
    options = ("-x", "1", "-t", "1", "-o", "dummy")
    running = pen(*options, f"127.0.0.1:{backend(naming(b'a')).port}")
    with running.connect() as staying:
        staying.sendall(b"x")
        assert b"200 OK" in staying.recv(4096)
        assert b"200 OK" in running.ask()


@pytest.mark.parametrize("option", ["tcp_nodelay", "keepalive"])
def test_both_sockets_get_their_options(pen, backend, option):
    running = pen("-o", option, f"127.0.0.1:{backend(echo).port}")
    with running.connect() as client:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        fds = map(int, re.findall(r"fd = (\d+)", running.ctl("connection 0")))
        assert [socket_option(running.process.pid, fd, option) for fd in fds] == [1, 1]


def socket_option(pid: int, fd: int, option: str) -> int:
    """Ask a copy of another process's socket (pidfd_getfd(2))."""
    process = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(PIDFD_GETFD, process, fd, 0)
    os.close(process)
    assert copy >= 0, errno.errorcode[ctypes.get_errno()]
    with socket.socket(fileno=copy) as stream:
        if option == "keepalive":
            return stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class Slow:
    """A server that answers when told."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, stream: socket.socket) -> None:
        stream.recv(65536)
        self.go.wait(DEADLINE)
        stream.sendall(b"done")


def refused(running) -> bool:
    try:
        running.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_grace_lets_connections_finish(pen, backend):
    slow = Slow()
    running = pen("-o", "grace 20", f"127.0.0.1:{backend(slow).port}")
    with running.connect() as client:
        client.sendall(b"x")
        until(lambda: running.servers()[0]["conn"] == "1", "the server is asked")
        running.process.terminate()
        until(lambda: refused(running), "pen listens no more")
        assert running.ctl("listen 127.0.0.1:0").startswith("error: pen is ending")
        slow.go.set()
        assert receive(client, 4) == b"done"
    assert running.process.wait(DEADLINE) == 0


def test_grace_ends(pen, backend):
    running = pen("-o", "grace 1", f"127.0.0.1:{backend(Slow()).port}")
    with running.connect() as client:
        client.sendall(b"x")
        until(lambda: running.servers()[0]["conn"] == "1", "the server is asked")
        assert running.stop() == 0
        assert client.recv(1) == b""


def test_told_twice_pen_ends_at_once(pen, backend):
    running = pen("-o", "grace 1000", f"127.0.0.1:{backend(Slow()).port}")
    with running.connect() as client:
        client.sendall(b"x")
        until(lambda: running.servers()[0]["conn"] == "1", "the server is asked")
        running.process.terminate()
        until(lambda: refused(running), "pen listens no more")
        assert running.stop() == 0


def test_without_connections_there_is_nothing_to_wait_for(pen, backend):
    running = pen("-o", "grace 1000", f"127.0.0.1:{backend(echo).port}")
    assert running.stop() == 0
