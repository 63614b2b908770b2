"""Long work leaves turns to others."""

import os
import time

import pytest

from pen.core.errors import PenError
from pen.net.gradual import gradually
from pen.net.pollers import make_poller
from pen.net.reactor import Reactor


@pytest.fixture
def reactor():
    reactor = Reactor(make_poller("epoll"))
    yield reactor
    reactor.poller.close()


def unexpected(error):
    raise error


def test_clients_are_served_meanwhile(reactor):
    reader, writer = os.pipe()
    served, replies = [], []
    reactor.add(reader, lambda mask: served.append(os.read(reader, 1)))
    end = time.monotonic() + 20

    def pieces():
        while not served:
            assert time.monotonic() < end, "nobody was served"
            yield "x"

    gradually(reactor, pieces(), replies.append, unexpected)
    os.write(writer, b"!")
    while not replies:
        reactor.turn(1.0)
    assert set(replies[0]) == {"x"}
    os.close(reader)
    os.close(writer)


def test_short_work_is_done_at_once(reactor):
    replies = []
    gradually(reactor, iter(["a", "b"]), replies.append, unexpected)
    assert replies == ["ab"]


def test_a_failure_is_told(reactor):
    def pieces():
        yield "a"
        raise PenError("no more")

    replies, errors = [], []
    gradually(reactor, pieces(), replies.append, errors.append)
    assert (replies, [str(error) for error in errors]) == ([], ["no more"])
