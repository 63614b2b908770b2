"""How far a sender is with its stream: what has gone out, and what has arrived.

::

    spool.start          sent                    spool.end
    | gone out, not acknowledged | not gone out yet |

- A connection begins with what the receiver has (`greeted`): from there the stream goes out again.
- At most `WINDOW` bytes are out without acknowledgement, so that a receiver that is slow, or takes
  nothing for lack of disk, is not sent much twice.
- An acknowledgement moves `spool.start`; what lies before is forgotten.

No sockets and no clock: `channel.Channel` moves the bytes.
"""

from penlog.spool import Spool
from penlog.wire import FRAME_MAX, WireError, frame

WINDOW = 1 << 20
"""Bytes on the way at most."""


class Delivery:
    """The state of one stream's delivery.

    Args:
        spool: The stream.
        window: Bytes on the way at most.

    Attributes:
        sent: Offset up to which the stream has gone out on this connection.
    """

    def __init__(self, spool: Spool, *, window: int = WINDOW) -> None:
        self.spool = spool
        self.sent = spool.start
        self._window = window

    @property
    def unacknowledged(self) -> bool:
        """Whether the receiver owes an acknowledgement."""
        return self.sent > self.spool.start

    @property
    def done(self) -> bool:
        """Whether the receiver has all there is."""
        return self.spool.size == 0

    def greeted(self, have: int) -> None:
        """Go on with a receiver that has the stream up to an offset."""
        self.spool.trim(have)
        self.sent = self.spool.start

    def acknowledged(self, offset: int) -> None:
        """Forget what the receiver has.

        Raises:
            WireError: It cannot have that.
        """
        if offset > self.sent:
            raise WireError(f"{offset} acknowledged, but only {self.sent} sent")
        self.spool.trim(offset)

    def next_frame(self) -> bytes:
        """Return the next frame; empty if there is nothing to send now."""
        room = self.spool.start + self._window - self.sent
        data = self.spool.read(self.sent, min(room, FRAME_MAX)) if room > 0 else b""
        if not data:
            return b""
        encoded = frame(self.sent, data)
        self.sent += len(data)
        return encoded
