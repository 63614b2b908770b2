"""The kernel itself says which socket of a group a client gets."""

import select
import socket
from collections import Counter

import pytest

from pen.net.steering import share, steer

GROUP = 3


def make_group(kind: socket.SocketKind, host: str = "127.0.0.1") -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    group: list[socket.socket] = []
    for _ in range(GROUP):
        member = socket.socket(family, kind)
        share(member)
        member.bind((host, group[0].getsockname()[1] if group else 0))
        if kind == socket.SOCK_STREAM:
            member.listen(1000)
        member.setblocking(False)
        group.append(member)
    steer(group[-1], GROUP)
    return group


@pytest.fixture
def group(request):
    members = make_group(*request.param)
    yield members
    for member in members:
        member.close()


def arrived_at(group: list[socket.socket]) -> int:
    """The number of the one member that has news."""
    poll = select.poll()
    for member in group:
        poll.register(member, select.POLLIN)
    ready = poll.poll(10_000)
    assert len(ready) == 1
    return [member.fileno() for member in group].index(ready[0][0])


def visit_tcp(group: list[socket.socket], client: str) -> int:
    port = group[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), source_address=(client, 0)):
        number = arrived_at(group)
        group[number].accept()[0].close()
    return number


def visit_udp(group: list[socket.socket], client: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((client, 0))
        sender.sendto(b"x", group[0].getsockname())
        number = arrived_at(group)
        group[number].recv(10)
    return number


VISITS = [
    ((socket.SOCK_STREAM, "127.0.0.1"), visit_tcp),
    ((socket.SOCK_STREAM, "::"), visit_tcp),
    ((socket.SOCK_DGRAM, "127.0.0.1"), visit_udp),
]


@pytest.mark.parametrize(("group", "visit"), VISITS, indirect=["group"])
def test_a_client_comes_to_the_same_socket_whatever_its_port(group, visit):
    clients = [f"127.3.{high}.{low}" for high in range(4) for low in range(1, 51)]
    first = {client: visit(group, client) for client in clients}
    assert {client: visit(group, client) for client in reversed(clients)} == first
    shares = Counter(first.values())
    assert min(shares.values()) > len(clients) / GROUP / 2, shares


@pytest.mark.parametrize("group", [(socket.SOCK_STREAM, "::")], indirect=True)
def test_ipv6_clients_too(group):
    port = group[0].getsockname()[1]
    for _ in range(20):
        with socket.create_connection(("::1", port)):
            first = arrived_at(group)
            group[first].accept()[0].close()
        with socket.create_connection(("::1", port)):
            assert arrived_at(group) == first
            group[first].accept()[0].close()
