"""Which client, by request and time, as lines come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import BY_SECOND
from penlogd.attribution import Attribution
from tests.penlogd.lines import GET, SERVER, client, line


def records(*times, capacity=1000, **options):
    attribution = Attribution(capacity, **options)
    for when in times:
        attribution.add(SERVER, GET, client(when), when)
    return attribution


def asked(attribution, the_line, came):
    found = attribution.client(the_line, the_line.request, came)
    return None if found is None else found[0]


def test_the_newest_is_taken_at_first_and_more_than_once():
    attribution = records(10, 20, 30)
    assert asked(attribution, line(), 25) == client(20)
    assert asked(attribution, line(), 26) == client(20)


@pytest.mark.parametrize(
    ("came", "took", "expected"), [(31, 11, 20), (31, 20.9, 10), (29, 0, 20), (5, 0, 10)]
)
def test_the_duration_tells_when_the_request_began(came, took, expected):
    assert asked(records(10, 20, 30), line(duration=took), came) == client(expected)


@pytest.mark.parametrize(
    ("stamp", "expected"), [(10, 10), (11, 10), (19, 20), (20, 20), (28, 30), (40, 30), (1, 10)]
)
def test_the_stamp_bounds_it(stamp, expected):
    assert asked(records(10, 20, 30), line(stamp, shape=BY_SECOND), 31) == client(expected)


def test_what_was_asked_long_ago_is_no_more_than_a_guess():
    attribution = records(10)
    assert attribution.client(line(), GET, 69) == (client(10), True)
    assert attribution.client(line(), GET, 71) == (client(10), False)


def test_another_server_or_request_is_not_joined():
    attribution = records(10)
    assert asked(attribution, line(server=b"10.0.0.2"), 10) is None
    assert asked(attribution, line(request=b"GET /x HTTP/1.1"), 10) is None


def test_requests_are_compared_as_far_as_pen_may_send_them():
    attribution = Attribution(10)
    attribution.add(SERVER, b"GET /" + b"x" * 995, b"client", 1)
    assert asked(attribution, line(request=b"GET /" + b"x" * 8000), 2) == b"client"


def test_beyond_capacity_the_oldest_go():
    attribution = records(*range(10), capacity=3)
    assert len(attribution) == 3
    assert asked(attribution, line(), 0) == client(7)


def test_young_records_stay_beyond_capacity():
    attribution = records(1, 2, 3, 4, 5, capacity=2, spared=10)
    assert len(attribution) == 5
    attribution.add(SERVER, GET, b"much later", 100)
    assert len(attribution) == 2
    assert asked(attribution, line(), 6) == client(5)


def test_what_is_forgotten_is_forgotten_everywhere():
    attribution = Attribution(2)
    for number in range(1000):
        attribution.add(SERVER, b"GET /%d" % (number % 3), b"c", float(number))
    assert sum(len(each.times) - each.gone for each in attribution._records.values()) == 2
    assert sum(len(each.times) for each in attribution._records.values()) < 200


@given(
    st.lists(st.integers(0, 50), max_size=30),
    st.integers(1, 30),
    st.lists(st.integers(-5, 55), max_size=10),
)
def test_as_the_plain_search_through_a_list(times, capacity, ends):
    """Also where the clock was set back, so that records do not come in order."""
    attribution = Attribution(capacity)
    for when in times:
        attribution.add(SERVER, GET, client(when), when)
    if times == sorted(times):  # else those go that are the oldest by their times
        assert len(attribution) == min(capacity, len(times))
        times = times[-capacity:]
    for end in ends:
        found = asked(attribution, line(), end)
        before = [when for when in times if when <= end]
        if times == sorted(times):
            assert found == (client((before or times[:1])[-1]) if times else None)
        else:
            assert found in map(client, times)


def come(attribution, count, *, lag, ahead=0.0, took=None, start=0.0):
    """Have lines come, each to a record of its own kind, a tenth of a second apart."""
    for number in range(count):
        when, request = start + 0.1 * number, b"GET /%d" % number
        attribution.add(SERVER, request, b"c", when)
        stamp = float(int(when + ahead))
        each = line(stamp, duration=took, shape=BY_SECOND, request=request)
        assert asked(attribution, each, when + lag + (took or 0.0)) == b"c"


@pytest.mark.parametrize("took", [None, 0.3])
def test_how_late_lines_come_is_learnt(took):
    """Two ask for the same, the second just before the first one's line comes."""
    attribution = records(capacity=10_000)
    come(attribution, 100, lag=0.2, took=took)
    for when in (20.0, 20.19):
        attribution.add(SERVER, GET, client(1000 * when), when)
    came = 20.2 + (took or 0.0)
    assert asked(attribution, line(duration=took), came) == client(20_000)
    assert asked(attribution, line(duration=took), came + 0.19) == client(20_190)


@pytest.mark.parametrize("ahead", [3.0, -3.0, 0.4])
def test_a_clock_that_is_wrong_is_learnt_and_again_when_it_is_set(ahead):
    attribution = records(capacity=10_000)
    come(attribution, 200, lag=0.01, ahead=ahead)
    come(attribution, 200, lag=0.01, ahead=ahead - 10.0, start=100.0)
    for second in (200, 201, 202):
        attribution.add(SERVER, GET, client(second), second + 0.5)
    for second in (200, 201):
        stamp = float(int(second + 0.5 + ahead - 10.0))
        assert asked(attribution, line(stamp, shape=BY_SECOND), 203.0) == client(second)


def test_a_record_may_be_as_late_as_a_line_where_the_line_shows_its_duration():
    attribution = records(capacity=10_000)
    for number in range(100):
        come(attribution, 1, lag=0.002 * (number % 11 - 5), took=0.3, start=3.0 * number)
    for when in (600.0, 600.03):
        attribution.add(SERVER, GET, client(1000 * when), when)
    for end, expected in ((599.995, 600_000), (600.01, 600_000), (600.022, 600_030)):
        assert asked(attribution, line(duration=0.3), end + 0.3) == client(expected)
