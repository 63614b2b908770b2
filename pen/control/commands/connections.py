"""Single connections."""

from pen.control.arguments import number
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.stats.snapshot import connection_facts

NUMBER = Argument("N", number(0, 2**31 - 1))


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    registry.add(Command("close", "close connection N", _close, (NUMBER,)))
    show = "print what is known of connection N"
    registry.add(Command("connection", show, _show, (NUMBER,), asks=Asks.ALWAYS))
    registry.add(Command("socket", "print whose socket N is", _socket, (NUMBER,), asks=Asks.ALWAYS))


def _close(pen: Pen, number: int) -> str:
    if number >= pen.state.settings.conn_max:
        return f"Connection {number} out of range"
    if pen.running:
        pen.close_connection(number)
    return f"Forcibly closing connection {number}"


def _show(pen: Pen, number: int) -> str:
    if number >= pen.state.settings.conn_max:
        return f"Connection {number} out of range"
    session = pen.state.sessions.get(number)
    state, down, up, client, server, pending = 0, -1, -1, 0, 0, 0
    if session is not None:
        facts = connection_facts(session)
        state, down, up = facts.state, facts.down_fd, facts.up_fd
        client, server = facts.client, facts.server
        pending = facts.pending_down + facts.pending_up
    return (
        f"Connection {number}:\nstate = {state}\ndownfd = {down}, upfd = {up}\n"
        f"client = {client}, server = {server}\npend = {pending}\n"
    )


def _socket(pen: Pen, number: int) -> str:
    for session in pen.state.sessions:
        traffic = session.traffic()
        if number in (traffic.client_fd, traffic.server_fd):
            return f"Socket {number} belongs to connection {session.number}"
    return f"Socket {number} belongs to connection -1"
