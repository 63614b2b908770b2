"""Slots: fair shares, and as few moves as can be."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pen.core.dsr_table import SLOTS, SlotTable, fair_shares, slot_of

WEIGHTS = st.dictionaries(st.integers(-1, 30), st.integers(1, 999_999_999), max_size=12)


def counts(table):
    return dict(Counter(owner for owner in table.owners() if owner is not None))


def test_shares_are_as_the_weights():
    assert fair_shares({0: 3, 1: 1}) == {0: 192, 1: 64}
    assert fair_shares({0: 1, 1: 1, 2: 1}) == {0: 86, 1: 85, 2: 85}
    assert fair_shares({}) == {}


@given(WEIGHTS)
def test_shares_use_all_and_are_near(weights):
    shares = fair_shares(weights)
    assert sum(shares.values()) == (SLOTS if weights else 0)
    total = sum(weights.values())
    for server, weight in weights.items():
        assert shares[server] >= SLOTS * weight // total - len(weights)


@given(WEIGHTS, WEIGHTS)
def test_nothing_moves_that_need_not(before, after):
    table = SlotTable()
    table.deal(before)
    old = table.owners()
    table.deal(after)
    table.check()
    new = table.owners()
    assert counts(table) == {server: n for server, n in fair_shares(after).items() if n}
    gained = Counter(n for o, n in zip(old, new, strict=True) if o != n)
    lost = Counter(o for o, n in zip(old, new, strict=True) if o != n)
    assert not {server for server in gained if server in lost and server is not None}


@given(WEIGHTS.filter(len), st.data())
def test_who_leaves_moves_nobody_else_and_comes_back_to_its_own(weights, data):
    table = SlotTable()
    table.deal(weights)
    before = table.owners()
    leaver = data.draw(st.sampled_from(sorted(weights)))
    table.deal({server: w for server, w in weights.items() if server != leaver})
    for old, new in zip(before, table.owners(), strict=True):
        assert old in (new, leaver)
    table.deal(weights)
    assert table.owners() == before


def test_slots_are_even_for_neighbours():
    """Whatever part of the address or port differs, both halves of the slots are hit."""
    series = [
        [slot_of(0x0A4E0000 + i, 0) for i in range(1024)],
        [slot_of((i % 256) << 24 | 0x4E0009, 0) for i in range(256)],
        [slot_of(0x0B080000 + (i << 8), 0) for i in range(256)],
        [slot_of(0x0B080109, 1024 + i) for i in range(1024)],
        [slot_of(0x0B080109, 1024 + 2 * i) for i in range(1024)],
    ]
    for slots in series:
        lower = sum(slot < SLOTS // 2 for slot in slots) / len(slots)
        odd = sum(slot % 2 for slot in slots) / len(slots)
        assert 0.4 < lower < 0.6
        assert 0.4 < odd < 0.6
        assert all(0 <= slot < SLOTS for slot in slots)
