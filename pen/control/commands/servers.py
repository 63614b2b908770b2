"""The servers: showing them and changing them while they are in use."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pen.control.arguments import SECONDS_MAX, acl_number, choice, number, port, word
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.control.words import printable, quote
from pen.core.address import Endpoint, Resolve
from pen.core.errors import CommandError, PenError
from pen.core.servers import SLOTS_MAX, Duty, Server

LIMIT = number(0, 999_999_999)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One thing about a server that `server N` can set."""

    metavar: str
    parse: Callable[[str], Any]
    set: Callable[[Server, Any, float], None]
    """Given the server, the value and the time."""


def _setter(name: str) -> Callable[[Server, Any, float], None]:
    def set_to(server: Server, value: Any, now: float) -> None:  # noqa: ARG001
        setattr(server, name, value)

    return set_to


def _set_address(server: Server, value: tuple[str, Endpoint], now: float) -> None:  # noqa: ARG001
    name, endpoint = value
    server.move(name, endpoint.with_port(server.port))


def _set_port(server: Server, value: int, now: float) -> None:  # noqa: ARG001
    server.move(server.name, server.endpoint.with_port(value))


def _set_blacklist(server: Server, value: int, now: float) -> None:
    server.ban(value, now, by_hand=True)
    if value == 0:
        server.failed_at = 0


def _set_state(server: Server, value: str, now: float) -> None:  # noqa: ARG001
    server.assign(Duty(value))


ATTRIBUTES = {
    "acl": Attribute("A", acl_number, _setter("acl")),
    "address": Attribute("A", word, _set_address),
    "port": Attribute("P", port, _set_port),
    "max": Attribute("M", LIMIT, _setter("max")),
    "hard": Attribute("H", LIMIT, _setter("hard")),
    "blacklist": Attribute("SEC", number(0, SECONDS_MAX), _set_blacklist),
    "weight": Attribute("W", LIMIT, _setter("weight")),
    "prio": Attribute("P", LIMIT, _setter("prio")),
    "state": Attribute("S", choice(*(duty.value for duty in Duty)), _set_state),
}


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    registry.add(Command("servers", "list the servers", _servers, asks=Asks.ALWAYS))
    attributes = "|".join(f"{name} {each.metavar}" for name, each in ATTRIBUTES.items())
    registry.add(
        Command(
            "server",
            "change server N, or add it",
            _server,
            (
                Argument("N", number(0, SLOTS_MAX - 1)),
                Argument(f"[{attributes}]", str, optional=True, repeats=True),
            ),
            _save,
            hosts=_hosts,
        )
    )


def _servers(pen: Pen) -> Iterator[str]:
    return (
        f"{s.slot} addr {s.address} port {s.port} conn {s.connections} max {s.max}"
        f" hard {s.hard} weight {s.weight} prio {s.prio} sx {s.sx} rx {s.rx}\n"
        for s in pen.facts.servers()
    )


def _server(pen: Pen, slot: int, *words: str) -> None:
    changes = list(_changes(words, pen.resolve))
    if slot >= len(pen.state.servers) and not changes:
        raise CommandError(f"there is no server {slot}; give it an address and a port to add it")
    with pen.changing(tables=True):
        server = pen.state.servers.slot(slot)
        for attribute, value in changes:
            attribute.set(server, value, pen.now)
        if not server.in_use:
            pen.state.clients.forget_server(slot)


def _changes(words: tuple[str, ...], find: Resolve) -> Iterator[tuple[Attribute, Any]]:
    for index in range(0, len(words), 2):
        name = words[index]
        attribute = ATTRIBUTES.get(name)
        if attribute is None:
            known = ", ".join(ATTRIBUTES)
            raise CommandError(f"a server has no '{printable(name)}'; there are {known}")
        if index + 1 >= len(words):
            raise CommandError(
                f"'{name}' needs a value; usage: server N {name} {attribute.metavar}"
            )
        try:
            value = attribute.parse(words[index + 1])
        except CommandError as error:
            raise CommandError(f"{name}: {error}") from None
        yield attribute, (value, _find(value, find)) if name == "address" else value


def _find(host: str, find: Resolve) -> Endpoint:
    try:
        return find(host, 0)
    except PenError as error:
        raise CommandError(str(error)) from None


def _hosts(slot: int, *words: str) -> Iterable[str]:  # noqa: ARG001
    pairs = zip(words[::2], words[1::2], strict=False)
    return [host for name, host in pairs if name == "address"]


def _save(pen: Pen) -> Iterable[str]:
    for s in pen.state.servers:
        ban = round(s.banned_until - pen.now) if s.banned_by_hand else 0
        yield (
            f"server {s.slot} acl {s.acl} address {quote(s.name)} port {s.port} max {s.max}"
            f" hard {s.hard} weight {s.weight} prio {s.prio}"
            + (f" blacklist {ban}" if ban > 0 else "")
            + (f" state {s.duty.value}" if s.duty is not Duty.READY else "")
        )
