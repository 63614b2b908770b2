"""By which way a stream goes to penlogd: reliably, over TCP, or plainly, a datagram a line.

Asked for nothing, it finds out (`Way.ASKING`). It tries TCP; whoever greets as penlogd should is
ours. Otherwise a datagram that no penlogd takes for a line asks whether anybody has the UDP port:

==================================  =======================  ===================================
TCP                                 UDP port                 then
==================================  =======================  ===================================
greets                                                       RELIABLE, for good, and noted
no way there                                                 keep the lines, ask on
no answer, or a stranger, where a                            the same: it is cut off
penlogd is noted to be ours
refused, no answer, or a stranger   refused                  the same: nobody is there
refused, no answer, or a stranger   silent for `PROBE` s     PLAIN: a penlogd that is not ours
==================================  =======================  ===================================

In PLAIN it tries TCP again each `AGAIN` seconds, and goes back to ASKING when the port is refused.
"""

import select
import socket
from enum import Enum

from penlog.channel import Channel, Outcome, Peer, State
from penlog.sender import LARGEST, Sender
from penlog.spoolfolder import Stream

PROBE = 0.3
"""Seconds in which a refusal comes back."""

AGAIN = 30.0
"""Seconds after which a plain penlogd is asked whether it has become ours."""

_NOBODYS_LINE = b"\n"
_UNCLEAR = (Outcome.SILENT, Outcome.STRANGER)


class Way(Enum):
    """How the stream goes."""

    ASKING = "asking"
    RELIABLE = "reliable"
    PLAIN = "plain"


class Transport:
    """Takes one stream to penlogd.

    Args:
        stream: The stream.
        peer: Where penlogd is.
        udp: A socket connected to it for datagrams.
        wish: How to go; ASKING to find out.
        known: Whether a penlogd there has spoken reliably before.
        largest: Bytes in a datagram.

    Attributes:
        way: How it goes at present.
        sender: What has been sent plainly.
        channel: The connection.
    """

    def __init__(
        self,
        stream: Stream,
        peer: Peer,
        udp: socket.socket,
        wish: Way,
        *,
        known: bool,
        largest: int = LARGEST,
    ) -> None:
        self.way = wish
        self.stream = stream
        self.channel = Channel(peer, stream.session, stream.spool)
        self.sender = Sender(udp, stream.spool, largest=largest)
        self._udp = udp
        self._known = known
        self._finding_out = wish is Way.ASKING
        self._probed: float | None = None
        self._ask_at = 0.0

    @property
    def done(self) -> bool:
        """Whether all has been delivered, or sent."""
        if self.way is Way.PLAIN:
            return not self.sender.waiting
        return self.channel.delivery.done

    def watched(self) -> list[tuple[int, int]]:
        """Return the descriptors to poll, each with its events."""
        if self.channel.fd < 0:
            return []
        return [(self.channel.fd, select.POLLIN | self.channel.wants_write * select.POLLOUT)]

    def deadline(self) -> float | None:
        """Return when `work` must be called at the latest."""
        match self.way:
            case Way.RELIABLE:
                return self.channel.deadline
            case Way.ASKING:
                probed = None if self._probed is None else self._probed + PROBE
                return _first(self.channel.deadline, probed)
            case Way.PLAIN:
                sends = self.sender.due if self.sender.waiting else None
                return _first(sends, self._asks() if self._finding_out else None)

    def _asks(self) -> float | None:
        return self._ask_at if self.channel.fd < 0 else self.channel.deadline

    def work(self, now: float) -> None:
        """Do what can be done now."""
        match self.way:
            case Way.RELIABLE:
                self.channel.work(now)
            case Way.ASKING:
                self.channel.work(now)
                self._decide(now)
            case Way.PLAIN:
                self.sender.work(now)
                if self._finding_out and self.sender.between_bursts:
                    self._ask_again(now)

    def end(self) -> None:
        """Forget the stream, all of which has been delivered."""
        self.stream.remove()
        self.channel.farewell()

    def leave(self) -> None:
        """Leave what has not been delivered to the next logger."""
        self.channel.close()
        self.stream.leave()

    def _decide(self, now: float) -> None:
        outcome = self.channel.outcome
        if outcome is Outcome.GREETED:
            self.way = Way.RELIABLE
        elif self._probed is not None:
            self._hear_probe(self._probed, now)
        elif outcome is Outcome.REFUSED or (outcome in _UNCLEAR and not self._known):
            self._probe(now)

    def _probe(self, now: float) -> None:
        self._hear()  # of what was sent earlier
        try:
            self._udp.send(_NOBODYS_LINE)
            self._probed = now
        except OSError:
            self.channel.outcome = Outcome.NONE

    def _hear_probe(self, probed: float, now: float) -> None:
        if self._hear():
            self._probed = None
            self.channel.outcome = Outcome.NONE  # nobody at all: ask anew
        elif now >= probed + PROBE:
            self._probed = None
            self._go_plain(now)

    def _hear(self) -> bool:
        """Whether the port is refused."""
        try:
            self._udp.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def _go_plain(self, now: float) -> None:
        self.way = Way.PLAIN
        self.channel.close()
        self._ask_at = now + AGAIN
        self.sender.begin()
        self.sender.work(now)

    def _ask_again(self, now: float) -> None:
        """Find out whether there is a better way by now; if so, go on there."""
        if self.sender.refused:
            self.way = Way.ASKING
            self.channel.outcome = Outcome.NONE
        elif now >= self._ask_at:
            self.channel.work(now)
            if self.channel.state is State.OPEN:
                self.way = Way.RELIABLE
            elif self.channel.state is State.WAITING:
                self._ask_at = now + AGAIN


def _first(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
