"""Which client: the nearest unused record, then the newest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.attribution import LONG, Attribution

SERVER = b"10.0.0.1"
GET = b"GET / HTTP/1.1"


def records(*times, capacity=None, **options):
    attribution = Attribution(capacity, **options)
    for when in times:
        attribution.add(SERVER, GET, b"client-at-%d" % when, when)
    return attribution


def nearest(attribution, began, latest):
    return attribution.nearest(SERVER, GET, began, latest)


def test_each_record_is_used_once():
    attribution = records(10)
    assert nearest(attribution, 10, 11) == b"client-at-10"
    assert nearest(attribution, 10, 11) is None
    assert attribution.newest(SERVER, GET) == b"client-at-10"


@pytest.mark.parametrize(
    ("began", "latest", "expected"),
    [(10, 11, 10), (13, 14, 10), (16, 17, 20), (20, 20, 20), (9, 31, 30), (40, 41, 30), (1, 2, 10)],
)
def test_the_nearest_in_time_is_taken_and_within_the_span_the_newest(began, latest, expected):
    assert nearest(records(10, 20, 30), began, latest) == b"client-at-%d" % expected


def test_oldest_first_takes_the_oldest_within_the_span():
    attribution = records(10, 20, 30, oldest_first=True)
    assert nearest(attribution, 9, 31) == b"client-at-10"
    assert nearest(attribution, 9, 31) == b"client-at-20"
    assert nearest(attribution, 12, 13) == b"client-at-30"


def test_a_record_outside_the_window_is_not_its_own():
    attribution = records(10, window=5)
    assert nearest(attribution, 16, 17) is None
    assert nearest(attribution, 3, 4) is None
    assert nearest(attribution, 15, 16) == b"client-at-10"


def test_another_server_or_request_is_not_joined():
    attribution = records(10)
    assert attribution.nearest(b"10.0.0.2", GET, 10, 11) is None
    assert attribution.nearest(SERVER, b"GET /x HTTP/1.1", 10, 11) is None
    assert attribution.newest(SERVER, b"GET /x HTTP/1.1") is None


def test_requests_are_compared_as_far_as_pen_may_send_them():
    attribution = Attribution(None)
    attribution.add(SERVER, b"GET /" + b"x" * 995, b"client", 1)
    assert attribution.nearest(SERVER, b"GET /" + b"x" * 8000, 1, 2) == b"client"


def test_beyond_capacity_the_oldest_go():
    attribution = records(*range(10), capacity=3)
    assert len(attribution) == 3
    assert nearest(attribution, 0, 1) == b"client-at-7"


def test_young_records_stay_beyond_capacity():
    attribution = records(1, 2, 3, 4, 5, capacity=2, spared=10)
    assert len(attribution) == 5
    attribution.add(SERVER, GET, b"much later", 100)
    assert len(attribution) == 2
    assert nearest(attribution, 5, 6) == b"client-at-5"


def test_what_is_forgotten_is_forgotten_everywhere():
    attribution = Attribution(2)
    for number in range(100):
        attribution.add(SERVER, b"GET /%d" % number, b"c", float(number))
    assert len(attribution._unused) == len(attribution._newest) == 2


@given(
    st.lists(st.integers(0, 50), max_size=30).map(sorted),
    st.lists(st.tuples(st.integers(-5, 55), st.integers(0, 3)), max_size=40),
)
def test_as_the_plain_search_through_a_list(times, spans):
    attribution, model = records(*times, window=10), list(times)

    def gap(when, began, latest):
        return max(began - when, when - latest, 0)

    for began, length in spans:
        latest = began + length
        found = nearest(attribution, began, latest)
        best = min((gap(t, began, latest) for t in model), default=99)
        if best > 10:
            assert found is None
        else:
            when = int(found.removeprefix(b"client-at-"))
            assert gap(when, began, latest) == best
            model.remove(when)


def test_many_records_of_one_request_stay_in_order():
    times = range(3 * LONG)
    attribution = records(*times, window=1e9)
    for when in (5, 2500, 1234, LONG, LONG + 1):
        assert nearest(attribution, when, when) == b"client-at-%d" % when
    assert nearest(attribution, 1234, 1234) == b"client-at-1233"
    assert len(attribution) == 3 * LONG - 6
