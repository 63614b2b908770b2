"""Lines of Caddy's access log: what is read of them, and that nothing else is taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import Order
from penlogd.formats import read_format

SERVER = b"10.0.0.1"

# Of Caddy 2.6.2, for: GET /p.html?a="b"&<x>%22ä\y HTTP/1.1, X-Q: a"duration":5,\x and a byte 0xFF
LINE = (
    b'{"level":"info","ts":1795658560.5141304,"logger":"http.log.access.log0","msg":"handled '
    b'request","request":{"remote_ip":"127.0.0.1","remote_port":"53676","proto":"HTTP/1.1",'
    b'"method":"GET","host":"127.0.0.1:18099","uri":"/p.html?a=\\"b\\"&<x>%22\xc3\xa4\\\\y",'
    b'"headers":{"X-Q":["a\\"duration\\":5,\\\\x\\ufffd"]}},"user_id":"","duration":0.005118568,'
    b'"size":3,"status":200,"resp_headers":{"Content-Length":["3"],"Server":["Caddy"]}}'
)
PEER = b'"remote_ip":"127.0.0.1","remote_port":"53676",'


def read(line):
    return read_format("caddy").read(line, SERVER)


def test_a_line_of_caddy():
    line = read(LINE)
    assert line.request == b'GET /p.html?a="b"&<x>%22\xc3\xa4\\y HTTP/1.1'
    assert (line.pen(), line.port, line.server_port) == (b"127.0.0.1", b"53676", None)
    assert (line.server, line.duration) == (SERVER, 0.005118568)
    assert line.order_key(Order.END) == line.stamp == 1795658560.5141304
    assert line.order_key(Order.START) == line.stamp - line.duration
    assert line.with_client(b"::9") == LINE.replace(b"127.0.0.1", b"::9", 1)


def test_of_a_newer_caddy_the_client_is_replaced_and_the_peer_is_pen():
    newer = LINE.replace(PEER, PEER + b'"client_ip":"192.0.2.9",')
    line = read(newer.replace(b'"user_id"', b'"bytes_read":0,"user_id"'))
    assert line.pen() == b"127.0.0.1"
    assert json.loads(line.with_client(b"::9"))["request"]["client_ip"] == "::9"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"http.log.access", b"tls.log"), (b"handled request", b"something else"),
        (b"1795658560.5141304", b'"2026-11-26"'), (b'"remote_port":"53676"', b'"remote_port":""'),
        (b"0.005118568", b'"5ms"'), (b"{", b"["),
    ],
)  # fmt: skip
def test_other_lines_are_not_taken_for_one(old, new):
    assert old in LINE
    assert read(LINE.replace(old, new, 1)) is None


def test_a_request_with_an_escape_that_json_does_not_have_is_not_known():
    assert read(LINE.replace(rb"\\y", rb"\y")).request is None
    assert read(LINE.replace(rb"\\y", rb"\ud800")).request is None


@given(st.text(), st.text(), st.text())
def test_whatever_a_client_sends_is_told_from_what_caddy_says(uri, header, user):
    written = json.loads(LINE)
    written["request"]["uri"] = uri
    written["request"]["headers"] = {"X-Q": [header]}
    written["user_id"] = user
    text = json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    line = read(text)
    assert line.request == f"GET {uri} HTTP/1.1".encode("utf-8", "surrogatepass")
    assert (line.duration, line.port) == (0.005118568, b"53676")
    assert json.loads(line.with_client(b"::9"))["request"]["remote_ip"] == "::9"


@given(st.integers(0, len(LINE)), st.integers(0, 40), st.binary(max_size=40))
def test_any_line_is_read_or_refused(start, length, put):
    line = read(LINE[:start] + put + LINE[start + length :])
    if line is not None:
        assert line.with_client(line.text[line.client_start : line.client_end]) == line.text
