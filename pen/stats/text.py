"""Statistics as text: what USR1 prints when there is no web file."""

import time
from collections.abc import Iterator

from pen.core.servers import Duty
from pen.stats.snapshot import ClientFacts, ConnectionFacts, ServerFacts, Snapshot


def pieces(snapshot: Snapshot) -> Iterator[str]:
    """The facts as lines, in the order of the status page."""
    for line in _lines(snapshot):
        yield f"{line}\n"


def _lines(snapshot: Snapshot) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.epoch))
    yield f"Time {when}, {len(snapshot.servers)} servers, {snapshot.current} current"
    for server in snapshot.servers:
        yield from _server(server)
    yield f"Max number of clients: {snapshot.clients_max}"
    yield "Active clients:"
    for client in snapshot.clients:
        yield from _client(client)
    yield f"Max number of connections: {snapshot.conn_max}"
    yield "Active connections:"
    for connection in snapshot.connections:
        yield from _connection(connection)


def _server(server: ServerFacts) -> Iterator[str]:
    yield f"Server {server.slot} status:"
    yield f"address {server.address}"
    yield f"{server.status}"
    yield f"port {server.port}"
    yield f"{server.connections} connections ({server.max} soft, {server.hard} hard)"
    yield f"{server.sx} sent, {server.rx} received"
    if server.duty is not Duty.READY:
        yield f"state {server.duty.value}"


def _client(client: ClientFacts) -> Iterator[str]:
    yield f"Client {client.slot} status:"
    yield f"address {client.address}"
    yield f"last used {client.age} seconds ago"
    yield f"last server {client.server}"
    yield f"{client.connects} connects, {client.sx} sent, {client.rx} received"


def _connection(connection: ConnectionFacts) -> Iterator[str]:
    yield f"Connection {connection.number} status:"
    yield f"downfd = {connection.down_fd}, upfd = {connection.up_fd}"
    yield f"pending data {connection.pending_down} down, {connection.pending_up} up"
    yield f"client {connection.client}, server {connection.server}"
