"""The log to a penlogd: over an acknowledged connection where it is ours, else as datagrams.

=========  ===============================================  ====================================
way        records                                          then
=========  ===============================================  ====================================
ASKING     are held, `HELD_MAX` of them at most             greeted: RELIABLE; else: PLAIN
PLAIN      go as datagrams, at once                         greeted, at a try each `AGAIN`
                                                            seconds: RELIABLE
RELIABLE   go through the channel, and are kept (`ROOM`     for good; a penlogd that is away is
           bytes) until penlogd has them                    waited for
=========  ===============================================  ====================================

The connection is made when there is first something to tell, in the process that tells it: each
worker has its own.
"""

import secrets
import select
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol, cast

from pen.core.address import Resolve
from pen.logs.udplog import UdpLog
from penlog import records
from penlog.channel import Channel, Outcome, Peer, State
from penlog.spool import Spool
from penlog.transport import AGAIN

HELD_MAX: Final = 10_000
"""Records held until it is known who is there, which takes 3 seconds at most."""

ROOM: Final = 8 << 20
"""Bytes kept for a penlogd that is away; beyond that, records are counted as lost."""

LINGER: Final = 2.0
"""Seconds in which a penlogd must take the rest when the log is closed."""


class Watching(Protocol):
    """What the loop's event mechanism does for a connection."""

    def watch(self, fd: int, *, read: bool = True, write: bool = False) -> None:
        """Begin to watch a stream."""

    def change(self, fd: int, *, read: bool, write: bool) -> None:
        """Watch a stream for other things than before."""

    def closed(self, fd: int) -> None:
        """It is closed."""


class Loop(Protocol):
    """The loop that drives the connection."""

    now: float
    running: bool
    handlers: dict[int, Callable[[int], object]]

    @property
    def poller(self) -> Watching:
        """The event mechanism."""

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Call once at or after a monotonic time."""


class Way(Enum):
    """How records go; see above."""

    ASKING = "asking"
    PLAIN = "plain"
    RELIABLE = "reliable"


class Line:
    """A channel that a loop drives.

    Args:
        channel: The channel.
        loop: The loop.
        worked: Called whenever something may have changed.
        retry: Seconds after which to try again one who never greeted.

    Attributes:
        greeted: Whether a penlogd of ours has ever been there.
    """

    def __init__(
        self, channel: Channel, loop: Loop, worked: Callable[[], object], retry: float = AGAIN
    ) -> None:
        self.channel = channel
        self.greeted = False
        self._loop = loop
        self._worked = worked
        self._retry = retry
        self._fd = -1
        self._writes = False
        self._timer: float | None = None
        self._ask_at = 0.0
        self._close_at: float | None = None
        self._ended = False

    def work(self) -> None:
        """Do what can be done now, and have the loop tell when there is more."""
        if self._ended:
            return
        loop, channel = self._loop, self.channel
        if channel.state is not State.WAITING or loop.now >= self._ask_at:
            channel.work(loop.now)
            self.greeted = self.greeted or channel.outcome is Outcome.GREETED
            if channel.state is State.WAITING and not self.greeted:
                self._ask_at = loop.now + self._retry
        self._worked()
        done = channel.delivery.done
        if self._close_at is not None and (done or loop.now >= self._close_at):
            self._end()
            return
        self._watch()
        self._set_timer()

    def close(self) -> None:
        """Disconnect once penlogd has the rest, or after `LINGER` seconds.

        While the loop runs, it goes on meanwhile; else this waits.
        """
        loop = self._loop
        now = loop.now if loop.running else time.monotonic()
        self._close_at = now + LINGER
        if not self.greeted:
            self._end()
        elif loop.running:
            self.work()
        else:
            self._drain(now + LINGER)
            self._end()

    def _drain(self, end: float) -> None:
        channel = self.channel
        while not channel.delivery.done and (now := time.monotonic()) < end:
            channel.work(now)
            if channel.delivery.done:
                break
            poll = select.poll()
            if channel.fd >= 0:
                poll.register(channel.fd, select.POLLIN | channel.wants_write * select.POLLOUT)
            poll.poll(1000 * max(0.0, min(end, channel.deadline or end) - now) + 1)

    def _end(self) -> None:
        self._ended = True
        if self.channel.delivery.done:
            self.channel.farewell()
        else:
            self.channel.close()
        self._watch()

    def _watch(self) -> None:
        """Have the loop watch the descriptor that there is now."""
        channel, poller, handlers = self.channel, self._loop.poller, self._loop.handlers
        fd, writes = channel.fd, channel.wants_write
        if fd != self._fd:
            if self._fd >= 0:
                handlers.pop(self._fd, None)
                poller.closed(self._fd)
            if fd >= 0:
                handlers[fd] = self._ready
                poller.watch(fd, write=writes)
        elif fd >= 0 and writes != self._writes:
            poller.change(fd, read=True, write=writes)
        self._fd, self._writes = fd, writes

    def _ready(self, mask: int) -> None:  # noqa: ARG002
        self.work()

    def _set_timer(self) -> None:
        """One timer, for the time that comes first; a later one is seen to when it fires."""
        due = self.channel.deadline
        if due is not None and self.channel.state is State.WAITING:
            due = max(due, self._ask_at)
        due = min((each for each in (due, self._close_at) if each is not None), default=None)
        if due is not None and (self._timer is None or due < self._timer):
            self._timer = due
            self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        if self._timer is not None and self._loop.now >= self._timer:
            self._timer = None
        self.work()


class PenlogdLog:
    """Records for a penlogd, by the best way there is.

    Args:
        target: ``host:port``.
        find: Gives the address of a host.
        loop: The loop.
        on_new_receiver: Called when a penlogd answers that knows nothing yet.

    Attributes:
        way: How records go at present.

    Raises:
        PenError: The host is not found.
    """

    def __init__(
        self, target: str, find: Resolve, loop: Loop, on_new_receiver: Callable[[], object]
    ) -> None:
        self.target = target
        self.way = Way.ASKING
        self._udp = UdpLog(target, find)
        self._loop = loop
        self._on_new_receiver = on_new_receiver
        self._held: list[bytes] = []
        self._overflow = 0
        self._closed = False
        self._spool = Spool(None, in_memory=ROOM)
        self._line: Line | None = None

    @property
    def lost(self) -> int:
        """Records that could not be sent."""
        return self._udp.lost + self._overflow + self._spool.lost

    def record(self, client: str, epoch: int, server: str, piece: bytes) -> None:
        """Note a record; penlogd goes by the time of its arrival."""
        if self.way is Way.PLAIN:
            self._udp.record(client, epoch, server, piece)
        else:
            self._hold(records.datagram(client, server, piece))

    def add(self, line: bytes) -> None:
        """Note a line."""
        if self.way is Way.PLAIN:
            self._udp.add(line)
        else:
            self._hold(line)

    def _hold(self, line: bytes) -> None:
        if len(self._held) < HELD_MAX or self.way is Way.RELIABLE:
            self._held.append(line)
        else:
            self._overflow += 1

    def flush(self) -> None:
        """Send what was noted, or keep it for penlogd."""
        if self._closed:
            return
        if self._line is None:
            self._line = self._connect()
            self._line.work()
        elif self.way is Way.RELIABLE:
            self._keep()
            self._line.work()
        self._udp.flush()

    def _connect(self) -> Line:
        peer = Peer(self._udp.endpoint.family, cast(Any, self._udp.endpoint.sockaddr))
        session = secrets.token_hex(16).encode()
        channel = Channel(peer, session, self._spool, lambda: self._welcome(channel))
        return Line(channel, self._loop, self._worked)

    def _welcome(self, channel: Channel) -> None:
        """A penlogd of ours is there, which knows nothing: what is held goes before the rest."""
        if self._line is None or self._line.channel is not channel:
            return  # it only takes the rest of what is for another host
        self._udp.flush()
        self.way = Way.RELIABLE
        self._keep()
        self._on_new_receiver()
        self._keep()

    def _keep(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._spool.append(b"".join(held))

    def _worked(self) -> None:
        """Nobody of ours is there: what was held goes as datagrams, as will the rest."""
        line = self._line
        waits = line is not None and line.channel.state is State.WAITING
        if waits and self.way is Way.ASKING:
            self._go_plain()

    def _go_plain(self) -> None:
        self.way = Way.PLAIN
        held, self._held = self._held, []
        for line in held:
            if line.startswith(b"="):
                self._udp.add(line)
            else:
                self._udp.send(line)
        self._udp.flush()

    def reopen(self) -> None:
        """Resolve the name again; if the host has moved, find out anew who is there."""
        before = self._udp.endpoint
        self.flush()
        self._udp.reopen()
        if self._udp.endpoint.sockaddr != before.sockaddr and self._line is not None:
            self._line.close()
            self._overflow += self._spool.lost
            self._spool = Spool(None, in_memory=ROOM)
            self._line, self.way = None, Way.ASKING

    def close(self) -> None:
        """Send the rest and close."""
        self._closed = True
        self._on_new_receiver = _nobody
        if self.way is Way.RELIABLE:
            self._keep()
        else:
            self._go_plain()
        if self._line is not None:
            self._line.close()
        self._udp.close()


def _nobody() -> None:
    """It is told to nobody."""
