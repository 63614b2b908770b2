"""Which server a packet goes to: ARP decides who takes part."""

import socket

import pytest

from pen.core import frames
from pen.core.acl import parse_entry
from pen.core.address import Endpoint
from pen.core.direct import Directions, number
from pen.core.frames import Arp, Packet
from pen.core.neighbours import ASK_AGAIN, ASK_EVERY, SILENT_AFTER, Neighbours
from pen.core.servers import EMERGENCY_SLOT, Duty, Server
from pen.core.state import State

CLIENTS = [number(f"192.0.2.{n}") for n in range(200)]
ADDRESS = number("10.0.0.100")


def mac(server):
    return bytes([2, 0, 0, 0, 0, server.slot & 0xFF])


def endpoint(n):
    return Endpoint(socket.AF_INET, (f"10.0.0.{n}", 80))


class Farm:
    """Three servers and a clock."""

    def __init__(self):
        self.state = State()
        self.now = 100.0
        self.dead = set()
        for slot in range(3):
            self.state.servers.slot(slot).move("", endpoint(slot + 1))
        self.directions = Directions(self.state)
        self.failures = []

    def pass_time(self, seconds):
        """Second by second; servers that are not dead answer ARP."""
        for _ in range(seconds):
            self.now += 1.0
            self.failures += self.directions.look(self.now, 1_700_000_000)
            for asked in self.directions.neighbours.due(self.now):
                for server in self.state.servers.all():
                    if number(server.address) == asked and server.slot not in self.dead:
                        self.hear(server)

    def hear(self, server):
        arp = Arp(False, mac(server), number(server.address), 0)
        return self.directions.heard(arp, self.now)

    def routes(self, flags=frames.ACK, port=4000):
        """Client -> slot of its server, of those who have one."""
        found = {}
        for client in CLIENTS:
            packet = Packet(frames.TCP, client, ADDRESS, port, 80, flags)
            route = self.directions.route(packet, self.now)
            if route is not None:
                assert route.mac == mac(route.server)
                found[client] = route.server.slot
        return found


@pytest.fixture
def farm():
    farm = Farm()
    farm.pass_time(2)
    return farm


def test_before_arp_is_answered_nobody_gets_anything():
    assert Farm().routes() == {}


def test_all_take_part_and_a_client_stays(farm):
    routes = farm.routes()
    assert set(routes.values()) == {0, 1, 2}
    assert farm.routes(port=4001) == routes
    farm.state.settings.roundrobin = True
    assert farm.routes(port=4001) != farm.routes(port=4000)


def test_a_silent_server_is_left_and_the_others_clients_stay(farm):
    before = farm.routes()
    farm.dead.add(1)
    farm.pass_time(int(ASK_EVERY + (SILENT_AFTER + 2) * ASK_AGAIN))
    server = farm.state.servers[1]
    assert farm.failures == [server]
    assert server.failed_at
    after = farm.routes()
    assert set(after.values()) == {0, 2}
    assert all(after[client] == slot for client, slot in before.items() if slot != 1)
    farm.pass_time(300)
    assert farm.routes() == after
    assert farm.failures == [server], "told once"
    farm.dead.clear()
    farm.pass_time(2)
    assert farm.routes() == before
    assert not server.failed_at


@pytest.mark.parametrize(
    "leave",
    [
        lambda server, now: server.ban(600, now, by_hand=True),
        lambda server, now: server.assign(Duty.DRAIN),
        lambda server, now: server.assign(Duty.DOWN),
        lambda server, now: server.move("", server.endpoint.with_port(0)),
    ],
    ids=["blacklisted", "draining", "down", "removed"],
)
def test_a_server_out_of_use_gets_nothing(farm, leave):
    leave(farm.state.servers[0], farm.now)
    farm.pass_time(1)
    assert set(farm.routes().values()) == {1, 2}
    farm.hear(farm.state.servers[0])
    assert set(farm.routes().values()) == {1, 2}


def test_the_emergency_server_when_there_is_no_other(farm):
    farm.state.servers.emergency = Server(EMERGENCY_SLOT, endpoint(9))
    farm.pass_time(2)
    assert EMERGENCY_SLOT not in farm.routes().values()
    farm.dead |= {0, 1, 2}
    farm.pass_time(12)
    assert set(farm.routes().values()) == {EMERGENCY_SLOT}


def test_a_new_hardware_address_is_believed(farm):
    server = farm.state.servers[0]
    arp = Arp(True, b"\2moved", number(server.address), 0)
    farm.directions.heard(arp, farm.now)
    packets = [Packet(frames.TCP, client, ADDRESS, 1, 80, 0) for client in CLIENTS]
    routes = [farm.directions.route(packet, farm.now) for packet in packets]
    assert {route.mac for route in routes if route.server is server} == {b"\2moved"}


def test_strangers_are_not_believed(farm):
    before = farm.routes()
    assert farm.directions.heard(Arp(True, b"\2other", number("10.0.0.77"), 0), farm.now) == []
    assert farm.routes() == before


def test_clients_are_counted_when_they_connect(farm):
    farm.routes(frames.ACK)
    assert len(farm.state.clients) == 0
    farm.routes(frames.SYN)
    routes = farm.routes(frames.SYN)
    client = farm.state.clients.get("192.0.2.7")
    assert (client.connects, client.server) == (2, routes[number("192.0.2.7")])


def test_access_lists_hold(farm):
    farm.state.acls.append(1, parse_entry(False, "192.0.2.0/25"))
    farm.state.settings.client_acl = 1
    assert set(farm.routes()) == {number(f"192.0.2.{n}") for n in range(128, 200)}


def test_the_tarpit_is_what_its_list_permits(farm):
    address = number("10.0.0.50")
    assert not farm.directions.traps(address)
    farm.state.settings.tarpit_acl = 3
    assert not farm.directions.traps(address), "an empty list must not swallow the network"
    farm.state.acls.append(3, parse_entry(True, "10.0.0.48/28"))
    assert farm.directions.traps(address)
    assert not farm.directions.traps(number("10.0.0.64"))


def test_asking():
    """At once, then each second until answered, then every five."""
    neighbours = Neighbours()
    neighbours.watch([1])
    assert [neighbours.due(float(second)) for second in range(3)] == [[1], [1], [1]]
    assert neighbours.mac(1) is None
    assert neighbours.heard(1, b"a", 2.5)
    assert not neighbours.heard(1, b"a", 2.5)
    assert [bool(neighbours.due(2.5 + second)) for second in range(6)] == [False] * 5 + [True]
    assert neighbours.mac(1) == b"a"
    neighbours.watch([2])
    assert neighbours.mac(1) is None
