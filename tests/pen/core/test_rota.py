"""Whose turn it is: as if every server were looked at, but quicker."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from pen.core.address import Endpoint
from pen.core.servers import Duty
from pen.core.state import State

COUNT = 5
SLOTS = st.integers(0, COUNT - 1)
EVENTS = st.one_of(
    st.tuples(st.just("fail"), SLOTS),
    st.tuples(st.just("succeed"), SLOTS),
    st.tuples(st.just("lift"), SLOTS),
    st.tuples(st.just("drain"), SLOTS),
    st.tuples(st.just("ready"), SLOTS),
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("choose"), st.just(0)),
    st.tuples(st.just("choose"), st.just(0)),
)


def move(state, slot):
    state.servers.slot(slot).move("10.0.0.1", Endpoint(socket.AF_INET, ("10.0.0.1", 80 + slot)))


def expected(state, now):
    """The next in turn, by looking at all."""
    slots, turn = state.servers.slots, state.selector.turn
    for slot in range(turn, turn + len(slots)):
        server = slots[slot % len(slots)]
        if server.takes_new and server.banned_until <= now:
            return server
    return None


@given(st.lists(EVENTS, max_size=60), st.booleans())
def test_the_next_in_turn(events, grows):
    state, now = State(), 0.0
    for slot in range(COUNT):
        move(state, slot)
    for kind, value in events:
        server = state.servers[value] if value < COUNT else None
        if kind == "fail":
            server.fail(7, now, int(now) + 1)
        elif kind == "succeed":
            server.succeed()
        elif kind == "lift":
            server.ban(0, now, by_hand=True)
        elif kind in ("drain", "ready"):
            server.assign(Duty(kind))
        elif kind == "wait":
            now += value
        else:
            due = expected(state, now)
            assert state.selector.first(None, "192.0.2.1", 1, now) is due
    if grows:
        move(state, COUNT)
        state.selector.turn = COUNT
        assert state.selector.first(None, "192.0.2.1", 1, now) is state.servers[COUNT]


def test_one_of_ten_thousand_is_found_without_looking_at_all():
    state = State()
    for slot in range(10_000):
        move(state, slot)
    for server in state.servers.slots[:-1]:
        server.fail(30, 0.0, 1)
    first = state.selector.first
    assert first(None, "192.0.2.1", 1, 0.0).slot == 9_999

    looked = []
    real = state.servers.slots

    class Watched(list):
        def __getitem__(self, slot):
            looked.append(slot)
            return real[slot]

    state.servers.slots = Watched(real)
    assert first(None, "192.0.2.1", 1, 0.0).slot == 9_999
    assert len(looked) <= 2
