"""The engine of mergelogs: pen's log and the servers' logs in, finished lines out, in time order.

All files are read before the first line comes out, for they may be in any order. What is read goes
through `sorting`, so memory holds no more than a part of it. Then lines are gone through by their
stamps, and pen's records beside them, some way ahead: a clock that is wrong may have put the record
of a line after it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, BinaryIO

from penlog.records import RecordError, as_in_file, split_connection, split_file_line
from penlogd.accesslog import AccessLine, LineFormat, unreadable
from penlogd.attribution import CEILING
from penlogd.connections import Connections, place_of
from penlogd.consolidator import canonical
from penlogd.joining import Join, Statistics
from penlogd.pairing import Pairing
from penlogd.sorting import Item, Sorter

AHEAD = CEILING // 2
"""Records of requests at most that are held ahead of the line being joined."""

ON_A_CONNECTION = 10.0
"""Seconds by which a line's time may be outside that of its connection, by different clocks."""


class Merger:
    """Takes pen's log, then the servers', then gives the lines.

    Args:
        line_format: How the servers' lines are read.
        jitter: Seconds by which the clocks of pen and a server may be apart.
        unmatched: Called with each line whose client is not found.
        run: Lines sorted at a time in memory.

    Attributes:
        statistics: What became of the lines; *late* are those that stood after a later one.
        looked_ahead: Least seconds of pen's log that were looked at ahead of a line, where they
            held so many records that the jitter could not be kept to; else None.
    """

    def __init__(
        self,
        line_format: LineFormat,
        jitter: float,
        unmatched: Callable[[AccessLine], None] | None = None,
        *,
        run: int | None = None,
    ) -> None:
        self.statistics = Statistics()
        self.looked_ahead: float | None = None
        self._format = line_format
        self._jitter = jitter
        self._tell_unmatched = unmatched
        sorters = [Sorter() if run is None else Sorter(run) for _ in range(3)]
        self._requests, self._connections, self._lines = sorters
        self._names: list[tuple[bytes, bytes]] = []  # of each log: server's address, as given
        self._longest = 0.0
        self._addresses: dict[bytes, bytes] = {}

    def read_records(self, lines: Iterable[bytes], ahead: float) -> None:
        """Read pen's log, whose clock is so many seconds ahead of UTC."""
        statistics = self.statistics
        for turn, text in enumerate(lines):
            try:
                if text.startswith(b"=1 "):
                    fields = split_connection(text)
                    when = float(fields[8]) + float(fields[9]) - ahead
                    self._connections.add((when, turn, fields))
                    statistics.connections += 1
                    continue
                client, epoch, server, request = split_file_line(text)
            except RecordError:
                statistics.bad_records += 1
                continue
            server = self._address(server)
            self._requests.add((int(epoch) - ahead, turn, server, request, client))
            statistics.records += 1

    def read_lines(
        self, name: str, lines: Iterable[bytes], rejected: BinaryIO | None = None
    ) -> None:
        """Read a server's log. A line without a time goes after the one before it.

        Args:
            name: The server, as pen knows it.
            lines: Its log.
            rejected: Where lines go that cannot be read; None leaves them where they are.
        """
        server, number, statistics = canonical(name), len(self._names), self.statistics
        self._names.append((server, name.encode()))
        stamp = newest = float("-inf")
        for turn, text in enumerate(lines):
            text = text.removesuffix(b"\n")
            line = self._format.read(text, server)
            if line is None:
                if unreadable(text, server) is None:
                    statistics.garbage += 1
                else:
                    statistics.unreadable += 1
                if rejected is not None:
                    rejected.write(text + b"\n")
                    continue
            elif line.stamp is not None:
                stamp = line.stamp
                if stamp < newest:
                    statistics.late += 1
                else:
                    newest = stamp
                if line.shape.at_end and line.duration is not None:
                    self._longest = max(self._longest, line.duration)
            self._lines.add((stamp, number, turn, text))

    def merged(self) -> Iterator[bytes]:
        """Join all lines and give them in time order, without newlines.

        Raises:
            OSError: The temporary files cannot be read.
        """
        reach = self._jitter + self._longest
        pairing = Pairing(self._jitter, 2 * reach + 2.0)
        connections = Connections(2 * ON_A_CONNECTION + self._longest)
        join = Join(
            pairing, connections, self.statistics, self._address,
            span_on_connection=AccessLine.span_by_stamp,
        )  # fmt: skip
        requests = self._feed_requests(pairing)
        tell = self._feed_connections(connections)
        for stamp, number, _, text in self._lines.sorted():
            self.statistics.lines += 1
            server, name = self._names[number]
            line = self._format.read(text, server)
            if line is None or line.request is None:
                yield text
                continue
            tell(stamp + ON_A_CONNECTION)
            requests(stamp)
            line.request = as_in_file(line.request)
            client = join.client(line, stamp)
            if client is None:
                if self._tell_unmatched is not None:
                    self._tell_unmatched(line)
                client = name
            yield line.with_client(client)

    def close(self) -> None:
        """Give temporary files back."""
        for sorter in (self._requests, self._connections, self._lines):
            sorter.close()

    def _feed_requests(self, pairing: Pairing) -> Callable[[float], None]:
        """Return what tells the pairing all records up to the jitter after a time."""
        waiting = _Ahead(_spread(self._requests.sorted()))
        ahead: deque[float] = deque()

        def feed(stamp: float) -> None:
            until = stamp + 1.0 + self._jitter
            while ahead and ahead[0] <= stamp:
                ahead.popleft()
            while waiting.when <= until:
                if len(ahead) >= AHEAD:
                    reached = max(0.0, ahead[-1] - stamp)
                    self.looked_ahead = min(reached, self.looked_ahead or reached)
                    return
                when, server, request, client = waiting.take()
                pairing.add(server, request, client, when)
                ahead.append(when)

        return feed

    def _feed_connections(self, connections: Connections) -> Callable[[float], None]:
        """Return what tells of all connections up to a time."""
        waiting = _Ahead((when, fields) for when, _, fields in self._connections.sorted())

        def feed(until: float) -> None:
            while waiting.when <= until:
                when, told = waiting.take()
                event, _, client, _, source, port, server, server_port = told[:8]
                key = place_of(self._address(source), port, self._address(server))
                about, lasted = b" ".join(told[2:9]), float(told[9])
                connections.tell(
                    key, server_port, client, about, lasted, when, ended=event == b"end"
                )

        return feed

    def _address(self, text: bytes) -> bytes:
        """Return an address in its one spelling."""
        plain = self._addresses.get(text)
        if plain is None:
            plain = self._addresses[text] = canonical(text)
        return plain


class _Ahead:
    """An iterator of which the time of the next item can be seen."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._next: Item = ()
        self.when = float("-inf")
        self.take()

    def take(self) -> Any:
        """Return the next item and go to the one after it, whose time is infinite if none is."""
        item, self._next = self._next, next(self._items, (float("inf"),))
        self.when = self._next[0]
        return item


def _spread(records: Iterator[Item]) -> Iterator[Item]:
    """Spread the records of a second, which pen logs without a fraction, evenly over it."""
    for second, group in groupby(records, key=lambda record: record[0]):
        some = list(group)
        for place, (_, _, server, request, client) in enumerate(some):
            yield second + (place + 0.5) / len(some), server, request, client
