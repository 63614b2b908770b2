"""Lines leave the buffer in time order, idle servers stall nothing, nothing is kept too long."""

from hypothesis import given
from hypothesis import strategies as st

from penlogd.ordering import ReorderBuffer

A, B = b"10.0.0.1", b"10.0.0.2"


def test_lines_of_two_servers_leave_in_time_order():
    buffer = ReorderBuffer(2.0)
    for name, server, stamp, now in [
        ("b", B, 101, 102.0),
        ("a", A, 100, 102.1),
        ("c", A, 102, 103),
    ]:
        assert buffer.add(name, 10, server, stamp, now)
    assert buffer.due(103) == []
    assert buffer.due(104.0) == ["a", "b"]
    assert buffer.deadline() == 105.0
    assert buffer.due(105.0) == ["c"]
    assert (buffer.lines, buffer.bytes, buffer.deadline()) == (0, 0, None)


def test_nothing_waits_longer_than_the_hold_for_an_idle_server():
    buffer = ReorderBuffer(2.0)
    buffer.add("old", 10, B, 50, 100.0)
    assert buffer.due(102.0) == ["old"]
    buffer.add("new", 10, A, 103, 103.0)
    assert buffer.due(104.9) == []
    assert buffer.due(105.0) == ["new"]


def test_the_watermark_lets_a_backlog_go_without_waiting():
    buffer = ReorderBuffer(2.0)
    for second in range(50):
        buffer.add(second, 10, A, second, 1000.0)
        buffer.add(second, 10, B, second, 1000.0)
    assert buffer.due(1000.0) == sorted([*range(47), *range(47)])


def test_a_late_line_is_given_back_and_an_equal_stamp_is_not_late():
    buffer = ReorderBuffer(1.0)
    buffer.add("x", 10, A, 100, 100.5)
    assert buffer.due(101.5) == ["x"]
    assert not buffer.add("late", 10, A, 99, 101.6)
    assert buffer.add("same second", 10, A, 100, 101.7)


def test_after_a_flush_nothing_is_late():
    buffer = ReorderBuffer(1.0)
    buffer.add("x", 10, A, 3700, 3700)
    assert buffer.flush() == ["x"]
    assert buffer.add("the clock was set back", 10, A, 100, 100)
    assert buffer.due(100.5) == []


def test_a_clock_in_the_future_does_not_make_all_others_late():
    buffer = ReorderBuffer(1.0)
    buffer.add("next year", 10, A, 1e9, 100.0)
    assert buffer.due(101.0) == ["next year"]
    assert buffer.add("now", 10, B, 101, 101.5)


def test_the_caps_let_the_oldest_go():
    buffer = ReorderBuffer(1000.0, max_lines=3, max_bytes=100)
    for number in range(5):
        buffer.add(number, 10, A, number, 5.0)
    assert buffer.due(5.0) == [0, 1]
    buffer.add("big", 95, A, 4.5, 5.0)
    assert buffer.due(5.0) == [2, 3, 4]
    assert buffer.flush() == ["big"]


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), st.floats(-10, 5), st.floats(0, 2)), max_size=60),
    st.sampled_from([0.5, 2.0, 10.0]),
)
def test_every_line_leaves_once_in_order_or_is_late(events, hold):
    buffer, now, out, late = ReorderBuffer(hold, max_lines=20), 1000.0, [], 0
    for number, (server, offset, pause) in enumerate(events):
        now += pause
        stamp = now + offset
        if not buffer.add((min(stamp, now), number), 1, server, stamp, now):
            late += 1
        out += buffer.due(now)
        assert buffer.lines <= 20
    out += buffer.flush()
    assert len(out) + late == len(events)
    assert out == sorted(out)
