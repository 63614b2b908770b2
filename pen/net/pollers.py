"""Event mechanisms behind one small interface: epoll, poll, select (and kqueue's refusal).

A poller says which descriptors have news. Two kinds differ in when they say it:

- *edge-triggered* (epoll): once per change. Whoever hears it reads until there is no
  more. Interest in reading is constant; interest in writing is added only after a
  write came short, since it would wake the loop for every acknowledgement.
- *level-triggered* (poll, select, and epoll for listeners): again and again until the
  cause is gone, so whoever cannot read now must take back its interest in reading.
"""

import select
from typing import Final, Protocol

from pen.core.errors import PenError

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
URGENT: Final = select.EPOLLPRI
HANGUP: Final = select.EPOLLRDHUP
"""The peer has sent its FIN."""
ERROR: Final = select.EPOLLERR
GONE: Final = select.EPOLLERR | select.EPOLLHUP
READ_ON: Final = HANGUP | GONE | URGENT
"""With any of these a short read does not mean that there is no more: read to EAGAIN.

Data and FIN in one event are not signalled again, and urgent data stops a read early.
"""
EVENTS_MAX: Final = 64
"""Events taken per turn; the rest come in the next. More would need a larger allocation."""


class Poller(Protocol):
    """What the loop asks of an event mechanism."""

    name: str
    edge: bool
    """Whether streams get edge-triggered events; then interest in reading is constant."""

    def watch(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        """Begin to watch a stream."""

    def change(self, fd: int, *, read: bool, write: bool) -> None:
        """Watch a stream for other things than before."""

    def watch_listener(self, fd: int) -> None:
        """Begin to watch for reading only, level-triggered."""

    def forget(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""

    def closed(self, fd: int) -> None:
        """A watched descriptor is about to be closed."""

    def poll(self, timeout: float, most: int, /) -> list[tuple[int, int]]:
        """Wait (seconds; negative: for ever) and return (fd, events) pairs, `most` at most.

        Those that look at all descriptors anyway return them all.
        """

    def close(self) -> None:
        """Give back what it holds."""


class EpollPoller:
    """Linux epoll(7)."""

    name = "epoll"
    edge = True
    STREAM: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._register = self._epoll.register
        self.poll = self._epoll.poll

    def watch(self, fd: int, *, read: bool = True, write: bool = False) -> None:  # noqa: ARG002
        self._register(fd, self.STREAM | WRITE if write else self.STREAM)

    def change(self, fd: int, *, read: bool, write: bool) -> None:  # noqa: ARG002
        self._epoll.modify(fd, self.STREAM | WRITE if write else self.STREAM)

    def watch_listener(self, fd: int) -> None:
        self._register(fd, READ)

    def forget(self, fd: int) -> None:
        self._epoll.unregister(fd)

    def closed(self, fd: int) -> None:
        """Nothing to do: the kernel forgets a descriptor when it is closed."""

    def close(self) -> None:
        self._epoll.close()


class PollPoller:
    """poll(2). A descriptor nobody is interested in is left out, or HUP would spin the loop."""

    name = "poll"
    edge = False

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: set[int] = set()

    def watch(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        self.change(fd, read=read, write=write)

    def change(self, fd: int, *, read: bool, write: bool) -> None:
        mask = (READ | URGENT if read else 0) | (WRITE if write else 0)
        if mask:
            self._poll.register(fd, mask)
            self._watched.add(fd)
        else:
            self.forget(fd)

    def watch_listener(self, fd: int) -> None:
        self.change(fd, read=True, write=False)

    def forget(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.discard(fd)
            self._poll.unregister(fd)

    def closed(self, fd: int) -> None:
        self.forget(fd)

    def poll(self, timeout: float, most: int, /) -> list[tuple[int, int]]:  # noqa: ARG002
        return self._poll.poll(None if timeout < 0 else timeout * 1000)

    def close(self) -> None:
        self._watched.clear()


class SelectPoller:
    """select(2), which cannot watch descriptors from 1024 on."""

    name = "select"
    edge = False
    LIMIT: Final = 1024

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def watch(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        if fd >= self.LIMIT:
            raise OSError(f"descriptor {fd}: select(2) goes up to {self.LIMIT - 1}; use epoll")
        self.change(fd, read=read, write=write)

    def change(self, fd: int, *, read: bool, write: bool) -> None:
        (self._readers.add if read else self._readers.discard)(fd)
        (self._writers.add if write else self._writers.discard)(fd)

    def watch_listener(self, fd: int) -> None:
        self.watch(fd)

    def forget(self, fd: int) -> None:
        self.change(fd, read=False, write=False)

    def closed(self, fd: int) -> None:
        self.forget(fd)

    def poll(self, timeout: float, most: int, /) -> list[tuple[int, int]]:  # noqa: ARG002
        readable, writable, urgent = select.select(
            self._readers, self._writers, self._readers, None if timeout < 0 else timeout
        )
        events = dict.fromkeys(readable, READ)
        for fd in urgent:
            events[fd] = events.get(fd, 0) | READ | URGENT
        for fd in writable:
            events[fd] = events.get(fd, 0) | WRITE
        return list(events.items())

    def close(self) -> None:
        self.__init__()  # type: ignore[misc]


def make_poller(name: str) -> Poller:
    """The event mechanism of this name.

    Raises:
        PenError: there is none of that name, or not on this system.
    """
    if name == "epoll":
        return EpollPoller()
    if name == "poll":
        return PollPoller()
    if name == "select":
        return SelectPoller()
    if name == "kqueue":
        raise PenError("kqueue is for BSD systems; on Linux use epoll (the default)")
    raise PenError(f"'{name}' is no event mechanism; there are epoll, poll and select")
