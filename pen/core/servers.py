"""The servers, by slot, and the two that stand apart: emergency and abuse."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from pen.core.address import UNSET, Endpoint
from pen.core.errors import CommandError
from pen.core.hashing import identity

SLOTS_MAX = 65536
"""More slots than this is a slip of the keyboard; each costs memory."""


class Duty(Enum):
    """Whom a server takes, as the person in charge of it says (`server N state`)."""

    READY = "ready"
    DRAIN = "drain"
    """Nobody new; who used it last still goes there."""
    DOWN = "down"


@dataclass(slots=True)
class Changes:
    """Counts what may have made a server available before its ban has passed."""

    count: int = field(default=0, compare=False)


@dataclass(slots=True, eq=False)
class Server:
    """One backend: where it is, what it may carry, and how it fares.

    `sx` counts bytes to the server, `rx` bytes from it, of closed connections.
    """

    slot: int
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(socket.AF_INET, (UNSET, 0)))
    name: str = UNSET
    """The host as the user wrote it; resolved again on HUP."""
    max: int = 0
    """Soft limit of connections, for clients new to it; 0: none."""
    hard: int = 0
    """Limit for clients that were here last; below `max` it acts as `max`."""
    weight: int = 0
    prio: int = 0
    acl: int = 0
    duty: Duty = Duty.READY
    """Set it by `assign`."""
    connections: int = 0
    """Now open or being opened."""
    elsewhere: int = 0
    """Of other workers, as far as they were last asked."""
    sx: int = 0
    rx: int = 0
    banned_until: float = 0.0
    """Monotonic time before which it is not tried."""
    banned_by_hand: bool = False
    failed_at: int = 0
    """Epoch second of the failure that counts; 0: a success came after it."""
    in_use: bool = False
    """Whether the slot names a server at all; kept by `move`, as are the next three."""
    takes_new: bool = False
    """In use, and ready."""
    takes_known: bool = False
    """In use, and not down."""
    identity: int = 0
    """Who it is to `hashing.score`: where it is, not its slot, so slots may be dealt anew."""
    changes: Changes = field(default_factory=Changes)
    """Those of all servers of its table."""

    def __post_init__(self) -> None:
        self.move(self.name, self.endpoint)

    @property
    def address(self) -> str:
        """Its numeric address."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """Its port."""
        return self.endpoint.port

    def move(self, name: str, endpoint: Endpoint) -> None:
        """Give it another address; open connections stay where they are."""
        self.name, self.endpoint = name, endpoint
        self.in_use = endpoint.port != 0 and endpoint.host != UNSET
        self.identity = identity(str(endpoint).encode())
        self.assign(self.duty)

    def assign(self, duty: Duty) -> None:
        """Say whom it takes from now on; open connections stay."""
        self.duty = duty
        self.takes_new = self.in_use and duty is Duty.READY
        self.takes_known = self.in_use and duty is not Duty.DOWN
        self.changes.count += 1

    def available(self, now: float) -> bool:
        """In use, neither down nor blacklisted; a draining one is, for those it knows."""
        return self.takes_known and self.banned_until <= now

    def has_room(self, known: bool) -> bool:
        """Whether it takes one more, for a client that was here last (`known`) or not."""
        if not (known or self.takes_new):
            return False
        if self.max == 0:
            return True
        connections = self.connections + self.elsewhere
        return connections < self.max or (known and connections < self.hard)

    def ban(self, seconds: float, now: float, *, by_hand: bool) -> None:
        """Leave it alone for that long; 0 ends a ban."""
        self._leave_alone(now + seconds if seconds > 0 else 0.0)
        self.banned_by_hand = by_hand and seconds > 0

    def _leave_alone(self, until: float) -> None:
        if until < self.banned_until:
            self.changes.count += 1
        self.banned_until = until

    def fail(self, seconds: float, now: float, epoch: int) -> None:
        """A connect failed: ban it and remember when."""
        self.failed_at = epoch
        if not (self.banned_by_hand and self.banned_until > now):
            self.ban(seconds, now, by_hand=False)

    def succeed(self) -> None:
        """A connect worked, which ends a ban that a failure gave."""
        self.hear(0, 0.0)

    def hear(self, failed_at: int, banned_until: float) -> None:
        """Somebody found out how it fares; a ban that was given by hand stays."""
        self.failed_at = failed_at
        if not self.banned_by_hand:
            self._leave_alone(banned_until)


EMERGENCY_SLOT = -1
ABUSE_SLOT = -2


@dataclass(slots=True)
class ServerTable:
    """Regular servers by slot, plus emergency and abuse."""

    slots: list[Server] = field(default_factory=list)
    emergency: Server | None = None
    abuse: Server | None = None
    changes: Changes = field(default_factory=Changes)

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[Server]:
        return iter(self.slots)

    def __getitem__(self, slot: int) -> Server:
        return self.slots[slot]

    def slot(self, number: int) -> Server:
        """The server in a slot; slots up to it are created, unused.

        Raises:
            CommandError: the number is beyond `SLOTS_MAX`.
        """
        if not 0 <= number < SLOTS_MAX:
            raise CommandError(f"server '{number}' is out of range (0 to {SLOTS_MAX - 1})")
        while len(self.slots) <= number:
            self.slots.append(Server(len(self.slots), changes=self.changes))
        return self.slots[number]

    def all(self) -> Iterator[Server]:
        """Every server there is, the special ones last."""
        yield from self.slots
        if self.emergency:
            yield self.emergency
        if self.abuse:
            yield self.abuse
