"""The header that syslog puts before a line, as nginx, Apache through logger(1) and others send it.

RFC 3164: ``<190>Nov 25 21:00:00 host tag: line``; nginx can leave the host out. RFC 5424:
``<190>1 2026-11-25T21:00:00Z host app pid id data line``.
"""

import re

_OLD = re.compile(
    rb"<\d{1,3}>\w{3} [ \d]\d \d\d:\d\d:\d\d (?:([^ :\[]+) )?([^ :\[]+)(?:\[\d+\])?: ?"
)
_NEW = re.compile(rb"<\d{1,3}>1 \S+ (\S+) (\S+) \S+ \S+ (?:-|(?:\[[^\]]*\])+) ?(?:\xef\xbb\xbf)?")


def split_syslog(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return tag, host and line of a datagram; None if it has no syslog header."""
    match = _OLD.match(data) or _NEW.match(data)
    if match is None:
        return None
    return match[2], match[1] or b"", data[match.end() :]
