"""What is decided for UDP sessions only."""

import pytest

from pen.core.address import resolve
from pen.core.session import CONNECTING, OPEN, Session
from pen.core.state import State

NOW, EPOCH = 1000.0, 1_700_000_000


@pytest.fixture
def state():
    """Three servers."""
    state = State()
    for slot in range(3):
        state.servers.slot(slot).move(f"192.0.2.{slot}", resolve(f"192.0.2.{slot}", 53))
    return state


def begin(state, port=1):
    session = Session("198.51.100.1", port)
    assert state.sessions.begin(session, NOW)
    state.sessions.remember(session)
    return session


def test_an_open_session_goes_round_all_other_servers(state):
    session = begin(state)
    state.sessions.accepted(session)
    tried = [session.server.slot]
    for _ in range(2):
        tried.append(state.sessions.failed(session, NOW, EPOCH).slot)
        assert session.state is CONNECTING
        state.sessions.check()
    assert tried == [0, 1, 2]
    assert state.sessions.failed(session, NOW, EPOCH) is None


def test_where_it_was_refused_is_the_new_beginning(state):
    session = begin(state)
    state.sessions.accepted(session)
    state.sessions.failed(session, NOW, EPOCH)
    state.sessions.accepted(session)
    assert session.state is OPEN
    state.servers[0].ban(0, NOW, by_hand=True)
    assert [state.sessions.failed(session, NOW, EPOCH).slot for _ in range(2)] == [2, 0]


def test_a_client_is_remembered_before_any_reply(state):
    assert {begin(state, port).server.slot for port in range(5)} == {0}
    assert state.sessions.pending == 5


def test_per_packet_takes_turns_whatever_is_remembered(state):
    state.settings.udp_per_packet = True
    assert [begin(state, port).server.slot for port in range(4)] == [0, 1, 2, 0]


def test_replies_are_not_waited_for_when_there_is_room(state):
    state.settings.pending_max, state.settings.conn_max = 1, 3
    begin(state)
    assert state.sessions.room < 1
    assert state.sessions.vacant == 2
