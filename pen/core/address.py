"""Addresses as people write them, and as sockets want them.

The forms are those of pen(1): ``[host:]port`` and ``/path/to/socket`` to listen on,
``host[:port[:max[:hard[:weight[:prio]]]]]`` for a server. An IPv6 address goes in
brackets; to listen, the bare forms ``:::8080`` and ``::1:8080`` (the last colon splits)
are accepted too, as C pen does.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pen.core.errors import AddressError, ResolveError

MAPPED: Final = "::ffff:"
"""How an IPv4 client looks to an IPv6 listener (RFC 4291, 2.5.5.2)."""

UNSET: Final = "0.0.0.0"
"""The address of a server slot that is not in use."""

SockAddr = tuple[str, int] | tuple[str, int, int, int] | str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address a socket can use: its family and what bind() or connect() takes."""

    family: socket.AddressFamily
    sockaddr: SockAddr

    @property
    def host(self) -> str:
        """The numeric address, or the path of a Unix socket."""
        return self.sockaddr if isinstance(self.sockaddr, str) else self.sockaddr[0]

    @property
    def port(self) -> int:
        """The port; 0 for a Unix socket."""
        return 0 if isinstance(self.sockaddr, str) else self.sockaddr[1]

    def with_port(self, port: int) -> "Endpoint":
        """The same host at another port; a Unix socket has none."""
        if isinstance(self.sockaddr, str):
            return self
        if len(self.sockaddr) == 4:
            host, _, flow, scope = self.sockaddr
            return Endpoint(self.family, (host, port, flow, scope))
        return Endpoint(self.family, (self.host, port))

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return self.sockaddr
        if self.family == socket.AF_INET6:
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"


Resolve = Callable[[str, int], Endpoint]
"""Gives the address of a host, with a port; raises ResolveError. May ask a name server."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server as the command line gives it; limits and weights are 0 until given."""

    host: str
    port: int
    max: int = 0
    hard: int = 0
    weight: int = 0
    prio: int = 0


def parse_port(text: str, protocol: str = "tcp") -> int:
    """A port from its number or its service name.

    Raises:
        AddressError: not 0-65535 and no service of that name.
    """
    if text.isascii() and text.isdigit():
        if len(text) <= 5 and int(text) <= 65535:
            return int(text)
        raise AddressError(f"port {text} is out of range; ports go from 1 to 65535")
    try:
        return socket.getservbyname(text, protocol)
    except (OSError, UnicodeError, ValueError):
        raise AddressError(f"'{text}' is no port number and no {protocol} service") from None


def parse_listen(
    text: str,
    default_host: str = UNSET,
    protocol: str = "tcp",
    find: Resolve | None = None,
) -> Endpoint:
    """An address to listen on: ``port``, ``host:port``, ``[v6]:port`` or (TCP) a socket path.

    `find` gives the address of a host; None: `resolve`.
    """
    find = find or resolve
    if "/" in text:
        if protocol == "udp":
            raise AddressError(f"cannot serve UDP at '{text}': give [host:]port, not a path")
        return unix_endpoint(text)
    host, separator, port = text.rpartition(":")
    if not separator:
        return find(default_host, parse_port(text, protocol))
    return find(_unbracket(host) or default_host, parse_port(port, protocol))


def named_host(text: str) -> str | None:
    """The host in ``host:port`` if it is a name, which must be looked up."""
    host = "" if "/" in text else _unbracket(text.rpartition(":")[0])
    return host if host and is_name(host) else None


def is_name(host: str) -> bool:
    """Whether a host must be looked up, for it is no numeric address."""
    return _literal(host, 0) is None


def unix_endpoint(path: str) -> Endpoint:
    """A Unix socket's address; sun_path holds 107 bytes (unix(7))."""
    if not path.isprintable() or len(path.encode()) > 107:
        raise AddressError(f"socket path {path!r} cannot be used: at most 107 bytes, all printable")
    return Endpoint(socket.AF_UNIX, path)


def parse_server(text: str, default_port: int, protocol: str = "tcp") -> ServerSpec:
    """A server argument: ``host[:port[:max[:hard[:weight[:prio]]]]]``."""
    host, fields = _split_host(text)
    if not host:
        raise AddressError(f"server '{text}' has no host; write host[:port[:max[:hard...]]]")
    if len(fields) > 5:
        raise AddressError(
            f"server '{text}' has too many fields; write host[:port[:max[:hard[:weight[:prio]]]]]"
            " and put an IPv6 address in brackets"
        )
    port = parse_port(fields[0], protocol) if fields and fields[0] else default_port
    return ServerSpec(host, port, *(_count(text, field) for field in fields[1:]))


def _split_host(text: str) -> tuple[str, list[str]]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError(f"server '{text}': the bracket must close before ':port'")
        return host, rest[1:].split(":") if rest else []
    host, *fields = text.split(":")
    return host, fields


def _count(text: str, field: str) -> int:
    if not field:
        return 0
    if not (field.isascii() and field.isdigit() and len(field) <= 9):
        raise AddressError(f"server '{text}': '{field}' is not a number from 0 to 999999999")
    return int(field)


def _unbracket(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def resolve(host: str, port: int) -> Endpoint:
    """The first address of a host, IPv4 before IPv6 as C pen prefers; may ask DNS.

    Raises:
        ResolveError: the name does not resolve.
    """
    literal = _literal(host, port)
    if literal is not None:
        return literal
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a valid name"
        raise ResolveError(f"host '{host}' cannot be resolved: {reason}") from None
    family, sockaddr = _prefer_ipv4([(info[0], info[4]) for info in found])
    return Endpoint(family, sockaddr)  # type: ignore[arg-type]


def _literal(host: str, port: int) -> Endpoint | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        numeric = socket.inet_ntop(family, packed)
        if family == socket.AF_INET:
            return Endpoint(family, (numeric, port))
        return Endpoint(family, (numeric, port, 0, 0))
    return None


def _prefer_ipv4(
    found: Sequence[tuple[socket.AddressFamily, object]],
) -> tuple[socket.AddressFamily, object]:
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)


def unmapped(host: str) -> str:
    """A client's address as people know it: ``::ffff:192.0.2.1`` is 192.0.2.1."""
    if host.startswith(MAPPED) and "." in host:
        return host[len(MAPPED) :]
    return host
