"""The supervisor's listening sockets: one a worker, on one address."""

import socket
from contextlib import ExitStack

from pen.core.address import Endpoint, Resolve, parse_listen
from pen.core.applying import Prepared
from pen.core.settings import Settings
from pen.net.listener import remove_socket_file
from pen.net.listening import collide, open_socket
from pen.net.steering import steer


class ListeningGroup:
    """The part that follows `listen` for all workers. It keeps the sockets; they accept.

    On a Unix socket, whose clients have no address to steer by, all workers share one.
    """

    interface: None = None
    """Direct server return has no sockets to share."""

    def __init__(self, workers: int, protocol: str, find: Resolve) -> None:
        self._workers = workers
        self._protocol = protocol
        self._find = find
        self.sockets: list[socket.socket] = []
        """By number of worker; empty before the first time."""
        self.endpoint: Endpoint | None = None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if wanted.listen == applied.listen:
            return None
        endpoint = parse_listen(wanted.listen, protocol=self._protocol, find=self._find)
        if self.endpoint is None or not collide(self.endpoint, endpoint):
            self._refuse_other_pens(endpoint, wanted)
        opened = self._open(endpoint, wanted)

        def commit() -> None:
            self.close()
            self.sockets, self.endpoint = opened, endpoint

        def discard() -> None:
            _close(opened, endpoint)

        return Prepared(commit, discard)

    def _refuse_other_pens(self, endpoint: Endpoint, settings: Settings) -> None:
        """With SO_REUSEPORT nobody would be told that the address is in use."""
        alone = open_socket(endpoint, self._protocol, settings.backlog)
        _close([alone], endpoint)

    def _open(self, endpoint: Endpoint, settings: Settings) -> list[socket.socket]:
        if endpoint.family == socket.AF_UNIX:
            one = open_socket(endpoint, self._protocol, settings.backlog)
            return [one] * self._workers
        with ExitStack() as undo:
            opened = []
            for _ in range(self._workers):
                each = open_socket(endpoint, self._protocol, settings.backlog, shared=True)
                undo.callback(each.close)
                opened.append(each)
            steer(opened[0], self._workers)
            undo.pop_all()
        return opened

    def close(self) -> None:
        """Close them all."""
        if self.endpoint is not None:
            _close(self.sockets, self.endpoint)
        self.sockets, self.endpoint = [], None


def _close(sockets: list[socket.socket], endpoint: Endpoint) -> None:
    for each in set(sockets):
        each.close()
    remove_socket_file(endpoint)
