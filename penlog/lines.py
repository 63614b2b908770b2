"""Cut a stream of bytes into lines."""

LONGEST = 1 << 20
"""Bytes of a line that are kept. A longer one loses its middle."""

_TAIL = 64 << 10


class LineSplitter:
    """Takes a stream in pieces of any size and gives back its lines.

    Attributes:
        shortened: How many lines were longer than `LONGEST` and lost their middle.
        size: Bytes kept of the line that is not complete yet.
    """

    def __init__(self) -> None:
        self.shortened = 0
        self._pieces: list[bytes] = []
        self.size = 0
        self._too_long = False

    @property
    def begun(self) -> bytes:
        """The beginning of the line that is not complete yet."""
        return b"".join(self._pieces)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that this piece completes, without their newlines."""
        first, *rest = piece.split(b"\n")
        self._keep(first)
        if not rest:
            return []
        lines = [self._take(), *rest]
        self._keep(lines.pop())
        return lines

    def end(self) -> list[bytes]:
        """Return the last line if it had no newline."""
        return [self._take()] if self.size else []

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        if self.size > LONGEST:
            self._too_long = True
            whole = b"".join(self._pieces)
            self._pieces = [whole[: LONGEST - 2 * _TAIL], whole[-_TAIL:]]
            self.size = LONGEST - _TAIL

    def _take(self) -> bytes:
        line = b"".join(self._pieces)
        self.shortened += self._too_long
        self._pieces, self.size, self._too_long = [], 0, False
        return line
