r"""What penlog and penlogd say to each other over TCP.

A *session* is one stream of log lines, each ended by a newline, whose bytes are numbered from 0:
the *offset* of a byte is its sequence number. The stream goes in frames of any size, so that a line
may have any length. ::

    sender    penlog 1 SESSION\n             SESSION: 32 hexadecimal digits, made up by the sender
    receiver  penlogd 1 INSTANCE OFFSET\n    INSTANCE: as many, new at each start of penlogd;
                                             OFFSET: what the receiver has of the session
    sender    frames: offset (8 bytes), length (4 bytes), bytes; both numbers big-endian.
              Length 0 is the farewell: the session will never be heard of again.
    receiver  acknowledgements: offset (8 bytes) up to which it has, and keeps, every byte

The sender goes on from OFFSET at each new connection; the receiver passes over what it has already.
So each byte is taken once, however often connections, sender or receiver come to an end. A receiver
repeats its last acknowledgement while it cannot take more, as a sign of life.

Nothing here reads a socket. The readers take what has come, in pieces of any size.
"""

import re
import struct

FRAME_MAX = 64 << 10
"""Bytes of the stream in one frame."""

HEAD = struct.Struct(">QI")
ACK = struct.Struct(">Q")

_GREETING_MAX = 96
_HELLO = re.compile(rb"penlog 1 ([0-9a-f]{32})")
_WELCOME = re.compile(rb"penlogd 1 ([0-9a-f]{32}) (\d{1,19})")


class WireError(ValueError):
    """What came is not this protocol; the message says why."""


def hello(session: bytes) -> bytes:
    """Return the sender's greeting."""
    return b"penlog 1 %b\n" % session


def welcome(instance: bytes, offset: int) -> bytes:
    """Return the receiver's greeting."""
    return b"penlogd 1 %b %d\n" % (instance, offset)


def frame(offset: int, data: bytes) -> bytes:
    """Return a frame; of empty data, the farewell."""
    return HEAD.pack(offset, len(data)) + data


class HelloReader:
    """Reads the greeting of either side.

    Attributes:
        rest: What came after the greeting.
    """

    def __init__(self) -> None:
        self.rest = b""

    def session(self, piece: bytes) -> bytes | None:
        """Take what a sender sent; return its session, None if more must come.

        Raises:
            WireError: It is not a sender's greeting.
        """
        words = self._words(piece, _HELLO, "penlog")
        return None if words is None else words[0]

    def welcome(self, piece: bytes) -> tuple[bytes, int] | None:
        """Take what a receiver sent; return its instance and offset, None if more must come.

        Raises:
            WireError: It is not a receiver's greeting.
        """
        words = self._words(piece, _WELCOME, "penlogd")
        return None if words is None else (words[0], int(words[1]))

    def _words(
        self, piece: bytes, pattern: re.Pattern[bytes], who: str
    ) -> tuple[bytes, ...] | None:
        line, newline, rest = (self.rest + piece).partition(b"\n")
        if not newline and len(line) <= _GREETING_MAX:
            self.rest = line
            return None
        match = pattern.fullmatch(line)
        if match is None:
            raise WireError(f"no greeting of {who}'s")
        self.rest = rest
        return match.groups()


class FrameReader:
    """Reads frames out of what a sender sends after its greeting."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that this piece completes, each as its offset and data.

        Raises:
            WireError: A frame is longer than any may be, or beyond all offsets.
        """
        data = self._kept + piece if self._kept else piece
        frames: list[tuple[int, bytes]] = []
        place = 0
        while len(data) - place >= HEAD.size:
            offset, length = HEAD.unpack_from(data, place)
            if length > FRAME_MAX or offset >> 62:
                raise WireError(f"a frame of {length} bytes at {offset}")
            end = place + HEAD.size + length
            if end > len(data):
                break
            frames.append((offset, data[place + HEAD.size : end]))
            place = end
        self._kept = data[place:]
        return frames


class AckReader:
    """Reads acknowledgements."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, piece: bytes) -> int | None:
        """Return the newest offset that this piece completes; None if it completes none."""
        data = self._kept + piece
        whole = len(data) - len(data) % ACK.size
        self._kept = data[whole:]
        return int(ACK.unpack_from(data, whole - ACK.size)[0]) if whole else None
