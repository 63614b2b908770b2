"""What can happen to a pen in a scenario; each step notes what was seen, as lines of text."""

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.real.peers import wait_for
from tests.real.sidebyside.scene import OURS, C, Scene

Notes = Iterable[str]


@dataclass(frozen=True)
class Step:
    """Something that happens, and what was seen of it."""

    what: str
    play: Callable[[Scene], Notes]


@dataclass(frozen=True)
class Differing:
    """A step of which the two programs show different things, on purpose.

    `why` is the first column of a row in docs/compatibility.md. `c` and `ours` are the notes of
    the two; a ``*`` stands for anything.
    """

    step: Step
    why: str
    c: str
    ours: str


def differs(why, step, *, c, ours):
    return Differing(step, why, c, ours)


def ctl(*commands):
    """Control commands, one after the other, and their replies."""

    def play(scene):
        for command in commands:
            yield f"{command}: {scene.ctl(command)}"

    return Step(f"ctl {commands}", play)


def penctl(*lines):
    """The same by the program penctl."""

    def play(scene):
        for words in lines:
            yield f"penctl {words}: {scene.penctl(words)}"

    return Step(f"penctl {lines}", play)


def of_other_penctl(*lines):
    """The same by the penctl of the other suite; their exit statuses are equal, too."""

    def play(scene):
        other = C if scene.program is OURS else OURS
        for words in lines:
            yield f"penctl {words}: {scene.penctl(words, other)}"

    return Step(f"other penctl {lines}", play)


def stop(names):
    """Servers refuse from now on."""

    def play(scene):
        for name in names.split():
            scene.servers[name].stop()
        return []

    return Step(f"stop {names}", play)


def start(names):
    """Servers that were stopped serve again."""

    def play(scene):
        for name in names.split():
            scene.servers[name].start()
        return []

    return Step(f"start {names}", play)


def write(name, text):
    """Write a file."""

    def play(scene):
        (scene.folder / name).write_text(scene.filled(text))
        return []

    return Step(f"write {name}", play)


def rename(old, new):
    def play(scene):
        os.rename(scene.folder / old, scene.folder / new)
        return []

    return Step(f"rename {old}", play)


def hup(until, shows):
    """HUP; then wait until a command's reply shows this."""

    def play(scene):
        scene.send(signal.SIGHUP)
        wait_for(
            lambda: shows in scene.normal(scene.ctl(until)),
            lambda: f"{until} shows {shows}; it shows {scene.ctl(until)}",
        )
        yield f"{until} shows {shows}"

    return Step("HUP", play)


def ends(number=None):
    """Wait for pen's end, after this signal; how it ended and what is left of its files."""

    def play(scene):
        if number is not None:
            scene.send(number)
        wait_for(scene.ended, "the end of pen")
        scene.pen.kill()
        yield f"exit status {scene.pen.process.returncode}"
        yield f"left: {' '.join(sorted(each.name for each in scene.folder.iterdir()))}"

    return Step(f"ends {number}", play)
