"""penlogd's loop: sockets to intake and engine, engine to sink, and what the signals ask for."""

import gc
import select
import signal
import socket
import time
from collections.abc import Sequence
from math import inf
from typing import Protocol

from penlog.rate import Rate
from penlogd import figures
from penlogd.consolidator import spread
from penlogd.daemon import Messages
from penlogd.parts import Parts
from penlogd.reception import Reception
from penlogd.sink import RETRY

AT_A_TIME = 10_000
"""Datagrams taken from a socket before they are worked on."""

CLOCK_STEP = 0.5
"""Seconds by which the clock must jump to count as set."""

GATHERING = 0.1
"""Seconds to let datagrams gather after a wake-up: many for the price of one. The kernel notes when
each came."""

TOGETHER = 0.05
"""The same for what comes over connections, which counts as come when it is read; and for lines
that are due."""

MUCH = 5000
"""Lines and records a second. Where fewer come, times of arrival are worth more than the CPU, if
lines are joined by them."""

BY_TIME = 10.0
"""Seconds after the start, and after pen's last record of a request, in which lines may be joined
by time."""

TIDYING = 3600.0
"""Seconds from one look of the garbage collector, which else is disabled, to the next: connections
that failed may have left cycles, lines and records do not."""

OLDEST = 10.0
"""Seconds that a datagram may have waited to be read."""

BURST = 200 << 20
"""Bytes a second, as the kernel counts them, that a burst brings: so long may the buffer fill."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Watcher(Protocol):
    """Tells others of what is counted, on the loop's time: so it must not take long.

    Attributes:
        fd: A descriptor that is readable when it has something to do; -1: it needs none.
        deadline: Monotonic time at which it has something to do even so; may be infinite.
    """

    fd: int

    @property
    def deadline(self) -> float:
        """When it has something to do at the latest."""

    def work(self, now: float) -> None:
        """Do what there is to do; now is monotonic."""

    def close(self) -> None:
        """Tell the last, and end."""


class Collector:
    """Runs until TERM or INT.

    Args:
        signals: What `signal_socket` gave; what came before this is obeyed too.
        parts: What works together.
        messages: Where to tell what is wrong, and statistics.
        watchers: Who tells others of what is counted.
    """

    def __init__(
        self,
        signals: socket.socket,
        parts: Parts,
        messages: Messages,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._parts = parts
        self._receiver = parts.receiver
        self._senders = parts.senders
        self._consolidator = parts.consolidator
        self._intake = parts.intake
        self._sink = parts.sink
        self._messages = messages
        self._watchers = watchers
        self._watched = {watcher.fd: watcher for watcher in watchers if watcher.fd >= 0}
        self._stopping = False
        self._gathering = min(GATHERING, self._receiver.buffer_size() / BURST)
        self._rate = Rate(MUCH, self._consolidator.serial, time.monotonic())
        self._watching = False
        self._dropped = 0
        self._tidied = time.monotonic()
        self._started = time.monotonic()
        self._offset = time.time() - self._started
        self._sockets = {sock.fileno(): sock for sock in self._receiver.sockets}
        self._wakeup = signals
        self._poller = select.epoll()
        self._reception = Reception(
            parts.acceptor, parts.intake, lambda: parts.sink.crowded, messages, self._poller
        )
        for fd in (*self._sockets, self._wakeup.fileno(), *self._watched):
            self._poller.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Work until told to stop, then write all that is held.

        Raises:
            BrokenPipeError: Standard output has no reader any more.
        """
        self._intake.written([], self._sink.mark())
        while not self._stopping:
            ready = self._wait()
            now = self._now()
            for fd, _ in ready:
                if fd in self._sockets:
                    self._receive(self._sockets[fd])
                elif fd == self._wakeup.fileno():
                    self._obey()
                elif fd in self._watched:
                    self._watched[fd].work(time.monotonic())
                else:
                    self._reception.ready(fd, time.monotonic(), now)
            self._reception.tick(time.monotonic(), now)
            self._reception.end_turn()
            self._write(self._consolidator.due(self._now()))
            self._watch_sink()
            if time.monotonic() > self._tidied + TIDYING:
                gc.collect()
                self._tidied = time.monotonic()
            if self._watchers:
                self._tell()
        self._finish()

    def _tell(self) -> None:
        """Have those tell whose time has come."""
        now = time.monotonic()
        for watcher in self._watchers:
            if watcher.deadline <= now:
                watcher.work(now)

    def _now(self) -> float:
        """Return seconds since 1970, steady; if the clock was set, what is held goes out."""
        now = time.monotonic() + self._offset
        if abs(time.time() - now) > CLOCK_STEP:
            self._write(self._consolidator.flush())
            offset = time.time() - time.monotonic()
            self._consolidator.clock_set(offset - self._offset)
            self._offset = offset
            now = time.time()
        return now

    def _write(self, finished: list[bytes]) -> None:
        """Write finished lines, and what is kept; note in the journal what is out."""
        self._sink.write(*self._intake.new(finished, self._consolidator.serials))
        if self._sink.waiting:
            self._sink.flush()
        settled = self._sink.settled()
        if settled:
            self._intake.written(settled, self._sink.mark())

    def _watch_sink(self) -> None:
        """Have the poller tell when a slow reader takes more."""
        if self._sink.blocked == self._watching:
            return
        if self._sink.blocked:
            self._poller.register(self._sink.fd, select.EPOLLOUT)
        else:
            self._poller.unregister(self._sink.fd)
        self._watching = self._sink.blocked

    def _wait(self) -> list[tuple[int, int]]:
        """Return what is ready; let datagrams gather until something else is."""
        ready = self._poller.poll(self._timeout())
        if not ready:
            return ready
        if any(fd not in self._sockets for fd, _ in ready):
            if self._may_gather() and all(fd != self._sink.fd for fd, _ in ready):
                time.sleep(TOGETHER)
            return ready
        self._watch_datagrams(0)
        ready += self._poller.poll(self._gathering)
        self._watch_datagrams(select.EPOLLIN)
        return ready

    def _may_gather(self) -> bool:
        """Whether it need not be known when each line came; joins by port do without."""
        now = time.monotonic()
        if self._rate.is_much(self._consolidator.serial, now):
            return True
        recorded = max(self._started, self._consolidator.recorded - self._offset)
        return recorded + BY_TIME < now

    def _watch_datagrams(self, events: int) -> None:
        for fd in self._sockets:
            self._poller.modify(fd, events)

    def _timeout(self) -> float | None:
        waits: list[float] = []
        if (deadline := self._consolidator.deadline()) is not None:
            waits.append(max(TOGETHER, deadline - self._now()))
        if (deadline := self._reception.deadline()) is not None:
            waits.append(max(0.0, deadline - time.monotonic()))
        if self._sink.waiting:
            waits.append(RETRY)
        for watcher in self._watchers:
            if watcher.deadline < inf:
                waits.append(max(0.0, watcher.deadline - time.monotonic()))
        return min(waits, default=None)

    def _receive(self, sock: socket.socket) -> int:
        taken = self._receiver.drain(sock, AT_A_TIME)
        count = len(taken[0])
        if self._senders.limited:
            taken = self._senders.sift(taken)
        datagrams, stamps = taken
        clock, now = time.time(), time.monotonic() + self._offset
        self._intake.datagrams(datagrams, now, steady(stamps, clock, now))
        dropped = self._receiver.dropped()
        if dropped != self._dropped:
            new, self._dropped = dropped - self._dropped, dropped
            self._messages.say(f"the kernel dropped {new} datagrams: the receive buffer was full")
        return count

    def _obey(self) -> None:
        for number in self._wakeup.recv(64):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stopping = True
            elif number == signal.SIGHUP:
                self._write(self._consolidator.flush())
                if self._watching:  # a file that is closed is watched no more
                    self._poller.unregister(self._sink.fd)
                    self._watching = False
                self._sink.reopen()
                self._intake.written(self._sink.settled(), self._sink.mark())
                self._messages.debug("log reopened")
            elif number == signal.SIGUSR1:
                self._messages.say(" ".join(figures.words(self._parts)))

    def _finish(self) -> None:
        self._reception.close()
        for sock in self._sockets.values():
            while self._receive(sock) >= AT_A_TIME:
                pass
        self._write(self._consolidator.flush())
        unwritten = self._sink.close()
        self._intake.settle()
        if unwritten:
            self._messages.say(f"{unwritten} bytes of log could not be written")
        for watcher in self._watchers:
            watcher.close()
        self._messages.debug(" ".join(figures.words(self._parts)))
        self._receiver.close()


def steady(stamps: list[float], clock: float, now: float) -> list[float]:
    """Return times of the system's clock by another, that says now when it says clock.

    Those that cannot be, since the system's clock was set meanwhile, count as now.
    """
    shift = now - clock
    times = [stamp + shift for stamp in stamps]
    if times and now - OLDEST <= min(times) and max(times) <= now:
        return times
    return spread(now, len(times))


def signal_socket() -> socket.socket:
    """Catch signals, and return a socket from which the numbers of those that came can be read."""
    reader, writer = socket.socketpair()
    for sock in (reader, writer):
        sock.setblocking(False)
    writer_fd = writer.detach()  # stays open for the life of the process
    signal.set_wakeup_fd(writer_fd, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    return reader
