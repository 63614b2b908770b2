"""Access lists: ordered entries, the first that matches decides.

When none matches, the answer is the opposite of the last entry's; an empty list
permits everyone. IPv4 entries concern IPv4 clients only, IPv6 entries IPv6 clients;
clients on a Unix socket have no address and are always permitted. Country entries concern
both kinds; an address of no known country matches none of them. (penctl(1), `acl`.)

Lookup does not walk the entries: for each distinct mask there is a dict from network
to the first entry that has it, so a list of ten thousand networks costs as many steps
as it has different masks. The country of a client is looked up only where an entry for
a country stands before the network that would decide.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pen.core.address import unmapped
from pen.core.errors import CommandError

LISTS = 10
"""Lists are numbered 0 to 9."""

ALL_ONES = {socket.AF_INET: (1 << 32) - 1, socket.AF_INET6: (1 << 128) - 1}


CountryOf = Callable[[str], str | None]
"""Two capital letters for a numeric address, or None if no country is known for it."""


def unknown_country(address: str) -> None:
    """What is known without a database."""


@dataclass(frozen=True, slots=True)
class CountryEntry:
    """One rule: permit or deny the addresses of a country."""

    permit: bool
    country: str
    """Two capital letters (ISO 3166-1)."""

    def __str__(self) -> str:
        return f"{'permit' if self.permit else 'deny'} country {self.country}"


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


def parse_entry(permit: bool, source: str, mask: str | None = None) -> Entry | CountryEntry:
    """An entry from ``a.b.c.d [mask]``, ``a.b.c.d/len``, ``v6[/len]`` or ``country CC``.

    Raises:
        CommandError: an address, mask, length or country that is none.
    """
    if source == "country":
        return CountryEntry(permit, _country(mask or ""))
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


def _country(code: str) -> str:
    if len(code) == 2 and code.isascii() and code.isalpha():
        return code.upper()
    raise CommandError(f"'{code}' is not the two letters of a country, such as SE")


@dataclass(slots=True)
class AccessList:
    """One list, with its index kept beside its entries."""

    entries: list[Entry | CountryEntry] = field(default_factory=list)
    _index: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    """(family, mask) -> network -> number of the first entry that has both."""
    _countries: dict[str, int] = field(default_factory=dict)
    """Country -> number of the first entry that has it, in the order of the numbers."""

    @classmethod
    def of(cls, entries: Iterable[Entry | CountryEntry]) -> "AccessList":
        """A list with these entries."""
        new = cls()
        for entry in entries:
            new.append(entry)
        return new

    @property
    def names_countries(self) -> bool:
        """Whether any entry is for a country."""
        return bool(self._countries)

    def cut(self, length: int) -> "AccessList":
        """A list of the first entries; this one, if there are no others."""
        return self if len(self.entries) == length else self.of(self.entries[:length])

    def append(self, entry: Entry | CountryEntry) -> None:
        """Add a rule after the others."""
        if isinstance(entry, CountryEntry):
            self._countries.setdefault(entry.country, len(self.entries))
        else:
            self._index_network(entry)
        self.entries.append(entry)

    def _index_network(self, entry: Entry) -> None:
        networks = self._index.setdefault((entry.family, entry.mask), {})
        networks.setdefault(entry.network, len(self.entries))

    def permits(self, address: str, country_of: CountryOf = unknown_country) -> bool:
        """Whether a client may pass; `address` is numeric, or "" for a Unix client."""
        if not self.entries or not address:
            return True
        first = self._first_network(address)
        if next(iter(self._countries.values()), first) < first:
            first = min(first, self._countries.get(country_of(address) or "", first))
        if first == len(self.entries):
            return not self.entries[-1].permit
        return self.entries[first].permit

    def _first_network(self, address: str) -> int:
        """Number of the first entry whose network has the address; all entries if none has."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        number = int.from_bytes(socket.inet_pton(family, address.partition("%")[0]), "big")
        first = len(self.entries)
        for (entry_family, mask), networks in self._index.items():
            if entry_family == family:
                first = min(first, networks.get(number & mask, first))
        return first


KeptLists = list[tuple[AccessList, int]]
"""Lists, and how long each was when it was kept."""


@dataclass(slots=True)
class AccessLists:
    """The ten lists."""

    lists: list[AccessList] = field(default_factory=lambda: [AccessList() for _ in range(LISTS)])
    in_use: bool = False
    """Whether any list has had an entry; while none has, nobody need ask `permits`."""
    country_of: CountryOf = unknown_country
    """Asked for clients whom a country entry may concern."""

    def __getitem__(self, number: int) -> AccessList:
        return self.lists[number]

    def permits(self, number: int, address: str) -> bool:
        """Whether list `number` lets this client's address pass; mapped IPv4 counts as IPv4."""
        chosen = self.lists[number]
        return not chosen.entries or chosen.permits(unmapped(address), self.country_of)

    def append(self, number: int, entry: Entry | CountryEntry) -> None:
        """Add a rule to list `number`."""
        self.lists[number].append(entry)
        self.in_use = True

    def clear(self, number: int) -> None:
        """Empty a list, which then permits everyone."""
        self.lists[number] = AccessList()

    def naming_countries(self) -> Iterable[int]:
        """Numbers of the lists that have an entry for a country."""
        return (number for number, each in enumerate(self.lists) if each.names_countries)

    def keep(self) -> KeptLists:
        """The lists as they are now, cheaply: a list only grows at its end, or is replaced."""
        return [(each, len(each.entries)) for each in self.lists]

    def restore(self, kept: KeptLists) -> None:
        """Have the lists as they were, or as they are elsewhere."""
        self.lists[:] = [each.cut(length) for each, length in kept]
        self.in_use = self.in_use or any(length for _, length in kept)
