"""Access lists: who may connect as a client, and who may control."""

from collections.abc import Iterable

from pen.control.arguments import acl_number, choice, mode, named_hosts, optional, word
from pen.control.commands.settings import declare_name, declare_number
from pen.control.context import Pen
from pen.control.ports import control_address
from pen.control.registry import Argument, Asks, Command, Registry
from pen.control.words import quote
from pen.core.acl import LISTS, CountryEntry, parse_entry


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    number = Argument("N", acl_number)
    entry = (
        number,
        Argument("permit|deny", choice("permit", "deny")),
        Argument("SOURCE", word),
        optional("MASK", word),
    )
    registry.add(
        Command(
            "acl", "append an entry to access list N (0-9); SOURCE may be: country CC", _acl, entry
        )
    )
    registry.add(
        Command("no acl", "empty access list N, which then permits all", _no_acl, (number,), _save)
    )
    declare_number(registry, "client_acl", "N", acl_number, "the list that clients must pass")
    declare_number(
        registry, "control_acl", "N", acl_number, "the list that control connections must pass"
    )
    geoip = "the MaxMind database that knows the countries which access lists name"
    declare_name(registry, "geoip_db", "FILE", geoip, "have none")
    _declare_readonly(registry)


def _declare_readonly(registry: Registry) -> None:
    name = "control_readonly"
    where = (optional("ADDR", word), optional("MODE", mode), optional("GROUP", word))
    help = "listen there for commands that only ask; print where"
    command = Command(
        name, help, _readonly, where, _save_readonly, asks=Asks.BARE, hosts=named_hosts
    )
    registry.add(command)
    registry.add(Command(f"no {name}", "have no port that only answers questions", _no_readonly))


def _readonly(
    pen: Pen, address: str | None = None, mode: int | None = None, group: str | None = None
) -> str | None:
    if address is not None:
        with pen.changing():
            pen.state.settings.control_readonly = control_address(address, mode, group, pen.resolve)
    where = pen.state.settings.control_readonly
    return where.address if where else None


def _no_readonly(pen: Pen) -> None:
    with pen.changing():
        pen.state.settings.control_readonly = None


def _save_readonly(pen: Pen) -> Iterable[str]:
    where = pen.state.settings.control_readonly
    if where is None:
        yield "no control_readonly"
    elif "/" in where.address:
        group = f" {quote(where.group)}" if where.group else ""
        yield f"control_readonly {quote(where.address)} {where.mode:03o}{group}"
    else:
        yield f"control_readonly {quote(where.address)}"


def _acl(pen: Pen, number: int, verb: str, source: str, mask: str | None = None) -> None:
    entry = parse_entry(verb == "permit", source, mask)
    with pen.changing(tables=isinstance(entry, CountryEntry)):  # which needs a database
        pen.state.acls.append(number, entry)


def _no_acl(pen: Pen, number: int) -> None:
    with pen.changing():
        pen.state.acls.clear(number)


def _save(pen: Pen) -> Iterable[str]:
    for number in range(LISTS):
        yield f"no acl {number}"
        for entry in pen.state.acls[number].entries:
            yield f"acl {number} {entry}"
