"""Each way to a server, or to none, has its reason told."""

import pytest

from pen.core.acl import parse_entry
from pen.core.address import resolve
from pen.core.reasons import why, why_nobody
from pen.core.servers import ABUSE_SLOT, EMERGENCY_SLOT, Duty, Server
from pen.core.session import Session
from pen.core.state import State

NOW = 1000.0


@pytest.fixture
def state():
    state = State()
    for slot in range(3):
        state.servers.slot(slot).move("127.0.0.1", resolve("127.0.0.1", 8000 + slot))
    return state


def told(state, address="192.0.2.1"):
    session = Session(address, 4000)
    if state.sessions.begin(session, NOW):
        return why(state.sessions, session, NOW)
    return why_nobody(state.sessions, session, NOW)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (None, "server 0, whose turn it is"),
        ("roundrobin", "server 0, whose turn it is"),
        ("prio", "server 1, which has the lowest prio (-1)"),
        ("weight", "server 2, which has the lowest load for its weight"),
        ("hash", "server 0, by the hash of its address"),
    ],
)
def test_by_what_it_was_chosen(state, setting, reason):
    state.servers.slots[1].prio = -1
    state.servers.slots[2].weight = 1
    if setting:
        setattr(state.settings, setting, True)
    assert told(state) == reason


def test_where_it_was_before(state):
    session = Session("192.0.2.1", 4000)
    state.sessions.begin(session, NOW)
    state.sessions.accepted(session)
    assert told(state) == "server 0, where it was before"


def test_special_servers(state):
    state.settings.client_acl = 1
    state.acls.append(1, parse_entry(False, "192.0.2.1"))
    assert told(state) == "client_acl (1) denies it"
    state.servers.abuse = Server(ABUSE_SLOT, resolve("127.0.0.1", 1))
    assert told(state) == "the abuse server, for client_acl (1) denies it"
    state.servers.emergency = Server(EMERGENCY_SLOT, resolve("127.0.0.1", 2))
    for server in state.servers:
        server.ban(30, NOW, by_hand=False)
    banned = "; ".join(f"server {slot} is blacklisted for 30 s more" for slot in range(3))
    assert told(state, "192.0.2.2") == f"the emergency server: {banned}"


def test_the_one_whose_ban_ends_first(state):
    for server in state.servers:
        server.ban(30 - server.slot, NOW, by_hand=False)
    assert told(state) == "server 2, whose ban ends first, for all are banned"


def test_obstacles(state):
    first, second, third = state.servers
    state.settings.hash = True  # of 192.0.2.1: server 0
    first.max, first.hard, first.connections = 2, 3, 2
    assert told(state) == "server 1, for server 0 is full (2 connections, max 2, hard 3)"
    second.assign(Duty.DRAIN)
    third.acl = 3
    state.acls.append(3, parse_entry(True, "198.51.100.1"))
    assert told(state) == (
        "server 0 is full (2 connections, max 2, hard 3); server 1 is in state drain;"
        " server 2 has acl 3, which denies it"
    )
