"""Simulated web traffic through a pen, with the truth beside it.

Requests arrive as a Poisson process, URLs by Zipf's law, response times by a log-normal
distribution; clients ask over kept connections. What pen and the servers log of it is made here to
the letter of what they write; `bytes`, the size of the response, is the number of the request, so
that whatever comes out of a log tool can be held against the truth in every format.

Nothing here reads a clock: times are seconds since 1970, of a traffic that begins at `START`.
"""

import heapq
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from penlog.records import about_connection, connection_line, datagram, file_line

START = 1_795_449_600.0
PEN = "127.0.0.1"

COMMON = '%h %l %u %t "%r" %>s %b'
FORMATS = {
    "common": COMMON,
    "with %D": COMMON + " %D",
    "with ports": COMMON + " %D %{remote}p %{local}p",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What traffic to simulate.

    Attributes:
        rate: Requests a second, mean.
        count: Requests.
        servers: Web servers.
        clients: Clients.
        urls: URLs; the n-th is asked for in proportion to 1/n.
        padding: Bytes added to each URL.
        median: Seconds of a response, median.
        sigma: Of the logarithm of the response time.
        kept: Requests over a connection, mean of a geometric distribution.
        posts: Share of POST requests.
        loss: Share of datagrams lost, records and lines alike.
        delay: Seconds, mean, from a web server's logging to penlogd, exponential.
        skew: Seconds by which the clocks of the servers are ahead of pen's: the first by this, the
            second by as much behind, and so on.
        seed: Of the random numbers.
    """

    rate: float = 200.0
    count: int = 20_000
    servers: int = 2
    clients: int = 2000
    urls: int = 1000
    padding: int = 0
    median: float = 0.020
    sigma: float = 1.0
    kept: float = 4.0
    posts: float = 0.05
    loss: float = 0.0
    delay: float = 0.0005
    skew: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Connection:
    """A connection from a client by way of pen to a server."""

    client: str
    client_port: int
    port: int
    server: int
    opened: float
    left: int
    busy: float = 0.0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response.

    Attributes:
        number: From 0, in order of arrival.
        arrived: When pen got the request; the server gets it a network's latency later.
        ended: When the server had answered.
        connection: Over which it went.
        request: Its first line.
    """

    number: int
    arrived: float
    began: float
    ended: float
    connection: Connection
    request: str


@dataclass(order=True, slots=True)
class Event:
    """Something that is logged, at a time.

    Attributes:
        when: When it comes in at penlogd.
        kind: ``record``, ``connection`` or ``line``.
        server: Which server sent it; -1 for pen.
        what: The exchange, or the connection and whether it ended.
    """

    when: float
    turn: int
    kind: str = field(compare=False)
    server: int = field(compare=False)
    what: Exchange | tuple[Connection, float, bool] = field(compare=False)


class Simulation:
    """Makes the traffic, and what is logged of it.

    Args:
        traffic: What traffic.
        log: Whether events are wanted.

    Attributes:
        hosts: Addresses of the servers.
        exchanges: All requests, in order of arrival.
        events: All that is logged and not lost, in order of arrival at penlogd.
        lost: What was lost.
    """

    def __init__(self, traffic: Traffic, *, log: bool = True) -> None:
        self.traffic = traffic
        self.hosts = [f"127.0.0.{10 + n}" for n in range(traffic.servers)]
        self._random = random.Random(traffic.seed)
        self._ports = deque(self._random.sample(range(32768, 61000), 61000 - 32768))
        self._logging = log
        self._turn = 0
        self.events: list[Event] = []
        self.lost: list[Event] = []
        self.exchanges = list(self._exchanges())
        self.events.sort()

    def truth(self, number: int) -> str:
        """Return the client of a request."""
        return self.exchanges[number].connection.client

    def record(self, exchange: Exchange) -> bytes:
        """Return pen's record of a request, as sent to penlogd."""
        connection = exchange.connection
        host = self.hosts[connection.server]
        return datagram(connection.client, host, exchange.request.encode())

    def connection_record(self, connection: Connection, when: float, ended: bool) -> bytes:
        """Return pen's record of a connection."""
        about = about_connection(
            "tcp", (connection.client, connection.client_port), (PEN, connection.port),
            (self.hosts[connection.server], 80), connection.opened,
        )  # fmt: skip
        reason = "done" if ended else None
        return connection_line(about, when - connection.opened, 500, 5000, reason)

    def line(self, exchange: Exchange, style: str) -> bytes:
        """Return the server's line of a request in one of `FORMATS`, without its newline."""
        connection = exchange.connection
        ahead = self.traffic.skew * (-1) ** connection.server
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(exchange.began + ahead))
        text = f'{PEN} - - [{stamp}] "{exchange.request}" 200 {exchange.number}'
        if style != "common":
            text += f" {round((exchange.ended - exchange.began) * 1e6)}"
        if style == "with ports":
            text += f" {connection.port} 80"
        return text.encode()

    def file_line(self, exchange: Exchange) -> bytes:
        """Return the line of pen's log file for a request."""
        connection = exchange.connection
        return file_line(
            connection.client, int(exchange.arrived), self.hosts[connection.server],
            exchange.request.encode(),
        )  # fmt: skip

    def _exchanges(self) -> Iterator[Exchange]:
        traffic, chance = self.traffic, self._random
        urls = range(1, traffic.urls + 1)
        chosen = iter(chance.choices(urls, [1 / n for n in urls], k=traffic.count))
        padding = "x" * traffic.padding
        idle: list[tuple[float, int, Connection]] = []  # kept connections, by when they are free
        now = START
        for number in range(traffic.count):
            now += chance.expovariate(traffic.rate)
            connection = self._connection(idle, now)
            began = now + 0.0002 + chance.expovariate(1 / 0.0003)
            ended = began + chance.lognormvariate(0, traffic.sigma) * traffic.median
            method = "POST" if chance.random() < traffic.posts else "GET"
            request = f"{method} /page/{next(chosen)}{padding}.html HTTP/1.1"
            exchange = Exchange(number, now, began, ended, connection, request)
            self._log(exchange)
            connection.left -= 1
            if connection.left > 0:
                free = ended + chance.expovariate(1.0)  # the client's time to think
                heapq.heappush(idle, (free, number, connection))
            else:
                self._event(ended + 0.001, "connection", -1, (connection, ended + 0.001, True))
                self._ports.append(connection.port)
            yield exchange

    def _connection(self, idle: list[tuple[float, int, Connection]], now: float) -> Connection:
        """Return a kept connection whose client asks again, or a new one."""
        if idle and idle[0][0] <= now:
            return heapq.heappop(idle)[2]
        chance, traffic = self._random, self.traffic
        client = chance.randrange(traffic.clients)
        left = 1
        while chance.random() > 1 / traffic.kept:
            left += 1
        connection = Connection(
            f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}",
            chance.randrange(1024, 65536), self._ports.popleft(), client % traffic.servers,
            now, left,
        )  # fmt: skip
        self._event(now + 0.0005, "connection", -1, (connection, now + 0.0005, False))
        return connection

    def _log(self, exchange: Exchange) -> None:
        server, chance = exchange.connection.server, self._random
        self._event(exchange.arrived + 0.0001, "record", -1, exchange)
        late = chance.expovariate(1 / self.traffic.delay) if self.traffic.delay else 0.0
        self._event(exchange.ended + late, "line", server, exchange)

    def _event(
        self, when: float, kind: str, server: int, what: Exchange | tuple[Connection, float, bool]
    ) -> None:
        if not self._logging:
            return
        self._turn += 1
        lost = self.traffic.loss and self._random.random() < self.traffic.loss
        (self.lost if lost else self.events).append(Event(when, self._turn, kind, server, what))
