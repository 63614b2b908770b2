"""What is told with `-d`: why (2), and what passes (3), in hex or as text."""

import re

from tests.pen.conftest import naming, talk, until
from tests.ports import free_port


def dumped(running) -> list[str]:
    return [line.split(" pen: ", 1)[1] for line in running.stderr.splitlines()
            if re.search("connection 0: (<|>|client to|server to)", line)]  # fmt: skip


def test_dumps_in_hex(pen, origin):
    running = pen("-ddd", "-H", f"127.0.0.1:{origin.port}")
    with talk(running, b"GET / HTTP/1.1\r\n\r\n"):
        shown = dumped(running)
    assert shown[0] == "connection 0: client to server, 71 bytes"
    assert shown[5:] == [
        "connection 0: > 0040  30 2e 37 0d 0a 0d 0a                             0.7....",
        "connection 0: server to client, 2 bytes",
        "connection 0: < 0000  6f 6b                                            ok",
    ]
    assert [line.split("> ")[1] for line in shown[1:5]] == [
        "0000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..",
        "0010  58 2d 46 6f 72 77 61 72 64 65 64 2d 50 72 6f 74  X-Forwarded-Prot",
        "0020  6f 3a 20 68 74 74 70 0d 0a 58 2d 46 6f 72 77 61  o: http..X-Forwa",
        "0030  72 64 65 64 2d 46 6f 72 3a 20 31 32 37 2e 30 2e  rded-For: 127.0.",
    ]


def test_dumps_as_text_are_bounded_and_escaped(pen, origin):
    running = pen("-ddd", "-a", f"127.0.0.1:{origin.port}")
    with talk(running, b"one\r\n\x1b[2J\n\nlast" + b"." * 3000):
        lines = dumped(running)
    assert lines[:5] == [
        "connection 0: client to server, 3015 bytes",
        "connection 0: > one",
        r"connection 0: > \x1b[2J",
        "connection 0: > ",
        "connection 0: > last" + "." * 116,
    ]
    assert lines[-3:] == [
        "connection 0: > and 1991 bytes more",
        "connection 0: server to client, 2 bytes",
        "connection 0: < ok",
    ]


def test_debug_turns_dumps_on_and_off_on_open_connections(pen, origin):
    running = pen(f"127.0.0.1:{origin.port}")
    with talk(running, b"before") as client:
        for level, word in (("3", b"while"), ("2", b"after")):
            running.ctl(f"debug {level}")
            running.ctl("ascii")
            client.sendall(word)
            assert client.recv(100) == b"ok"
    assert dumped(running) == [
        "connection 0: client to server, 5 bytes", "connection 0: > while",
        "connection 0: server to client, 2 bytes", "connection 0: < ok",
    ]  # fmt: skip


def test_level_2_tells_why(pen, backend):
    one, two = backend(naming(b"one")), backend(naming(b"two"))
    running = pen(
        "-dd", "-o", "client_acl 1", "-o", "acl 1 deny 127.0.0.9",
        f"127.0.0.1:{one.port}", f"127.0.0.1:{free_port()}", f"127.0.0.1:{two.port}:1",
    )  # fmt: skip
    for client in ("127.0.0.7", "127.0.0.8", "127.0.0.7"):
        running.ask(client)
    for level in ("2", "1"):
        running.ctl(f"debug {level}")
        with running.connect("127.0.0.9") as denied:
            assert denied.recv(1) == b""
    told = [line.partition(": client ")[2] for line in running.stderr.splitlines()
            if "127.0.0.9: " in line or " gets " in line]  # fmt: skip
    assert told[:3] == [
        "127.0.0.7 gets server 0, whose turn it is",
        "127.0.0.8 gets server 1, whose turn it is",
        "127.0.0.7 gets server 0, where it was before",
    ]
    assert running.stderr.count("127.0.0.9: client_acl") == 1


def test_level_2_tells_that_clients_wait(pen, origin):
    running = pen("-dd", "-x", 1, f"127.0.0.1:{origin.port}")
    with talk(running, b"one"), running.connect():
        told = "clients wait: 1 connections are open (conn_max, or the limit of open files)"
        until(lambda: told in running.stderr, "the limit is told")
