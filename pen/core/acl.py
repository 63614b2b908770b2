"""Access lists: ordered entries, the first that matches decides.

When none matches, the answer is the opposite of the last entry's; an empty list
permits everyone. IPv4 entries concern IPv4 clients only, IPv6 entries IPv6 clients;
clients on a Unix socket have no address and are always permitted. (penctl(1), `acl`.)

Lookup does not walk the entries: for each distinct mask there is a dict from network
to the first entry that has it, so a list of ten thousand networks costs as many steps
as it has different masks.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from pen.core.address import unmapped
from pen.core.errors import CommandError

LISTS = 10
"""Lists are numbered 0 to 9."""

ALL_ONES = {socket.AF_INET: (1 << 32) - 1, socket.AF_INET6: (1 << 128) - 1}


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule: permit or deny the addresses that equal `network` under `mask`."""

    permit: bool
    family: socket.AddressFamily
    network: int
    mask: int

    def __str__(self) -> str:
        """The entry as the `acl` command takes it, without the list's number."""
        verb = "permit" if self.permit else "deny"
        address = _text(self.family, self.network)
        if self.family == socket.AF_INET6:
            return f"{verb} {address}/{self.mask.bit_count()}"
        return f"{verb} {address} {_text(self.family, self.mask)}"


def _text(family: socket.AddressFamily, number: int) -> str:
    return socket.inet_ntop(family, number.to_bytes(4 if family == socket.AF_INET else 16, "big"))


def _number(family: socket.AddressFamily, text: str) -> int:
    try:
        return int.from_bytes(socket.inet_pton(family, text), "big")
    except (OSError, ValueError):
        kind = "IPv4" if family == socket.AF_INET else "IPv6"
        raise CommandError(f"'{text}' is not an {kind} address") from None


def parse_entry(permit: bool, source: str, mask: str | None = None) -> Entry:
    """An entry from ``a.b.c.d [mask]``, ``a.b.c.d/len`` or ``v6[/len]``.

    Raises:
        CommandError: an address, mask or length that is none.
    """
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    address, slash, length = source.partition("/")
    bits = ALL_ONES[family]
    if slash:
        bits = _prefix(family, length)
        if mask is not None:
            raise CommandError(f"'{source}' has a length already; leave out mask '{mask}'")
    elif mask is not None:
        bits = _number(socket.AF_INET, mask)
        if family == socket.AF_INET6:
            raise CommandError(f"an IPv6 source takes a length ({source}/64), not mask '{mask}'")
    return Entry(permit, family, _number(family, address) & bits, bits)


def _prefix(family: socket.AddressFamily, length: str) -> int:
    width = 32 if family == socket.AF_INET else 128
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= width):
        raise CommandError(f"'/{length}' is not a prefix length from 0 to {width}")
    return ALL_ONES[family] ^ ((1 << (width - int(length))) - 1)


@dataclass(slots=True)
class AccessList:
    """One list, with its index kept beside its entries."""

    entries: list[Entry] = field(default_factory=list)
    _index: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    """(family, mask) -> network -> number of the first entry that has both."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "AccessList":
        """A list with these entries."""
        new = cls()
        for entry in entries:
            new.append(entry)
        return new

    def append(self, entry: Entry) -> None:
        """Add a rule after the others."""
        networks = self._index.setdefault((entry.family, entry.mask), {})
        networks.setdefault(entry.network, len(self.entries))
        self.entries.append(entry)

    def permits(self, address: str) -> bool:
        """Whether a client may pass; `address` is numeric, or "" for a Unix client."""
        if not self.entries or not address:
            return True
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        number = int.from_bytes(socket.inet_pton(family, address.partition("%")[0]), "big")
        first = len(self.entries)
        for (entry_family, mask), networks in self._index.items():
            if entry_family == family:
                first = min(first, networks.get(number & mask, first))
        if first == len(self.entries):
            return not self.entries[-1].permit
        return self.entries[first].permit


@dataclass(slots=True)
class AccessLists:
    """The ten lists."""

    lists: list[AccessList] = field(default_factory=lambda: [AccessList() for _ in range(LISTS)])
    in_use: bool = False
    """Whether any list has had an entry; while none has, nobody need ask `permits`."""

    def __getitem__(self, number: int) -> AccessList:
        return self.lists[number]

    def permits(self, number: int, address: str) -> bool:
        """Whether list `number` lets this client's address pass; mapped IPv4 counts as IPv4."""
        chosen = self.lists[number]
        return not chosen.entries or chosen.permits(unmapped(address))

    def append(self, number: int, entry: Entry) -> None:
        """Add a rule to list `number`."""
        self.lists[number].append(entry)
        self.in_use = True

    def clear(self, number: int) -> None:
        """Empty a list, which then permits everyone."""
        self.lists[number] = AccessList()
