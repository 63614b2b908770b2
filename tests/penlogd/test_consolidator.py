"""The engine: datagrams in, finished lines out, nothing good dropped."""

from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import ByShape
from penlogd.attribution import Attribution
from penlogd.consolidator import Consolidator, canonical
from penlogd.ordering import ReorderBuffer

NOW = 1795449645.5
PEN, WWW = "10.0.0.254", "10.0.0.1"


def engine(hold=2.0):
    buffer = ReorderBuffer(hold) if hold else None
    return Consolidator(ByShape(), Attribution(1000, spared=10), buffer)


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
    assert (counted.unmatched, counted.joined, counted.guessed) == (1, 1, 1)


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


datagrams = (
    st.binary(max_size=80)
    | st.binary(max_size=40).map(lambda tail: b"+ 1.1.1.1 10.0.0.1 " + tail)
    | st.binary(max_size=40).map(lambda t: b'x - - [23/Nov/2026:16:00:45 +0000] "' + t + b'" 1')
)


@given(st.lists(datagrams, max_size=20), st.sampled_from([0, 2.0]))
def test_every_line_of_any_datagrams_is_written_or_counted(batch, hold):
    consolidator = engine(hold)
    consolidator.take([(data, WWW) for data in batch], NOW)
    written = consolidator.due(NOW) + consolidator.flush()
    assert len(written) == consolidator.statistics.lines
    texts = sum(
        data.removesuffix(b"\n").count(b"\n") + 1 for data in batch if not data.startswith(b"+ ")
    )
    assert texts == consolidator.statistics.lines + consolidator.statistics.garbage


def test_each_finished_line_is_known_by_its_number():
    consolidator = engine()
    consolidator.serial = 7
    consolidator.take([line(second=46), record("1.1.1.1"), (b"\0\n", WWW), line(second=45)], NOW)
    assert consolidator.due(NOW) == []
    assert (consolidator.serials, consolidator.serial) == ([], 11)
    assert len(consolidator.due(NOW + 3)) == 2
    assert consolidator.serials == [10, 7]
