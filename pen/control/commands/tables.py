"""Sizes, times and the clients' table."""

from collections.abc import Iterator

from pen.control.arguments import count, number, optional, seconds, workers
from pen.control.commands.settings import declare_number
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry

BACKLOG_MIN = 50
"""A backlog below this is raised to it, as in C."""
RECENT = 300
"""Seconds that `recent` looks back unless told."""


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_number(registry, "blacklist", "SEC", seconds, "seconds a failed server is left alone")
    declare_number(registry, "timeout", "SEC", number(1, 86400), "seconds a connect may take")
    declare_number(
        registry, "tracking", "SEC", seconds, "seconds a client is remembered; 0: for ever"
    )
    declare_number(
        registry,
        "idle_timeout",
        "SEC",
        seconds,
        "close connections without traffic after so long; 0: never",
        reply="Idle timeout: {} seconds",
    )
    declare_number(
        registry, "grace", "SEC", seconds, "seconds connections may go on when pen is told to end"
    )
    declare_number(registry, "clients_max", "N", count, "clients remembered", grows=True)
    declare_number(registry, "conn_max", "N", count, "connections at once", grows=True)
    declare_number(registry, "backlog", "N", _backlog, "connections the system may hold for us")
    declare_number(registry, "multi_accept", "N", number(1, 100_000), "connections per wake-up")
    declare_number(registry, "pending_max", "N", count, "half-made connections at once", reply="")
    declare_number(
        registry,
        "workers",
        "N",
        workers,
        "processes that serve, or auto; only before pen has started",
    )
    recent = "list the clients that connected in the last SEC seconds"
    span = (optional("SEC", seconds),)
    registry.add(Command("recent", recent, _recent, span, asks=Asks.ALWAYS))


def _backlog(word: str) -> int:
    return max(BACKLOG_MIN, number(1, 1_000_000)(word))


def _recent(pen: Pen, span: int = RECENT) -> Iterator[str]:
    return (
        f"{client.address} connects {client.connects} sx {client.sx} rx {client.rx}\n"
        for client in pen.facts.clients(span)
    )
