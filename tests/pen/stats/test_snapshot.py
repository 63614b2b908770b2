"""Facts that are looked at later are still right."""

import pickle
import socket

import pytest

from pen.core.address import Endpoint
from pen.core.session import Session
from pen.core.state import State
from pen.stats.snapshot import clients_since, servers_now, take_snapshot


class Moving(Session):
    """A session that has moved 10 bytes up and 1,000 down."""

    def moved(self):
        return 10, 1000


@pytest.fixture
def state():
    state = State()
    state.servers.slot(0).move("10.0.0.1", Endpoint(socket.AF_INET, ("10.0.0.1", 80)))
    return state


def begin(state, address="192.0.2.1", now=0.0):
    session = Moving(address, 1)
    assert state.sessions.begin(session, now)
    state.sessions.accepted(session)
    return session


def test_a_session_that_ends_meanwhile_counts_once(state):
    session = begin(state)
    servers = servers_now(state, lambda: 1.0)
    clients = clients_since(state, lambda: 1.0, 300)
    for _ in range(2):
        assert [(facts.sx, facts.rx) for facts in servers] == [(10, 1000)]
        assert [(facts.sx, facts.rx) for facts in clients] == [(1000, 10)]
        if session.state:
            state.sessions.end(session, 10, 1000)


def test_recent_clients_come_by_slot(state):
    for address, now in (("192.0.2.1", 0.0), ("192.0.2.2", 5.0), ("192.0.2.3", 9.0)):
        begin(state, address, now)
    begin(state, "192.0.2.2", 10.0)
    recent = clients_since(state, lambda: 12.0, 5)
    assert [facts.address for facts in recent] == ["192.0.2.2", "192.0.2.3"]


def test_what_is_sent_to_another_process_is_there_whole(state):
    begin(state)
    sent = pickle.loads(pickle.dumps(take_snapshot(state, lambda: 1.0, 0)))
    assert [client.address for client in sent.clients] == ["192.0.2.1"]
    assert (len(sent.servers), len(sent.connections)) == (1, 1)
