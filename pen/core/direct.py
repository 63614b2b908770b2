"""Direct server return: which server a client's packet goes to, and what is in the tarpit.

Pure: frames, ARP and time come from `net.dsr`. A server takes part when it has an IPv4
address, is available, and answers ARP; not answering is its way to fail. The rest is
`core.dsr_table` and `core.neighbours`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from pen.core import frames
from pen.core.dsr_table import SLOTS, SlotTable, slot_of
from pen.core.frames import Packet
from pen.core.neighbours import Neighbours
from pen.core.servers import Server
from pen.core.state import State

OPENING: Final = frames.SYN | frames.ACK
"""Of these two a segment that opens a connection has SYN alone."""


class Route(NamedTuple):
    """Where packets go."""

    server: Server
    mac: bytes
    """The server's hardware address."""


@dataclass(slots=True)
class Directions:
    """Knows the servers' hardware addresses and deals the clients among them."""

    state: State
    neighbours: Neighbours = field(default_factory=Neighbours)
    table: SlotTable = field(default_factory=SlotTable)
    _weights: dict[int, int] = field(default_factory=dict)
    """Those by which the table is dealt now."""
    _routes: list[Route | None] = field(default_factory=lambda: [None] * SLOTS)

    # Which servers there are.

    def look(self, now: float, epoch: int) -> list[Server]:
        """See which servers take part; to be called about once a second.

        Returns:
            Those that have just failed, for they do not answer ARP.
        """
        servers = list(self._eligible())
        self.neighbours.watch(number(server.address) for server in servers)
        missed = []
        for server in servers:
            if self.neighbours.silent(number(server.address)):
                if not server.failed_at:
                    missed.append(server)
                if server.available(now):
                    server.fail(self.state.settings.blacklist, now, epoch)
        self._deal(now)
        return missed

    def heard(self, arp: frames.Arp, now: float) -> list[Server]:
        """Somebody told a hardware address; the servers that are found by it."""
        if not self.neighbours.heard(arp.address, arp.mac, now):
            return []
        found = [each for each in self._eligible() if number(each.address) == arp.address]
        for server in found:
            server.succeed()
        self._deal(now)
        return found

    def _eligible(self) -> Iterator[Server]:
        """The servers that could serve; the emergency server last."""
        servers = self.state.servers
        everyone = [*servers, servers.emergency] if servers.emergency else servers
        return (each for each in everyone if each.takes_new and ":" not in each.address)

    def _deal(self, now: float) -> None:
        """Let every slot lead to a server that takes part, if there is one."""
        routes: dict[int, Route] = {}
        for server in self._eligible():
            mac = self.neighbours.mac(number(server.address))
            if mac is not None and server.available(now):
                routes[server.slot] = Route(server, mac)
        regular = [slot for slot in routes if slot >= 0]
        weights = {slot: routes[slot].server.weight or 1 for slot in regular or routes}
        if weights != self._weights:
            self.table.deal(weights)
            self._weights = weights
        owners = self.table.owners()
        self._routes = [None if owner is None else routes[owner] for owner in owners]

    # What to do with a packet.

    def route(self, packet: Packet, now: float) -> Route | None:
        """Where a packet for the clients' address and port goes; None: it is dropped."""
        _, source, _, port, _, flags = packet
        state = self.state
        route = self._routes[slot_of(source, port if state.settings.roundrobin else 0)]
        if route is None or (state.acls.in_use and not self._admits(route.server, source)):
            return None
        if flags & OPENING == frames.SYN:
            client = state.clients.visit(text(source), now, state.settings.tracking)
            client.server = route.server.slot
        return route

    def _admits(self, server: Server, source: int) -> bool:
        acls, address = self.state.acls, text(source)
        return self.state.selector.welcomes(address) and acls.permits(server.acl, address)

    def traps(self, address: int) -> bool:
        """Whether an address is in the tarpit. An empty list has none, rather than all."""
        chosen = self.state.settings.tarpit_acl
        if chosen < 0 or not self.state.acls[chosen].entries:
            return False
        return self.state.acls.permits(chosen, text(address))


def number(address: str) -> int:
    """A numeric IPv4 address as an integer."""
    return int(IPv4Address(address))


def text(address: int) -> str:
    """An integer as an IPv4 address."""
    return str(IPv4Address(address))
