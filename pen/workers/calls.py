"""What the supervisor says to a worker. Each call gets one reply: a value, or a PenError."""

from dataclasses import dataclass
from typing import Any

from pen.core.state import Configuration
from pen.workers.sharing import ServerNews


@dataclass(frozen=True, slots=True)
class Adopt:
    """Be configured like this."""

    configuration: Configuration
    moved: bool
    """Whether a new listening socket follows (SCM_RIGHTS)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How a server fares, by another worker's experience."""

    news: ServerNews


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of `stats.facts.Facts`, by the name of its method."""

    question: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ReopenFiles:
    """Read certificates and the like again."""


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """Open the log anew."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the session of this (the worker's own) number."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End, as TERM does."""


Call = Adopt | Heard | Ask | ReopenFiles | ReopenLog | Close | Stop
