"""What flows and relays ask of a socket; `net.tls_stream.TLSStream` answers it too."""

from typing import Protocol


class Stream(Protocol):
    """The part of a `socket` that is used here; it never blocks."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """What has come, at most `size` bytes; none at the end.

        Raises:
            BlockingIOError: nothing has come.
            OSError: nothing will.
        """

    def send(self, data: bytes, flags: int = 0, /) -> int:
        """Send; returns how many bytes were taken.

        Raises:
            BlockingIOError: none can be taken now.
            OSError: none ever will.
        """

    def shutdown(self, how: int, /) -> None:
        """Tell the peer that no more will come."""

    def getsockopt(self, level: int, option: int, /) -> int:
        """Read a socket option."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set a socket option."""

    def setblocking(self, flag: bool, /) -> None:
        """Whether the descriptor blocks."""

    def fileno(self) -> int:
        """The descriptor."""

    def close(self) -> None:
        """Give the descriptor back."""
