"""The end of idle UDP sessions. No sockets here."""

from unittest import mock

from pen.core.address import resolve
from pen.core.state import State
from pen.net.udp import Datagrams, UdpSession


def test_a_mistake_about_one_idle_session_spares_the_others():
    state, reactor = State(), mock.Mock(now=1000.0, again=[])
    state.servers.slot(0).move("127.0.0.1", resolve("127.0.0.1", 80))
    datagrams = Datagrams(reactor, state.sessions, state.settings)
    for port in (1, 2):
        session = UdpSession(datagrams, mock.Mock(), ("192.0.2.1", port), mock.Mock())
        assert state.sessions.begin(session, 1000.0)
        datagrams.by_key[session.key] = session
    datagrams.tells, datagrams.tell_closed = True, mock.Mock(side_effect=[ValueError, None])
    reactor.now = 1e9
    datagrams._end_idle()
    assert not datagrams.by_key
    assert not len(state.sessions)
    assert reactor.abandon.call_count == 1
