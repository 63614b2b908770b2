"""What a penlogd is made of."""

from dataclasses import dataclass

from penlogd.acceptor import Acceptor
from penlogd.consolidator import Consolidator
from penlogd.intake import Intake
from penlogd.receiver import Receiver
from penlogd.senders import Senders
from penlogd.sink import Sink


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that work together, and count what they do.

    Attributes:
        receiver: Where datagrams come in.
        acceptor: Where connections come in.
        senders: Who may send.
        consolidator: What makes lines of what has come.
        intake: What takes it in, by way of the journal.
        sink: Where the lines go.
        started: When this penlogd was started; seconds since 1970.
    """

    receiver: Receiver
    acceptor: Acceptor
    senders: Senders
    consolidator: Consolidator
    intake: Intake
    sink: Sink
    started: float
