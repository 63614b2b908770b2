"""From what comes in to the engine, by way of the journal: a crash loses and doubles nothing.

The rules:

1. What comes in is in the journal before it is taken, and before a sender is told that it is here.
2. Each line or record taken has a serial number, which its entry in the journal tells.
3. When lines have been written to the log, their serials and where the log then ends go into the
   journal. Lines may be written in any order.
4. After a crash, the log is cut back to where it ended by the last such entry, and the journal is
   taken in again, as at the times when it came: pen's records, streams, and lines. Of the finished
   lines, those whose serials are known as written are passed over.

So a crash between two steps makes a step be done again, never twice and never not at all. A log
that cannot be cut (a pipe) may get the lines of the last moment twice.

While the disk takes no journal, streams are not taken (their senders keep them); datagrams are,
without the journal, since nobody else has them.
"""

from array import array
from dataclasses import dataclass
from errno import EINVAL
from typing import Any

from penlogd.consolidator import Consolidator, spread
from penlogd.journal import Entry, Journal
from penlogd.sessions import Sessions
from penlogd.sink import NOWHERE, Mark

SERIAL, TIME = "Q", "d"

GAPS = 16
"""Runs of lines that a full disk kept out of the journal, of which penlogd knows that they are."""


@dataclass(slots=True)
class Recovered:
    """What a journal told.

    Attributes:
        mark: Where the log ended when it was written to last; None if that is not known.
        waiting: Lines that had come in and were not written.
    """

    mark: Mark | None = None
    waiting: int = 0


class Intake:
    """Takes what comes in.

    Args:
        consolidator: The engine.
        journal: Where it is kept; None if a crash may lose it.
        sync: Whether the machine's going down must lose nothing either.

    Attributes:
        sessions: What is known of the senders' streams.
        unjournaled: Datagrams that were taken without the journal.
        repeated_frames: Pieces of streams that had come before, in part or whole.
        repeated_bytes: What of them had.
    """

    def __init__(
        self, consolidator: Consolidator, journal: Journal | None, *, sync: bool = False
    ) -> None:
        self.sessions = Sessions()
        self.unjournaled = 0
        self.repeated_frames = self.repeated_bytes = 0
        self._consolidator = consolidator
        self._journal = journal
        self._sync = sync
        self._mark = NOWHERE
        self._said_written: set[int] = set()  # all that a journal tells of
        self._written: set[int] = set()  # of these, what has been taken in again
        self._unsaid: list[int] = []  # written, and not in the journal yet
        self._not_in_journal: list[range] = []
        self._needed = 0  # lines taken before `_turned` that have not been written
        self._turned = 0
        self._waiting = 0

    def datagrams(
        self, taken: list[tuple[bytes, str]], now: float, times: list[float] | None = None
    ) -> None:
        """Take datagrams, each with its sender's address, and the times at which they came."""
        if not taken:
            return
        times = times or spread(now, len(taken))
        if self._journal is not None:
            first = self._consolidator.serial
            head = {
                "kind": "datagrams", "when": now, "serial": first,
                "senders": [sender for _, sender in taken],
                "sizes": [len(data) for data, _ in taken],
            }  # fmt: skip
            try:
                body = array(TIME, times).tobytes() + b"".join([data for data, _ in taken])
                self._journal.append(head, body)
            except OSError:
                self._take(taken, times)
                self._pass_over(len(taken), first)
                return
        self._take(taken, times)

    def piece(self, session: str, sender: str, offset: int, data: bytes, now: float) -> int:
        """Take a piece of a stream; return up to which offset the stream is here.

        Raises:
            OSError: The journal does not take it now.
            TooMuchError: It is a line without end.
        """
        size = len(data)
        offset, data = self.sessions.news(session, offset, data)
        repeated = size - len(data)
        if data:
            if self._journal is not None:
                head = {
                    "kind": "piece", "when": now, "serial": self._consolidator.serial,
                    "session": session, "sender": sender, "offset": offset,
                }  # fmt: skip
                self._journal.append(head, data)
            self._take_piece(session, sender, offset, data, now)
        if repeated:
            self.repeated_frames += 1
            self.repeated_bytes += repeated
        return self.sessions.have(session)

    def secure(self) -> None:
        """Make sure of all pieces taken, before their senders are told.

        Raises:
            OSError: It cannot be made sure.
        """
        if self._sync and self._journal is not None:
            self._journal.sync()

    def farewell(self, session: str) -> None:
        """Forget a session whose sender has no more to say."""
        if self._journal is not None:
            try:
                self._journal.append({"kind": "farewell", "session": session})
            except OSError:
                return  # it is forgotten later, as the oldest
        self.sessions.forget(session)

    def new(self, lines: list[bytes], serials: list[int]) -> tuple[list[bytes], list[int]]:
        """Return those finished lines that had not been written before the crash."""
        if not self._written:
            return lines, serials
        known = self._written
        kept = [(line, n) for line, n in zip(lines, serials, strict=True) if n not in known]
        known.difference_update(serials)
        return [line for line, _ in kept], [n for _, n in kept]

    def written(self, serials: list[int], mark: Mark) -> None:
        """Note that lines have been written, and where the log now ends.

        Also to be called with no lines, when a log is opened and before it is written to.
        """
        self._waiting -= len(serials)
        if self._journal is None:
            return
        if self._needed:
            turned = self._turned
            self._needed -= sum(1 for serial in serials if serial < turned)
        if self._not_in_journal:
            serials = [n for n in serials if not any(n in gap for gap in self._not_in_journal)]
        self._unsaid += serials
        self._mark = mark
        try:
            self._say_written(self._journal)
            if self._journal.due and not self._needed:
                self._turn(self._journal)
        except OSError:
            pass  # the journal lags behind; the next time tells all

    def settle(self) -> None:
        """Empty the journal, at the end: all has been written."""
        if self._journal is not None and not self._waiting:
            try:
                self._turn(self._journal)
                self._journal.empty_other()
            except OSError:
                pass  # the next start reads more than it must

    def recover(self) -> Recovered:
        """Take in what the journal has, and make it ready for more.

        Raises:
            OSError: It cannot be read or written, or is none that this version can read.
        """
        if self._journal is None:
            return Recovered()
        entries = self._journal.recover()
        recovered = Recovered()
        try:
            self._read_written(entries, recovered)
            for entry in entries:
                self._replay(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(EINVAL, f"not a journal of this version: {error!r}") from error
        self._waiting -= len(self._written)
        self._needed = recovered.waiting = self._waiting
        self._said_written.clear()
        self._turned = self._consolidator.serial
        if not entries:
            self._turn(self._journal)
        return recovered

    def _read_written(self, entries: list[Entry], recovered: Recovered) -> None:
        for entry in entries:
            if entry.head["kind"] in ("checkpoint", "written"):
                device, inode, size = entry.head["output"]
                self._mark = recovered.mark = (device, inode, size)
            if entry.head["kind"] == "written":
                self._said_written.update(array(SERIAL, entry.body))

    def _replay(self, entry: Entry) -> None:
        head, body = entry.head, entry.body
        match head["kind"]:
            case "checkpoint":
                self._consolidator.serial = head["serial"]
                self._restore_sessions(head["sessions"], body)
            case "datagrams":
                self._consolidator.serial = head["serial"]
                self._take(*_datagrams(head, body))
            case "piece":
                self._consolidator.serial = head["serial"]
                self._take_piece(
                    head["session"], head["sender"], head["offset"], body, head["when"]
                )
            case "farewell":
                self.sessions.forget(head["session"])

    def _restore_sessions(self, rows: list[list[Any]], begun: bytes) -> None:
        place = 0
        for session, sender, have, size in rows:
            self.sessions.restore(session, sender, have, begun[place : place + size])
            place += size

    def _take(self, taken: list[tuple[bytes, str]], times: list[float]) -> None:
        consolidator = self._consolidator
        lines, serial = consolidator.statistics.lines, consolidator.serial
        consolidator.take(taken, times)
        self._waiting += consolidator.statistics.lines - lines
        if self._said_written:
            taken_now = range(serial, consolidator.serial)
            self._written.update(self._said_written.intersection(taken_now))

    def _take_piece(self, session: str, sender: str, offset: int, data: bytes, now: float) -> None:
        lines = self.sessions.take(session, sender, offset, data)
        self._take([(line, sender) for line in lines], spread(now, len(lines)))

    def _pass_over(self, datagrams: int, first: int) -> None:
        """Note that what has been taken from this serial on is not in the journal."""
        self.unjournaled += datagrams
        gaps, following = self._not_in_journal, self._consolidator.serial
        if gaps and gaps[-1].stop == first:
            first = gaps.pop().start
        gaps.append(range(first, following))
        del gaps[:-GAPS]

    def _say_written(self, journal: Journal) -> None:
        head = {"kind": "written", "output": self._mark}
        journal.append(head, array(SERIAL, self._unsaid).tobytes())
        self._unsaid.clear()

    def _turn(self, journal: Journal) -> None:
        """Have the journal's files change turns; what is in the other has all been written."""
        sessions = self.sessions.snapshot()
        rows = [
            [name, sender, have, len(begun)] for name, (sender, have, begun) in sessions.items()
        ]
        head = {"serial": self._consolidator.serial, "sessions": rows, "output": self._mark}
        journal.turn(head, b"".join(begun for _, _, begun in sessions.values()))
        self._turned = self._consolidator.serial
        self._needed = self._waiting


def _datagrams(head: dict[str, Any], body: bytes) -> tuple[list[tuple[bytes, str]], list[float]]:
    taken: list[tuple[bytes, str]] = []
    times: array[float] = array(TIME)
    place = times.itemsize * len(head["sizes"])
    if len(body) != place + sum(head["sizes"]):
        raise ValueError("datagrams without times")
    times.frombytes(body[:place])
    for sender, size in zip(head["senders"], head["sizes"], strict=True):
        taken.append((body[place : place + size], sender))
        place += size
    return taken, list(times)
