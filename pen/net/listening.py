"""Where pen listens now, and moving it elsewhere while it runs."""

import socket
from collections.abc import Callable

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

    Args:
        carrier: what serves the clients.
        handed: gives the socket that somebody else has opened for us and will remove; None:
            we open it.
    """

    interface: None = None
    """That of direct server return, which is not done here."""

    def __init__(
        self,
        carrier: Relays | Datagrams,
        find: Resolve,
        handed: Callable[[], socket.socket] | None = None,
    ) -> None:
        self._carrier = carrier
        self._find = find
        self._handed = handed
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
        steps_aside = old is not None and collide(old.endpoint, endpoint)
        if old is not None and steps_aside:
            self._stop(old)

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
                self._stop(old)
            self._start(bound, endpoint)

        def discard() -> None:
            bound.close()
            if self._handed is None:
                remove_socket_file(endpoint)
            restore()

        return Prepared(commit, discard)

    def begin(self, settings: Settings) -> None:
        """Serve at the socket handed to us, which has the address of these settings."""
        endpoint = parse_listen(settings.listen, protocol=self._carrier.protocol)
        self._start(self._open(endpoint, settings), endpoint)

    def _open(self, endpoint: Endpoint, settings: Settings) -> socket.socket:
        if self._handed is not None:
            return self._handed()
        return open_socket(endpoint, self._carrier.protocol, settings.backlog)

    def _start(self, bound: socket.socket, endpoint: Endpoint) -> None:
        carrier = self._carrier
        if isinstance(carrier, Datagrams):
            self._listener = make_listener(bound, endpoint, carrier)
        else:
            self._listener = Listener(bound, endpoint, carrier)
        self._listener.start()

    def _stop(self, listener: Listener | UdpListener) -> None:
        listener.close()
        if self._handed is None:
            remove_socket_file(listener.endpoint)

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._stop(self._listener)
            self._listener = None


def open_socket(
    endpoint: Endpoint, protocol: str, backlog: int, *, shared: bool = False
) -> socket.socket:
    """A socket where clients can come in; `shared`: others may have the same address.

    Raises:
        AddressError: the address is in use or cannot be had.
    """
    if protocol == Datagrams.protocol:
        return open_datagrams(endpoint, shared=shared)
    return open_listener(endpoint, backlog, shared=shared)


def collide(old: Endpoint, new: Endpoint) -> bool:
    """Whether both cannot be bound at once."""
    return old.port == new.port and old.port != 0
