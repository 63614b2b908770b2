"""Commands, each declared once.

A declaration has the command's words, its arguments with their types, a line of help
and, for settings, the lines by which `write` saves it. Everything else follows from the
registry: dispatch, error messages, reading a config file, `write`, `penctl --help`, and
the test that each command is in the man page.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pen.control.context import Pen
from pen.control.words import printable, split_words
from pen.core.errors import CommandError, PenError

logger = logging.getLogger("pen")

LINE_MAX = 65536
"""Bytes in a command line; more is a mistake."""
MESSAGE_MAX = 10_000
"""Characters of an error; what it quotes is much shorter, but paths of files are whole."""

Reply = Callable[[str], object]
"""Is given the reply to a command, at once or later."""
Parse = Callable[[str], Any]
"""Turns a word into a value or raises CommandError that names the word."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command."""

    name: str
    """As the usage line shows it."""
    parse: Parse
    optional: bool = False
    repeats: bool = False
    """Takes all words that are left."""

    def __str__(self) -> str:
        shown = f"{self.name}..." if self.repeats else self.name
        return f"[{shown}]" if self.optional else shown


class Asks(Enum):
    """Which forms of a command change nothing, so that a port for questions answers them."""

    NEVER = "it changes something"
    BARE = "without arguments it asks, with arguments it changes"
    ALWAYS = "it only asks"


def no_hosts(*values: Any) -> Iterable[str]:  # noqa: ARG001
    """It needs none."""
    return ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command's declaration."""

    words: str
    help: str
    run: Callable[..., str | Iterator[str] | None]
    """Called with the pen and the parsed arguments; returns the reply's text.

    A long reply is an iterator of lines, and made while clients are served.
    """
    arguments: tuple[Argument, ...] = ()
    save: Callable[[Pen], Iterable[str]] | None = None
    """The commands that bring this setting back."""
    obsolete: bool = False
    asks: Asks = Asks.NEVER
    hosts: Callable[..., Iterable[str]] = no_hosts
    """The host names, given the arguments, whose addresses it needs. Numeric ones may be there."""
    load: Callable[..., Any] | None = None
    """Given the pen and the arguments, once: what `hosts` and `run` get instead of these."""

    @property
    def usage(self) -> str:
        """Words and arguments, as a person types them."""
        return " ".join([self.words, *map(str, self.arguments)])

    def parse(self, words: Sequence[str]) -> list[Any]:
        """Values of the arguments.

        Raises:
            CommandError: one is missing, too many, or not what it must be.
        """
        values: list[Any] = []
        rest = list(words)
        for argument in self.arguments:
            if argument.repeats:
                values += [argument.parse(word) for word in rest]
                rest = []
            elif rest:
                values.append(argument.parse(rest.pop(0)))
            elif not argument.optional:
                raise CommandError(f"'{self.words}' needs {argument.name}; usage: {self.usage}")
        if rest:
            raise CommandError(f"'{rest[0]}' is too much for '{self.words}'; usage: {self.usage}")
        return values


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line that was understood, ready to run."""

    command: Command
    values: list[Any]

    @property
    def asks(self) -> bool:
        """Whether it changes nothing."""
        asks = self.command.asks
        return asks is Asks.ALWAYS or (asks is Asks.BARE and not self.values)

    def loaded(self, pen: Pen) -> "Invocation":
        """What there is to run.

        Raises:
            PenError: it cannot be had.
        """
        load = self.command.load
        return self if load is None else Invocation(self.command, [load(pen, *self.values)])

    @property
    def hosts(self) -> Iterable[str]:
        """Host names whose addresses it needs.

        Raises:
            PenError: a mistake that shows already.
        """
        return self.command.hosts(*self.values)

    def begin(self, pen: Pen) -> str | Iterator[str]:
        """Carry it out; returns the reply, lines ended by newlines, or what makes it."""
        reply = self.command.run(pen, *self.values)
        if not isinstance(reply, str):
            return reply or ""
        return reply if not reply or reply.endswith("\n") else reply + "\n"

    def run(self, pen: Pen) -> str:
        """Carry it out in one go; returns the reply."""
        return "".join(self.begin(pen))


@dataclass(slots=True)
class Registry:
    """All commands by their words."""

    _commands: dict[str, Command] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Command]:
        """The commands in alphabetical order, `no X` beside `X`."""
        return iter(sorted(self._commands.values(), key=_beside))

    def add(self, command: Command) -> None:
        """Declare a command."""
        assert command.words not in self._commands, command.words
        self._commands[command.words] = command

    def understand(self, line: str) -> Invocation | None:
        """Parse a line without running it; None for a comment or an empty line.

        Raises:
            CommandError: unknown command, or arguments that do not fit.
        """
        words = split_words(line)
        if not words:
            return None
        if words[0] == "no" and len(words) > 1:
            words[:2] = [f"no {words[1]}"]
        command = self._commands.get(words[0])
        if command is None:
            raise CommandError(f"'{printable(words[0])}' is no command; see penctl --help")
        return Invocation(command, command.parse(words[1:]))

    def answer(
        self, pen: Pen, line: str, caller: str = "nobody", *, questions_only: bool = False
    ) -> str:
        """Run a line at once, though it may wait for a name; the reply, see `answer_to`."""
        try:
            invocation = self._accept(pen, line, caller, questions_only)
            return invocation.run(pen) if invocation is not None else ""
        except PenError as error:
            return _mistake(error)

    def answer_to(
        self, reply: Reply, pen: Pen, line: str, caller: str, *, questions_only: bool
    ) -> None:
        """Run a line once the names in it are known; the reply may be one line ``error: ...``.

        Args:
            reply: called with the reply, once.
            pen: whom it is for.
            line: the command.
            caller: who gave it, for the log.
            questions_only: refuse what changes anything.
        """
        try:
            invocation = self._accept(pen, line, caller, questions_only)
            hosts = invocation.hosts if invocation is not None else ()
        except PenError as error:
            reply(_mistake(error))
            return

        def run() -> None:
            try:
                answer = invocation.begin(pen) if invocation is not None else ""
            except PenError as error:
                answer = _mistake(error)
            if isinstance(answer, str):
                reply(answer)
            else:
                pen.gradually(answer, reply, lambda error: reply(_mistake(error)))

        pen.when_known(hosts, run)

    def _accept(self, pen: Pen, line: str, caller: str, questions_only: bool) -> Invocation | None:
        invocation = self.understand(line)
        if invocation is None:
            return None
        if questions_only and not invocation.asks:
            raise CommandError(f"'{printable(line)}' is no question; this port answers those")
        level = logging.DEBUG if invocation.asks else logging.INFO
        logger.log(level, "control: %s: %s", caller, printable(line, MESSAGE_MAX))
        return invocation.loaded(pen)

    def saved(self, pen: Pen) -> Iterator[str]:
        """Every setting as commands, one a line."""
        for command in self:
            if command.save is not None:
                yield from command.save(pen)


def _mistake(error: PenError) -> str:
    return f"error: {printable(str(error), MESSAGE_MAX)}\n"


def _beside(command: Command) -> tuple[str, bool]:
    return command.words.removeprefix("no "), command.words.startswith("no ")
