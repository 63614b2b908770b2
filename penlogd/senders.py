"""Which senders are welcome."""

import ipaddress

from penlogd.manymessages import Taken

_REMEMBERED = 10_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Senders:
    """A list of networks; nobody else may send.

    Args:
        networks: ``192.0.2.0/24``, ``2001:db8::1`` and the like; none admits everybody.

    Attributes:
        refused: Datagrams from elsewhere.

    Raises:
        ValueError: One of them is no network.
    """

    def __init__(self, networks: list[str]) -> None:
        self.refused = 0
        self._networks = [ipaddress.ip_network(text, strict=False) for text in networks]
        self._known: dict[str, bool] = {}

    @property
    def limited(self) -> bool:
        """Whether not everybody is welcome."""
        return bool(self._networks)

    def welcome(self, address: str) -> bool:
        """Whether an address may send."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = not self._networks or self._is_listed(address)
        return known

    def sift(self, taken: Taken) -> Taken:
        """Return the datagrams from those who are welcome, and count the others."""
        all_of = list(zip(*taken, strict=True))
        kept = [(each, when) for each, when in all_of if self.welcome(each[1])]
        self.refused += len(all_of) - len(kept)
        return [each for each, _ in kept], [when for _, when in kept]

    def _is_listed(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self._networks)
