"""The kinds of arguments that commands take."""

import os
from collections.abc import Callable, Iterable

from pen.control.registry import Argument
from pen.control.words import printable
from pen.core.address import named_host, parse_port
from pen.core.errors import AddressError, CommandError

COUNT_MAX = 10_000_000
WORKERS_MAX = 256
SECONDS_MAX = 10 * 365 * 86400


def number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(word: str) -> int:
        digits = word[1:] if word.startswith("-") else word
        if digits.isascii() and digits.isdigit() and len(digits) <= 12 and low <= int(word) <= high:
            return int(word)
        raise CommandError(f"'{printable(word)}' is not a whole number from {low} to {high}")

    return parse


seconds = number(0, SECONDS_MAX)
count = number(1, COUNT_MAX)
acl_number = number(0, 9)


def port(word: str) -> int:
    """A port, by number or service name; 0 takes a server out."""
    try:
        return parse_port(word)
    except AddressError as error:
        raise CommandError(printable(str(error))) from None


def mode(word: str) -> int:
    """Permissions of a file in octal, as for chmod(1)."""
    if len(word) <= 4 and word.isascii() and word.isdigit() and not set(word) & set("89"):
        given = int(word, 8)
        if given <= 0o777:
            return given
    raise CommandError(f"'{printable(word)}' is not a mode in octal from 0 to 777")


def word(text: str) -> str:
    """Any word that could be a name or a path; `write` can save it (see `words.quote`)."""
    if not text:
        raise CommandError("a name cannot be empty")
    if not text.isprintable():
        raise CommandError(f"'{printable(text)}' has characters that no name has")
    return text


def named_hosts(address: str = "", *rest: object) -> Iterable[str]:  # noqa: ARG001
    """The hosts of a command whose first argument is `host:port`; see `Command.hosts`."""
    host = named_host(address)
    return () if host is None else (host,)


def workers(word: str) -> int:
    """How many processes serve clients: a number, or `auto`, one for each processor we may use."""
    if word == "auto":
        return len(os.sched_getaffinity(0))
    return number(1, WORKERS_MAX)(word)


def choice(*values: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(given: str) -> str:
        if given in values:
            return given
        raise CommandError(f"'{printable(given)}' is none of {', '.join(values)}")

    return parse


def optional(name: str, parse: Callable[[str], object]) -> Argument:
    """An argument that may be left out."""
    return Argument(name, parse, optional=True)
