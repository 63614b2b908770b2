"""What penlogd counts: each figure is declared here, once.

All that is told of them comes from here: the line that signal USR1 asks for, the status file, what
Prometheus gets. They are read when they are told, and cost nothing before: whoever counts does so
for its own sake, in a plain attribute.

Counters only grow, from 0 at the start; what a crash left in the journal counts as come once more.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from penlogd.joining import Statistics
from penlogd.parts import Parts

SERVERS_MAX = 100
"""Servers told of one by one, those that lag most: whoever can send lines can make up servers."""

_NAME_MAX = 64


class Kind(Enum):
    """What a figure may do: only grow, or go up and down."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is counted or measured.

    Attributes:
        name: Its name, for Prometheus with ``penlogd_`` before it, and ``_total`` behind a
            counter's. A unit other than "how many" ends the name.
        kind: What it may do.
        help: What it is.
        read: Reads it; with a label, its value for each value of the label.
        label: What sorts it.
    """

    name: str
    kind: Kind
    help: str
    read: Callable[[Parts], float | Mapping[str, float]]
    label: str | None = None

    def values(self, parts: Parts) -> Iterator[tuple[str | None, float]]:
        """Yield the values of the label, None without one, and of the figure."""
        value = self.read(parts)
        if isinstance(value, Mapping):
            yield from value.items()
        else:
            yield None, value


def _counted(parts: Parts) -> Statistics:
    return parts.consolidator.statistics


def _joined(parts: Parts) -> dict[str, float]:
    counted = _counted(parts)
    return {"exact": counted.exact, "timed": counted.joined, "guessed": counted.guessed}


def _lag(parts: Parts) -> dict[str, float]:
    lags = parts.consolidator.lag(time.time())
    most = sorted(lags, key=lambda server: -lags[server])[:SERVERS_MAX]
    return {printable(server): max(0.0, round(lags[server], 3)) for server in most}


def _counter(name: str, text: str, read: Callable[[Parts], float]) -> Figure:
    return Figure(name, Kind.COUNTER, text, read)


def _gauge(name: str, text: str, read: Callable[[Parts], float]) -> Figure:
    return Figure(name, Kind.GAUGE, text, read)


FIGURES = (
    _counter("lines_received", "Lines of access logs taken in.", lambda p: _counted(p).lines),
    _counter("lines_written", "Lines written to the log.", lambda p: p.sink.written),
    Figure(
        "lines_joined", Kind.COUNTER,
        "Lines that got their client: exact by the port, timed by request and time, "
        "guessed by the request from a record of another time.",
        _joined, label="by",
    ),
    _counter(
        "lines_unmatched", "Lines without any record, written unchanged.",
        lambda p: _counted(p).unmatched,
    ),
    _counter(
        "lines_port_unknown",
        "Lines with a port that no known connection had; counted again by what else was found.",
        lambda p: _counted(p).exact_missing,
    ),
    _counter(
        "lines_ambiguous", "Lines with a port that several connections had, written unchanged.",
        lambda p: _counted(p).ambiguous,
    ),
    _counter(
        "lines_unreadable", "Lines of none of the formats, written unchanged.",
        lambda p: _counted(p).unreadable,
    ),
    _counter(
        "lines_garbage", "Empty lines and those with control characters, not written.",
        lambda p: _counted(p).garbage,
    ),
    _counter("lines_late", "Lines out of time order.", lambda p: _counted(p).late),
    _counter(
        "lines_dropped", "Lines lost because the disk was full, or a pipe not read, for too long.",
        lambda p: p.sink.dropped,
    ),
    _counter(
        "request_records", "Records of requests from pen.", lambda p: _counted(p).records
    ),
    _counter(
        "connection_records", "Records of connections from pen.", lambda p: _counted(p).connections
    ),
    _counter(
        "bad_records", "What began like a record from pen and was none.",
        lambda p: _counted(p).bad_records,
    ),
    _counter(
        "datagrams_dropped",
        "Datagrams that the kernel dropped, for they came faster than they were read.",
        lambda p: p.receiver.dropped(),
    ),
    _counter(
        "datagrams_refused", "Datagrams from those who are not allowed.",
        lambda p: p.senders.refused,
    ),
    _counter(
        "datagrams_unjournaled", "Datagrams taken though the journal could not be written.",
        lambda p: p.intake.unjournaled,
    ),
    _counter(
        "connections_refused", "Connections from those who are not allowed, or beyond 1000.",
        lambda p: p.acceptor.refused,
    ),
    _counter(
        "streams_resumed", "Times that a sender connected again, and sent what was not here yet.",
        lambda p: p.intake.sessions.resumed,
    ),
    _counter(
        "streams_broken", "Times that a stream went on with bytes missing.",
        lambda p: p.intake.sessions.gaps,
    ),
    _counter(
        "frames_repeated", "Frames of streams that were here already, in part or whole.",
        lambda p: p.intake.repeated_frames,
    ),
    _counter(
        "repeated_bytes", "Bytes of streams that were here already, and were passed over.",
        lambda p: p.intake.repeated_bytes,
    ),
    _gauge("held_lines", "Lines held to put them in time order.", lambda p: p.consolidator.held[0]),
    _gauge("held_bytes", "Bytes of lines held.", lambda p: p.consolidator.held[1]),
    _gauge(
        "unwritten_bytes", "Bytes of finished lines that the disk or pipe has not taken yet.",
        lambda p: p.sink.kept,
    ),
    _gauge("connections", "Senders connected.", lambda p: len(p.acceptor.connections)),
    _gauge("streams", "Senders known, connected or not.", lambda p: len(p.intake.sessions)),
    _gauge(
        "servers", "Servers that sent lines lately.", lambda p: len(p.consolidator.lag(0.0))
    ),
    _gauge("start_time_seconds", "When penlogd was started, since 1970.", lambda p: int(p.started)),
    Figure(
        "server_lag_seconds", Kind.GAUGE,
        f"Age of the newest stamp of each server that sent lines lately ({SERVERS_MAX} at most).",
        _lag, label="server",
    ),
)  # fmt: skip


def words(parts: Parts) -> Iterator[str]:
    """Yield ``name=value`` and ``name[label]=value``, in the order of declaration."""
    for figure in FIGURES:
        for label, value in figure.values(parts):
            yield f"{figure.name}={value}" if label is None else f"{figure.name}[{label}]={value}"


def counters(parts: Parts) -> list[float]:
    """Return all that only grows: equal as long as nothing happens."""
    kept = (figure for figure in FIGURES if figure.kind is Kind.COUNTER)
    return [value for figure in kept for _, value in figure.values(parts)]


def printable(name: bytes) -> str:
    """Return a server's name, which may be any bytes of a line, as one short printable word."""
    text = name[:_NAME_MAX].decode("ascii", "replace")
    return "".join(letter if letter.isprintable() and letter != " " else "?" for letter in text)
