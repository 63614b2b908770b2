import sys

from bench.steps import Steps


def one():
    return 1


def two():
    return one() + one()


def test_counts_steps_of_functions_called_since_it_began():
    steps = Steps()
    before = sys.gettrace()
    steps.begin()
    two()
    sys.settrace(before)
    counts = steps.by_name()
    assert counts["test_steps.one"] % 2 == 0 < counts["test_steps.one"]  # it was called twice
    assert counts["test_steps.two"] > counts["test_steps.one"]
    two()
    assert steps.by_name() == counts
