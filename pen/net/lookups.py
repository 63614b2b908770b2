"""Looking names up while the loop goes on: threads ask, the loop hears of it by a socket.

getaddrinfo(3) can only be waited for, and a name server that is down makes it wait for half
a minute. So a few threads do that; they are started when first needed, and share nothing
with the loop but two queues.
"""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from pen.core.address import Resolve
from pen.core.errors import ResolveError
from pen.core.names import Found
from pen.net.reactor import Reactor

THREADS_MAX: Final = 8
"""Names that are looked up at once; more wait."""

Then = Callable[[Mapping[str, Found]], object]


@dataclass(slots=True)
class Request:
    """Some names that are wanted together."""

    missing: set[str]
    found: dict[str, Found]
    then: Then


class Lookups:
    """Looks names up and calls back, in the loop's thread.

    Args:
        reactor: the loop.
        lookup: gives a host's address, or raises ResolveError; may block.
    """

    def __init__(self, reactor: Reactor, lookup: Resolve) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._requests: list[Request] = []
        self._under_way: set[str] = set()
        self._wanted: SimpleQueue[str] = SimpleQueue()
        self._done: SimpleQueue[tuple[str, Found]] = SimpleQueue()
        self._threads = 0
        self._ends: tuple[socket.socket, socket.socket] | None = None
        """A bell: the loop listens at the first, the threads ring at the second."""

    def ask(self, hosts: Iterable[str], then: Then) -> None:
        """Look all of them up, then call `then`; at once if there are none."""
        missing = set(hosts)
        if not missing:
            then({})
            return
        bell = self._bell()
        self._requests.append(Request(missing, {}, then))
        for host in sorted(missing - self._under_way):
            self._under_way.add(host)
            self._wanted.put(host)
            if self._threads < min(THREADS_MAX, len(self._under_way)):
                self._threads += 1
                # A daemon, for nobody who ends pen wants to wait for a name server.
                threading.Thread(target=self._work, args=(bell,), daemon=True).start()

    def _bell(self) -> socket.socket:
        """What the threads ring at."""
        if self._ends is None:
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
            self._reactor.add(self._ends[0].fileno(), self._hear)
        return self._ends[1]

    def _work(self, bell: socket.socket) -> None:
        """In a thread: look up what is wanted, for ever."""
        while True:
            host = self._wanted.get()
            try:
                found: Found = self._lookup(host, 0)
            except ResolveError as error:
                found = error
            except Exception as error:
                found = ResolveError(f"host '{host}' cannot be resolved: {error}")
            self._done.put((host, found))
            try:
                bell.send(b"!")
            except BlockingIOError:
                pass  # it rings already

    def _hear(self, mask: int) -> None:  # noqa: ARG002
        """In the loop: some are found."""
        if self._ends is not None:
            self._ends[0].recv(4096)
        while not self._done.empty():
            host, found = self._done.get()
            self._under_way.discard(host)
            for request in self._requests:
                if host in request.missing:
                    request.missing.discard(host)
                    request.found[host] = found
        complete = [request for request in self._requests if not request.missing]
        self._requests = [request for request in self._requests if request.missing]
        for request in complete:
            request.then(request.found)
