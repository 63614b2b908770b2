"""Log formats as people give them: by nickname or in full, several, for all servers or for one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from penlogd.accesslog import AccessLine, ByShape, LineFormat
from penlogd.apacheformat import apache_parts
from penlogd.caddyformat import CaddyFormat
from penlogd.fields import Field, FormatError, Part, Role
from penlogd.logformat import CompiledFormat, compile_format
from penlogd.nginxformat import nginx_parts

COMMON = '%h %l %u %t "%r" %>s %b'
COMBINED = COMMON + ' "%{Referer}i" "%{User-Agent}i"'

_NGINX = (
    "$remote_addr - $remote_user [$time_local] "
    '"$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
_LIGHTTPD = 'lighttpd:%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
_PORTS = " %{remote}p %{local}p %D"

# Those with _ports show what the exact join needs; the examples in etc/ have servers write them.
NICKNAMES = {
    "common": COMMON,
    "combined": COMBINED,
    "combined_ports": COMBINED + _PORTS,
    "vhost_combined": "%v:%p " + COMBINED,
    "nginx_combined": _NGINX,
    "nginx_ports": _NGINX + " $remote_port $server_port $request_time",
    "lighttpd": _LIGHTTPD,
    "lighttpd_ports": _LIGHTTPD + _PORTS,
}
CADDY = "caddy"
"""The format that is not made of words: Caddy's objects of JSON."""
SHAPE = "shape"
"""The format that knows usual lines by their look."""

_DIALECT = re.compile(r"(apache|nginx|lighttpd):(.*)", re.DOTALL)


def make_format(
    formats: Sequence[str],
    by_server: Iterable[tuple[bytes, str]] = (),
    server_field: str | None = None,
) -> LineFormat:
    """Return the reader of all the formats that were given; of lines by their shape if none was.

    Args:
        formats: For lines of servers that have no formats of their own; tried in order.
        by_server: Addresses and formats of servers that have.
        server_field: The directive or variable that tells the server.

    Raises:
        FormatError: One of them cannot be used, or none has the server field.
    """
    own: dict[bytes, list[LineFormat]] = {}
    for server, text in by_server:
        own.setdefault(server, []).append(read_format(text, server_field))
    common = [read_format(text, server_field) for text in formats] or [ByShape()]
    every = [*common, *(each for some in own.values() for each in some)]
    if server_field is not None and not any(
        isinstance(each, CompiledFormat) and each.names_server for each in every
    ):
        raise FormatError(f"no log format has '{server_field}', which is to tell the server")
    return common[0] if len(every) == 1 else Several(common, own)


def read_format(text: str, server_field: str | None = None) -> LineFormat:
    """Return the reader of one format: a nickname, or a format string of Apache or nginx.

    What server it is for may stand before it (``apache:``, ``nginx:``, ``lighttpd:``); without
    that, a format with ``$name`` and no ``%`` is nginx's.

    Raises:
        FormatError: It cannot be used.
    """
    if text == SHAPE:
        return ByShape()
    if text == CADDY:
        return CaddyFormat()
    full = NICKNAMES.get(text, text)
    dialect = _DIALECT.fullmatch(full)
    if dialect is not None:
        kind, full = dialect[1], dialect[2]
    else:
        kind = "nginx" if "%" not in full and re.search(r"\$[a-z{]", full) else "apache"
    parts = nginx_parts(full) if kind == "nginx" else apache_parts(full, at_end=kind == "lighttpd")
    return compile_format(full, _name_server(parts, server_field))


def _name_server(parts: Iterable[Part], server_field: str | None) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Field) and part.name == server_field:
            if part.role is not None:
                raise FormatError(
                    f"'{part.name}' cannot tell the server: it is the {part.role.value}"
                )
            part = replace(part, role=Role.SERVER)
        yield part


class Several:
    """Tries several formats in turn; servers may have formats of their own."""

    def __init__(
        self, common: Sequence[LineFormat], own: Mapping[bytes, Sequence[LineFormat]]
    ) -> None:
        self._common = common
        self._own = own

    def read(self, text: bytes, sender: bytes) -> AccessLine | None:
        """Read a line in the first format that it has; None if it has none."""
        for each in self._own.get(sender, self._common):
            line = each.read(text, sender)
            if line is not None:
                return line
        return None
