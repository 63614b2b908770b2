"""Command lines at random, by the registry's grammar: mostly right, now and then not."""

from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from pen.control.commands.servers import ATTRIBUTES
from pen.control.registry import Argument, Command
from pen.control.words import quote

Words = Mapping[str, st.SearchStrategy[str]]
"""Argument -> its words. A key is `command ARGUMENT`, or `ARGUMENT` in any command."""

ODD = st.sampled_from(["-1", "x", "0", "99999999999", "\u0661", '"', "#", "a b", "/", ":", "::"])
ODD |= st.text(
    st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Nd"]), max_size=8
)
"""May become names of files in the working directory, and no others; numbers are for `Words`."""
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1
)
"""Names that people might give files."""

WORDS: Words = {
    "N": st.integers(0, 9).map(str),
    "SEC": st.sampled_from([0, 1, 100, 86400]).map(str),
    "MODE": st.sampled_from(["600", "0660", "777"]),
    "GROUP": st.just("0"),
    "SOURCE": st.sampled_from(["192.0.2.1", "198.51.100.0/24", "2001:db8::/32", "::1", "10.1.2.3"]),
    "MASK": st.sampled_from(["255.255.255.0", "255.0.255.0", "0.0.0.0"]),
    "ADDR": st.sampled_from(["127.0.0.1:80", "[::1]:8080", "/run/my pen", '/run/"pen"']),
    "TARGET": NAMES,
    "HOST:PORT": st.sampled_from(["127.0.0.1:80", "[::1]:81", "127.0.0.2"]),
    "FILE": NAMES,
    "server acl": st.integers(0, 9).map(str),
    "server address": st.sampled_from(["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0"]),
    "server port": st.sampled_from(["0", "80", "65535"]),
    "server max": st.integers(0, 999_999_999).map(str),
    "server hard": st.integers(0, 999_999_999).map(str),
    "server blacklist": st.sampled_from(["0", "1", "600"]),
    "server weight": st.integers(0, 100).map(str),
    "server prio": st.integers(0, 100).map(str),
    "server state": st.sampled_from(["ready", "drain", "down"]),
}


def _words(command: Command, argument: Argument, words: Words) -> st.SearchStrategy[str]:
    key = f"{command.words} {argument.name}"
    if key in words or argument.name in words:
        return words[key if key in words else argument.name]
    if "|" in argument.name:
        return st.sampled_from(argument.name.split("|"))
    return ODD


@st.composite
def _attributes(draw, words: Words) -> list[str]:
    """What may follow `server N`."""
    names = draw(st.lists(st.sampled_from(list(ATTRIBUTES)), max_size=4))
    return [word for name in names for word in (name, draw(words[f"server {name}"]))]


@st.composite
def lines(draw, commands: Iterable[Command], words: Words = WORDS) -> str:
    """A command line, its words quoted where they need it."""
    command = draw(st.sampled_from(list(commands)))
    given = []
    for argument in command.arguments:
        if argument.optional and not draw(st.integers(0, 3)):
            break
        if command.words == "server" and argument.repeats:
            given += draw(_attributes(words))
        else:
            given.append(draw(_words(command, argument, words)))
    if not draw(st.integers(0, 15)):
        given.insert(draw(st.integers(0, len(given))), draw(ODD))
    return " ".join([command.words, *map(quote, given)])
