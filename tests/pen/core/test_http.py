"""Requests in a client's stream: whatever comes, however it is cut."""

import itertools
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pen.core.forwarding import Forwarding
from pen.core.http import BODY, HEAD, HEAD_MAX, LINE_MAX, TUNNEL, UNKNOWN, Kind, RequestStream

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"PUT /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
UPGRADE = b"GET /d HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"


def kinds(*pieces: bytes) -> list[tuple[Kind, bytes]]:
    """Parts of a stream that came in these pieces and then ended; heads apart, the rest joined."""
    stream = RequestStream()
    joined: list[tuple[Kind, bytes]] = []
    for part in [part for piece in pieces for part in stream.feed(piece)] + stream.end():
        if joined and part.kind is not HEAD and joined[-1][0] is part.kind:
            joined[-1] = (part.kind, joined[-1][1] + part.data)
        else:
            joined.append(tuple(part))
    return joined


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places) if b > a]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("stream", "parts"),
    [
        (GET, [(HEAD, GET)]),
        (GET * 3, [(HEAD, GET)] * 3),
        (POST + b"GET /" + GET, [(HEAD, POST), (BODY, b"GET /"), (HEAD, GET)]),
        (POST + b"\r\n\r\n\r" + b"\r\n" + GET,
         [(HEAD, POST), (BODY, b"\r\n\r\n\r"), (BODY, b"\r\n"), (HEAD, GET)]),
        (POST.replace(b"5", b"0") + GET, [(HEAD, POST.replace(b"5", b"0")), (HEAD, GET)]),
        (CHUNKED + b"5;a=\"b\"\r\nGET /\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n" + GET,
         [(HEAD, CHUNKED), (BODY, b"5;a=\"b\"\r\nGET /\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n"),
          (HEAD, GET)]),
        (UPGRADE + b"\x81\x80", [(HEAD, UPGRADE), (UNKNOWN, b"\x81\x80")]),
        (b"GET /\r\n" + GET, [(UNKNOWN, b"GET /\r\n" + GET)]),
        (b"\x16\x03\x01\x02\x00", [(UNKNOWN, b"\x16\x03\x01\x02\x00")]),
        (b"PRI * HTTP/2.0\r\n\r\n", [(UNKNOWN, b"PRI * HTTP/2.0\r\n\r\n")]),
        (GET + b"GET /b HT", [(HEAD, GET), (UNKNOWN, b"GET /b HT")]),
    ],
)  # fmt: skip
def test_parts(stream, parts, step):
    expected = []
    for kind, data in parts:
        if expected and kind is BODY and expected[-1][0] is BODY:
            data = expected.pop()[1] + data
        expected.append((kind, data))
    assert kinds(*cut(stream, list(range(0, len(stream), step)))) == expected


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close, X-Forwarded-For\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_MAX + b"\r\n\r\n",
        b"GET /" + b"a" * HEAD_MAX,
    ],
)
def test_a_head_that_is_not_certain_is_unknown_whole(bad):
    for step in (7, 1 << 20):
        pieces = cut(GET + bad + GET, list(range(0, len(bad), step)))
        assert kinds(*pieces) == [(HEAD, GET), (UNKNOWN, bad + GET)]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"", b"g\r\n"), (b"", b"-5\r\n"), (b"", b"0x5\r\n"), (b"", b" 5\r\n"), (b"", b"\r\n"),
        (b"", b"5 \r\n"), (b"", b"5\n"), (b"", b"5\r\r\n"), (b"", b"1" * 16 + b"\r\n"),
        (b"", b"5;a\nb\r\n"), (b"", b"5;" + b"a" * LINE_MAX + b"\r\n"),
        (b"5\r\n12345", b"6\r\n"), (b"5\r\n12345", b"\n"), (b"5\r\n12345", b"\r5"),
        (b"0\r\n", b"no colon\r\n"), (b"0\r\n", b"A: b\n"), (b"0\r\n", b" folded: x\r\n"),
        (b"0\r\nA: b\r\n", b"x-forwarded_for: 1\r\n"),
    ],
)  # fmt: skip
def test_chunks_that_are_none(good, bad):
    for step in (1, 1 << 20):
        pieces = cut(CHUNKED + good + bad, list(range(0, len(bad), step)))
        body = [(BODY, good)] if good else []
        assert kinds(*pieces) == [(HEAD, CHUNKED), *body, (UNKNOWN, bad)]


def test_trailers_have_a_limit():
    trailer = b"A: " + b"a" * 1000 + b"\r\n"
    parts = kinds(CHUNKED + b"0\r\n", *[trailer] * 100)
    assert [kind for kind, _ in parts] == [HEAD, BODY, UNKNOWN]


def test_what_is_no_head_is_told_at_once():
    """A protocol that waits for an answer must not wait for us."""
    for first in (b"\x16", b"SSH-2.0-x\r\n", b"HELO some.host\r\n", b"GET /\r\n", b"\n", b"{"):
        assert RequestStream().feed(first) == [(UNKNOWN, first)]
    stream = RequestStream()
    assert stream.feed(b"GET / HTTP/1.1\r\nHo") == []
    assert stream.feed(b"st: x\n") == [(UNKNOWN, b"GET / HTTP/1.1\r\nHost: x\n")]


@pytest.mark.parametrize(
    ("request_", "answers", "kind"),
    [
        (UPGRADE, [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], TUNNEL),
        (UPGRADE, [b"HTTP/1.1 1", b"01 Switching"], TUNNEL),
        (UPGRADE, [b"HTTP/1.1 103 Hints\r\nA: b\r\n", b"\r\nHTTP/1.1 101 \r\n"], TUNNEL),
        (UPGRADE, [b"HTTP/1.1 200 OK\r\n\r\n"], HEAD),
        (UPGRADE, [b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"], HEAD),
        (UPGRADE, [b"HTTP/1.1 103 Hints\r\nA: " + b"a" * HEAD_MAX], HEAD),
        (UPGRADE, [b"no HTTP at all"], HEAD),
        (UPGRADE, [b"HTTP/1.1 10"], UNKNOWN),
        (UPGRADE, [b"HTTP/1.1 103 Hints\r\n"], UNKNOWN),
        (CONNECT, [b"HTTP/1.0 200 Connected\r\n\r\n"], TUNNEL),
        (CONNECT, [b"HTTP/1.1 403 No\r\n\r\n"], HEAD),
    ],
)
def test_the_answer_decides_whether_a_stream_leaves_http(request_, answers, kind):
    stream = RequestStream()
    assert stream.feed(request_) == [(HEAD, request_)]
    assert stream.awaits_answer
    for answer in answers:
        stream.hear(answer)
    assert stream.awaits_answer == (kind is UNKNOWN)
    assert stream.feed(GET) == [(kind, GET)]


def test_a_body_comes_before_the_tunnel():
    request = POST.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\n\r\n")
    stream = RequestStream()
    assert stream.feed(request + b"12") == [(HEAD, request), (BODY, b"12")]
    stream.hear(b"HTTP/1.1 101 Switching\r\n\r\n")
    assert stream.feed(b"345PRI *") == [(BODY, b"345"), (TUNNEL, b"PRI *")]


# Streams of any shape.

tokens = st.text(string.ascii_letters + "-_!", min_size=1, max_size=12).map(str.encode)
values = st.text(string.ascii_letters + " \t;,=:é", max_size=20).map(lambda s: s.encode("latin-1"))
fields = st.lists(
    st.one_of(
        st.tuples(tokens, values),
        st.sampled_from([
            (b"Connection", b"keep-alive"), (b"x-forwarded-for", b"192.0.2.1"),
            (b"X-Forwarded-Proto", b"https"), (b"X_Forwarded_For", b"192.0.2.2"),
            (b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked"), (b"Upgrade", b"h2c"),
        ]),
    ),
    max_size=4,
)  # fmt: skip


@st.composite
def requests(draw) -> bytes:
    method = draw(st.one_of(st.sampled_from([b"GET", b"POST", b"CONNECT"]), tokens))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"]))
    lines = [method + b" /" + draw(tokens) + b" " + version]
    lines += [name + b":" + value for name, value in draw(fields)]
    body = draw(st.binary(max_size=20))
    match draw(st.sampled_from(["none", "length", "chunked"])):
        case "none":
            body = b""
        case "length":
            lines.append(b"Content-Length: %d" % len(body))
        case "chunked":
            lines.append(b"Transfer-Encoding: chunked")
            body = b"%x;x=y\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"0\r\n" + draw(st.sampled_from([b"", b"A: b\r\n"])) + b"\r\n"
    return b"\r\n".join([*lines, b"", b""]) + body


@st.composite
def mangled(draw) -> bytes:
    """Requests one after another, with a few bytes lost, changed or put in between."""
    data = bytearray(b"".join(draw(st.lists(requests(), max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        put = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\x00", b":", b"7"]))
        data[at : at + draw(st.integers(0, 3))] = put
    return bytes(data)


streams = st.one_of(mangled(), st.binary(max_size=80))
cuts = st.lists(st.integers(0, 1000), max_size=12)


@given(streams, cuts)
@example(GET + POST + b"12345" + CHUNKED + b"0\r\n\r\n", list(range(200)))
def test_how_it_was_cut_makes_no_difference_and_nothing_is_lost(data, at):
    parts = kinds(*cut(data, at))
    assert parts == kinds(data)
    assert b"".join(part for _, part in parts) == data


@given(streams, cuts)
def test_nothing_keeps_back_what_need_not_wait(data, at):
    """Only a head, or a line of a chunked body, waits for its rest."""
    stream = RequestStream()
    out = sum(len(part.data) for piece in cut(data, at) for part in stream.feed(piece))
    rest = stream.end()
    assert out + sum(len(part.data) for part in rest) == len(data)
    for part in rest:
        assert b"\r\n\r\n" not in part.data
        assert len(part.data) <= HEAD_MAX


FOR = b"X-Forwarded-For: 192.0.2.9\r\n"
PROTO = b"X-Forwarded-Proto: http\r\n"


@given(streams)
def test_taking_our_headers_away_gives_what_came(data):
    adding = Forwarding("192.0.2.9", "http", trusted=True)
    for kind, part in kinds(data):
        if kind is HEAD:
            added = adding.add(part)
            assert added.replace(PROTO, b"", 1).replace(FOR, b"", 1) == part
            assert kinds(added) == [(HEAD, added)]
            lowered = added.lower()
            assert lowered.count(b"\nx-forwarded-for:") >= 1
            assert adding.add(added) == added


@given(streams)
def test_clients_that_are_not_trusted_say_nothing_of_themselves(data):
    adding = Forwarding("192.0.2.9", "http", trusted=False)
    for kind, part in kinds(data):
        if kind is HEAD:
            added = adding.add(part)
            assert added.endswith(b"\r\n" + PROTO + FOR + b"\r\n")
            rest = added.removesuffix(PROTO + FOR + b"\r\n").lower().replace(b"_", b"-")
            assert b"\nx-forwarded-for:" not in rest
            assert b"\nx-forwarded-proto:" not in rest
            assert kinds(added) == [(HEAD, added)]


@pytest.mark.parametrize(
    ("fields", "trusted", "expected"),
    [
        (b"A: b\r\n", True, b"A: b\r\n" + PROTO + FOR),
        (b"x-forwarded-FOR: 1\r\n", True, b"x-forwarded-FOR: 1\r\n" + PROTO),
        (b"X-Forwarded-Proto: https\r\n", True, b"X-Forwarded-Proto: https\r\n" + FOR),
        (b"X_Forwarded_For: 1\r\n", True, b"X_Forwarded_For: 1\r\n" + PROTO + FOR),
        (b"X-Forwarded-For: 1\r\nx-forwarded_for:\r\nA: b\r\nX-Forwarded-Proto: x\r\n", False,
         b"A: b\r\n" + PROTO + FOR),
        (b"A: x-forwarded-for: 1\r\n", False, b"A: x-forwarded-for: 1\r\n" + PROTO + FOR),
    ],
)  # fmt: skip
def test_headers(fields, trusted, expected):
    start = b"GET / HTTP/1.1\r\n"
    adding = Forwarding("192.0.2.9", "http", trusted)
    assert adding.add(start + fields + b"\r\n") == start + expected + b"\r\n"


def test_a_client_without_address():
    head = Forwarding("", "https", trusted=True).add(GET)
    assert head == GET[:-2] + b"X-Forwarded-Proto: https\r\n\r\n"
