"""The engine: datagrams in, finished lines out, nothing good dropped."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlog.records import about_connection, connection_line
from penlogd.accesslog import ByShape, Order
from penlogd.attribution import Attribution
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator, canonical
from penlogd.formats import COMMON, make_format
from penlogd.ordering import ReorderBuffer

NOW = 1795449645.5
PEN, WWW = "10.0.0.254", "10.0.0.1"


def engine(hold=2.0):
    buffer = ReorderBuffer(hold) if hold else None
    return Consolidator(ByShape(), Attribution(1000, spared=10), Connections(hold + 10), buffer)


PORTS = '%h %l %u %t "%r" %>s %b %{remote}p %{local}p %D'


def exact_engine(*formats, hold=2.0, order=Order.STAMP, server_field=None, **options):
    return Consolidator(
        make_format(formats or [PORTS], server_field=server_field),
        Attribution(1000, spared=10),
        Connections(hold + 10),
        ReorderBuffer(hold) if hold else None,
        order=order,
        **options,
    )


def connection(client, source, *, server=WWW, port=80, ended=None, opened=NOW, lasted=0.0):
    about = about_connection("tcp", (client, 999), (PEN, source), (server, port), opened)
    return connection_line(about, lasted, 0, 0, ended), PEN


def seen(source, *, port=80, took=0.0, request="GET /a HTTP/1.1", server=WWW):
    """A line that shows both ports and how long the request took."""
    text, _ = line(request)
    return b"%b %d %d %d\n" % (text.strip(), source, port, took * 1e6), server


def record(client, request="GET /a HTTP/1.1", server=WWW):
    return f"+ {client} {server} {request}\n".encode(), PEN


def line(request="GET /a HTTP/1.1", second=45, server=WWW):
    text = f'{PEN} - - [23/Nov/2026:16:00:{second} +0000] "{request}" 200 5'
    return text.encode() + b"\n", server


def clients(lines):
    return [text.split()[0].decode() for text in lines]


def test_a_line_gets_the_client_of_its_record():
    consolidator = engine()
    consolidator.take([record("1.1.1.1"), line()], NOW)
    assert consolidator.due(NOW) == []
    assert consolidator.due(NOW + 2.1) == [
        b'1.1.1.1 - - [23/Nov/2026:16:00:45 +0000] "GET /a HTTP/1.1" 200 5'
    ]


def test_a_line_that_comes_before_its_record_waits_for_it():
    consolidator = engine()
    consolidator.take([line()], NOW)
    consolidator.take([record("1.1.1.1")], NOW + 0.2)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1"]


def test_two_clients_that_ask_for_the_same_get_a_line_each():
    consolidator = engine()
    consolidator.take([record("1.1.1.1"), line(), record("2.2.2.2"), line()], NOW)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1", "2.2.2.2"]


def test_as_c_when_nothing_is_held_and_a_record_may_be_used_again():
    consolidator = engine(hold=0)
    consolidator.take([line(), record("1.1.1.1"), line(), line()], NOW)
    assert clients(consolidator.due(NOW)) == [PEN, "1.1.1.1", "1.1.1.1"]
    counted = consolidator.statistics
    assert (counted.unmatched, counted.joined, counted.guessed) == (1, 2, 0)


def test_addresses_compare_however_they_are_spelt():
    consolidator = engine(hold=0)
    spelt = "2001:DB8:0:0::1"
    consolidator.take([record("1.1.1.1", server=spelt), line(server="2001:db8::1")], NOW)
    consolidator.take([record("2.2.2.2"), line(server=f"::ffff:{WWW}")], NOW)
    assert clients(consolidator.due(NOW)) == ["1.1.1.1", "2.2.2.2"]
    assert canonical("www1") == b"www1"


def test_several_lines_in_a_datagram_are_several_lines():
    consolidator = engine(hold=0)
    consolidator.take([(line()[0] + line("GET /b HTTP/1.1")[0] + b"\n", WWW)], NOW)
    assert len(consolidator.due(NOW)) == 2
    assert consolidator.statistics.garbage == 1


def test_bad_datagrams_are_counted_and_plausible_lines_are_written():
    consolidator = engine()
    bad = [b"", b"\n", b"\0\1\2", b"+ x", b"+ a b", b"\xff\xfe\x00" * 21_000]
    consolidator.take([(data, WWW) for data in bad], NOW)
    consolidator.take([(b"a server error, unquoted\n", WWW)], NOW)
    assert consolidator.flush() == [b"a server error, unquoted"]
    counted = consolidator.statistics
    assert (counted.bad_records, counted.garbage, counted.unreadable) == (2, 4, 1)


def test_late_lines_are_written_at_once_and_counted():
    consolidator = engine()
    consolidator.take([line(second=45)], NOW)
    assert len(consolidator.due(NOW + 2.1)) == 1
    consolidator.take([record("1.1.1.1"), line(second=40)], NOW + 3)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1"]
    assert consolidator.statistics.late == 1


def counted(consolidator):
    """The statistics that are not 0, without those of what came in."""
    told = dict(word.split("=") for word in consolidator.statistics.text().split())
    return {
        name: int(value)
        for name, value in told.items()
        if value != "0" and name not in ("records", "connections", "lines")
    }


def test_clients_that_ask_for_the_same_at_once_are_told_apart_by_the_port():
    consolidator = exact_engine()
    consolidator.take([connection(f"1.1.1.{n}", 40000 + n) for n in range(20)], NOW)
    order = [7, 3, 19, 0, 3, 3, 12]
    consolidator.take([seen(40000 + n) for n in order], NOW + 0.1)
    assert clients(consolidator.due(NOW + 3)) == [f"1.1.1.{n}" for n in order]
    assert counted(consolidator) == {"exact": 7}


def test_the_port_decides_before_any_record_of_requests():
    consolidator = exact_engine()
    consolidator.take([connection("1.1.1.1", 40001), record("2.2.2.2"), seen(40001)], NOW)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1"]


def test_a_connection_may_be_told_of_after_the_line():
    consolidator = exact_engine()
    consolidator.take([seen(40001)], NOW)
    consolidator.take([connection("1.1.1.1", 40001)], NOW + 0.5)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1"]


def test_a_slow_request_belongs_to_who_had_the_port_when_it_began():
    consolidator = exact_engine(hold=1.0)
    consolidator.take([connection("1.1.1.1", 40001)], NOW)
    consolidator.take([connection("1.1.1.1", 40001, ended="gone", lasted=1.0)], NOW + 1)
    consolidator.take([connection("2.2.2.2", 40001, opened=NOW + 2)], NOW + 2)
    consolidator.take([seen(40001, took=5.5), seen(40001, took=3.0)], NOW + 6)
    assert clients(consolidator.flush()) == ["1.1.1.1", "2.2.2.2"]


def test_a_port_without_a_record_is_counted_and_falls_to_the_next_rules():
    consolidator = exact_engine()
    consolidator.take([record("1.1.1.1"), seen(40001), seen(40001)], NOW)
    consolidator.take([seen(40002, request="GET /b HTTP/1.1")], NOW)
    assert clients(consolidator.due(NOW + 3)) == ["1.1.1.1", "1.1.1.1", PEN]
    assert counted(consolidator) == {"exact_missing": 3, "joined": 2, "unmatched": 1}


def test_two_servers_on_one_address_are_told_apart_by_their_port_or_not_guessed():
    both = [connection("1.1.1.1", 40001, port=80), connection("2.2.2.2", 40001, port=81)]
    consolidator = exact_engine()
    consolidator.take([*both, seen(40001, port=81), seen(40001, port=80)], NOW)
    assert clients(consolidator.flush()) == ["2.2.2.2", "1.1.1.1"]
    consolidator = exact_engine('%h %l %u %t "%r" %>s %b %{remote}p')
    text, sender = line()
    consolidator.take([*both, record("3.3.3.3"), (text.strip() + b" 40001", sender)], NOW)
    assert clients(consolidator.flush()) == [PEN]
    assert counted(consolidator) == {"ambiguous": 1}


def test_many_records_come_in_a_datagram_and_bad_ones_among_them_are_counted():
    consolidator = exact_engine()
    told = b"".join(connection(f"1.1.1.{n}", 40000 + n)[0] for n in range(9))
    consolidator.take([(told + b"=1 nonsense\n=2 open later version\n", PEN), seen(40008)], NOW)
    assert clients(consolidator.flush()) == ["1.1.1.8"]
    assert (consolidator.statistics.connections, consolidator.statistics.bad_records) == (9, 2)
    assert consolidator.serial == 12


SYSLOG = [
    (b"<190>Nov 25 21:00:00 host nginx: ", {b"nginx": b"10.0.0.1"}),
    (b"<190>Nov  5 21:00:00 nginx: ", {b"nginx": b"10.0.0.1"}),
    (b"<13>Nov  5 21:00:00 www1 httpd[77]: ", {b"www1": b"10.0.0.1"}),
    (b"<190>1 2026-11-25T21:00:00.1Z www1 httpd 77 - [a b] ", {b"httpd": b"10.0.0.1"}),
    (b"<190>1 2026-11-25T21:00:00.1Z www1 httpd 77 - - \xef\xbb\xbf", {b"www1": b"10.0.0.1"}),
    (b"<190>Nov 25 21:00:00 host other: ", {b"nginx": b"10.0.0.7"}),
]


@pytest.mark.parametrize(("header", "servers"), SYSLOG)
def test_a_syslog_header_goes_and_names_the_server(header, servers):
    consolidator = exact_engine("common", servers=servers)
    sender = WWW if b"other" in header else "10.9.9.9"
    consolidator.take([record("1.1.1.1"), (header + line()[0], sender)], NOW)
    assert consolidator.flush() == [line()[0].strip().replace(PEN.encode(), b"1.1.1.1")]


@pytest.mark.parametrize("named", ["www1", "10.0.0.1", "::ffff:10.0.0.1"])
def test_a_field_of_the_line_names_the_server(named):
    consolidator = exact_engine("%v " + COMMON, server_field="%v", servers={b"www1": b"10.0.0.1"})
    text = named.encode() + b" " + line()[0]
    consolidator.take([record("1.1.1.1"), (text, "10.9.9.9")], NOW)
    assert consolidator.flush()[0].split()[:2] == [named.encode(), b"1.1.1.1"]


def test_order_by_the_end_of_requests():
    slow, quick = seen(1, took=1.5), seen(2, took=0.1)
    for order, expected in [(Order.START, [b"1", b"2"]), (Order.END, [b"2", b"1"])]:
        consolidator = exact_engine(order=order)
        consolidator.take([slow, quick], NOW + 2)
        assert [text.split()[-3] for text in consolidator.flush()] == expected


def test_the_duration_finds_the_record_whatever_the_servers_clock_says():
    consolidator = exact_engine('%h %l %u %t "%r" %>s %b %D', hold=30.0)
    for second in range(10):
        consolidator.take([record(f"1.1.1.{second}")], NOW + second)
    text, sender = line(second=10)  # its clock is 35 s slow
    lines = [(text.strip() + b" %d" % (took * 1e6), sender) for took in (6.98, 0.99, 4.98)]
    consolidator.take(lines, NOW + 10)
    assert clients(consolidator.flush()) == ["1.1.1.3", "1.1.1.9", "1.1.1.5"]


def test_what_is_read_at_once_may_have_come_at_different_times():
    consolidator = exact_engine('%h %l %u %t "%r" %>s %b %D')
    text, sender = line()
    taken = [record("1.1.1.1"), record("2.2.2.2"), (text.strip() + b" 40000", sender)]
    consolidator.take(taken, [NOW, NOW + 0.03, NOW + 0.04])
    assert clients(consolidator.flush()) == ["1.1.1.1"]


datagrams = (
    st.binary(max_size=80)
    | st.binary(max_size=40).map(lambda tail: b"+ 1.1.1.1 10.0.0.1 " + tail)
    | st.binary(max_size=40).map(lambda tail: connection("1.1.1.1", 7)[0][:50] + tail)
    | st.binary(max_size=40).map(lambda tail: b"<190>Nov 25 21:00:00 h nginx: " + tail)
    | st.binary(max_size=40).map(lambda t: b'x - - [23/Nov/2026:16:00:45 +0000] "' + t + b'" 1')
)


def is_record(data):
    return data.startswith(b"+ ") or (data.startswith(b"=") and data[1:2].isdigit())


@given(st.lists(datagrams, max_size=20), st.sampled_from([0, 2.0]), st.booleans())
def test_every_line_of_any_datagrams_is_written_or_counted(batch, hold, formatted):
    consolidator = exact_engine(PORTS, "common", hold=hold) if formatted else engine(hold)
    consolidator.take([(data, WWW) for data in batch], NOW)
    written = consolidator.due(NOW) + consolidator.flush()
    assert len(written) == consolidator.statistics.lines
    texts = sum(data.removesuffix(b"\n").count(b"\n") + 1 for data in batch if not is_record(data))
    assert texts == consolidator.statistics.lines + consolidator.statistics.garbage


@pytest.mark.parametrize("formats", [["combined"], [PORTS]])
def test_nothing_is_left_to_the_garbage_collector(formats):
    """So that penlogd may run without it: what goes is freed at once, since it is in no cycle."""
    consolidator = exact_engine(*formats)
    consolidator.take([line()], NOW - 10)  # what is read once and kept is not looked at
    gc.collect()
    gc.disable()
    try:
        for number in range(200):
            client, source = f"1.1.1.{number}", 40000 + number
            begin, end = connection(client, source), connection(client, source, ended="done")
            taken = [begin, record(client), seen(source), line(), (b"\0", WWW), end]
            consolidator.take(taken, NOW + number / 10)
            consolidator.due(NOW + number / 10)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_each_finished_line_is_known_by_its_number():
    consolidator = engine()
    consolidator.serial = 7
    consolidator.take([line(second=46), record("1.1.1.1"), (b"\0\n", WWW), line(second=45)], NOW)
    assert consolidator.due(NOW) == []
    assert (consolidator.serials, consolidator.serial) == ([], 11)
    assert len(consolidator.due(NOW + 3)) == 2
    assert consolidator.serials == [10, 7]
