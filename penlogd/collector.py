"""penlogd's loop: sockets to intake and engine, engine to sink, and what the signals ask for."""

import select
import signal
import socket
import time

from penlogd.acceptor import Acceptor
from penlogd.consolidator import Consolidator
from penlogd.daemon import Messages
from penlogd.intake import Intake
from penlogd.receiver import Receiver
from penlogd.reception import Reception
from penlogd.senders import Senders
from penlogd.sink import RETRY, Sink

AT_A_TIME = 10_000
"""Datagrams taken from a socket before they are worked on."""

CLOCK_STEP = 0.5
"""Seconds by which the clock must jump to count as set."""

GATHERING = 0.05
"""Seconds to let datagrams gather after a wake-up: many for the price of one."""

ROOMY = 4 << 20
"""Bytes of receive buffer in which they may gather without a burst filling it."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Collector:
    """Runs until TERM or INT.

    Args:
        signals: What `signal_socket` gave; what came before this is obeyed too.
        receiver: Where datagrams come in.
        acceptor: Where connections come in.
        senders: Who may send.
        consolidator: What makes lines of what has come.
        intake: What takes it in, by way of the journal.
        sink: Where the lines go.
        messages: Where to tell what is wrong, and statistics.
    """

    def __init__(
        self,
        signals: socket.socket,
        receiver: Receiver,
        acceptor: Acceptor,
        senders: Senders,
        consolidator: Consolidator,
        intake: Intake,
        sink: Sink,
        messages: Messages,
    ) -> None:
        self._receiver = receiver
        self._senders = senders
        self._consolidator = consolidator
        self._intake = intake
        self._sink = sink
        self._messages = messages
        self._stopping = False
        self._gathering = GATHERING if receiver.buffer_size() >= ROOMY else 0.0
        self._watching = False
        self._dropped = 0
        self._offset = time.time() - time.monotonic()
        self._sockets = {sock.fileno(): sock for sock in receiver.sockets}
        self._wakeup = signals
        self._poller = select.epoll()
        self._reception = Reception(acceptor, intake, lambda: sink.crowded, messages, self._poller)
        for fd in (*self._sockets, self._wakeup.fileno()):
            self._poller.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Work until told to stop, then write all that is held.

        Raises:
            BrokenPipeError: Standard output has no reader any more.
        """
        self._intake.written([], self._sink.mark())
        while not self._stopping:
            ready = self._poller.poll(self._timeout())
            if ready and self._gathering:
                time.sleep(self._gathering)
            now = self._now()
            for fd, _ in ready:
                if fd in self._sockets:
                    self._receive(self._sockets[fd], now)
                elif fd == self._wakeup.fileno():
                    self._obey()
                else:
                    self._reception.ready(fd, time.monotonic(), now)
            self._reception.tick(time.monotonic(), now)
            self._reception.end_turn()
            self._write(self._consolidator.due(self._now()))
            self._watch_sink()
        self._finish()

    def statistics(self) -> str:
        """Return what was counted, as ``name=value`` pairs on one line."""
        lag = self._consolidator.lag(self._now())
        servers = " ".join(f"lag[{s.decode('ascii', 'replace')}]={lag[s]:.1f}" for s in lag)
        counted = self._consolidator.statistics.text()
        kernel = self._receiver.dropped()
        return (
            f"{counted} kernel_dropped={kernel} not_written={self._sink.dropped} "
            f"not_welcome={self._senders.refused} not_in_journal={self._intake.unjournaled} "
            f"{self._reception.statistics()} {servers}".strip()
        )

    def _now(self) -> float:
        """Return seconds since 1970, steady; if the clock was set, what is held goes out."""
        now = time.monotonic() + self._offset
        if abs(time.time() - now) > CLOCK_STEP:
            self._write(self._consolidator.flush())
            self._offset = time.time() - time.monotonic()
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

    def _timeout(self) -> float | None:
        waits: list[float] = []
        if (deadline := self._consolidator.deadline()) is not None:
            waits.append(max(0.0, deadline - self._now()))
        if (deadline := self._reception.deadline()) is not None:
            waits.append(max(0.0, deadline - time.monotonic()))
        if self._sink.waiting:
            waits.append(RETRY)
        return min(waits, default=None)

    def _receive(self, sock: socket.socket, now: float) -> int:
        taken = self._receiver.drain(sock, AT_A_TIME)
        count = len(taken)
        if self._senders.limited:
            taken = self._senders.sift(taken)
        self._intake.datagrams(taken, now)
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
                self._sink.reopen()
                self._intake.written(self._sink.settled(), self._sink.mark())
                self._messages.debug("log reopened")
            elif number == signal.SIGUSR1:
                self._messages.say(self.statistics())

    def _finish(self) -> None:
        self._reception.close()
        for sock in self._sockets.values():
            while self._receive(sock, self._now()) >= AT_A_TIME:
                pass
        self._write(self._consolidator.flush())
        unwritten = self._sink.close()
        self._intake.settle()
        self._receiver.close()
        if unwritten:
            self._messages.say(f"{unwritten} bytes of log could not be written")
        self._messages.debug(self.statistics())


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
