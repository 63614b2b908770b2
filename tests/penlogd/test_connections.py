"""Whose a port of pen's was at some time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.connections import MARGIN, SILENCE, Connections, Unknown, place_of

KEY = place_of(b"10.0.0.254", b"40001", b"10.0.0.1")
OTHER = place_of(b"x", b"1", b"y")
KEEP = 12.0


class Told:
    """News of connections, shortly."""

    def __init__(self, **options):
        self.connections = Connections(KEEP, **options)

    def open(self, client, now, *, port=b"80", lasted=0.0, key=KEY):
        identity = b"%s %s %s since %.1f" % (client, key, port, now - lasted)
        self.connections.tell(key, port, client, identity, lasted, now, ended=False)

    def end(self, client, opened, now, *, port=b"80", key=KEY):
        identity = b"%s %s %s since %.1f" % (client, key, port, opened)
        self.connections.tell(key, port, client, identity, now - opened, now, ended=True)

    def whose(self, began, latest=None, *, port=b"80", key=KEY):
        return self.connections.client(key, port, began, began if latest is None else latest)


@pytest.fixture
def told():
    return Told()


def test_a_port_belongs_to_the_connection_that_had_it_at_that_time(told):
    told.open(b"a", 100)
    told.end(b"a", 100, 105)
    told.open(b"b", 106)
    assert told.whose(100) == told.whose(103) == told.whose(105.4) == b"a"
    assert told.whose(105.6) == told.whose(106) == told.whose(500) == b"b"


def test_a_line_may_come_before_the_record_and_after_the_end(told):
    told.open(b"a", 100)
    told.end(b"a", 100, 101)
    assert told.whose(99) == told.whose(101 + KEEP) == b"a"
    assert told.whose(101.1 + KEEP) is told.whose(100 - KEEP - 1) is Unknown.MISSING


def test_of_two_that_were_open_in_a_span_the_newer_has_it(told):
    told.open(b"a", 100)
    told.end(b"a", 100, 101)
    told.open(b"b", 101.5)
    assert told.whose(100, 102) == b"b"


def test_when_the_clock_is_set_back_all_happened_by_the_new_one(told):
    told.open(b"a", 3700)
    told.end(b"a", 3700, 3710)
    told.open(b"b", 3711)
    told.connections.shift(-3600)
    assert (told.whose(105), told.whose(115)) == (b"a", b"b")
    told.open(b"c", 120, key=OTHER)  # looks who is silent
    assert told.whose(115) == b"b"


def test_a_new_connection_ends_one_whose_end_was_not_told(told):
    told.open(b"a", 100)
    told.open(b"b", 110)
    assert (told.whose(109), told.whose(111)) == (b"a", b"b")
    told.end(b"a", 100, 112)  # comes late
    assert told.whose(113) == b"b"


def test_any_one_record_is_enough(told):
    told.open(b"a", 160, lasted=60.0)
    assert told.whose(101) == b"a"
    told.end(b"b", 100, 170, key=OTHER)
    assert told.whose(120, key=OTHER) == b"b"


def test_other_ports_and_addresses_are_others(told):
    told.open(b"a", 100)
    assert told.whose(100, port=b"443") is Unknown.MISSING
    for number, part in enumerate(KEY.split()):
        key = KEY.replace(part, b"1%d" % number)
        assert told.whose(100, key=key) is Unknown.MISSING


def test_without_the_servers_port_two_at_once_are_not_guessed(told):
    told.open(b"a", 100)
    assert told.whose(100, port=None) == b"a"
    told.open(b"b", 101, port=b"81")
    assert told.whose(103, port=None) is Unknown.AMBIGUOUS
    assert (told.whose(103), told.whose(103, port=b"81")) == (b"a", b"b")
    told.end(b"a", 100, 105)
    assert told.whose(105 + MARGIN + 0.1, port=None) == b"b"
    assert told.whose(105 + MARGIN / 2, port=None) is Unknown.AMBIGUOUS


def test_two_at_once_of_the_same_client_are_no_doubt(told):
    told.open(b"a", 100)
    told.open(b"a", 101, port=b"81")
    assert told.whose(103, port=None) == b"a"


def test_what_ended_long_ago_is_forgotten(told):
    told.open(b"a", 100)
    told.end(b"a", 100, 101)
    told.open(b"b", 101.1 + KEEP, key=OTHER)
    assert len(told.connections) == 1
    assert told.whose(100) is Unknown.MISSING


def test_an_open_connection_is_kept_while_pen_tells_of_it(told):
    told.open(b"a", 100)
    told.open(b"b", 100, key=OTHER)
    for now in range(160, 1000, 60):
        told.open(b"a", now, lasted=now - 100)
    assert told.whose(990) == b"a"
    assert len(told.connections) == 1
    told.open(b"c", 960 + SILENCE + 1, key=place_of(b"x", b"2", b"y"))
    assert len(told.connections) == 1


def test_a_flood_of_connections_takes_bounded_memory():
    told = Told(ceiling=10)
    for number in range(1000):
        told.open(b"c%d" % number, 100 + number / 1000, key=place_of(b"x", b"%d" % number, b"y"))
    assert len(told.connections) == len(told.connections._known) == 10
    assert told.whose(101, key=place_of(b"x", b"999", b"y")) == b"c999"


news = st.tuples(
    st.sampled_from([b"a", b"b"]), st.sampled_from([b"80", b"81"]), st.booleans(),
    st.sampled_from([b"1", b"2"]), st.floats(0, 30),
)  # fmt: skip


@given(st.lists(news, max_size=60))
def test_any_news_in_any_order_keep_the_books_right(some):
    connections, now = Connections(KEEP, ceiling=8), 1000.0
    for number, (client, port, ended, source, pause) in enumerate(some):
        now += pause
        key = place_of(b"10.0.0.254", source, b"10.0.0.1")
        identity = b"%b %b %b" % (key, port, client if ended else b"%d" % number)
        connections.tell(key, port, client, identity, pause, now, ended=ended)
        listed = sum(map(len, connections._known.values()))
        assert listed == len(connections) <= 8
        assert all(connections._known.values())
        if not ended:
            assert connections.client(key, port, now, now) in (b"a", b"b")
