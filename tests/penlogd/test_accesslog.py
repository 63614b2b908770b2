"""Lines of all the usual shapes are read, and only their client changes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import ByShape, unescape, unreadable
from penlogd.stamps import Stamps

STAMP = b"[23/Nov/2026:16:00:45 +0000]"
SECONDS = 1795449645.0


def read(line):
    return ByShape().read(line, b"10.0.0.1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b' - - %b "GET /a HTTP/1.1" 200 5'),
        (b"", b' - - %b "GET /a HTTP/1.1" 200 5 "-" "agent \\"x\\"" 123'),
        (b"www.example.com:80 ", b' - - %b "GET /a HTTP/1.1" 200 5'),
        (b"[::1]:80 ", b' - - %b "GET /a HTTP/1.1" 200 5'),
        (b"", b' - john doe %b "GET /a HTTP/1.1" 200 5'),
        (b"", b' - "" %b "GET /a HTTP/1.1" 200 5'),
        (b"", b' - a[b]"c %b "GET /a HTTP/1.1" 200 5'),
    ],
)
@pytest.mark.parametrize("client", [b"127.0.0.1", b"2001:db8::7", b"pen.example.com"])
def test_usual_lines_are_read_and_only_the_client_changes(before, after, client):
    after = after % STAMP
    line = read(before + client + after)
    assert (line.request, line.stamp, line.shape.precision) == (b"GET /a HTTP/1.1", SECONDS, 1.0)
    assert line.with_client(b"10.9.9.9") == before + b"10.9.9.9" + after


def test_a_stamp_with_a_fraction_is_precise():
    line = read(b'a - - [23/Nov/2026:16:00:45.250 +0000] "GET /" 200')
    assert (line.stamp, line.shape.precision) == (SECONDS + 0.25, 0.0)


@pytest.mark.parametrize("stamp", [b"[yesterday]", b"[99/Foo/2026:16:00:45 +0000]", b"x"])
def test_a_line_without_a_readable_time_still_has_client_and_request(stamp):
    line = read(b"127.0.0.1 - - " + stamp + b' "GET /a HTTP/1.1" 200')
    assert (line.request, line.stamp) == (b"GET /a HTTP/1.1", None)
    assert line.with_client(b"c").startswith(b"c - - ")


def test_syslog_headers_and_lines_without_quotes_are_left_alone():
    assert read(b'<190>Nov 23 16:00:45 h nginx: 127.0.0.1 - - [x] "GET / HTTP/1.1" 200') is None
    assert read(b"nothing in quotes") is None
    assert unreadable(b"nothing in quotes\r", b"s").text == b"nothing in quotes\r"
    assert unreadable(b" \t ", b"s") is None
    assert unreadable(b"binary \x00\x01", b"s") is None


def test_a_request_may_hold_nul_and_bytes_above_127_and_newlines_escaped():
    line = read(b"a - - " + STAMP + rb' "GET /\x00\xff\n\"\\ ' + b'\0\xc3" 400 0')
    assert line.request == b'GET /\x00\xff\n"\\ \0\xc3'


@pytest.mark.parametrize(
    ("logged", "raw"),
    [
        (rb"GET /\"x\"", b'GET /"x"'),
        (rb"\x22\xC3\xa9\t", b'"\xc3\xa9\t'),
        (rb"\\x22", rb"\x22"),
        (rb"\xzz\q", b"xzzq"),
    ],
)
def test_escapes_of_apache_and_nginx_are_undone(logged, raw):
    assert unescape(logged) == raw


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"23/Nov/2026:16:00:45 +0000", SECONDS),
        (b"23/Nov/2026:21:30:45 +0530", SECONDS),
        (b"23/Nov/2026:16:00:60 +0000", SECONDS + 14),
        (b"2026-11-23T16:00:45Z", SECONDS),
        (b"2026-11-23T18:00:45.5+02:00", SECONDS + 0.5),
        (b"01/Jan/1970:00:00:00 +0000", 0.0),
        (b"", None),
        (b"\xff\x00", None),
        (b"2026-11-23 16:00:45.250+00", SECONDS + 0.25),  # as long as Apache's
        (b"99/Nov/2026:16:00:45 +0000", None),
        (b"23/Nov/2026:16:00:4x +0000", None),
    ],
)
def test_stamps_of_many_shapes(text, seconds):
    stamps = Stamps()
    assert stamps[text] == seconds
    assert stamps[text] == seconds


def test_stamps_read_a_minute_at_a_time_are_the_same():
    stamps = Stamps()
    for second in range(0, 200_000, 7):
        for zone, ahead in ((b"+0000", 0), (b"-0330", -12_600)):
            when = time.strftime("%d/%b/%Y:%H:%M:%S ", time.gmtime(second + ahead)).encode()
            assert stamps[when + zone] == second


@given(
    st.binary(max_size=300) | st.binary(max_size=60).map(lambda b: b"a - - " + STAMP + b' "' + b)
)
def test_any_bytes_are_a_line_or_none(text):
    line = read(text) or unreadable(text, b"s")
    if line is not None:
        assert line.text == text
        start, end = line.client_start, line.client_end
        assert line.with_client(text[start:end]) == text


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_stamp_is_a_time_or_none(text):
    assert Stamps()[text] is None or isinstance(Stamps()[text], float)
