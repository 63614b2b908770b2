"""Where pen listens now, and moving it elsewhere while it runs."""

import socket

from pen.core.address import Endpoint, Resolve, parse_listen
from pen.core.applying import Prepared
from pen.core.errors import PenError, UsageError
from pen.core.settings import Settings
from pen.net.listener import Listener, open_listener, remove_socket_file
from pen.net.relays import Relays


class Listening:
    """The part that follows `listen`: opens the new listener before it closes the old one.

    Only where both cannot be bound at once (the same port, one of them a wildcard) the
    old one steps aside first, and comes back if the new one fails.
    """

    interface: None = None
    """That of direct server return, which is not done here."""

    def __init__(self, relays: Relays, find: Resolve) -> None:
        self._relays = relays
        self._find = find
        self._listener: Listener | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where clients connect to; None before the first time and after `close`."""
        return self._listener.endpoint if self._listener is not None else None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if wanted.listen == applied.listen:
            return None
        if wanted.udp:
            raise UsageError("-U (UDP) works only with direct server return (dsr_if) so far")
        endpoint, old = parse_listen(wanted.listen, find=self._find), self._listener
        steps_aside = old is not None and _collide(old.endpoint, endpoint)
        if old is not None and steps_aside:
            old.close()

        def restore() -> None:
            if old is not None and steps_aside:
                self._start(open_listener(old.endpoint, applied.backlog), old.endpoint)

        try:
            bound = open_listener(endpoint, wanted.backlog)
        except PenError:
            restore()
            raise

        def commit() -> None:
            if old is not None and not steps_aside:
                old.close()
            self._start(bound, endpoint)

        def discard() -> None:
            bound.close()
            remove_socket_file(endpoint)
            restore()

        return Prepared(commit, discard)

    def _start(self, bound: socket.socket, endpoint: Endpoint) -> None:
        self._listener = Listener(bound, endpoint, self._relays)
        self._listener.start()

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _collide(old: Endpoint, new: Endpoint) -> bool:
    """Whether both cannot be bound at once."""
    return old.port == new.port and old.port != 0
