"""Caddy's access log: an object of JSON a line, as Caddy writes it unless told otherwise.

`request` shows who was connected, `remote_ip` and `remote_port`, and since Caddy 2.7 `client_ip`,
which is the client where trusted proxies told of another. `ts` is the end of the request.

https://caddyserver.com/docs/caddyfile/directives/log
"""

import json
import re

from penlogd.accesslog import AccessLine, Shape

_TEXT = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'

# The order of members is Caddy's own. A client cannot add any: what it sends is inside of strings,
# where quotes are escaped, and the values of headers are lists.
_LINE = re.compile(
    rb'\{"level":"\w{1,9}","ts":(?P<stamp>\d{1,11}(?:\.\d+)?),'
    rb'"logger":"http\.log\.access' + _TEXT + rb'","msg":"handled request",'
    rb'"request":\{"remote_ip":"(?P<remote>[^"\\]++)","remote_port":"(?P<port>\d{1,5})",'
    rb'(?:"client_ip":"(?P<client>[^"\\]++)",)?'
    rb'"proto":"(?P<proto>[^"\\]*+)","method":"(?P<method>' + _TEXT + rb')",'
    rb'"host":"' + _TEXT + rb'","uri":"(?P<uri>' + _TEXT + rb')"'
    rb'.*,"duration":(?P<duration>\d{1,9}(?:\.\d+)?),"size":\d+,"status":\d+[,}]',
    re.DOTALL,
)  # fmt: skip

_SHAPE = Shape(precision=0.0, at_end=True)


class CaddyFormat:
    """Reads lines of Caddy's access log."""

    def read(self, text: bytes, sender: bytes) -> AccessLine | None:
        """Read a line; None if it is no such object."""
        match = _LINE.match(text)
        if match is None:
            return None
        stamp, remote, port, client, duration = match.group(
            "stamp", "remote", "port", "client", "duration"
        )
        start, end = match.span("remote" if client is None else "client")
        return AccessLine(
            text, sender, start, end, _request(match), float(stamp), _SHAPE, float(duration),
            remote, port,
        )  # fmt: skip


def _request(match: re.Match[bytes]) -> bytes | None:
    """Return the request as the client sent it; None if that cannot be told."""
    request = b" ".join(match.group("method", "uri", "proto"))
    if b"\\" not in request:
        return request
    text = request.decode("utf-8", "surrogateescape")
    try:
        return str(json.loads(f'"{text}"', strict=False)).encode("utf-8", "surrogateescape")
    except ValueError:
        return None
