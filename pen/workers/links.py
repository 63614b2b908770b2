"""The two ways between the supervisor and a worker, as the supervisor has them.

Calls go to the worker over a stream, each with one reply. News come from it, each one packet;
where that way ends, so has the worker. Neither may wait for the other without end: a call that
is not taken, or not answered in time, is known by a BlockingIOError, and news that nobody
takes are dropped.
"""

import os
import socket
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from pen.workers.calls import Call
from pen.workers.sharing import ServerNews

_TIMEVAL: Final = struct.Struct("@ll")
"""Seconds and microseconds (`timeval` of sys/time.h)."""


class Link:
    """The way of the calls.

    Args:
        patience: seconds that sending, and the rest of a reply that has begun, may take.
    """

    def __init__(self, patience: float) -> None:
        ours, theirs = socket.socketpair()
        limit = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6))
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, limit)
        self._way, self.worker_end = Connection(ours.detach()), Connection(theirs.detach())

    def send(self, call: Call, attached: socket.socket | None = None) -> None:
        """Make a call, perhaps with a descriptor after it (SCM_RIGHTS, unix(7)).

        Raises:
            BlockingIOError: the worker does not take it.
            OSError: it has ended.
        """
        self._way.send(call)
        if attached is not None:
            with socket.socket(fileno=os.dup(self._way.fileno())) as way:
                socket.send_fds(way, [b"s"], [attached.fileno()])

    def reply(self, deadline: float) -> Any:
        """The reply to the oldest call that has had none, until a monotonic time.

        Raises:
            BlockingIOError: there is none.
            EOFError, OSError: the worker has ended.
        """
        if not self._way.poll(max(0.0, deadline - time.monotonic())):
            raise BlockingIOError
        return self._way.recv()

    def close(self) -> None:
        """Close our end."""
        self._way.close()


class News:
    """The way of the news."""

    def __init__(self) -> None:
        self._way, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.fileno = self._way.fileno

    def take(self) -> ServerNews | None:
        """The next news; None: the worker has ended."""
        packet = self._way.recv(ServerNews.PACKED.size)
        return ServerNews.unpack(packet) if packet else None

    def close(self) -> None:
        """Close our end."""
        self._way.close()


def teller(way: socket.socket) -> Callable[[ServerNews], None]:
    """In a worker: tells news over its end, and forgets what does not go out at once."""

    def tell(news: ServerNews) -> None:
        try:
            way.send(news.pack(), socket.MSG_DONTWAIT)
        except OSError:
            pass  # others find out for themselves

    return tell
