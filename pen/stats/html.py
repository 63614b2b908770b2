"""The status page: the facts of C pen's page, under its headings, in HTML5.

A table is wider than a phone, so each scrolls by itself; nothing is loaded from
anywhere, and the page follows the reader's light or dark setting.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from pen.core.errors import PenError
from pen.core.servers import Duty
from pen.stats.snapshot import ServerFacts, Snapshot

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --head: #8882; --good: #2a7d4f; --bad: #b3261e; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 75rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 .25rem; }
p { margin: 0 0 .75rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem; text-align: right; white-space: nowrap; }
th { background: var(--head); font-weight: 600; }
th.text, td.text { text-align: left; }
tbody tr + tr td { border-top: 1px solid var(--line); }
.up { color: var(--good); } .down { color: var(--bad); font-weight: 600; }
""".strip()

_SERVER_HEADINGS = (
    "server", "address", "status", "port", "connections", "max soft", "max hard",
    "sent", "received", "weight", "prio",
)  # fmt: skip
_CLIENT_HEADINGS = (
    "client", "address", "age(secs)", "last server", "connects", "sent", "received",
)  # fmt: skip
_CONNECTION_HEADINGS = (
    "connection", "downfd", "upfd", "pending data down", "pending data up", "client", "server",
)  # fmt: skip


READY = Duty.READY
_DUTIES = {
    Duty.DRAIN: "draining: only clients that it knows",
    Duty.DOWN: "down: taken out by hand",
}


def pieces(snapshot: Snapshot) -> Iterator[str]:
    """The page, line by line."""
    for line in _lines(snapshot):
        yield f"{line}\n"


def _lines(snapshot: Snapshot) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(snapshot.epoch))
    yield from (
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Pen status page</title>",
        f"<style>\n{_STYLE}\n</style>",
        "</head>",
        "<body>",
        "<h1>Pen status page</h1>",
        f"<p>Time {when}, {len(snapshot.servers)} servers, {snapshot.current} current</p>",
    )
    yield from _table(
        _SERVER_HEADINGS, ((_server_row(server), _state(server)) for server in snapshot.servers)
    )
    yield "<h2>Active clients</h2>"
    yield f"<p>Max number of clients: {snapshot.clients_max}</p>"
    yield from _table(
        _CLIENT_HEADINGS,
        (
            ((c.slot, c.address, c.age, c.server, c.connects, c.sx, c.rx), _NO_STATE)
            for c in snapshot.clients
        ),
    )
    yield "<h2>Active connections</h2>"
    yield (
        f"<p>Number of connections: {snapshot.conn_max} max, "
        f"{len(snapshot.connections)} used, {snapshot.last} last</p>"
    )
    yield from _table(
        _CONNECTION_HEADINGS,
        (
            (
                (c.number, c.down_fd, c.up_fd, c.pending_down, c.pending_up, c.client, c.server),
                _NO_STATE,
            )
            for c in snapshot.connections
        ),
    )
    yield "</body>"
    yield "</html>"


def _server_row(server: ServerFacts) -> Sequence[object]:
    return (
        server.slot,
        server.address,
        _status(server),
        server.port,
        server.connections,
        server.max,
        server.hard,
        server.sx,
        server.rx,
        server.weight,
        server.prio,
    )


def _status(server: ServerFacts) -> str:
    """The number alone, as C pen has it, unless somebody took the server out of duty."""
    return str(server.status) if server.duty is READY else f"{server.status} ({server.duty.value})"


def _state(server: ServerFacts) -> tuple[str, str]:
    """Class and words for a server's status, of which the number alone says little."""
    if server.duty is not READY:
        return "down", _DUTIES[server.duty]
    waiting = f"next try in {server.ban} s" if server.ban else "available"
    if server.status:
        failed = time.strftime("%H:%M:%S", time.localtime(server.status))
        return "down", f"failed {failed}, {waiting}"
    if server.ban:
        return "down", f"blacklisted, {waiting}"
    return ("up", "available") if server.port else ("", "unused")


_NO_STATE = ("", "")


def _table(
    headings: Sequence[str], rows: Iterable[tuple[Sequence[object], tuple[str, str]]]
) -> Iterator[str]:
    """A table; with each row come class and title of its status cell."""
    yield '<div class="scroll" tabindex="0"><table>'
    yield "<thead><tr>"
    for heading in headings:
        yield f"<th{_kind(heading)}>{escape(heading)}</th>"
    yield "</tr></thead>"
    yield "<tbody>"
    for row, state in rows:
        cells = zip(headings, row, strict=True)
        cells_html = "".join(_cell(heading, value, state) for heading, value in cells)
        yield f"<tr>{cells_html}</tr>"
    yield "</tbody></table></div>"


def _cell(heading: str, value: object, state: tuple[str, str]) -> str:
    if heading == "status":
        name, words = state
        return f'<td class="{name}" title="{escape(words)}">{escape(str(value))}</td>'
    return f"<td{_kind(heading)}>{escape(str(value))}</td>"


def _kind(heading: str) -> str:
    return ' class="text"' if heading == "address" else ""


def save(page: str, path: str) -> None:
    """Write a page so that a reader never sees half of it: a new file, then a rename.

    Raises:
        PenError: the folder or the file cannot be written.
    """
    folder = os.path.dirname(path) or "."
    try:
        descriptor, name = tempfile.mkstemp(prefix=".pen-", dir=folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(page)
                os.fchmod(file.fileno(), 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except (OSError, ValueError) as error:
        raise PenError(f"cannot write status page '{path}': {error}") from None
