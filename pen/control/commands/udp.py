"""UDP: how long a session lasts, and what is one."""

from pen.control.arguments import number
from pen.control.commands.settings import declare_flag, declare_number
from pen.control.registry import Registry


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_flag(registry, "udp", "serve UDP; only before pen has started", "serve TCP")
    declare_flag(
        registry, "udp_per_packet", "choose a server for each datagram", "one for each session"
    )
    declare_number(
        registry, "udp_replies", "N", number(0, 1_000_000),
        "replies to each datagram that end a session; 0: none do",
    )  # fmt: skip
    declare_number(
        registry,
        "udp_timeout",
        "SEC",
        number(1, 86400),
        "end a session without datagrams so long",
    )
