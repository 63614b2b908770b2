"""Simulated web traffic through a pen, with the truth beside it.

Requests arrive as a Poisson process, URLs by Zipf's law, response times by a log-normal
distribution; clients ask over kept connections. What pen and the servers log of it is made here to
the letter of what they write; `bytes`, the size of the response, is the number of the request, so
that whatever comes out of a log tool can be held against the truth in every format. `events` tells
when which of it comes to a penlogd.

Nothing here reads a clock: times are seconds since 1970, of a traffic that begins at `START` unless
another time is given.
"""

import heapq
import itertools
import random
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from penlog.records import about_connection, connection_line, datagram, file_line

START = 1_795_449_600.0
PEN = "127.0.0.1"
NETWORK = 0.0005
"""Seconds, mean, from pen to a server."""

TOLD = 0.0005
"""Seconds after which pen's record of a connection comes."""

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
        urls: URLs; the n-th is asked for in proportion to n ** -zipf.
        zipf: The exponent of Zipf's law.
        padding: Bytes added to each URL.
        median: Seconds of a response, median.
        sigma: Of the logarithm of the response time.
        kept: Requests over a connection, mean of a geometric distribution.
        posts: Share of POST requests.
        loss: Share of datagrams lost, records and lines alike.
        delay: Seconds, mean, from a web server's logging to penlogd, exponential.
        skew: Seconds by which the clocks of the servers are ahead of pen's: the first by this, the
            second by as much behind, and so on.
        drift: Seconds that the skew grows by, each second.
        seed: Of the random numbers.
    """

    rate: float = 200.0
    count: int = 20_000
    servers: int = 2
    clients: int = 2000
    urls: int = 1000
    zipf: float = 1.0
    padding: int = 0
    median: float = 0.070
    sigma: float = 1.0
    kept: float = 4.0
    posts: float = 0.05
    loss: float = 0.0
    delay: float = 0.0005
    skew: float = 0.0
    drift: float = 0.0
    seed: int = 1


@dataclass(slots=True, eq=False)
class Connection:
    """A connection from a client by way of pen to a server.

    Attributes:
        client: Number of the client.
        client_port: The client's port.
        port: Pen's port.
        server: Number of the server.
        opened: When it was made.
        left: Requests still to come.
    """

    client: int
    client_port: int
    port: int
    server: int
    opened: float
    left: int


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its response.

    Attributes:
        number: From 0, in order of arrival.
        arrived: When pen got the request.
        began: When the server got it.
        ended: When the server had answered.
        connection: Over which it went.
        request: Its first line.
        first: Whether the connection was made for it.
        last: Whether the connection was closed after it.
    """

    number: int
    arrived: float
    began: float
    ended: float
    connection: Connection
    request: str
    first: bool
    last: bool


class Simulation:
    """Makes the traffic, and what is logged of it.

    Args:
        traffic: What traffic.
        start: When it begins.

    Attributes:
        start: When it begins.
        hosts: Addresses of the servers.
        clients: The truth: the number of the client of each request so far.
    """

    def __init__(self, traffic: Traffic, start: float = START) -> None:
        self.traffic = traffic
        self.hosts = [f"127.0.0.{10 + n}" for n in range(traffic.servers)]
        self.clients = array("L")
        self.start = start
        self._random = random.Random(traffic.seed)
        self._ports = deque(self._random.sample(range(32768, 61000), 61000 - 32768))

    def exchanges(self) -> Iterator[Exchange]:
        """Make all requests, in order of arrival; to be called once."""
        traffic, chance = self.traffic, self._random
        requests = self._requests()
        idle: list[tuple[float, int, Connection]] = []  # kept connections, by when they are free
        now = self.start
        for number in range(traffic.count):
            now += chance.expovariate(traffic.rate)
            first = not (idle and idle[0][0] <= now)
            connection = self._connect(now) if first else heapq.heappop(idle)[2]
            began = now + 0.4 * NETWORK + chance.expovariate(1 / (0.6 * NETWORK))
            ended = began + chance.lognormvariate(0.0, traffic.sigma) * traffic.median
            connection.left -= 1
            last = connection.left == 0
            if last:
                self._ports.append(connection.port)
            else:
                free = ended + chance.expovariate(1.0)  # the client's time to think
                heapq.heappush(idle, (free, number, connection))
            self.clients.append(connection.client)
            yield Exchange(number, now, began, ended, connection, next(requests), first, last)

    def truth(self, number: int) -> bytes:
        """Return the client of a request."""
        return _address(self.clients[number]).encode()

    def record(self, exchange: Exchange) -> bytes:
        """Return pen's record of a request, as sent to penlogd."""
        connection = exchange.connection
        host = self.hosts[connection.server]
        return datagram(_address(connection.client), host, exchange.request.encode())

    def file_line(self, exchange: Exchange) -> bytes:
        """Return the line of pen's log file for a request."""
        connection = exchange.connection
        host = self.hosts[connection.server]
        request = exchange.request.encode()
        return file_line(_address(connection.client), int(exchange.arrived), host, request)

    def connection_record(self, connection: Connection, when: float, *, ended: bool) -> bytes:
        """Return pen's record of a connection."""
        about = about_connection(
            "tcp", (_address(connection.client), connection.client_port), (PEN, connection.port),
            (self.hosts[connection.server], 80), connection.opened,
        )  # fmt: skip
        reason = "done" if ended else None
        return connection_line(about, when - connection.opened, 500, 5000, reason)

    def line(self, exchange: Exchange, style: str) -> bytes:
        """Return the server's line of a request in one of `FORMATS`, with its newline."""
        connection, traffic = exchange.connection, self.traffic
        stamp = exchange.began
        if traffic.skew or traffic.drift:
            ahead = traffic.skew + traffic.drift * (stamp - self.start)
            stamp += -ahead if connection.server % 2 else ahead
        text = f'{PEN} - - [{_stamp(int(stamp))}] "{exchange.request}" 200 {exchange.number}'
        if style != "common":
            text += f" {round((exchange.ended - exchange.began) * 1e6)}"
        if style == "with ports":
            text += f" {connection.port} 80"
        return text.encode() + b"\n"

    def _requests(self) -> Iterator[str]:
        """Make the first lines of requests, without end."""
        traffic, chance = self.traffic, self._random
        weights = itertools.accumulate(n**-traffic.zipf for n in range(1, traffic.urls + 1))
        cumulated, padding = list(weights), "x" * traffic.padding
        while True:
            for url in chance.choices(range(1, traffic.urls + 1), cum_weights=cumulated, k=1000):
                method = "POST" if chance.random() < traffic.posts else "GET"
                yield f"{method} /page/{url}{padding}.html HTTP/1.1"

    def _connect(self, now: float) -> Connection:
        chance, traffic = self._random, self.traffic
        client = chance.randrange(traffic.clients)
        left = 1
        while chance.random() > 1 / traffic.kept:
            left += 1
        port = self._ports.popleft()
        server = client % traffic.servers
        return Connection(client, chance.randrange(1024, 65536), port, server, now, left)


@dataclass(order=True, slots=True)
class Event:
    """Something that comes to penlogd.

    Attributes:
        when: The time.
        turn: Which it is, of those made so far.
        sender: Address from which it comes.
        data: The record or line.
    """

    when: float
    turn: int
    sender: str = field(compare=False)
    data: bytes = field(compare=False)


def events(
    simulation: Simulation, exchanges: Iterable[Exchange], style: str
) -> tuple[list[Event], list[Event]]:
    """Return what comes to penlogd, by time, and what is lost on the way.

    Args:
        simulation: Of what.
        exchanges: All its requests.
        style: The format of lines; one with ports goes with records of connections.
    """
    traffic = simulation.traffic
    chance = random.Random(traffic.seed + 1)
    came: list[Event] = []
    lost: list[Event] = []
    turns = itertools.count()
    for exchange in exchanges:
        told = _told(simulation, exchange, style, chance)
        for when, sender, data in told:
            is_lost = traffic.loss and chance.random() < traffic.loss
            (lost if is_lost else came).append(Event(when, next(turns), sender, data))
    came.sort()
    return came, lost


def _told(
    simulation: Simulation, exchange: Exchange, style: str, chance: random.Random
) -> Iterator[tuple[float, str, bytes]]:
    """Tell what is logged of a request: when it comes, from where, and what it is."""
    delay, connection = simulation.traffic.delay, exchange.connection
    late = chance.expovariate(1 / delay) if delay else 0.0
    if style != "with ports":
        yield exchange.arrived + 0.2 * TOLD, PEN, simulation.record(exchange)
    else:
        opened, closed = exchange.arrived + TOLD, exchange.ended + 2 * TOLD
        if exchange.first:
            yield opened, PEN, simulation.connection_record(connection, opened, ended=False)
        if exchange.last:
            yield closed, PEN, simulation.connection_record(connection, closed, ended=True)
    host = simulation.hosts[connection.server]
    yield exchange.ended + late, host, simulation.line(exchange, style)


@lru_cache(100_000)
def _address(client: int) -> str:
    return f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"


@lru_cache(1000)
def _stamp(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))
