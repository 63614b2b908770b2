"""Access lists: who may connect as a client, and who may control."""

from collections.abc import Iterable

from pen.control.arguments import acl_number, choice, optional, word
from pen.control.commands.settings import declare_number
from pen.control.context import Pen
from pen.control.registry import Argument, Command, Registry
from pen.core.acl import LISTS, parse_entry


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    number = Argument("N", acl_number)
    entry = (
        number,
        Argument("permit|deny", choice("permit", "deny")),
        Argument("SOURCE", word),
        optional("MASK", word),
    )
    registry.add(Command("acl", "append an entry to access list N (0-9)", _acl, entry))
    registry.add(
        Command("no acl", "empty access list N, which then permits all", _no_acl, (number,), _save)
    )
    declare_number(registry, "client_acl", "N", acl_number, "the list that clients must pass")
    declare_number(
        registry, "control_acl", "N", acl_number, "the list that control connections must pass"
    )


def _acl(pen: Pen, number: int, verb: str, source: str, mask: str | None = None) -> None:
    pen.state.acls.append(number, parse_entry(verb == "permit", source, mask))


def _no_acl(pen: Pen, number: int) -> None:
    pen.state.acls.clear(number)


def _save(pen: Pen) -> Iterable[str]:
    for number in range(LISTS):
        yield f"no acl {number}"
        for entry in pen.state.acls[number].entries:
            yield f"acl {number} {entry}"
