from collections import Counter

import pytest

from bench.loads import LoadError
from bench.peers import PEERS, Setup
from bench.report import Results, calls_table, figures_table
from bench.works import WORKS, Aim, Figure, Round, Work

FIGURE = Figure("short", "short connection", "µs", aim=Aim(1.3, 1.05))
WORK = Work("short", (FIGURE,), Setup(), lambda *_: Round())
C, OURS, HAPROXY = (PEERS[name] for name in ("pen-c", "ours", "haproxy"))


@pytest.fixture
def results():
    """Three rounds: ours is 1.5, 1.2 and 1.4 times C."""
    results = Results()
    for base, ours in ((100.0, 150.0), (200.0, 240.0), (50.0, 70.0)):
        results.add(WORK, C, Round({"short": base}))
        results.add(WORK, OURS, Round({"short": ours}))
    return results


def test_ratio_is_the_median_of_the_rounds_ratios(results):
    assert results.median(FIGURE, OURS) == 150.0
    assert results.ratio(FIGURE, OURS) == pytest.approx(1.4)


def test_a_failed_round_keeps_the_pairs_right(results):
    results.add_failure(WORK, C, LoadError("no answers"))
    results.add(WORK, OURS, Round({"short": 1.0}))
    results.add(WORK, C, Round({"short": 100.0}))
    results.add(WORK, OURS, Round({"short": 140.0}))
    assert results.ratio(FIGURE, OURS) == pytest.approx(1.4)
    assert results.failures == ["short, C pen: no answers"]


def test_table_shows_spread_ratio_and_what_was_missed(results):
    results.add_failure(WORK, HAPROXY, LoadError("no answers"))
    *_, row = figures_table([WORK], [C, OURS, HAPROXY], results)
    assert row == (
        "| short connection | µs | 100 (50.0-200) | 150 (70.0-240) **x1.40** missed | failed"
        " | ≤ x1.3 | x1.05 |"
    )


def test_calls_are_per_operation_and_rare_ones_left_out():
    results = Results()
    calls = Counter(recvfrom=300, epoll_wait=50, brk=1)
    results.add(WORK, C, Round({"short": 3.5}, {"short": calls}, {"short": 100}))
    results.add(WORK, C, Round({"short": 3.5}, {"short": calls}, {"short": 500}))
    table = calls_table(FIGURE, [C, OURS], results)
    assert table == [
        "| call | C pen |",
        "| --- | --- |",
        "| recvfrom | 1.00 |",
        "| epoll_wait | 0.17 |",
    ]


def test_every_figure_has_a_name_of_its_own():
    names = [figure.name for work in WORKS.values() for figure in work.figures]
    assert len(names) == len(set(names))
