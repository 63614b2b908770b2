"""A mistake of ours while a client is let in costs this client only."""

import pytest

from tests.pen.conftest import echo


def mistaken(*_):
    raise ZeroDivisionError


def mistaken_about_the_first_piece(relay):
    relay.up.tap = mistaken


@pytest.mark.parametrize(
    ("fit", "first"), [(mistaken, b""), (mistaken_about_the_first_piece, b"hello")]
)
def test_its_connection_is_closed_and_the_next_client_is_served(loop, backend, caplog, fit, first):
    running = loop(backend(echo).port)
    running.relays.fit_taps = fit
    assert running.read(running.connect(first), 1) == b""
    assert "ZeroDivisionError" in caplog.text
    assert len(running.relays.sessions) == 0
    assert not running.reactor.handlers
    running.relays.fit_taps = None
    assert running.read(running.connect(b"hello"), 5) == b"hello"


def test_a_timer_that_fails_stops_nothing(loop, backend, caplog):
    running = loop(backend(echo).port)
    running.reactor.call_at(running.reactor.now, mistaken)
    running.reactor.at_turn_end.append(mistaken)
    assert running.read(running.connect(b"hello"), 5) == b"hello"
    assert caplog.text.count("internal error") == 2
