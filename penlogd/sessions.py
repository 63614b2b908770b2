"""What penlogd has of each sender's stream: the receiving side of `penlog.wire`, without sockets.

The rules:

- A session begins with its first frame, at that frame's offset.
- Of a frame, only what lies beyond what is had already is new; the rest came before.
- A frame that begins beyond it leaves a gap: the sender has forgotten what a receiver acknowledged,
  and this receiver has lost that (its machine went down, or its journal was removed). It goes on
  behind the gap, with a new line.
- A session is remembered, whether connected or not, until its sender says farewell, or
  `REMEMBERED` others have been heard of since.
"""

from dataclasses import dataclass, field

from penlog.lines import LineSplitter

REMEMBERED = 4096
"""Sessions that are remembered."""

UNFINISHED = 64 << 20
"""Bytes that the unfinished lines of all sessions may have together."""


class TooMuchError(Exception):
    """The lines that have been begun take too much room."""


@dataclass(slots=True)
class Session:
    """One stream.

    Attributes:
        sender: Address it comes from.
        have: Offset up to which its bytes have been taken.
        lines: Its bytes on their way into lines.
    """

    sender: str
    have: int
    lines: LineSplitter = field(default_factory=LineSplitter)


class Sessions:
    """All streams that are known.

    Attributes:
        resumed: How often a known stream's sender connected again.
        gaps: How often a stream went on behind a gap.
    """

    def __init__(self) -> None:
        self.resumed = 0
        self.gaps = 0
        self._known: dict[str, Session] = {}  # the one heard of last is last
        self._unfinished = 0

    def __len__(self) -> int:
        return len(self._known)

    def have(self, session: str) -> int:
        """Return up to which offset a session's stream is here; 0 if it is not known."""
        known = self._known.get(session)
        return 0 if known is None else known.have

    def resume(self, session: str) -> int:
        """Return from which offset a sender that has connected is to send."""
        self.resumed += session in self._known
        return self.have(session)

    def news(self, session: str, offset: int, data: bytes) -> tuple[int, bytes]:
        """Return what of a frame has not been taken yet, and its offset.

        Raises:
            TooMuchError: There is no room for a line without end.
        """
        known = self._known.get(session)
        if self._unfinished > UNFINISHED and b"\n" not in data:
            raise TooMuchError
        if known is None or offset >= known.have:
            return offset, data
        return known.have, data[known.have - offset :]

    def take(self, session: str, sender: str, offset: int, data: bytes) -> list[bytes]:
        """Take news, and return the lines that it completes, without newlines."""
        known = self._known.pop(session, None)
        if known is None:
            known = Session(sender, offset)
            self._make_room()
        self._known[session] = known
        lines = self._close_gap(known, offset) if offset != known.have else []
        self._unfinished -= known.lines.size
        lines += known.lines.feed(data)
        self._unfinished += known.lines.size
        known.have = offset + len(data)
        return lines

    def forget(self, session: str) -> None:
        """Forget a session, which has been heard of for the last time."""
        known = self._known.pop(session, None)
        if known is not None:
            self._unfinished -= known.lines.size

    def snapshot(self) -> dict[str, tuple[str, int, bytes]]:
        """Return for each session its sender, what is had, and the line that has been begun."""
        return {name: (s.sender, s.have, s.lines.begun) for name, s in self._known.items()}

    def restore(self, session: str, sender: str, have: int, begun: bytes) -> None:
        """Take a session from a snapshot."""
        self.forget(session)
        self.take(session, sender, have - len(begun), begun)
        self._known[session].have = have

    def _make_room(self) -> None:
        if len(self._known) >= REMEMBERED:
            self.forget(next(iter(self._known)))

    def _close_gap(self, session: Session, offset: int) -> list[bytes]:
        self.gaps += 1
        session.have = offset
        self._unfinished -= session.lines.size
        lines = session.lines.end()
        self._unfinished += session.lines.size
        return lines
