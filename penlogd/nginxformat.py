"""log_format strings of nginx: variables, and literals between them.

Any variable may stand in a format, so those that are not in the tables are text.

https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from penlogd.fields import CLF_TIME, DECIMAL, NUMBER, PORT, Field, Part, Role, Stamp

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_KNOWN = {
    "remote_addr": Field("", role=Role.CLIENT),
    "realip_remote_addr": Field("", role=Role.PEER),
    "remote_port": Field("", PORT, role=Role.PORT),
    "realip_remote_port": Field("", PORT, role=Role.PORT, unit=0.5),  # the better of the two
    "server_port": Field("", PORT, role=Role.SERVER_PORT),
    "request": Field("", blanks=True, role=Role.REQUEST),
    "request_time": Field("", DECIMAL, role=Role.DURATION, unit=1.0),
    "time_local": Field("", CLF_TIME, role=Role.STAMP, stamp=Stamp("", at_end=True)),
    "time_iso8601": Field(
        "", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[-+]\d\d:\d\d|Z)", role=Role.STAMP,
        stamp=Stamp("", at_end=True),
    ),
    "msec": Field("", r"\d+\.\d{3}", role=Role.STAMP, stamp=Stamp("%s", 1e-3, at_end=True)),
    **dict.fromkeys(
        ("status", "body_bytes_sent", "bytes_sent", "request_length", "connection",
         "connection_requests", "pid"),
        Field("", NUMBER),
    ),
    **dict.fromkeys(("host", "hostname", "server_addr", "server_name", "scheme",
                     "request_method", "server_protocol", "request_id", "pipe"), Field("")),
}  # fmt: skip


def nginx_parts(text: str) -> Iterator[Part]:
    """Take a log_format string apart; every variable is known or may hold anything."""
    place = 0
    for match in _VARIABLE.finditer(text):
        yield text[place : match.start()]
        place = match.end()
        known = _KNOWN.get(match[1] or match[2]) or Field("", blanks=True)
        yield replace(known, name=match[0])
    yield text[place:]
