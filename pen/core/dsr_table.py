"""Which server a client's packets go to, without remembering clients.

The client's address (and port) is hashed to one of 256 slots, and slots are dealt to the
available servers by weight. When a server goes, only its slots are dealt anew; when one
comes, it takes only what is its share, and first what the others gained last. So the
connections of the others stay where they are, and a server that was away for a moment gets
the clients that it had.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SLOTS: Final = 256


def slot_of(address: int, port: int) -> int:
    """The slot of a client, well mixed; `port` 0 lets the address alone decide.

    Multiply, fold, multiply: after one multiplication the highest bits of the address,
    which tell networks apart, would have too little say in the lowest of the product.
    """
    mixed = (address + port * 0x85EBCA6B) * 0x9E3779B1 & 0xFFFFFFFF
    return ((mixed ^ mixed >> 15) * 0x2C1B3C6D & 0xFFFFFFFF) >> 24


@dataclass(slots=True)
class SlotTable:
    """Slots by the number of the server that has them."""

    _held: dict[int, list[int]] = field(default_factory=dict)
    """Server -> its slots, in the order in which it gained them."""

    def deal(self, weights: Mapping[int, int]) -> None:
        """Deal the slots among these servers, each with its weight (1 or more)."""
        shares = fair_shares(weights)
        held = self._held
        free = sorted(set(range(SLOTS)).difference(*held.values()))
        for server in [server for server in held if server not in shares]:
            free += held.pop(server)
        for server, slots in held.items():
            while len(slots) > shares[server]:
                free.append(slots.pop())
        free.reverse()
        for server, share in shares.items():
            slots = held.setdefault(server, [])
            while len(slots) < share:
                slots.append(free.pop())

    def owners(self) -> list[int | None]:
        """Each slot's server; None: there are no servers."""
        owners: list[int | None] = [None] * SLOTS
        for server, slots in self._held.items():
            for slot in slots:
                owners[slot] = server
        return owners

    def check(self) -> None:
        """Assert the invariants (for tests)."""
        slots = sorted(slot for each in self._held.values() for slot in each)
        assert slots == (list(range(SLOTS)) if self._held else [])


def fair_shares(weights: Mapping[int, int]) -> dict[int, int]:
    """How many slots each server gets, by the method of Sainte-Lague.

    Slot by slot to whoever lies furthest behind its share, the lowest number first among
    equals. Unlike rounding, this never takes a slot from one server because another left.
    """
    shares = dict.fromkeys(sorted(weights), 0)
    queue = [(-float(weights[server]), server) for server in shares]
    heapq.heapify(queue)
    for _ in range(SLOTS if queue else 0):
        server = queue[0][1]
        shares[server] += 1
        heapq.heapreplace(queue, (-weights[server] / (2 * shares[server] + 1), server))
    return shares
