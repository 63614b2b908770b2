"""penlog's loop: standard input into the spool, the spool to penlogd.

Reading never waits for sending, whatever becomes of it. At end of file the rest gets `LINGER`
seconds; what has not gone then stays in the spool for the next logger.
"""

import fcntl
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from penlog.rate import Rate
from penlog.spoolfolder import SpoolFolder, Stream, in_memory, source_of
from penlog.transport import Transport, Way

GATHER = 0.002
"""Seconds after a small piece in which more may gather, to go together, while much comes."""

MUCH = 200_000
"""Bytes a second. Where fewer come, it is worth more that lines come to penlogd at their times."""

SMALL = 16 << 10
"""Bytes of a piece that leave the pipe far from full."""

PIPE = 1 << 20
"""Bytes of room asked for in the pipe: it takes a burst while we do other things."""

LINGER = 5.0
"""Seconds for what is left at end of file."""

LINGER_RELIABLE = 120.0
"""The same, where penlogd is known to speak reliably: it is being restarted, perhaps."""

LOOK = 30.0
"""Seconds after which streams without an owner are looked for again."""


@dataclass(slots=True)
class Ending:
    """Set from a signal handler."""

    asked: bool = False


class Logger:
    """Copies a descriptor to penlogd.

    Args:
        source: The descriptor to read.
        folder: Where streams are spooled; None for memory.
        make: Makes the transport of a stream, to go the given way.
        wish: The way that was asked for.
        say: Called with what people should know.
        ending: Whether somebody wants an end, which counts once all is read.
    """

    def __init__(
        self,
        source: int,
        folder: SpoolFolder | None,
        make: Callable[[Stream, Way], Transport],
        wish: Way,
        say: Callable[[str], None],
        ending: Ending,
    ) -> None:
        self._source = source
        self._folder = folder
        self._make = make
        self._say = say
        self._ending = ending
        self._pipe = source_of(source)
        _widen(source)
        self._noted = folder is not None and folder.known
        stream = in_memory() if folder is None else folder.own(self._pipe)
        self._spool = stream.spool
        self._main = make(stream, wish)
        self._orphans: Iterator[Stream] = iter(())
        self._orphan: Transport | None = None
        self._look_at = 0.0
        self._lost_said = 0
        self._refusal_said: OSError | None = None

    def run(self) -> None:
        """Work until all is read and sent, or time is up.

        Raises:
            OSError: The source cannot be read.
        """
        try:
            self._copy()
        finally:
            self._spool.finish()
            self._linger()
            self._report()

    def _copy(self) -> None:
        taken = 0
        rate = Rate(MUCH, self._spool.end, time.monotonic())
        while True:
            if 0 < taken < SMALL and rate.is_much(self._spool.end, time.monotonic()):
                time.sleep(GATHER)
            taken = 0
            if self._wait(None, reading=True):
                try:
                    taken = self._spool.fill(self._source)
                    if not taken:
                        return
                except BlockingIOError:
                    pass
                self._tell()
            self._work()

    def _linger(self) -> None:
        """Send the rest."""
        self._ending.asked = False  # what came before said only that the end is near
        began = time.monotonic()
        while True:
            self._work()
            if self._main.done and self._orphan is None:
                break
            reliable = Way.RELIABLE in (each.way for each in self._at_work())
            left = began + (LINGER_RELIABLE if reliable else LINGER) - time.monotonic()
            if left <= 0 or self._ending.asked:
                break
            self._wait(left, reading=False)
        if self._orphan is not None:
            self._orphan.leave()

    def _at_work(self) -> list[Transport]:
        return [self._main] if self._orphan is None else [self._main, self._orphan]

    def _work(self) -> None:
        now = time.monotonic()
        self._main.work(now)
        if self._main.way is Way.RELIABLE and not self._noted and self._folder is not None:
            self._folder.note_known()
            self._noted = True
        if self._folder is not None:
            self._work_on_orphans(self._folder, now)

    def _work_on_orphans(self, folder: SpoolFolder, now: float) -> None:
        """Send what loggers that are no more have left."""
        if self._orphan is None:
            if now < self._look_at:
                return
            stream = next(self._orphans, None)
            if stream is None:
                self._orphans = folder.orphans(self._pipe)
                self._look_at = now + LOOK
                stream = next(self._orphans, None)
            if stream is None:
                return
            self._orphan = self._make(stream, self._main.way)
        self._orphan.work(now)
        if self._orphan.done:
            self._orphan.end()
            self._orphan = None
            self._look_at = 0.0

    def _wait(self, most: float | None, *, reading: bool) -> bool:
        """Wait until something can be done; return whether the source can be read."""
        poller = select.poll()
        transports = self._at_work()
        for transport in transports:
            for fd, events in transport.watched():
                poller.register(fd, events)
        if reading:
            poller.register(self._source, select.POLLIN)
        deadlines = [each.deadline() for each in transports]
        if self._orphan is None and self._folder is not None:
            deadlines.append(self._look_at)
        now = time.monotonic()
        waits = [max(0.0, each - now) for each in deadlines if each is not None]
        wait = min(waits if most is None else [*waits, most], default=None)
        ready = poller.poll(None if wait is None else wait * 1000 + 0.5)
        return any(fd == self._source for fd, _ in ready) if reading else False

    def _tell(self) -> None:
        """Say at once what people must look after, once each."""
        refusal = self._spool.refusal
        if refusal is not None and self._refusal_said is None:
            self._refusal_said = refusal
            self._say(f"spool: {refusal.strerror}; keeping lines in memory for the time being")
        if self._spool.lost and not self._lost_said:
            self._lost_said = self._spool.lost
            self._say(f"the spool is full; {self._main.channel.reason or 'penlogd is slow'}")

    def _report(self) -> None:
        sender, told = self._main.sender, []
        if sender.cut:
            told.append(f"{sender.cut} lines were too long and were cut")
        if sender.lost:
            told.append(f"at least {sender.lost} lines were lost: penlogd or the network was away")
        if self._spool.lost:
            told.append(f"{self._spool.lost} lines were lost: the spool was full")
        if self._main.done:
            self._main.end()
        else:
            told.append(self._left())
            self._main.leave()
        if told:
            self._say("; ".join(told))

    def _left(self) -> str:
        reason = self._main.channel.reason or "no answer"
        if self._folder is None:
            return f"{self._spool.size} bytes of lines were lost: penlogd is away: {reason}"
        return f"{self._spool.size} bytes stay in the spool for the next penlog: {reason}"


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
    except OSError:
        pass  # no pipe, or as wide as it may be
