"""What control commands may ask of the pen they control."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from pen.core.address import Endpoint
from pen.core.errors import PenError
from pen.core.state import State
from pen.stats.facts import Facts


class Pen(Protocol):
    """A pen, running or about to run. Commands change its `state` inside `changing`."""

    state: State
    facts: Facts
    command_line: str
    """As it was started, for people to read."""

    @property
    def now(self) -> float:
        """Monotonic seconds."""

    @property
    def running(self) -> bool:
        """Whether the loop has begun."""

    def changing(self, *, tables: bool = False) -> AbstractContextManager[None]:
        """Change settings in the block; at its end they take effect, or all is as before.

        `tables`: servers and access lists are changed too, and must be taken back.

        Raises:
            PenError: what kept a setting from taking effect (an address in use, ...).
        """

    def when_known(self, hosts: Iterable[str], then: Callable[[], object]) -> None:
        """Look these names up while traffic goes on, then call `then`, in which they are known."""

    def gradually(
        self,
        pieces: Iterator[str],
        done: Callable[[str], object],
        failed: Callable[[PenError], object],
    ) -> None:
        """Take piece after piece while traffic goes on; then call `done` with all, or `failed`."""

    def resolve(self, host: str, port: int) -> Endpoint:
        """The address of a host, with a port.

        Raises:
            ResolveError: the name does not resolve.
        """

    def listening_on(self) -> str:
        """Address that clients connect to."""

    def controlled_on(self) -> str:
        """Address of the control port; empty when there is none."""

    def save_statistics(self) -> None:
        """Write them as USR1 does."""

    def status_page(self) -> Iterator[str]:
        """The status page, in pieces."""

    def close_connection(self, number: int) -> None:
        """Close a session if it is there."""

    def stop(self) -> None:
        """End cleanly."""
