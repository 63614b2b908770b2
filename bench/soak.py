"""Whether memory or descriptors grow over a million connections, of the kinds that could leak.

    .venv/bin/python bench/soak.py                    # some minutes; writes bench/soak.md
    .venv/bin/python bench/soak.py --connections 100000

Three pens of ours run all the while: one for TCP, one for TLS, one for UDP. A batch is a tenth of
all; after each, when all connections are closed, their memory and descriptors are read. The pen for
TCP has two good servers, one that refuses, and one that never answers a connect.
"""

import os
import select
import shlex
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import click

from bench import loads, measure
from bench.balancers import end_cleanly, machine, raise_open_files
from bench.certificates import Key
from bench.origin import web_server
from bench.peers import HOST, PEERS, ROOT, Balancer, Setup, balancing
from bench.processes import free_port
from bench.report import table

BATCHES = 10
CLIENTS = 5_000
"""Addresses; more than the pen remembers, so that it forgets some all the time."""
SILENT = "127.77.0.0"
"""Clients of this network (/16) may get the server that never answers."""
TIMEOUT = 1
"""Seconds, of connecting and of UDP sessions."""
IDLE = 3
"""Seconds after which a silent connection is closed."""
SETTLING = 20.0
"""Seconds to wait until all connections are closed."""
ASK_AGAIN = 2.0
"""Seconds after which a datagram is taken for lost, as UDP may lose it, and sent again."""
GROWTH_MAX = 4096
"""KiB that memory may grow by after the first batch: four bytes a connection of a million.

The least that could leak is an object of 50. The allocator's mood alone is 1 or 2 MiB.
"""


@dataclass(frozen=True, slots=True)
class Kinds:
    """How many connections of each kind a batch has."""

    short: int
    """Served, from one address."""
    addresses: int
    """Served, from many addresses."""
    aborted: int
    """Half a request, then a reset."""
    idle: int
    """Nothing said until pen closes."""
    unanswered: int
    """A quarter of them begins with the server that does not answer a connect."""
    tls: int
    udp: int
    """Sessions, each of one datagram."""
    udp_unanswered: int

    @classmethod
    def of(cls, connections: int) -> "Kinds":
        """A batch of so many by TCP, and some by TLS and UDP beside."""
        rest = connections // 100
        return cls(
            short=connections - 16 * rest, addresses=10 * rest, aborted=5 * rest,
            idle=rest // 2, unanswered=rest // 2,
            tls=rest, udp=10 * rest, udp_unanswered=rest,
        )  # fmt: skip


@dataclass(slots=True)
class Pen:
    """One of the three, and what was read of it after each batch."""

    balancer: Balancer
    memory: list[int] = field(default_factory=list)
    """KiB, proportional set size."""
    descriptors: list[int] = field(default_factory=list)

    def open_descriptors(self) -> int:
        """How many it has now."""
        return len(os.listdir(f"/proc/{self.balancer.pid}/fd"))

    def read(self, at_rest: int | None) -> None:
        """Read both, when the descriptors are those of a pen without connections."""
        end = time.monotonic() + SETTLING
        while at_rest is not None and self.open_descriptors() > at_rest and time.monotonic() < end:
            time.sleep(0.05)
        self.descriptors.append(self.open_descriptors())
        self.memory.append(measure.tree_pss_kib(self.balancer.pid))


# What clients do.


def serve_short(port: int, count: int) -> None:
    """Short connections by wrk, which counts whole seconds: until there were so many."""
    while count > 0:
        seconds = min(5, 1 + count // 10_000)
        count -= loads.wrk(f"http://{HOST}:{port}/", 50, seconds, close=True)


def abort(port: int, count: int) -> None:
    """Half a request, and a reset."""
    for _ in range(count):
        with socket.create_connection((HOST, port)) as client:
            client.sendall(loads.CLOSE_REQUEST[:20])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stay_silent(port: int, count: int) -> None:
    """Connections that pen closes, since nothing comes."""
    clients = [socket.create_connection((HOST, port)) for _ in range(count)]
    for client in clients:
        client.settimeout(SETTLING)
        if client.recv(1):
            raise loads.LoadError("a silent client was answered")
        client.close()


def ask_by_udp(port: int, count: int) -> int:
    """Sessions of one datagram, which is answered; returns how many had to be sent again."""
    again = 0
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((HOST, port))
            client.send(b"echo")
            while not select.select([client], [], [], ASK_AGAIN)[0]:
                again += 1
                if again > count / 1000:
                    raise loads.LoadError(f"{again} of {count} datagrams were not answered")
                client.send(b"echo")
            client.recv(100)
    return again


def be_unanswered_by_udp(port: int, count: int) -> None:
    """Sessions of one datagram, to which nobody answers."""
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"quiet", (HOST, port))


# Who answers.


@contextmanager
def deaf_server() -> Iterator[str]:
    """A server whose queue is full, so that connects to it get no answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=1))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield "{}:{}".format(*listener.getsockname())


@contextmanager
def echo_server() -> Iterator[str]:
    """A UDP server that answers all but `quiet`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((HOST, 0))
        echo.settimeout(0.2)
        ending = threading.Event()

        def answer() -> None:
            while not ending.is_set():
                try:
                    datagram, peer = echo.recvfrom(100)
                except TimeoutError:
                    continue
                if datagram != b"quiet":
                    echo.sendto(datagram, peer)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield "{}:{}".format(*echo.getsockname())
        finally:
            ending.set()
            thread.join()


@contextmanager
def pens(folder: Path) -> Iterator[dict[str, Pen]]:
    """The three, each in front of its servers."""
    ours, config = PEERS["ours"], folder / "soak.conf"
    config.write_text(
        f"blacklist 0\ntimeout {TIMEOUT}\nidle_timeout {IDLE}\npending_max 1000\n"
        f"acl 3 permit {SILENT}/16\nserver 3 acl 3\n"
    )
    tcp = Setup(clients=1000, connections=5000, options=("-F", str(config)))
    udp = Setup(
        udp=True,
        clients=1000,
        connections=20_000,
        options=("-o", f"udp_timeout {TIMEOUT}", "-o", "udp_replies 1"),
    )
    with ExitStack() as stack:
        web = stack.enter_context(web_server(folder, bulk_bytes=1))
        echo = stack.enter_context(echo_server())
        refusing = f"{HOST}:{free_port(HOST)}"
        servers = [*web, refusing, stack.enter_context(deaf_server())]
        yield {
            name: Pen(stack.enter_context(balancing(ours, setup, behind, folder)))
            for name, setup, behind in (
                ("TCP", tcp, servers),
                ("TLS", Setup(tls=Key.ECDSA), web),
                ("UDP", udp, [echo]),
            )
        }


def run_batch(found: dict[str, Pen], kinds: Kinds, number: int) -> int:
    """All kinds, one after the other; returns how many datagrams were sent again."""
    tcp, tls, udp = (found[name].balancer.port for name in ("TCP", "TLS", "UDP"))
    serve_short(tcp, kinds.short)
    first = number * kinds.addresses
    many = (loads.address((first + n) % CLIENTS) for n in range(kinds.addresses))
    loads.visit(tcp, many)
    abort(tcp, kinds.aborted)
    stay_silent(tcp, kinds.idle)
    silent = (f"127.77.{n >> 8}.{n & 255}" for n in range(1, kinds.unanswered + 1))
    loads.visit(tcp, silent, concurrency=kinds.unanswered)
    loads.handshakes(tls, kinds.tls)
    be_unanswered_by_udp(udp, kinds.udp_unanswered)
    return ask_by_udp(udp, kinds.udp)


def report(found: dict[str, Pen], kinds: Kinds, again: int, took: float) -> str:
    """What was read, as Markdown."""
    rows = [["after", *(f"{name}: KiB, descriptors" for name in found)]]
    batch = kinds.short + kinds.addresses + kinds.aborted + kinds.idle + kinds.unanswered
    for number in range(len(found["TCP"].memory)):
        cells = (f"{pen.memory[number]:,}, {pen.descriptors[number]}" for pen in found.values())
        rows.append([f"{number * batch:,}", *cells])
    lines = [
        "# A million connections, and what stays of them",
        "",
        f"    {shlex.join(['.venv/bin/python', 'bench/soak.py', *sys.argv[1:]])}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {took / 60:.1f} minutes; {machine()}.",
        "",
        f"A batch: by TCP {kinds.short:,} short connections, {kinds.addresses:,} more from"
        f" {CLIENTS:,} addresses (1,000 are remembered), {kinds.aborted:,} reset half-way,"
        f" {kinds.idle:,} closed for saying nothing, {kinds.unanswered:,} of which a quarter first"
        " wait for a server that does not answer; of all, a third or a quarter first asks one that"
        f" refuses. Then {kinds.tls:,} TLS handshakes; and by UDP {kinds.udp:,} sessions that are"
        f" answered, {kinds.udp_unanswered:,} that are not. Memory is the proportional set size.",
        "",
        *table(rows),
        "",
        f"Datagrams that were lost and sent again: {again} of {BATCHES * kinds.udp:,}.",
    ]
    return "\n".join(lines) + "\n"


def growth(pen: Pen) -> int:
    """KiB from the first batch to the last."""
    return pen.memory[-1] - pen.memory[1]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--connections", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "soak.md",
    show_default="bench/soak.md",
    help="The Markdown file to write.",
)
def main(connections: int, write: Path) -> None:
    """Send connections of all kinds through pens; exit status 1 if they grew."""
    signal.signal(signal.SIGTERM, end_cleanly)
    raise_open_files()
    kinds = Kinds.of(connections // BATCHES)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, pens(Path(folder)) as found:
        for pen in found.values():
            pen.read(at_rest=None)
        again = 0
        for number in range(BATCHES):
            again += run_batch(found, kinds, number)
            for name, pen in found.items():
                pen.read(at_rest=pen.descriptors[0])
                click.echo(f"{number + 1}: {name} {pen.memory[-1]} KiB, {pen.descriptors[-1]}")
    write.write_text(report(found, kinds, again, time.monotonic() - began))
    leaking = [
        name
        for name, pen in found.items()
        if growth(pen) > GROWTH_MAX or pen.descriptors[-1] > pen.descriptors[0]
    ]
    if leaking:
        raise click.ClickException(f"grew: {', '.join(leaking)}; see {write}")


if __name__ == "__main__":
    main()
