"""The record formats: as Debian's pen 0.34.1 was seen to write them, and any bytes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlog.records import (
    DATAGRAM_LIMIT,
    DATAGRAM_REQUEST_MINIMUM,
    RecordError,
    about_connection,
    connection_line,
    datagram,
    file_line,
    find_connections,
    parse_connection,
    parse_datagram,
    parse_file_line,
    split_connection,
)

# (piece read from the client, request in the file, request in the datagram), seen with pen 0.34.1.
SEEN = [
    (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /a HTTP/1.1", b"GET /a HTTP/1.1"),
    (b"no newline", b"no newline", b"no newline"),
    (b"\r\nGET /c\r\n", b"", b""),
    (b"a\rb\nc", b"a", b"a"),
    (b"\n", b"", b""),
    (b"  lead\n", b"  lead", b"  lead"),
    (b"\0\1\2tab\there\x7f\x80\xff\n", b"\0\1\2tab\there\x7f..", b"\0\1\2tab\there\x7f\x80\xff"),
    (b"nul\0after\n", b"nul\0after", b"nul\0after"),
    (b'end "quote" \\\\ \x1b[0m\r\r\n', b'end "quote" \\\\ \x1b[0m', b'end "quote" \\\\ \x1b[0m'),
    (b"y" * 99 + b"\n", b"y" * 99, b"y" * 99),
    (b"y" * 101 + b"\n", b"y" * 100, b"y" * 101),
    (b"z" * 3000 + b"\n", b"z" * 100, b"z" * (1024 - 23)),
]


@pytest.mark.parametrize(("piece", "in_file", "in_datagram"), SEEN)
def test_records_are_written_as_pen_0_34_1_writes_them(piece, in_file, in_datagram):
    assert file_line("127.0.0.9", 1795449645, "127.0.0.5", piece) == (
        b"127.0.0.9 1795449645 127.0.0.5 " + in_file + b"\n"
    )
    assert datagram("127.0.0.9", "127.0.0.5", piece) == (
        b"+ 127.0.0.9 127.0.0.5 " + in_datagram + b"\n"
    )


def test_the_longest_addresses_leave_room_for_the_compared_part():
    address = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%" + "i" * 15
    record = parse_datagram(datagram(address, address, b"x" * 5000))
    assert len(record.request) >= DATAGRAM_REQUEST_MINIMUM


@given(st.binary(max_size=3000))
def test_what_is_written_can_be_read_back(piece):
    data = datagram("2001:db8::1", "127.0.0.5", piece)
    assert len(data) <= DATAGRAM_LIMIT
    record = parse_datagram(data)
    assert (record.client, record.server) == (b"2001:db8::1", b"127.0.0.5")
    assert piece.startswith(record.request)

    line = file_line("10.0.0.1", 17, "::1", piece)
    assert line.count(b"\n") == 1
    kept = parse_file_line(line)
    assert (kept.client, kept.epoch, kept.server) == (b"10.0.0.1", 17, b"::1")
    assert len(kept.request) <= 100


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\n",
        b"+ ",
        b"+ a b",
        b"+  b GET",
        b"- a b GET",
        b"+ a\0 b GET",
        b'+ a" b GET',
        b"+ a b one\ntwo\n",
        b"+a b c d",
    ],
)
def test_a_datagram_that_is_no_record_is_refused(bad):
    with pytest.raises(RecordError, match="not a record"):
        parse_datagram(bad)


@pytest.mark.parametrize(
    "bad", [b"", b"a 12 b", b"a -1 b GET", b"a 1.5 b GET", b"a 9999999999999 b GET", b"a 1  GET"]
)
def test_a_line_that_is_no_record_is_refused(bad):
    with pytest.raises(RecordError, match="not a record"):
        parse_file_line(bad)


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: b"+ a b " + tail))
def test_any_bytes_are_a_record_or_the_declared_error(data):
    for parse in (parse_datagram, parse_file_line):
        try:
            record = parse(data)
        except RecordError:
            continue
        assert record.client
        assert b"\n" not in record.request


ABOUT = about_connection(
    "tcp", ("2001:db8::9", 51234), ("10.0.0.254", 40001), ("10.0.0.1", 80), 1795449645.25
)


def test_a_connection_record_tells_all_there_is_to_say():
    line = connection_line(ABOUT, 12.5, 1234, 5678, "done")
    assert line == (
        b"=1 end tcp 2001:db8::9 51234 10.0.0.254 40001 10.0.0.1 80"
        b" 1795449645.250000 12.500000 1234 5678 done\n"
    )
    connection = parse_connection(line)
    assert (connection.ended, connection.protocol, connection.reason) == (True, "tcp", "done")
    assert (connection.client, connection.client_port) == (b"2001:db8::9", 51234)
    assert (connection.source, connection.source_port) == (b"10.0.0.254", 40001)
    assert (connection.server, connection.server_port) == (b"10.0.0.1", 80)
    assert (connection.opened, connection.lasted) == (1795449645.25, 12.5)
    assert (connection.up, connection.down) == (1234, 5678)
    assert not parse_connection(connection_line(ABOUT, 0.0, 0, 0, None)).ended


@given(st.text(max_size=60), st.floats(-1e9, 1e9))
def test_a_connection_record_is_one_line_that_penlogd_0_34_1_passes_over(reason, lasted):
    line = connection_line(ABOUT, lasted, 0, 0, reason)
    assert line.count(b"\n") == 1
    assert b'"' not in line
    assert not line.startswith(b"+ ")
    assert parse_connection(line).ended


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"=1 open tcp a 1 " + tail))
def test_any_bytes_are_a_connection_record_or_the_one_error(data):
    try:
        parse_connection(data)
    except RecordError:
        pass


lines = (
    st.sampled_from([b"open", b"end", b"shut"])
    .flatmap(lambda event: st.binary(max_size=9).map(lambda tail: (event, tail)))
    .map(lambda parts: b"=1 %b %b 1.5 2 3 %b" % (parts[0], ABOUT.encode(), parts[1]))
)


@given(st.lists((lines | st.binary(max_size=30)).map(lambda line: line.replace(b"\n", b""))))
def test_many_connection_records_are_found_as_one_by_one(some):
    expected = []
    for line in some:
        try:
            fields = split_connection(line)
        except RecordError:
            continue
        place, about = b" ".join((*fields[4:6], fields[6])), b" ".join(fields[1:9])
        expected.append((fields[0], about, fields[2], place, fields[7], fields[9]))
    assert find_connections(b"\n".join(some)) == expected


@pytest.mark.parametrize("version", [b"=2", b"=", b"=1 shut", b"= 1"])
def test_other_versions_and_events_are_no_connection_records(version):
    line = connection_line(ABOUT, 1.0, 0, 0, None).replace(b"=1 open", version)
    with pytest.raises(RecordError, match="not a connection record"):
        parse_connection(line)
