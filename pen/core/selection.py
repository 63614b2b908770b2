"""Where a server is chosen, top to bottom in the order of precedence.

1. A client that `client_acl` denies gets the abuse server, or nobody.
2. A client that is remembered gets the server it used last, unless round robin is on
   or the choice is to be made each time (`hash unsaved`, `udp_per_packet`).
3. `prio`: the available server with the lowest prio; else
   `weight`: the available server with the lowest load, among those with a weight; else
   `hash`: the slot that the client's address gives, or, with `hash consistent`, the
   available server that scores highest for it; else
   the next available server in turn.

What is chosen here is only the first to be *tried*: `core.session` asks whether it
admits the client, and fails over (`Selector.after`) when it does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pen.core.acl import AccessLists
from pen.core.clients import Client
from pen.core.hashing import address_hash, client_identity, score
from pen.core.rota import Rota
from pen.core.servers import Server, ServerTable
from pen.core.settings import Settings

FIRST_BYTE_ONLY = (2, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of servers modulo which a little-endian address is its first byte."""


@dataclass(slots=True)
class Selector:
    """Chooses by the settings; its only own state is whose turn it is."""

    settings: Settings
    servers: ServerTable
    acls: AccessLists
    turn: int = 0
    """The slot that round robin looks at first."""
    _rota: Rota = field(init=False)

    def __post_init__(self) -> None:
        self._rota = Rota(self.servers)

    def welcomes(self, address: str) -> bool:
        """Whether `client_acl` lets this client in."""
        return self.acls.permits(self.settings.client_acl, address)

    def first(self, client: Client | None, address: str, port: int, now: float) -> Server | None:
        """The server to try first for a client that is welcome; None: nobody is available."""
        settings = self.settings
        saved = -1 if client is None or settings.roundrobin else client.server
        if saved >= 0 and not (settings.hash_unsaved or settings.udp_per_packet):
            return self.servers.slots[saved]
        if settings.prio:
            return min(self._available(now), key=lambda server: server.prio, default=None)
        if settings.weight:
            loaded = (server for server in self._available(now) if server.weight > 0)
            return min(loaded, key=_load, default=None)
        if settings.hash:
            port = port if settings.roundrobin else 0
            if settings.hash_consistent:
                return self._by_score(address, port, now)
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

        Better to try that one than to turn the client away; a ban given by hand holds,
        and those that drain or are down do not count.
        """
        ready = [server for server in self.servers if server.takes_new]
        if self.servers.emergency or any(s.available(now) or s.banned_by_hand for s in ready):
            return None
        return min(ready, key=lambda server: server.banned_until, default=None)

    def cautions(self) -> Iterator[str]:
        """What the settings ask for that is hardly meant, a line each."""
        settings, slots = self.settings, self.servers.slots
        if settings.weight and not settings.prio and not any(server.weight for server in slots):
            yield (
                "by weight, but every server has weight 0 and gets no new clients;"
                " give weights: host:port:max:hard:weight, or 'server N weight W'"
            )
        contract = settings.hash and not (settings.hash_consistent or settings.roundrobin)
        if contract and not (settings.prio or settings.weight) and len(slots) in FIRST_BYTE_ONLY:
            yield (
                f"hash over {len(slots)} servers: only the first byte of an IPv4 address decides,"
                " so a whole network gets one server; 'hash consistent' spreads it"
            )

    def _available(self, now: float) -> Iterator[Server]:
        """Servers for those who are new."""
        return (s for s in self.servers.slots if s.takes_new and s.banned_until <= now)

    def _in_turn(self, now: float) -> Server | None:
        slots, turn = self.servers.slots, self.turn
        server: Server | None = slots[turn] if turn < len(slots) else slots[0] if slots else None
        if server is None or not server.takes_new or server.banned_until > now:
            server = self._rota.next(turn, now)
        if server is not None:
            self.turn = server.slot + 1
        return server

    def _by_hash(self, address: str, port: int) -> Server | None:
        slots = self.servers.slots
        return slots[address_hash(address, port) % len(slots)] if slots else None

    def _by_score(self, address: str, port: int, now: float) -> Server | None:
        client = client_identity(address, port)
        candidates = self._available(now)
        return max(candidates, key=lambda server: score(client, server.identity), default=None)


def _load(server: Server) -> int:
    return 256 * (server.connections + server.elsewhere) // server.weight
