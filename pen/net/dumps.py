"""Communication dumps: what passes, made readable (`-ddd`, and `-a` for text)."""

import logging
from collections.abc import Iterator
from typing import Final

logger = logging.getLogger("pen")

UP: Final = ">"
DOWN: Final = "<"
SHOWN_MAX: Final = 1024
"""Bytes of a piece that are shown."""
ROW: Final = 16
"""Bytes in a line of hex."""
LINE_MAX: Final = 120
"""Bytes in a line of text."""

WAYS: Final = {UP: "client to server", DOWN: "server to client"}
_PRINTABLE: Final = "".join(chr(code) if 32 <= code < 127 else "." for code in range(256))


def dump(number: int, way: str, piece: bytes, *, ascii: bool) -> None:
    """Show a piece that passed connection `number`; a line of output has few bytes of it.

    `ascii`: as text, else in hex.
    """
    logger.debug("connection %d: %s, %d bytes", number, WAYS[way], len(piece))
    shown = piece[:SHOWN_MAX]
    for line in text_lines(shown) if ascii else hex_lines(shown):
        logger.debug("connection %d: %s %s", number, way, line)
    if len(piece) > SHOWN_MAX:
        logger.debug("connection %d: %s and %d bytes more", number, way, len(piece) - SHOWN_MAX)


def hex_lines(piece: bytes) -> Iterator[str]:
    """Rows of an offset, bytes in hex, and the same as text with a dot for what is none."""
    for at in range(0, len(piece), ROW):
        row = piece[at : at + ROW]
        text = row.decode("latin-1").translate(_PRINTABLE)
        yield f"{at:04x}  {row.hex(' '):<{3 * ROW - 1}}  {text}"


def text_lines(piece: bytes) -> Iterator[str]:
    r"""Lines as text, their ends left out; ``\x1b`` and the like for what is none."""
    for line in piece.removesuffix(b"\n").split(b"\n"):
        whole = line.removesuffix(b"\r")
        for at in range(0, len(whole) or 1, LINE_MAX):
            part = whole[at : at + LINE_MAX].decode("latin-1")
            yield "".join(c if " " <= c < "\x7f" else f"\\x{ord(c):02x}" for c in part)
