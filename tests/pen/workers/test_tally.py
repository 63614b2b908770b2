"""Counts that processes share."""

import os

from hypothesis import given
from hypothesis import strategies as st

from pen.core.servers import ABUSE_SLOT, EMERGENCY_SLOT, SLOTS_MAX
from pen.workers.tally import ALL, Tally

WORKERS = 3
slots = st.sampled_from([ALL, ABUSE_SLOT, EMERGENCY_SLOT, 0, 1, SLOTS_MAX - 1])
entries = st.dictionaries(st.tuples(st.integers(0, WORKERS - 1), slots), st.integers(0, 10**9))


@given(entries)
def test_everybody_sees_what_the_others_have(entries):
    tally = Tally(WORKERS)
    for (worker, slot), connections in entries.items():
        tally.put(worker, slot, connections)
    for worker in range(WORKERS):
        for slot in {slot for _, slot in entries}:
            others = sum(entries.get((w, slot), 0) for w in range(WORKERS) if w != worker)
            assert tally.elsewhere(worker, slot) == others


@given(entries, st.integers(0, WORKERS - 1))
def test_the_dead_have_nothing(entries, dead):
    tally = Tally(WORKERS)
    for (worker, slot), connections in entries.items():
        tally.put(worker, slot, connections)
    tally.clear(dead)
    watcher = (dead + 1) % WORKERS
    for slot in {slot for _, slot in entries}:
        living = sum(entries.get((w, slot), 0) for w in range(WORKERS) if w not in (dead, watcher))
        assert tally.elsewhere(watcher, slot) == living


def test_another_process_sees_it():
    tally = Tally(2)
    pid = os.fork()
    if pid == 0:
        tally.put(1, 7, 42)
        os._exit(0)
    os.waitpid(pid, 0)
    assert tally.elsewhere(0, 7) == 42
