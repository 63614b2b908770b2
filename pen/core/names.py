"""Host names whose addresses were looked up beforehand, off the loop (`net.lookups`).

Whatever needs the address of a name while pen runs asks `Names.resolve`, inside the
`knowing` block of whoever had the names looked up.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pen.core.address import Endpoint, Resolve, resolve
from pen.core.errors import ResolveError

Found = Endpoint | ResolveError
"""What a look-up gave: an address (its port says nothing), or why there is none."""


class Names:
    """What is known at the moment; `lookup` asks for all else, and may take its time."""

    def __init__(self, lookup: Resolve = resolve) -> None:
        self.lookup = lookup
        self._known: Mapping[str, Found] = {}

    @contextmanager
    def knowing(self, found: Mapping[str, Found]) -> Iterator[None]:
        """In the block, these names need no look-up."""
        before, self._known = self._known, found
        try:
            yield
        finally:
            self._known = before

    def resolve(self, host: str, port: int) -> Endpoint:
        """The address of a host, with a port.

        Raises:
            ResolveError: the name does not resolve.
        """
        found = self._known.get(host)
        if found is None:
            return self.lookup(host, port)
        if isinstance(found, ResolveError):
            raise ResolveError(str(found))
        return found.with_port(port)
