"""Cut a stream of bytes into lines."""

LONGEST = 1 << 20
"""Bytes of a line that are kept. A longer one loses its middle."""

_TAIL = 64 << 10


class LineSplitter:
    """Takes a stream in pieces of any size and gives back its lines.

    Attributes:
        shortened: How many lines were longer than `LONGEST` and lost their middle.
    """

    def __init__(self) -> None:
        self.shortened = 0
        self._pieces: list[bytes] = []
        self._size = 0
        self._too_long = False

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
        return [self._take()] if self._size else []

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > LONGEST:
            self._too_long = True
            whole = b"".join(self._pieces)
            self._pieces = [whole[: LONGEST - 2 * _TAIL], whole[-_TAIL:]]
            self._size = LONGEST - _TAIL

    def _take(self) -> bytes:
        line = b"".join(self._pieces)
        self.shortened += self._too_long
        self._pieces, self._size, self._too_long = [], 0, False
        return line
