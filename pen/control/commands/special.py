"""The two servers that have no slot: for when no other is available, and for clients denied."""

from collections.abc import Iterable

from pen.control.arguments import optional, word
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry
from pen.control.words import printable, quote
from pen.core.address import parse_port, parse_server
from pen.core.errors import AddressError, CommandError
from pen.core.servers import ABUSE_SLOT, EMERGENCY_SLOT, Server


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    _declare(registry, "abuse", ABUSE_SLOT, "where clients go that client_acl denies")
    _declare(registry, "emergency", EMERGENCY_SLOT, "the server for when no other is available")


def _declare(registry: Registry, name: str, slot: int, help: str) -> None:
    """`name` is the command and the server's name in the table."""

    def run(pen: Pen, address: str | None = None) -> str:
        if address is not None:
            setattr(pen.state.servers, name, _server(pen, address, slot))
        server = getattr(pen.state.servers, name)
        return _shown(server) if server is not None else "\n"

    def none(pen: Pen) -> None:
        setattr(pen.state.servers, name, None)

    def save(pen: Pen) -> Iterable[str]:
        server = getattr(pen.state.servers, name)
        yield f"{name} {quote(_shown(server))}" if server is not None else f"no {name}"

    address = (optional("HOST:PORT", word),)
    registry.add(Command(name, help, run, address, save, asks=Asks.BARE, hosts=_hosts))
    registry.add(Command(f"no {name}", "have none", none))


def _hosts(address: str | None = None) -> Iterable[str]:
    try:
        return [] if address is None else [parse_server(address, 0).host]
    except AddressError:
        return []  # a mistake, of which `run` tells, or the name of a UDP service


def _server(pen: Pen, address: str, slot: int) -> Server:
    try:
        spec = parse_server(address, _listening_port(pen), pen.state.settings.protocol)
        if spec.port == 0:
            raise CommandError(f"'{printable(address)}' needs a port")
        return Server(slot, pen.resolve(spec.host, spec.port), spec.host)
    except AddressError as error:
        raise CommandError(printable(str(error))) from None


def _listening_port(pen: Pen) -> int:
    settings = pen.state.settings
    listen = settings.listen
    return (
        parse_port(listen.rpartition(":")[2], settings.protocol)
        if listen and "/" not in listen
        else 0
    )


def _shown(server: Server) -> str:
    host = f"[{server.name}]" if ":" in server.name else server.name
    return f"{host}:{server.port}"
