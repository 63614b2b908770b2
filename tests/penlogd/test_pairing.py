"""Which record is a line's, in files: the oldest that its stamp allows, each used once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import Shape
from penlogd.pairing import LONG, SECOND, Pairing
from tests.penlogd.lines import GET, SERVER, client, line


def records(*times, window=60.0, kept=1e9):
    pairing = Pairing(window, kept)
    for when in times:
        pairing.add(SERVER, GET, client(when), when)
    return pairing


def nearest(pairing, began, latest):
    found = pairing.client(line(began, shape=Shape(precision=latest - began)), GET, began)
    return None if found is None else found[0]


def test_each_record_is_used_once():
    pairing = records(10)
    assert nearest(pairing, 10, 11) == client(10)
    assert nearest(pairing, 10, 11) is None


@pytest.mark.parametrize(
    ("began", "latest", "expected"),
    [(10, 11, 10), (13, 14, 10), (17, 18, 20), (20, 20, 20), (9, 31, 10), (40, 41, 30), (1, 2, 10)],
)
def test_the_nearest_in_time_is_taken_and_within_the_span_the_oldest(began, latest, expected):
    assert nearest(records(10, 20, 30), began, latest) == client(expected)


def test_a_record_outside_the_window_is_not_its_own():
    pairing = records(10, window=5)
    assert nearest(pairing, 16, 17) is None
    assert nearest(pairing, 3, 4) is None
    assert nearest(pairing, 15, 16) == client(10)


def test_old_records_are_forgotten():
    pairing = records(1, 2, 3, 100, kept=50, window=1000)
    assert len(pairing) == 1
    assert nearest(pairing, 1, 2) == client(100)


@given(
    st.lists(st.integers(0, 50), max_size=30).map(sorted),
    st.lists(st.tuples(st.integers(-5, 55), st.integers(0, 3)), max_size=40),
)
def test_as_the_plain_search_through_a_list(times, spans):
    pairing, model = records(*times, window=10), list(times)

    for began, length in spans:
        latest = began + length
        inside = [t for t in model if began <= t <= latest]
        others = sorted(model, key=lambda t: began - t if t < began else t - latest + SECOND)
        when = (inside or others or [99])[0]
        expected = began - 10 <= when <= latest + 10
        assert nearest(pairing, began, latest) == (client(when) if expected else None)
        if expected:
            model.remove(when)


def test_many_records_of_one_request_stay_in_order():
    pairing = records(*range(3 * LONG), window=1e9)
    for when in (5, 2500, 1234, LONG, LONG + 1):
        assert nearest(pairing, when, when) == client(when)
    assert nearest(pairing, 1234, 1234) == client(1233)


def test_at_the_edge_of_a_second_the_older_record_is_preferred():
    assert nearest(records(10, 12), 10.9, 11.9) == client(10)
    assert nearest(records(10, 13), 11.6, 12.6) == client(13)
    assert nearest(records(10, 11), 10.01, 11.01) == client(10)


def test_a_clock_that_is_wrong_is_learnt():
    pairing = Pairing(600.0, 1e9)
    for number in range(60):
        request = b"GET /%d" % number
        pairing.add(SERVER, request, b"c", 60.0 + number)
        pairing.client(line(63.0 + number, request=request), request, 63.0 + number)
    for when in (200, 201, 202, 203, 204):
        pairing.add(SERVER, GET, client(when), when)
    assert pairing.client(line(205.0), GET, 205.0) == (client(202), True)
