"""One direction of a relay: from a source socket to a sink socket.

This is the hot path. What keeps it bare, measured: reading at once and waiting only
when there is nothing; no read after a short one, for a short read means the socket is
empty unless the event said more (`pollers.READ_ON`); the loop calls `Flow.pump`
itself, with nothing between.

A flow is *held* while its sink takes no more: `held` is then the bytes (perhaps none,
when they are in the pipe) that must go first, and nothing is read from the source.
While the server is still being connected the upward flow is held too. So `held is
None` means: read on.

A flow may have a *tap* (`relays.Tap`), which sees every byte once and says what is sent
in its stead. Bytes that pass a tap are copied, never spliced.
"""

import os
from socket import MSG_DONTWAIT as _MSG_DONTWAIT
from socket import MSG_MORE, SHUT_WR, SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Final

from pen.core.settings import FastClose
from pen.net.pollers import ERROR, HANGUP, READ, READ_ON, URGENT, WRITE
from pen.net.splice import Pipe

if TYPE_CHECKING:
    from pen.net.relay import Relay
    from pen.net.relays import Tap
    from pen.net.stream import Stream

OFF: Final = FastClose.OFF
SMALL_READ: Final = 16384
"""A buffer of this size is had and given back faster than one that is kept can be sliced."""
LARGE_READ: Final = 65536
"""Once a read has filled its buffer."""
READS_PER_TURN: Final = 16
"""Then others get their turn: a reader without a cap held the loop for 27 ms."""
TAPPED_READS_PER_TURN: Final = 4
"""The same where each byte is looked at."""
FULL_READS: Final = 3
"""After so many reads that filled their buffers a flow goes on by splice."""
SPLICES_PER_TURN: Final = 4
TRICKLE: Final = 16384
"""A spliced turn that moves less than this would have been cheaper copied."""
MSG_DONTWAIT: Final = int(_MSG_DONTWAIT)
LAST_PIECE: Final = int(_MSG_DONTWAIT | MSG_MORE)
TO_THE_END: Final = HANGUP | URGENT
"""Stands for the events when a flow goes on by itself: read until there is no more."""
SURE_END: Final = HANGUP | URGENT | ERROR
UNUSUAL: Final = WRITE | ERROR


class Flow:
    """Bytes on their way from `source` to `sink`."""

    __slots__ = (
        "done",
        "ended",
        "full_reads",
        "held",
        "moved",
        "pipe",
        "relay",
        "sink",
        "source",
        "tap",
    )

    source: "Stream"
    sink: "Stream"

    def __init__(self, relay: "Relay", held: bytes | None) -> None:
        self.relay = relay
        self.held = held
        self.tap: Tap | None = None
        self.moved = 0
        """Bytes read from the source."""
        self.ended = False
        """The source will send no more."""
        self.done = False
        """All that the source sent is out, and the sink was told so."""
        self.full_reads = 0
        """Reads that filled their buffers; from `FULL_READS` on, splice."""
        self.pipe: Pipe | None = None

    @property
    def wants_read(self) -> bool:
        """Whether the source should be watched for reading (level-triggered pollers)."""
        return self.held is None and not self.ended

    @property
    def pending(self) -> int:
        """Bytes read that the sink has not taken yet."""
        return len(self.held or b"") + (self.pipe.level if self.pipe is not None else 0)

    def pump(self, mask: int = TO_THE_END) -> None:
        """Move what is there; `mask` is the events of the source, by default: read to the end.

        The usual event is done with right here: one piece comes, and goes.
        """
        if (
            mask != READ
            or self.held is not None
            or self.ended
            or self.full_reads
            or self.tap is not None
        ):
            return self._pump_on(mask)
        relay = self.relay
        relay.active = relay.shared.reactor.now
        try:
            piece = self.source.recv(SMALL_READ, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            return relay.broken(error)
        if not piece:
            return self.finish()
        count = len(piece)
        self.moved += count
        try:
            sent = self.sink.send(piece, MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            return self.sink_lost(error)
        if sent < count:
            return self._hold(piece[sent:])
        if count == SMALL_READ:
            self.full_reads = 1
            return self._pump_on(mask)
        return None

    def _pump_on(self, mask: int) -> None:  # noqa: C901  a call a step costs too much here
        """Move what is there, whatever the event and whatever the flow is about."""
        if mask & UNUSUAL:
            self._attend(mask)
        if self.held is not None or self.ended:
            return None
        if self.tap is not None:
            return self._pump_tapped(mask)
        if self.full_reads >= FULL_READS:
            return self._pump_bulk()
        relay = self.relay
        shared = relay.shared
        relay.active = shared.reactor.now
        size = LARGE_READ if self.full_reads else SMALL_READ
        reads = READS_PER_TURN
        while reads:
            try:
                piece = self.source.recv(size, MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                return relay.broken(error)
            if not piece:
                return self.finish()
            count = len(piece)
            self.moved += count
            # The FIN was there before this read, and a short read takes all there is: it is
            # the last piece. MSG_MORE lets it leave in one segment with our own FIN.
            last = count < size and mask & SURE_END == HANGUP
            try:
                sent = self.sink.send(piece, LAST_PIECE if last else MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                return self.sink_lost(error)
            if sent < count:
                return self._hold(piece[sent:])
            if last:
                return self.finish()
            if count < size:
                if not mask & READ_ON:
                    return None
            elif self._is_bulk():
                break
            else:
                size = LARGE_READ
            reads -= 1
        shared.reactor.again.append(self.pump)
        return None

    def _pump_tapped(self, mask: int) -> None:  # noqa: C901  as `pump`, which it mirrors
        """As `pump`; the tap's answer is sent instead of what was read."""
        relay = self.relay
        shared = relay.shared
        relay.active = shared.reactor.now
        size = LARGE_READ if self.full_reads else SMALL_READ
        for _ in range(TAPPED_READS_PER_TURN):
            try:
                read = self.source.recv(size, MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                return relay.broken(error)
            count = len(read)
            self.moved += count
            self.ended = not count or (count < size and mask & SURE_END == HANGUP)
            piece = self.tapped(read)
            try:
                if piece:
                    sent = self.sink.send(piece, LAST_PIECE if self.ended else MSG_DONTWAIT)
                    piece = piece[sent:]
            except BlockingIOError:
                pass
            except OSError as error:
                return self.sink_lost(error)
            if piece:
                return self._hold(piece)
            if self.ended:
                return self.finish()
            if count < size:
                if not mask & READ_ON:
                    return None
            else:
                size = LARGE_READ
                self.full_reads = 1
            if self.tap is None:
                break
        shared.reactor.again.append(self.pump)
        return None

    def tapped(self, read: bytes) -> bytes:
        """What is to be sent for what was read; also what the tap kept, once all is read."""
        tap = self.tap
        if tap is None:
            return read
        piece = tap(self.relay, read) if read else b""
        if self.ended:
            piece += tap(self.relay, b"")
        return piece

    def _attend(self, mask: int) -> None:
        """The source's socket takes bytes again (it is the twin's sink), or is in trouble."""
        relay = self.relay
        if mask & WRITE:
            (relay.down if relay.up is self else relay.up).flush()
        if mask & ERROR and self.held is not None and not self.done:
            # Nothing is read now, so no read would tell.
            code = self.source.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                relay.broken(OSError(code, os.strerror(code)))

    def _is_bulk(self) -> bool:
        """Count a read that filled its buffer; whether it is time to splice."""
        self.full_reads += 1
        if self.full_reads < FULL_READS:
            return False
        # splice() waits on sockets that block, whatever its flags say.
        self.source.setblocking(False)
        self.sink.setblocking(False)
        return True

    def flush(self) -> None:
        """The sink takes bytes again: what was held goes first, then read on."""
        if self.held is None:
            return None
        try:
            if self.held:
                self.held = self.held[self.sink.send(self.held, MSG_DONTWAIT) :]
                if self.held:
                    return None
            if self.pipe is not None:
                self.pipe.drain(self.sink.fileno())
                self._release_pipe()
        except BlockingIOError:
            return None
        except OSError as error:
            return self.sink_lost(error)
        self.held = None
        self.relay.rewatch(self)
        return self.finish() if self.ended else self.pump()

    def _hold(self, rest: bytes) -> None:
        self.held = rest
        self.relay.rewatch(self)

    def _pump_bulk(self) -> None:
        relay = self.relay
        shared = relay.shared
        relay.active = shared.reactor.now
        pipe = self.pipe = shared.pipes.take()
        if pipe is None:
            self.full_reads = 0
            return self.pump()
        before, reading = self.moved, True
        source, sink = self.source.fileno(), self.sink.fileno()
        try:
            for _ in range(SPLICES_PER_TURN):
                reading = True
                count = pipe.fill(source)
                if not count:
                    self._release_pipe()
                    return self.finish()
                self.moved += count
                reading = False
                pipe.drain(sink)
        except BlockingIOError:
            if not reading:
                return self._hold(b"")
            if self.moved - before < TRICKLE:
                self.full_reads = 0
            return self._release_pipe()
        except OSError as error:
            return relay.broken(error) if reading else self.sink_lost(error)
        self._release_pipe()
        shared.reactor.again.append(self.pump)
        return None

    def _release_pipe(self) -> None:
        if self.pipe is not None:
            self.relay.shared.pipes.give_back(self.pipe)
            self.pipe = None

    def finish(self) -> None:
        """The source has ended and nothing is held: tell the sink, or close both."""
        self.ended = True
        self.done = True
        relay = self.relay
        if (relay.down if relay.up is self else relay.up).done:
            return relay.close("done")
        if relay.shared.settings.tcp_fastclose is not OFF and relay.closes_fast(self):
            return relay.close("done, fast")
        try:
            self.sink.shutdown(SHUT_WR)
        except OSError as error:
            return relay.broken(error)
        if not relay.shared.poller.edge:
            relay.rewatch_source(self)
        return None

    def sink_lost(self, error: OSError) -> None:
        """The sink takes no more, ever; what it sent before that must still get across."""
        relay = self.relay
        self.stop()
        twin = relay.down if relay.up is self else relay.up
        if twin.done:
            return relay.broken(error)
        relay.rewatch_source(self)
        return twin.pump()

    def abandon(self) -> None:
        """Give up the connection after a mistake of ours."""
        if not self.done:
            self.relay.close("internal error")

    def stop(self) -> None:
        """Nothing is to be read or written from here on."""
        self.ended = self.done = True
        if self.held is not None:
            self.held = None
            if self.pipe is not None:
                self._release_pipe()
