"""What is done with HTTP requests on their way."""

from collections.abc import Iterable

from pen.control.arguments import acl_number, optional
from pen.control.commands.settings import declare_flag
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_flag(
        registry,
        "http",
        "add X-Forwarded-For and X-Forwarded-Proto to requests, on new connections",
        "leave requests as they are",
    )
    registry.add(
        Command(
            "http_trust",
            "the list of clients whose own X-Forwarded headers are believed",
            _trust,
            (optional("N", acl_number),),
            _save,
            asks=Asks.BARE,
        )
    )
    registry.add(Command("no http_trust", "believe all clients", _trust_all))


def _trust(pen: Pen, number: int | None = None) -> str | None:
    if number is not None:
        with pen.changing():
            pen.state.settings.http_trust = number
    trust = pen.state.settings.http_trust
    return None if trust is None else str(trust)


def _trust_all(pen: Pen) -> None:
    with pen.changing():
        pen.state.settings.http_trust = None


def _save(pen: Pen) -> Iterable[str]:
    trust = pen.state.settings.http_trust
    yield "no http_trust" if trust is None else f"http_trust {trust}"
