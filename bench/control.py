"""What a control command costs a pen, and how long it makes a request wait meanwhile."""

import socket
import subprocess
import time
from dataclasses import dataclass, field

from bench import measure
from bench.loads import BUFFER, KEEPALIVE_REQUEST, LoadError
from bench.origin import PAGE_BYTES
from bench.peers import HOST, Balancer

COMMANDS = (
    "mode",
    "servers",
    "recent",
    "status",
    "write {folder}/settings",
    "server 1 max 1000",
    "acl 9 deny 192.0.2.1",
    "connection 1",
    "socket 5",
    "close 99999",  # nobody, for in C any other might be the one that asks
    "blacklist 30",
)
PENCTL = "/usr/bin/penctl"
"""C's, for both: it is quick, and does not compete with what is measured."""
DEADLINE = 60.0  # seconds for a reply


@dataclass(slots=True)
class Cost:
    """Of one command, each time it was given."""

    cpu: list[float] = field(default_factory=list)
    """Milliseconds of the pen's CPU."""
    waits: list[float] = field(default_factory=list)
    """The longest a request took meanwhile, in milliseconds."""


class Pinger:
    """Sends small requests, one after the other, over one connection that is kept."""

    def __init__(self, port: int) -> None:
        self._client = socket.create_connection((HOST, port), DEADLINE)

    def __enter__(self) -> "Pinger":
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def ping(self) -> float:
        """Milliseconds from a request to the end of its answer."""
        began = time.perf_counter()
        self._client.sendall(KEEPALIVE_REQUEST)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < PAGE_BYTES:
            piece = self._client.recv(BUFFER)
            if not piece:
                raise LoadError("the connection was closed between requests")
            answer += piece
        return (time.perf_counter() - began) * 1000

    def longest(self, seconds: float) -> float:
        """The longest wait in so many seconds."""
        until = time.perf_counter() + seconds
        waits = [self.ping()]
        while time.perf_counter() < until:
            waits.append(self.ping())
        return max(waits)


def _begin(control: str, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [PENCTL, control, *command.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def cpu_of(balancer: Balancer, control: str, command: str) -> float:
    """Milliseconds of CPU that the command takes while nothing else is going on."""
    before = measure.cpu_ns(balancer.pid)
    _begin(control, command).wait(DEADLINE)
    return (measure.cpu_ns(balancer.pid) - before) / 1e6


def wait_during(control: str, command: str, pinger: Pinger) -> float:
    """The longest a request takes while the command runs, in milliseconds."""
    asking = _begin(control, command)
    waits = [pinger.ping()]
    while asking.poll() is None:
        waits.append(pinger.ping())
    return max(waits)


def measure_commands(
    balancer: Balancer, control: str, folder: str, repeats: int
) -> dict[str, Cost]:
    """Every command so many times; "" has how long requests wait when none is given."""
    costs = {command: Cost() for command in ("", *COMMANDS)}
    with Pinger(balancer.port) as pinger:
        pinger.ping()
        for _ in range(repeats):
            costs[""].waits.append(pinger.longest(0.05))
            for command in COMMANDS:
                said = command.format(folder=folder)
                costs[command].cpu.append(cpu_of(balancer, control, said))
                costs[command].waits.append(wait_during(control, said, pinger))
    return costs
