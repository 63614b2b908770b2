"""Each scenario with Debian's pen and with ours: the same is seen, or a difference on purpose.

The differences that scenarios name are rows of docs/compatibility.md, by their first column.
"""

import re

import pytest

from tests.real.peers import ROOT
from tests.real.sidebyside import control, selection, serving
from tests.real.sidebyside.scene import OURS, C, Scene
from tests.real.sidebyside.steps import Differing

SCENARIOS = (*selection.SCENARIOS, *control.SCENARIOS, *serving.SCENARIOS)
PAGE = ROOT / "docs" / "compatibility.md"
SHOWN_HERE = "## pen: what ends C"
"""The part of the page of which scenarios show every row."""


def played(peers, program, scenario):
    """What was seen of each step."""
    scene = Scene(peers, program, scenario)
    try:
        scene.start()
        seen = []
        for step in scenario.steps:
            plain = step.step if isinstance(step, Differing) else step
            seen.append(scene.normal("\n".join(plain.play(scene))))
        return seen
    finally:
        scene.close()
        if program is OURS:
            assert "Traceback" not in scene.said()
            assert "internal error" not in scene.said()


def fits(pattern, seen):
    """Whether something seen is as the pattern says, where * stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), seen, re.S)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(peers, scenario):
    of_c = played(peers, C, scenario)
    of_ours = played(peers, OURS, scenario)
    for step, c, ours in zip(scenario.steps, of_c, of_ours, strict=True):
        if isinstance(step, Differing):
            assert fits(step.c, c), f"C: {step.step.what}: {c}"
            assert fits(step.ours, ours), f"ours: {step.step.what}: {ours}"
            assert c != ours, f"no difference any more: {step.why}"
        else:
            assert ours == c, step.what


def titles(text):
    """The first columns of all rows of tables."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return {row.split(" | ")[0][2:] for row in rows} - {""}


def named():
    return {
        step.why for scenario in SCENARIOS for step in scenario.steps if isinstance(step, Differing)
    }


def test_each_difference_is_in_the_table():
    assert named() - titles(PAGE.read_text()) == set()


def test_each_end_of_c_is_shown():
    _, _, rest = PAGE.read_text().partition(SHOWN_HERE)
    ends = titles(rest.partition("\n## ")[0])
    assert ends
    assert ends - named() == set()
