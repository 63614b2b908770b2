"""Communication dumps: `-ddd`, `-a`, and `debug` on open connections."""

import re

from tests.pen.conftest import talk


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
