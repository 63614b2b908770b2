"""The control port with peers that send too much, too little, or do not read."""

import os
import socket

import pytest

from tests.pen.conftest import DEADLINE, naming, until


@pytest.fixture
def running(pen, backend):
    return pen(f"127.0.0.1:{backend(naming(b'a')).port}")


def open_control(running) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(DEADLINE)
    until(lambda: connected(stream, running.control), "there is room in the backlog")
    return stream


def connected(stream: socket.socket, path: str) -> bool:
    try:
        stream.connect(path)
    except BlockingIOError:
        return False
    return True


def read_all(stream: socket.socket) -> bytes:
    pieces = []
    while piece := stream.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_the_reply_to_an_endless_line_arrives(running):
    for _ in range(20):
        with open_control(running) as stream:
            stream.sendall(b"x" * 1_000_000)
            assert read_all(stream) == b"error: the line is longer than 65536 bytes\n"


@pytest.mark.parametrize("rest", [b"rest", b"status\n" * 3, b"x" * 300_000])
def test_what_follows_the_first_line_is_ignored(running, rest):
    with open_control(running) as stream:
        stream.sendall(b"timeout\n" + rest)
        assert read_all(stream) == b"3\n"


def test_those_who_leave_early_or_never_speak(running):
    silent = []
    for _ in range(100):  # more than are held at once
        silent.append(open_control(running))
        silent[-1].sendall(b"time")
    for _ in range(100):
        stream = open_control(running)
        stream.sendall(b"status\n")
        stream.close()
    assert running.ctl("timeout") == "3\n"
    for stream in silent:
        stream.close()


def test_two_at_once_by_the_byte(running):
    with open_control(running) as one, open_control(running) as two:
        for byte in b"timeout\n":
            one.send(bytes([byte]))
            two.send(bytes([byte]))
        assert read_all(two) == b"3\n"
        assert read_all(one) == b"3\n"


def test_a_reply_larger_than_the_sockets_buffer(running):
    """Megabytes, read by someone who takes his time; others are served meanwhile."""
    running.ctl("server 39999 max 7")  # creates all slots up to it
    with open_control(running) as slow:
        slow.sendall(b"servers\n")
        first = slow.recv(100)
        used = running.cpu()
        assert running.ask() == b"a"
        assert running.ctl("timeout") == "3\n"
        lines = (first + read_all(slow)).decode().splitlines()
        assert running.cpu() - used < 1.0
    assert len(lines) == 40_000
    assert lines[-1].startswith("39999 addr 0.0.0.0 port 0 conn 0 max 7 ")


def test_who_changes_something_is_logged(running):
    running.ctl("timeout 9")
    running.ctl("timeout")
    running.ctl("blacklist \x1b[2J")
    running.ctl("debug 1")
    running.ctl("tracking")
    who = f"control: uid {os.getuid()} pid {os.getpid()}: "
    told = [line.partition(who)[2] for line in running.stderr.splitlines() if who in line]
    assert told == ["timeout 9", "debug 1", "tracking"]
