"""Ten thousand clients, each always at the same server, whichever process serves it."""

import random
import socket
import threading
from collections import Counter

import pytest

from pen.net.steering import member_for
from tests.pen.conftest import until
from tests.pen.workers.crowd import Teller, address, visits

CLIENTS = 10_000
ROUNDS = 3
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
COMMANDS = (
    "servers", "status", "recent 1", "acl 7 permit 10.0.0.0/8", "no acl 7", "connection 3",
    "timeout 4", "server 1 weight 5", "conn_max 600", "clients_max 20001",
)  # fmt: skip


@pytest.fixture
def three(request):
    tellers = [Teller(name, request.param) for name in (b"a", b"b", b"c")]
    yield [teller.at for teller in tellers]
    for teller in tellers:
        teller.close()


class Commander:
    """Gives one control command after the other, in a thread, while the block lasts."""

    def __init__(self, running) -> None:
        self.given = 0
        self.errors: list[str] = []
        self._running = running
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._command, daemon=True)

    def _command(self) -> None:
        while not self._done.is_set():
            reply = self._running.ctl(COMMANDS[self.given % len(COMMANDS)])
            if reply.startswith("error"):
                self.errors.append(reply)
            self.given += 1

    def __enter__(self) -> "Commander":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def servers_of(running, kind: socket.SocketKind, clients: int) -> dict[str, set[bytes]]:
    """Let each client come several times in random order; who told it what."""
    chance = random.Random(clients)
    told: dict[str, set[bytes]] = {}
    for _ in range(ROUNDS):
        order = [address(number) for number in range(clients)]
        chance.shuffle(order)
        for client, name in visits(running.port, order, kind):
            told.setdefault(client, set()).add(name)
    return told


def check(told: dict[str, set[bytes]], clients: int, workers: int) -> None:
    assert len(told) == clients
    moved = {client: names for client, names in told.items() if len(names) != 1 or b"" in names}
    assert not moved
    by_server = Counter(name for names in told.values() for name in names)
    by_worker = Counter(member_for(client, workers) for client in told)
    assert min(by_server[name] for name in (b"a", b"b", b"c")) > clients / 6, "all have work"
    assert min(by_worker[number] for number in range(workers)) > clients / workers / 2


@pytest.mark.parametrize("three", [STREAM], indirect=True)
@pytest.mark.parametrize("workers", [2, 3])
def test_ten_thousand_clients_keep_their_servers(pen, three, workers):
    running = pen("--workers", workers, "-c", 20_000, *three)
    check(servers_of(running, STREAM, CLIENTS), CLIENTS, workers)
    recent = [line.split()[0] for line in running.ctl("recent").splitlines()]
    assert sorted(recent) == sorted(map(address, range(CLIENTS))), "each is one worker's"


@pytest.mark.parametrize("three", [STREAM], indirect=True)
def test_so_they_do_while_commands_come_in(pen, three):
    running = pen("--workers", 2, "-c", 20_000, *three)
    with Commander(running) as commander:
        told = servers_of(running, STREAM, CLIENTS)
        until(lambda: commander.given > len(COMMANDS), "all commands are given")
    check(told, CLIENTS, 2)
    assert not commander.errors


@pytest.mark.parametrize("three", [DATAGRAM], indirect=True)
@pytest.mark.parametrize("workers", [2, 3])
def test_by_datagrams_too(pen, three, workers):
    running = pen("-U", "--workers", workers, "-c", 20_000, *three)
    check(servers_of(running, DATAGRAM, CLIENTS), CLIENTS, workers)
