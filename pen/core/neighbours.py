"""Hardware addresses of machines on the same network, kept fresh by asking (ARP).

Pure: says whom to ask and believes what it is told; `now` is monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

ASK_EVERY: Final = 5.0
"""Seconds between questions to one that answers."""
ASK_AGAIN: Final = 1.0
"""Seconds until an answer is missed."""
SILENT_AFTER: Final = 3
"""Missed answers in a row that make a machine silent."""


@dataclass(slots=True)
class _Neighbour:
    mac: bytes | None = None
    missed: int = 0
    """Questions since the last answer."""
    ask_at: float = 0.0


@dataclass(slots=True)
class Neighbours:
    """The machines of interest, by IPv4 address (an integer)."""

    _known: dict[int, _Neighbour] = field(default_factory=dict)

    def watch(self, addresses: Iterable[int]) -> None:
        """From now on, these are of interest and no others."""
        known = self._known
        self._known = {each: known.get(each) or _Neighbour() for each in addresses}

    def due(self, now: float) -> list[int]:
        """Whom to ask now; each counts as asked."""
        due = [address for address, each in self._known.items() if each.ask_at <= now]
        for address in due:
            neighbour = self._known[address]
            neighbour.missed += 1
            neighbour.ask_at = now + ASK_AGAIN
        return due

    def heard(self, address: int, mac: bytes, now: float) -> bool:
        """A machine told its hardware address; whether that is news."""
        neighbour = self._known.get(address)
        if neighbour is None:
            return False
        news = neighbour.mac != mac or self.silent(address)
        neighbour.mac, neighbour.missed, neighbour.ask_at = mac, 0, now + ASK_EVERY
        return news

    def mac(self, address: int) -> bytes | None:
        """Its hardware address; None: it has not told, or is silent."""
        neighbour = self._known.get(address)
        return None if neighbour is None or self.silent(address) else neighbour.mac

    def silent(self, address: int) -> bool:
        """Whether it missed `SILENT_AFTER` questions, the last one's time being over too."""
        neighbour = self._known.get(address)
        return neighbour is not None and neighbour.missed > SILENT_AFTER
