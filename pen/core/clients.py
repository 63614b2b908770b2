"""The clients pen remembers: constant time to find, to add and to forget.

A dict keeps insertion order, so re-inserting a client on each visit makes the first
key the least recently used one.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Client:
    """What is known of one address.

    `sx` counts bytes to the client, `rx` bytes from it, of closed connections.
    """

    slot: int
    address: str
    server: int = -1
    """Slot of the server it used last; -1: none yet."""
    seen: float = 0.0
    """Monotonic time of its last connect."""
    connects: int = 0
    sx: int = 0
    rx: int = 0


@dataclass(slots=True)
class ClientTable:
    """At most `capacity` clients; a full table forgets whoever was away longest."""

    capacity: int
    _by_address: OrderedDict[str, Client] = field(default_factory=OrderedDict)
    _by_slot: list[Client] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._by_address)

    def __iter__(self) -> Iterator[Client]:
        """The clients, least recently seen first."""
        return iter(self._by_address.values())

    def get(self, address: str) -> Client | None:
        """The client with this address, if remembered."""
        return self._by_address.get(address)

    @property
    def latest(self) -> Client | None:
        """The client that came last."""
        return next(reversed(self._by_address.values()), None)

    def visit(self, address: str, now: float, tracking: float) -> Client:
        """Count a connect; with `tracking` > 0 a client away longer than that is new again."""
        table = self._by_address
        client = table.get(address)
        if client is None:
            client = self._admit(address)
        else:
            table.move_to_end(address)
            if tracking and now - client.seen > tracking:
                client.server = -1
        client.seen = now
        client.connects += 1
        return client

    def _admit(self, address: str) -> Client:
        table = self._by_address
        if len(table) >= self.capacity:
            slot = table.popitem(last=False)[1].slot
            client = self._by_slot[slot] = Client(slot, address)
        else:
            client = Client(len(table), address)
            self._by_slot.append(client)
        table[address] = client
        return client

    @property
    def by_slot(self) -> Sequence[Client]:
        """The clients, by slot; it is the table's own, and stays true while clients come."""
        return self._by_slot

    def forget_server(self, slot: int) -> None:
        """Clients that used this server are free to be sent anywhere."""
        for client in self._by_slot:
            if client.server == slot:
                client.server = -1

    def check(self) -> None:
        """Assert the invariants (for tests)."""
        assert len(self) <= self.capacity
        assert sorted(self, key=lambda client: client.slot) == self._by_slot
        assert [client.slot for client in self._by_slot] == list(range(len(self)))
        seen = [client.seen for client in self]
        assert seen == sorted(seen)
