"""A line that is too long for a datagram loses only the tail of a quoted field."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from penlog.fitting import MARK, fit

HEAD = b'10.0.0.1 - - [23/Nov/2026:16:00:45 +0000] "GET /'
FIELD = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def test_a_line_that_fits_stays_as_it_is():
    line = HEAD + b'x HTTP/1.1" 200 5'
    assert fit(line, len(line)) is line


def test_only_the_tail_of_a_long_request_goes():
    line = HEAD + b"x" * 5000 + b' HTTP/1.1" 200 5 "-" "agent"'
    short = fit(line, 1000)
    assert len(short) == 1000
    assert short.startswith(HEAD + b"xxx")
    assert short.endswith(MARK + b'" 200 5 "-" "agent"')


def test_only_the_tail_of_a_long_user_agent_goes():
    line = HEAD + b'x HTTP/1.1" 200 5 "-" "' + b"a" * 3000 + b'"'
    short = fit(line, 1000)
    assert short.startswith(HEAD + b'x HTTP/1.1" 200 5 "-" "aaa')
    assert short.endswith(b"a" + MARK + b'"')


def test_two_long_fields_both_lose_their_tails():
    line = HEAD + b"x" * 3000 + b'" 200 5 "-" "' + b"a" * 4000 + b'"'
    short = fit(line, 1000)
    assert len(short) <= 1000
    assert short.startswith(HEAD)
    assert short.count(MARK) == 2
    assert b'" 200 5 "-" "' in short


def test_escapes_are_not_cut_in_two():
    line = HEAD + b'\\"\\x22' * 500 + b'" 200 5'
    for limit in range(900, 920):
        short = fit(line, limit)
        assert len(short) <= limit
        request = FIELD.findall(short)[0]
        assert re.fullmatch(rb'"GET /(?:\\"|\\x22)*\[cut\]"', request)


def test_a_quote_that_is_never_closed_is_closed_by_the_cut():
    short = fit(HEAD + b"x" * 5000, 1000)
    assert len(short) <= 1000
    assert FIELD.search(short)
    assert MARK in short


def test_a_megabyte_of_quotes_and_backslashes_takes_no_long_time():
    began = time.process_time()
    for text in (b'"' * 1_000_000, b"\\" * 1_000_000, b'"\\' * 500_000, b'"' + b"x" * 1_000_000):
        assert len(fit(text, 65506)) <= 65506
    assert time.process_time() - began < 5


@given(st.binary(max_size=4000), st.integers(512, 2000))
def test_any_bytes_fit(line, limit):
    assert len(fit(line, limit)) <= limit
