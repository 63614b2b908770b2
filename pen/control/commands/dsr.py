"""Direct server return: the interface, and the tarpit."""

from pen.control.arguments import number
from pen.control.commands.settings import declare_name, declare_number
from pen.control.registry import Registry
from pen.core.acl import LISTS


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_name(
        registry,
        "dsr_if",
        "IF",
        "direct server return on interface IF; only before pen has started",
        "be a proxy; only before pen has started",
        silent=True,
    )
    declare_number(
        registry,
        "tarpit_acl",
        "-1|N",
        number(-1, LISTS - 1),
        "with dsr_if, the list of addresses that waste scanners' time; -1: none",
        reply="tarpit_acl = {}",
    )
