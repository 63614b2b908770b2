"""Where a server is chosen, top to bottom in the order of precedence.

1. A client that `client_acl` denies gets the abuse server, or nobody.
2. Unless round robin is on, a client that is remembered gets the server it used last.
3. `prio`: the available server with the lowest prio; else
   `weight`: the available server with the lowest load, among those with a weight; else
   `hash`: the slot that the client's address gives; else
   the next available server in turn.

What is chosen here is only the first to be *tried*: `core.session` asks whether it
admits the client, and fails over (`Selector.after`) when it does not.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from pen.core.acl import AccessLists
from pen.core.address import MAPPED, unmapped
from pen.core.clients import Client
from pen.core.servers import Server, ServerTable
from pen.core.settings import Settings


@dataclass(slots=True)
class Selector:
    """Chooses by the settings; its only own state is whose turn it is."""

    settings: Settings
    servers: ServerTable
    acls: AccessLists
    turn: int = 0
    """The slot that round robin looks at first."""

    def welcomes(self, address: str) -> bool:
        """Whether `client_acl` lets this client in."""
        return self.acls.permits(self.settings.client_acl, address)

    def first(self, client: Client | None, address: str, port: int, now: float) -> Server | None:
        """The server to try first for a client that is welcome; None: nobody is available."""
        settings = self.settings
        if not settings.roundrobin and client is not None and client.server >= 0:
            return self.servers.slots[client.server]
        if settings.prio:
            return min(self._available(now), key=lambda server: server.prio, default=None)
        if settings.weight:
            loaded = (server for server in self._available(now) if server.weight > 0)
            return min(loaded, key=_load, default=None)
        if settings.hash:
            return self._by_hash(address, port)
        return self._in_turn(now)

    def after(self, tried: Server, initial: Server) -> Server | None:
        """The server to try next: the next slot, cyclically, until back at the initial one.

        Then the emergency server. A stubborn pen, and whoever got the abuse or the
        emergency server, has no next.
        """
        if self.settings.stubborn or tried.slot < 0:
            return None
        slots = self.servers.slots
        following = slots[(tried.slot + 1) % len(slots)]
        return self.servers.emergency if following is initial else following

    def last_resort(self, now: float) -> Server | None:
        """The server whose ban ends first, when failures have banned every regular one.

        Better to try that one than to turn the client away; a ban given by hand holds.
        """
        used = [server for server in self.servers if server.in_use]
        if self.servers.emergency or any(s.available(now) or s.banned_by_hand for s in used):
            return None
        return min(used, key=lambda server: server.banned_until, default=None)

    def _available(self, now: float) -> Iterator[Server]:
        return (server for server in self.servers.slots if server.available(now))

    def _in_turn(self, now: float) -> Server | None:
        slots = self.servers.slots
        first, count = self.turn, len(slots)
        for turn in range(first, first + count):
            server = slots[turn % count]
            if server.in_use and server.banned_until <= now:  # `available`, without the call
                self.turn = server.slot + 1
                return server
        return None

    def _by_hash(self, address: str, port: int) -> Server | None:
        slots = self.servers.slots
        if not slots:
            return None
        return slots[address_hash(address, port if self.settings.roundrobin else 0) % len(slots)]


def _load(server: Server) -> int:
    return 256 * server.connections // server.weight


def address_hash(address: str, port: int = 0) -> int:
    """The hash that paired balancers must agree on, C pen's included.

    IPv4: the four bytes read as a little-endian integer, exclusive-or'd with the two
    bytes of the port in network order, read little-endian. IPv6: the last byte.
    A client on a Unix socket (no address) hashes to 0.
    """
    if not address:
        return 0
    if ":" in address and not address.startswith(MAPPED):
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[-1]
    packed = socket.inet_aton(unmapped(address))
    return int.from_bytes(packed, "little") ^ int.from_bytes(port.to_bytes(2, "big"), "little")
