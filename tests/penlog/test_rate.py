"""Whether much comes."""

from penlog.rate import Rate


def test_it_is_judged_anew_each_tenth_of_a_second():
    rate = Rate(1000.0, 7_000, 50.0)
    assert not rate.is_much(7_090, 50.0625)  # a burst is nothing yet
    assert not rate.is_much(7_100, 50.125)
    assert rate.is_much(7_300, 50.25)
    assert rate.is_much(7_300, 50.3125)
    assert not rate.is_much(7_310, 50.375)
    assert not rate.is_much(100_000, 200.0)
