"""Where pen listens now, and moving it elsewhere while it runs."""

import socket

from pen.core.address import Endpoint, Resolve, parse_listen
from pen.core.applying import Prepared
from pen.core.errors import PenError
from pen.core.settings import Settings
from pen.net.listener import Listener, open_listener, remove_socket_file
from pen.net.relays import Relays
from pen.net.udp import Datagrams
from pen.net.udplistener import UdpListener, make_listener, open_datagrams


class Listening:
    """The part that follows `listen`: opens the new listener before it closes the old one.

    Only where both cannot be bound at once (the same port, one of them a wildcard) the
    old one steps aside first, and comes back if the new one fails.
    """

    interface: None = None
    """That of direct server return, which is not done here."""

    def __init__(self, carrier: Relays | Datagrams, find: Resolve) -> None:
        self._carrier = carrier
        self._find = find
        self._listener: Listener | UdpListener | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where clients connect to; None before the first time and after `close`."""
        return self._listener.endpoint if self._listener is not None else None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if wanted.listen == applied.listen:
            return None
        endpoint = parse_listen(wanted.listen, protocol=self._carrier.protocol, find=self._find)
        old = self._listener
        steps_aside = old is not None and _collide(old.endpoint, endpoint)
        if old is not None and steps_aside:
            old.close()

        def restore() -> None:
            if old is not None and steps_aside:
                self._start(self._open(old.endpoint, applied), old.endpoint)

        try:
            bound = self._open(endpoint, wanted)
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

    def _open(self, endpoint: Endpoint, settings: Settings) -> socket.socket:
        if isinstance(self._carrier, Datagrams):
            return open_datagrams(endpoint)
        return open_listener(endpoint, settings.backlog)

    def _start(self, bound: socket.socket, endpoint: Endpoint) -> None:
        carrier = self._carrier
        if isinstance(carrier, Datagrams):
            self._listener = make_listener(bound, endpoint, carrier)
        else:
            self._listener = Listener(bound, endpoint, carrier)
        self._listener.start()

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _collide(old: Endpoint, new: Endpoint) -> bool:
    """Whether both cannot be bound at once."""
    return old.port == new.port and old.port != 0
