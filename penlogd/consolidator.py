"""The engine of penlogd: datagrams in, finished lines out.

It puts together `joining` (which client?) and `ordering` (when may a line go?). A line is joined
when it leaves the buffer, not when it comes: by then the record that belongs to it has come too,
even if the web server was quicker than pen. Time is passed in.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from math import inf

from penlog.records import RecordError, find_connections, split_datagram
from penlogd.accesslog import AccessLine, LineFormat, Order, unreadable
from penlogd.attribution import Attribution
from penlogd.connections import Connections, canonical_place
from penlogd.joining import Join, Statistics
from penlogd.ordering import ReorderBuffer
from penlogd.syslog import split_syslog

APART = 1e-6
"""What comes in one go counts as this many seconds apart, which keeps its order known."""

_REMEMBERED = 10_000


class Consolidator:
    """Turns pen's records and the servers' lines into one log.

    Args:
        line_format: How the servers' lines are read.
        attribution: Pen's records of requests.
        connections: Pen's records of connections.
        buffer: Where lines wait; None writes each at once.
        order: Which time of a request lines are ordered by.
        servers: Addresses of servers by names that lines tell: a syslog tag or host, or the
            format's server field.

    Attributes:
        serial: The number that the next line or record taken gets; they count up by one.
        recorded: When pen's last record of a request came.
        serials: The numbers of the lines that `due` or `flush` returned last, in the same order.
    """

    def __init__(
        self,
        line_format: LineFormat,
        attribution: Attribution,
        connections: Connections,
        buffer: ReorderBuffer[tuple[AccessLine, float, int]] | None,
        *,
        order: Order = Order.STAMP,
        servers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.statistics = Statistics()
        self.serial = 0
        self.recorded = -inf
        self.serials: list[int] = []
        self._format = line_format
        self._attribution = attribution
        self._connections = connections
        self._addresses = Addresses()
        address = self._addresses.__getitem__
        self._client = Join(attribution, connections, self.statistics, address).client
        self._buffer = buffer
        self._order = order
        self._servers = servers or {}
        self._finished: list[bytes] = []
        self._finished_serials: list[int] = []
        # By their first two bytes; all others are lines.
        self._kinds: dict[bytes, Callable[[bytes, str, float], None]] = {b"+ ": self._take_record}
        for digit in b"0123456789":
            self._kinds[bytes((b"="[0], digit))] = self._take_connections
            self._kinds[bytes((b"<"[0], digit))] = self._take_syslog

    def take(self, datagrams: Sequence[tuple[bytes, str]], times: Sequence[float] | float) -> None:
        """Take datagrams, each with its sender's address, in the order in which they came.

        Args:
            datagrams: What came.
            times: When each came; or when all did.
        """
        if isinstance(times, float):
            times = spread(times, len(datagrams))
        taker_of, take_lines = self._kinds.get, self._take_lines
        for (data, sender), now in zip(datagrams, times, strict=True):
            taker_of(data[:2], take_lines)(data, sender, now)

    def due(self, now: float) -> list[bytes]:
        """Return the lines to be written now, without newlines."""
        if self._buffer is not None:
            self._finish(self._buffer.due(now))
        return self._drain()

    def flush(self) -> list[bytes]:
        """Return all lines, also those that would wait for earlier ones."""
        if self._buffer is not None:
            self._finish(self._buffer.flush())
        return self._drain()

    def clock_set(self, seconds: float) -> None:
        """The clock that times are told by was set, forward by so many seconds."""
        self.recorded += seconds
        self._connections.shift(seconds)

    def deadline(self) -> float | None:
        """Return when `due` must be called at the latest; None if nothing waits."""
        return None if self._buffer is None else self._buffer.deadline()

    @property
    def held(self) -> tuple[int, int]:
        """How many lines are held, and their bytes."""
        return (0, 0) if self._buffer is None else (self._buffer.lines, self._buffer.bytes)

    def lag(self, now: float) -> dict[bytes, float]:
        """Return for each server heard of lately how old its newest stamp is, in seconds."""
        return {} if self._buffer is None else self._buffer.lag(now)

    def _take_record(self, data: bytes, _sender: str, now: float) -> None:
        self.serial += 1
        try:
            client, server, request = split_datagram(data)
        except RecordError:
            self.statistics.bad_records += 1
            return
        self.statistics.records += 1
        self.recorded = now
        self._attribution.add(self._addresses[server], request, client, now)

    def _take_connections(self, data: bytes, _sender: str, now: float) -> None:
        records, news = data.count(b"\n", 0, -1) + 1, find_connections(data)
        self.serial += records
        self.statistics.connections += len(news)
        self.statistics.bad_records += records - len(news)
        known = self._connections
        for event, about, client, place, server_port, lasted in news:
            ended = event == b"end"
            if not known.tell_more(about, now, ended=ended):
                key = canonical_place(place, self._addresses)
                known.tell(key, server_port, client, about, float(lasted), now, ended=ended)
        known.forget(now)

    def _take_syslog(self, data: bytes, sender: str, now: float) -> None:
        header = split_syslog(data)
        if header is None:
            self._take_lines(data, sender, now)
        else:
            self._take_texts(header[2], self._named(header, sender), now)

    def _named(self, header: tuple[bytes, bytes, bytes], sender: str) -> bytes:
        """Return the server that a syslog header names, else the sender."""
        tag, host, _ = header
        return self._servers.get(tag) or self._servers.get(host) or self._addresses[sender]

    def _take_lines(self, data: bytes, sender: str, now: float) -> None:
        self._take_texts(data, self._addresses[sender], now)

    def _take_texts(self, data: bytes, server: bytes, now: float) -> None:
        text = data.removesuffix(b"\n")
        if b"\n" in text:
            for each in text.split(b"\n"):
                self._take_line(each, server, now)
        else:
            self._take_line(text, server, now)

    def _take_line(self, text: bytes, sender: bytes, now: float) -> None:
        serial = self.serial
        self.serial = serial + 1
        line = self._format.read(text, sender)
        if line is None:
            line = unreadable(text, sender)
            if line is None:
                self.statistics.garbage += 1
                return
            self.statistics.unreadable += 1
        elif line.server is not sender:
            line.server = self._servers.get(line.server) or self._addresses[line.server]
        self.statistics.lines += 1
        key = line.order_key(self._order)
        stamp = now if key is None else key
        buffer = self._buffer
        if buffer is None:
            self._finish([(line, now, serial)])
        elif not buffer.add((line, now, serial), len(text), line.server, stamp, now):
            self.statistics.late += 1
            self._finish([(line, now, serial)])

    def _finish(self, lines: list[tuple[AccessLine, float, int]]) -> None:
        finished, client_of = self._finished, self._client
        self._finished_serials += [serial for _, _, serial in lines]
        for line, came, _ in lines:
            client = client_of(line, came)
            finished.append(line.text if client is None else line.with_client(client))

    def _drain(self) -> list[bytes]:
        finished, self._finished = self._finished, []
        self.serials, self._finished_serials = self._finished_serials, []
        return finished


def spread(now: float, count: int) -> list[float]:
    """Return times for what came in one go, `APART`, so that its order is known."""
    return [now + APART * number for number in range(1, count + 1)]


class Addresses(dict[bytes | str, bytes]):
    """Addresses in their one spelling, by any spelling, so that pen's and the kernel's compare."""

    def __missing__(self, text: bytes | str) -> bytes:
        """Remember the spelling of one more."""
        if len(self) >= _REMEMBERED:
            self.clear()
        plain = self[text] = canonical(text)
        return plain


def canonical(address: bytes | str) -> bytes:
    """Return an IP address in its one spelling, IPv4-mapped as IPv4; other names as they are."""
    text = address if isinstance(address, str) else address.decode("ascii", "surrogateescape")
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return text.encode("ascii", "surrogateescape")
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip).encode()
