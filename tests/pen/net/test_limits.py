"""Time limits: nothing is early, little late, and nothing is kept that is over."""

import weakref

import pytest

from pen.net.limits import TICK, TimeLimit


class Clock:
    """A reactor's timers, without the reactor."""

    def __init__(self):
        self.now = 100.0
        self.timers = []
        self.abandoned = []

    def abandon(self, callback, item):
        self.abandoned.append(item)

    def call_at(self, when, callback):
        self.timers.append((when, callback))

    def run_to(self, time):
        while self.timers and min(self.timers, key=lambda timer: timer[0])[0] <= time:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = time


class Item:
    pass


@pytest.fixture
def clock():
    return Clock()


def test_who_started_first_is_due_first(clock):
    gone = []
    limits = TimeLimit(clock, lambda: 5, lambda item, start: gone.append((item, start, clock.now)))
    for item, start in (("b", 100.3), ("a", 100.0), ("c", 103.0)):
        limits.add(item, start)
    clock.run_to(120)
    assert [(item, start) for item, start, _ in gone] == [("a", 100.0), ("b", 100.3), ("c", 103.0)]
    assert all(start + 5 <= when <= start + 5 + TICK for _, start, when in gone)


def test_a_mistake_about_one_spares_the_others(clock):
    gone = []

    def expire(item, start):
        gone.append({"a": "A", "c": "C"}[item])

    limits = TimeLimit(clock, lambda: 5, expire)
    for item in "abc":
        limits.add(item, 100.0)
    clock.run_to(120)
    assert gone == ["A", "C"]
    assert clock.abandoned == ["b"]


def test_a_limit_that_changes_holds_for_what_is_queued(clock):
    gone, limit = [], [50]
    limits = TimeLimit(clock, lambda: limit[0], lambda item, start: gone.append(clock.now))
    limits.add("a", 100.0)
    clock.run_to(103)
    limit[0] = 4
    clock.run_to(110)
    assert len(gone) == 1
    assert 104 <= gone[0] <= 105.1


def test_what_is_discarded_is_not_kept(clock):
    gone, item = [], Item()
    limits = TimeLimit(clock, lambda: 5, lambda item, start: gone.append(item))
    limits.add(item, 100.0)
    limits.discard(item)
    limits.discard(item)
    kept = weakref.ref(item)
    del item
    assert kept() is None
    clock.run_to(120)
    assert not gone


def test_what_is_queued_again_started_anew(clock):
    gone = []
    limits = TimeLimit(clock, lambda: 5, lambda item, start: gone.append((start, clock.now)))
    limits.add("a", 100.0)
    limits.add("a", 103.0)
    clock.run_to(120)
    assert [start for start, _ in gone] == [103.0]
