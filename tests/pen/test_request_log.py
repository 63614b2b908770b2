"""What of a client's bytes the log has: requests, and of other protocols each piece."""

import re

from tests.pen.conftest import talk, until

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nContent-Length: 22\r\n\r\n"
BODY = b"GET /in-body HTTP/1.1\n"
UPGRADE = b"GET /u HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"


def logged(log) -> list[str]:
    """What follows the client, the time and the server in each line."""
    lines = log.read_text(errors="surrogateescape").split("\n")[:-1]
    return [re.fullmatch(r"127\.0\.0\.7 \d+ 127\.0\.0\.1 (.*)", line)[1] for line in lines]


def test_the_log_has_requests_and_no_bodies(pen, origin, tmp_path):
    log = tmp_path / "log"
    running = pen("-l", log, f"127.0.0.1:{origin.port}")
    origin.answers = [b"ok"] * 6 + [b"HTTP/1.1 101 Switching\r\n\r\n"]
    pieces = [GET % b"1", POST + BODY[:9], BODY[9:], GET % b"2" + GET % b"3", (GET % b"4")[:9],
              (GET % b"4")[9:], UPGRADE, GET % b"frame"]  # fmt: skip
    with talk(running, *pieces):
        pass
    requests = ["GET /1", "POST /p", "GET /2", "GET /3", "GET /4", "GET /u"]
    expected = [f"{request} HTTP/1.1" for request in requests]
    until(lambda: len(logged(log)) >= len(expected), "all requests are logged")
    assert logged(log) == expected
    origin.gets(b"".join(pieces))


def test_a_request_line_is_logged_when_it_is_there(pen, origin, tmp_path):
    """The server has it, too, though the rest of the head may never come."""
    log = tmp_path / "log"
    running = pen("-l", log, f"127.0.0.1:{origin.port}")
    with talk(running, GET % b"1" + b"GET /2", b" HTTP/1.1\r\n"):
        until(lambda: len(logged(log)) == 2, "both requests are logged")
    with talk(running, b"GET /3 HTTP/1.1\r\n", b"Host: x\r\n\r\n", GET % b"4"):
        until(lambda: len(logged(log)) == 4, "all requests are logged")
    assert logged(log) == [f"GET /{n} HTTP/1.1" for n in (1, 2, 3, 4)]


def test_what_is_no_http_is_logged_by_the_piece(pen, origin, tmp_path):
    log = tmp_path / "log"
    running = pen("-l", log, f"127.0.0.1:{origin.port}")
    with talk(running, b"EHLO x\r\nMAIL\r\n", b"\x16\x03\xff", GET % b"1"):
        until(lambda: len(logged(log)) >= 3, "all pieces are logged")
    assert logged(log) == ["EHLO x", "\x16\x03.", "GET /1 HTTP/1.1"]


def test_a_log_that_begins_on_open_connections(pen, origin, tmp_path):
    running = pen("-H", f"127.0.0.1:{origin.port}")
    with talk(running, GET % b"1") as client:
        log = tmp_path / "log"
        running.ctl(f"log {log}")
        client.sendall(GET % b"2")
        assert client.recv(100)
        running.ctl("no log")
        client.sendall(GET % b"3")
        assert client.recv(100)
    assert logged(log) == ["GET /2 HTTP/1.1"]
