"""The shapes most commands have: a flag, and a number or a name that is set and printed."""

from collections.abc import Callable, Iterable

from pen.control.arguments import optional, word
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry, no_hosts
from pen.control.words import quote


def declare_flag(registry: Registry, name: str, on: str, off: str) -> None:
    """Declare `name` and `no name` for the boolean setting of that name."""

    def set_to(value: bool) -> Callable[[Pen], None]:
        def run(pen: Pen) -> None:
            with pen.changing():
                setattr(pen.state.settings, name, value)

        return run

    def save(pen: Pen) -> Iterable[str]:
        yield name if getattr(pen.state.settings, name) else f"no {name}"

    registry.add(Command(name, on, set_to(True), save=save))
    registry.add(Command(f"no {name}", off, set_to(False)))


def declare_number(
    registry: Registry,
    name: str,
    metavar: str,
    parse: Callable[[str], int],
    help: str,
    reply: str = "{}",
    grows: bool = False,
) -> None:
    """Declare a command that sets a number if given one, and prints it.

    Args:
        registry: where to.
        name: the command and the setting.
        metavar: how the usage line calls the number.
        parse: what the word must be.
        help: one line.
        reply: how the value is printed.
        grows: once pen runs, a smaller number than the present one changes nothing (as in C).
    """

    def run(pen: Pen, value: int | None = None) -> str:
        settings = pen.state.settings
        shrinks = grows and pen.running and value is not None and value < getattr(settings, name)
        if value is not None and not shrinks:
            with pen.changing():
                setattr(settings, name, value)
        return reply.format(getattr(settings, name))

    def save(pen: Pen) -> Iterable[str]:
        yield f"{name} {getattr(pen.state.settings, name)}"

    value = (optional(metavar, parse),)
    registry.add(Command(name, help, run, value, save, asks=Asks.BARE))


def declare_name(
    registry: Registry,
    name: str,
    metavar: str,
    on: str,
    off: str,
    *,
    silent: bool = False,
    hosts: Callable[..., Iterable[str]] = no_hosts,
) -> None:
    """Declare `name [WORD]`, which sets a setting if given a word and prints it, and `no name`.

    Args:
        registry: where to.
        name: the command and the setting, which is None until set.
        metavar: how the usage line calls the word.
        on: one line of help.
        off: the same, for `no name`.
        silent: whether setting it prints nothing (as in C).
        hosts: see `Command.hosts`.
    """

    def run(pen: Pen, value: str | None = None) -> str | None:
        if value is not None:
            with pen.changing():
                setattr(pen.state.settings, name, value)
            if silent:
                return None
        return getattr(pen.state.settings, name) or None

    def none(pen: Pen) -> None:
        with pen.changing():
            setattr(pen.state.settings, name, None)

    def save(pen: Pen) -> Iterable[str]:
        value = getattr(pen.state.settings, name)
        yield f"{name} {quote(value)}" if value else f"no {name}"

    value = (optional(metavar, word),)
    registry.add(Command(name, on, run, value, save, asks=Asks.BARE, hosts=hosts))
    registry.add(Command(f"no {name}", off, none))
