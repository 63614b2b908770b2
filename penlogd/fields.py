"""What a log format is made of: literals, and fields that say what stands there.

`apacheformat` and `nginxformat` take format strings apart into these parts; `logformat` makes a
reader of them.
"""

from dataclasses import dataclass
from enum import Enum


class FormatError(ValueError):
    """A log format cannot be used; the message says which part of it, and why."""


class Role(Enum):
    """What the join needs of a line."""

    CLIENT = "client"
    """The address that is replaced."""
    PEER = "peer"
    """Who was connected, where that may differ from the client (mod_remoteip)."""
    PORT = "port"
    """The peer's port."""
    SERVER = "server"
    """What tells the server, if it was named for that."""
    SERVER_PORT = "server_port"
    REQUEST = "request"
    STAMP = "stamp"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a field tells the time.

    Attributes:
        format: As for strptime; ``%s`` is a number, and "" any usual form.
        precision: The field stands for this many seconds from the time it shows.
        at_end: Whether that is the end of the request rather than its beginning.
        unit: Of ``%s``: seconds in one.
        is_fraction: Whether the field is the decimal digits of a second, and nothing else.
    """

    format: str
    precision: float = 1.0
    at_end: bool = False
    unit: float = 1.0
    is_fraction: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A directive or variable of a format.

    Attributes:
        name: As the format has it.
        pattern: A regular expression for it; None: as `blanks` and what stands around it say.
        blanks: Whether there may be blanks in it.
        role: What the join needs it for, if anything.
        unit: Of a duration: seconds in one.
        stamp: Of a stamp: how it tells the time.
    """

    name: str
    pattern: str | None = None
    blanks: bool = False
    role: Role | None = None
    unit: float = 1.0
    stamp: Stamp | None = None


Part = str | Field

NUMBER = r"-?\d{1,18}|-"
DECIMAL = r"-?\d{1,18}(?:\.\d{1,18})?|-"
PORT = r"\d{1,5}|-"
CLF_TIME = r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [-+]\d{4}"
