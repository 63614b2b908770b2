"""How servers are connected to."""

import socket
from collections.abc import Iterable

from pen.control.arguments import COUNT_MAX, number, optional
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.control.words import printable
from pen.core.errors import CommandError


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    help = "connect to servers from this address of the machine"
    registry.add(Command("source", help, _source, (Argument("IP", _numeric),), _save_source))
    count = (optional("N", number(0, COUNT_MAX)),)
    help = "hold N idle connections to servers open; print how many there are"
    registry.add(Command("idlers", help, _idlers, count, _save_idlers, asks=Asks.BARE))
    registry.add(Command("no source", "from the address that the system chooses", _no_source))


def _idlers(pen: Pen, wanted: int | None = None) -> str:
    if wanted is not None:
        with pen.changing():
            pen.state.settings.idlers = wanted
    return f"Idlers: {pen.state.sessions.idle}/{pen.state.settings.idlers}"


def _save_idlers(pen: Pen) -> Iterable[str]:
    yield f"idlers {pen.state.settings.idlers}"


def _numeric(word: str) -> str:
    """An IPv4 or IPv6 address; names will not do, for they may have several."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, word))
        except (OSError, ValueError):
            continue
    raise CommandError(f"'{printable(word)}' is no IPv4 or IPv6 address")


def _source(pen: Pen, address: str) -> None:
    with pen.changing():
        pen.state.settings.source = address


def _no_source(pen: Pen) -> None:
    with pen.changing():
        pen.state.settings.source = None


def _save_source(pen: Pen) -> Iterable[str]:
    source = pen.state.settings.source
    yield f"source {source}" if source is not None else "no source"
