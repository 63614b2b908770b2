"""The registry: mistakes in any command, and which commands only ask."""

import pytest

from pen.control.commands import make_registry
from pen.control.registry import Asks
from pen.control.words import printable
from pen.core.errors import PenError
from tests.doubles import FakePen, memory

REGISTRY = make_registry()
COMMANDS = list(REGISTRY)
USUAL = {
    "N": "1", "SEC": "7", "FILE": "/nowhere/file", "TARGET": "/nowhere/file",
    "ADDR": "/nowhere/socket", "MODE": "660", "GROUP": "0",
    "HOST:PORT": "127.0.0.1:80", "SOURCE": "192.0.2.1", "IP": "192.0.2.1", "MASK": "255.255.255.0",
}  # fmt: skip
"""A word that fits an argument of this name; an argument not named here takes its own name's
first part (`permit|deny`)."""
ODD = ["-1", "99999999999999999999", "1e3", "0x10", "\u0661", "\u00e9", "\u202e", "\x00", "x" * 999]


def usual(arguments) -> list[str]:
    """Words that fit these arguments."""
    names = [argument.name for argument in arguments if not argument.repeats]
    return [USUAL.get(name) or name.partition("|")[0] for name in names]


def mistake(argument, word) -> str:
    """What its parser has against a word; empty if nothing."""
    try:
        argument.parse(word)
    except PenError as error:
        return str(error)
    return ""


def ids(command) -> str:
    return command.words


def refuse(line: str) -> str:
    """The error that a line gives; it must change nothing."""
    pen = FakePen()
    pen.running = True
    before = memory(pen, REGISTRY)
    reply = REGISTRY.answer(pen, line)
    assert reply.startswith("error: "), reply
    assert reply[:-1].isprintable()
    assert reply.endswith("\n")
    assert memory(pen, REGISTRY) == before
    return reply


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_missing_arguments(command):
    needed = [argument for argument in command.arguments if not argument.optional]
    for count in range(len(needed)):
        words = [command.words, *usual(needed[:count])]
        reply = refuse(" ".join(words))
        assert f"'{command.words}' needs {needed[count].name}; usage: {command.usage}" in reply


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_an_argument_too_many(command):
    words = [command.words, *usual(command.arguments), "surplus"]
    assert "'surplus'" in refuse(" ".join(words))


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_argument_is_accepted_or_named(command, odd):
    """Where its parser refuses it, the whole line is refused and the word is named."""
    for index, argument in enumerate(command.arguments):
        message = mistake(argument, odd)
        if message:
            assert printable(odd, 50)[:50] in message
            words = [*usual(command.arguments[:index]), odd]
            assert message in refuse(" ".join([command.words, *words]))


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_numbers_refuse_what_is_none(command):
    for argument in command.arguments:
        if argument.name in ("N", "SEC"):
            for odd in ODD:
                with pytest.raises(PenError, match="is not a whole number from "):
                    argument.parse(odd)


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_questions_change_nothing(command):
    pen = FakePen()
    pen.running = True
    words = [command.words, *usual(command.arguments)]
    if command.asks is not Asks.ALWAYS:
        words = words[:1]
    before = memory(pen, REGISTRY)
    reply = REGISTRY.answer(pen, " ".join(words), questions_only=True)
    assert memory(pen, REGISTRY) == before
    assert (not pen.stopped, pen.closed) == (True, [])
    if command.asks is not Asks.NEVER:
        assert not reply.startswith("error")


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_a_port_for_questions_refuses_all_else(command):
    pen = FakePen()
    words = [command.words, *usual(command.arguments)]
    if command.asks is Asks.ALWAYS or (command.asks is Asks.BARE and len(words) == 1):
        return
    before = memory(pen, REGISTRY)
    reply = REGISTRY.answer(pen, " ".join(words), questions_only=True)
    assert "no question" in reply or "is too much" in reply
    assert memory(pen, REGISTRY) == before


QUESTIONS = {"connection", "control", "mode", "pid", "recent", "servers", "socket", "status"}


def test_what_always_asks():
    """What is added here is open to whoever reaches a port for questions."""
    assert {each.words for each in COMMANDS if each.asks is Asks.ALWAYS} == QUESTIONS
