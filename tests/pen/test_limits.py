"""More clients than there is room for: they wait, and none is lost."""

import resource
import socket
import threading

import pytest

from tests.pen.conftest import DEADLINE, echo, until


def hard_limit(files: int):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    return limit


@pytest.mark.parametrize(
    ("options", "preexec", "clients"),
    [
        (["-x", "3"], None, 20),
        (["-o", "pending_max 1"], None, 40),
        (["-o", "select", "-x", "2000"], None, 600),
        (["-o", "poll"], hard_limit(120), 60),
        ([], hard_limit(120), 60),
    ],
    ids=["conn_max", "pending_max", "select", "few files, poll", "few files"],
)
def test_who_finds_no_room_waits_and_is_served(pen, backend, options, preexec, clients):
    running = pen(*options, f"127.0.0.1:{backend(echo).port}", preexec=preexec)
    streams = [running.connect() for _ in range(clients)]
    for number, stream in enumerate(streams):
        stream.sendall(b"%04d" % number)
    for number, stream in enumerate(streams):  # each leaves, and so makes room
        assert stream.recv(4, socket.MSG_WAITALL) == b"%04d" % number
        stream.close()
    until(lambda: running.servers()[0]["conn"] == "0", "all are gone")


def test_waiting_costs_nothing(pen, backend):
    running = pen("-x", "1", f"127.0.0.1:{backend(echo).port}")
    streams = [running.connect() for _ in range(30)]
    until(lambda: running.servers()[0]["conn"] == "1", "one is served")
    before = running.cpu()
    threading.Event().wait(0.5)
    assert running.cpu() - before < 0.1
    for stream in streams:
        stream.close()


def test_two_thousand_connections_at_once(pen, backend):
    running = pen("-x", "3000", f"127.0.0.1:{backend(echo).port}")
    streams = [running.connect() for _ in range(2000)]
    for stream in streams:
        stream.sendall(b"x")
    assert b"".join(stream.recv(1) for stream in streams) == b"x" * 2000
    assert running.servers()[0]["conn"] == "2000"
    assert running.ctl("close 1999") == "Forcibly closing connection 1999\n"
    for stream in streams:
        stream.close()
    until(lambda: running.servers()[0]["conn"] == "0", "all are gone", DEADLINE)
