"""The loop's clock."""

import pytest

from penlogd.collector import OLDEST, steady


def test_times_are_told_by_the_steady_clock():
    assert steady([100.0, 100.5], clock=101.0, now=111.0) == [110.0, 110.5]
    assert steady([], clock=101.0, now=111.0) == []
    assert steady([100.5, 100.4], clock=101.0, now=111.0) == [110.5, pytest.approx(110.4)]


@pytest.mark.parametrize("stamps", [[100.0, 102.0], [101.0 - OLDEST - 1, 101.0]])
def test_times_that_cannot_be_count_as_now(stamps):
    """The clock was set back, or forward, since or between."""
    first, second = steady(stamps, clock=101.0, now=111.0)
    assert 111.0 <= first < second < 111.001  # their order stays known
