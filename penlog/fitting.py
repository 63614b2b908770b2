r"""Make a log line fit into a datagram, cutting nothing but the tail of a quoted field.

The longest quoted field (request, referer or user agent) loses its tail and ends in ``[cut]``; if
that is not enough, the next longest loses its own. Escapes such as ``\"`` and ``\x22`` stay whole
and quotes stay closed, so that the line can still be read. A line without quoted fields to cut
loses its own tail.
"""

import re

MARK = b"[cut]"

MOST_CUTS = 16
"""Fields cut at most; a line that is still too long then is not like any log's."""

# A quote without its end matches to the end of the line: looking on from each later quote would
# take quadratic time on a line of a megabyte.
_FIELD = re.compile(rb'"((?:[^"\\]++|\\.)*+)("?)', re.DOTALL)
_WHOLE = re.compile(rb'(?:[^"\\]++|\\x[0-9A-Fa-f]{2}|\\[^x])*+', re.DOTALL)


def fit(line: bytes, limit: int) -> bytes:
    """Return the line, without its newline, in at most limit bytes."""
    for _ in range(MOST_CUTS):
        if len(line) <= limit:
            return line
        longest = _longest_uncut_field(line)
        if longest is None:
            break
        start, end = longest
        room = max(0, end - start - (len(line) - limit) - len(MARK))
        line = line[:start] + _whole(line[start : start + room]) + MARK + line[end:]
    return line if len(line) <= limit else _without_end(line, limit)


def _longest_uncut_field(line: bytes) -> tuple[int, int] | None:
    fields = [match.span(1) for match in _FIELD.finditer(line) if match[2]]
    worthwhile = [
        (end - start, start, end)
        for start, end in fields
        if end - start > len(MARK) and not line.endswith(MARK, start, end)
    ]
    return max(worthwhile)[1:] if worthwhile else None


def _without_end(line: bytes, limit: int) -> bytes:
    kept = line[: max(0, limit - len(MARK) - 1)]
    closing = b'"' if len(re.findall(rb'(?<!\\)"', kept)) % 2 else b""
    return (kept + MARK + closing)[:limit]


def _whole(field: bytes) -> bytes:
    """Return the field without an escape that was cut in two."""
    match = _WHOLE.match(field)
    return match.group() if match else b""
