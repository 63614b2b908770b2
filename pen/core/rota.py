"""Whose turn it is while many servers are blacklisted, without passing over each of them."""

from heapq import heapify, heappop, heappush
from typing import Final

from sortedcontainers import SortedList

from pen.core.servers import Server, ServerTable

LEAVING_MAX: Final = 16
"""When so many have to leave at once, a look at all of them costs less."""


class Rota:
    """The slots of the servers that new clients may get; logarithmic time.

    That a server is no longer available is noticed when its turn comes: then it leaves, and is
    back when its ban has passed. Whatever else may make one available is counted in
    `ServerTable.changes`, and means a look at all of them.
    """

    def __init__(self, servers: ServerTable) -> None:
        self._servers = servers
        self._changes = -1
        self._up: SortedList[int] = SortedList()
        self._banned: list[tuple[float, int]] = []
        """A heap of slots that left, by the ends of their bans."""

    def next(self, first: int, now: float) -> Server | None:
        """The next available server from slot `first` on, cyclically; None: there is none."""
        if self._changes != self._servers.changes.count:
            self._look_at_all(now)
        banned, up = self._banned, self._up
        while banned and banned[0][0] <= now:
            up.add(heappop(banned)[1])
        for _ in range(LEAVING_MAX):
            if not up:
                return None
            server = self._at(first)
            if server.banned_until <= now:
                return server
            up.remove(server.slot)
            heappush(banned, (server.banned_until, server.slot))
        self._look_at_all(now)
        return self._at(first) if up else None

    def _at(self, first: int) -> Server:
        index = self._up.bisect_left(first)
        server: Server = self._servers.slots[self._up[index if index < len(self._up) else 0]]
        return server

    def _look_at_all(self, now: float) -> None:
        self._changes = self._servers.changes.count
        ready = [server for server in self._servers if server.takes_new]
        self._up.clear()
        self._up.update(server.slot for server in ready if server.banned_until <= now)
        self._banned[:] = [(s.banned_until, s.slot) for s in ready if s.banned_until > now]
        heapify(self._banned)
