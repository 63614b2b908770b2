"""Long work leaves turns to others."""

import gc
import os
import time
import weakref

import pytest

from pen.core.errors import PenError
from pen.net.gradual import Work
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

    Work(reactor, pieces(), replies.append, unexpected)
    os.write(writer, b"!")
    while not replies:
        reactor.turn(1.0)
    assert set(replies[0]) == {"x"}
    os.close(reader)
    os.close(writer)


def test_short_work_is_done_at_once(reactor):
    replies = []
    Work(reactor, iter(["a", "b"]), replies.append, unexpected)
    assert replies == ["ab"]


def test_a_failure_is_told(reactor):
    def pieces():
        yield "a"
        raise PenError("no more")

    replies, errors = [], []
    Work(reactor, pieces(), replies.append, errors.append)
    assert (replies, [str(error) for error in errors]) == ([], ["no more"])


def test_nothing_of_it_stays(reactor):
    class Reply:
        def __call__(self, text):
            pass

    def pieces():
        for _ in range(3):
            time.sleep(0.001)
            yield "x"

    reply = Reply()
    gone = weakref.ref(reply)
    gc.disable()
    try:
        Work(reactor, pieces(), reply, unexpected)
        del reply
        while reactor.again:
            reactor.turn(0.0)
        assert gone() is None
    finally:
        gc.enable()


def test_the_rest_can_be_done_at_once(reactor):
    replies = []
    work = Work(reactor, (str(n) for n in range(100_000)), replies.append, unexpected)
    assert not replies
    work.finish()
    reactor.turn(0.0)
    assert len(replies) == 1
    assert replies[0].endswith("99999")


def test_a_mistake_is_told(reactor, caplog):
    def pieces():
        time.sleep(0.001)
        yield "a"
        raise ZeroDivisionError

    errors = []
    Work(reactor, pieces(), unexpected, errors.append)
    reactor.turn(0.0)
    assert [str(error) for error in errors] == ["internal error"]
    assert "ZeroDivisionError" in caplog.text
