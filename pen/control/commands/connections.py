"""Single connections."""

from dataclasses import replace

from pen.control.arguments import number
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.core.session import CLOSED
from pen.stats.snapshot import ConnectionFacts

NUMBER = Argument("N", number(0, 2**31 - 1))
UNUSED = ConnectionFacts(
    number=0, state=CLOSED, down_fd=-1, up_fd=-1, pending_down=0, pending_up=0, client=0, server=0
)
"""How a number shows that no connection has."""


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    registry.add(Command("close", "close connection N", _close, (NUMBER,)))
    show = "print what is known of connection N"
    registry.add(Command("connection", show, _show, (NUMBER,), asks=Asks.ALWAYS))
    registry.add(Command("socket", "print whose socket N is", _socket, (NUMBER,), asks=Asks.ALWAYS))


def _close(pen: Pen, number: int) -> str:
    if number >= pen.state.settings.conn_max * pen.state.settings.workers:
        return f"Connection {number} out of range"
    if pen.running:
        pen.close_connection(number)
    return f"Forcibly closing connection {number}"


def _show(pen: Pen, number: int) -> str:
    if number >= pen.state.settings.conn_max * pen.state.settings.workers:
        return f"Connection {number} out of range"
    facts = pen.facts.connection(number) or replace(UNUSED, number=number)
    return (
        f"Connection {number}:\nstate = {facts.state}\n"
        f"downfd = {facts.down_fd}, upfd = {facts.up_fd}\n"
        f"client = {facts.client}, server = {facts.server}\n"
        f"pend = {facts.pending_down + facts.pending_up}\n"
    )


def _socket(pen: Pen, number: int) -> str:
    return f"Socket {number} belongs to connection {pen.facts.connection_of(number)}"
