"""A client's socket behind TLS, with the few calls of a socket that flows make."""

import errno
from _socket import socket
from enum import Enum
from typing import Final

from OpenSSL import SSL

from pen.net.tls_contexts import reason

RECORD: Final = 16384
"""The most a TLS record carries (RFC 8446, section 5.1), so the most that one read gives."""


class Progress(Enum):
    """How far a handshake is."""

    DONE = "done"
    READS = "reads"
    """It waits for the client."""
    WRITES = "writes"
    """It waits until the client takes more."""


class TLSStream:
    """Decrypts what is received and encrypts what is sent.

    OpenSSL reads and writes the descriptor itself, a record at a time. So a short read does
    not mean that the socket is empty: read until BlockingIOError. A send takes all or, with
    BlockingIOError, nothing; then the same bytes must be sent first.
    """

    __slots__ = (
        "_connection",
        "_receive",
        "_send",
        "_socket",
        "fileno",
        "getsockopt",
        "setsockopt",
    )

    def __init__(self, context: SSL.Context, plain: socket) -> None:
        plain.setblocking(False)
        self._socket = plain
        self._connection = connection = SSL.Connection(context, plain)  # type: ignore[arg-type]
        connection.set_accept_state()
        self._receive = connection.recv
        self._send = connection.send
        self.fileno = plain.fileno
        self.getsockopt = plain.getsockopt
        self.setsockopt = plain.setsockopt

    def handshake(self) -> Progress:
        """Go on with the handshake.

        Raises:
            OSError: it failed, and why.
        """
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return Progress.READS
        except SSL.WantWriteError:
            return Progress.WRITES
        except SSL.Error as error:
            raise _as_os_error(error) from None
        return Progress.DONE

    def recv(self, size: int, flags: int = 0, /) -> bytes:  # noqa: ARG002
        """See `net.stream.Stream`."""
        try:
            return self._receive(RECORD)
        except SSL.WantReadError:
            raise BlockingIOError from None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise _as_os_error(error) from None

    def send(self, data: bytes, flags: int = 0, /) -> int:  # noqa: ARG002
        """See `net.stream.Stream`."""
        try:
            return self._send(data)
        except (SSL.WantWriteError, SSL.WantReadError):
            raise BlockingIOError from None
        except SSL.Error as error:
            raise _as_os_error(error) from None

    def tell_end(self) -> bool:
        """Send close_notify; False while the socket does not take it. Data may still come."""
        try:
            self._connection.shutdown()
        except SSL.WantWriteError:
            return False
        except SSL.Error:
            pass  # the next read tells what is wrong
        return True

    def shutdown(self, how: int, /) -> None:
        """Send FIN; the close_notify before it is `tell_end`'s."""
        self._socket.shutdown(how)

    def setblocking(self, flag: bool, /) -> None:
        """It never blocks."""

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()


def _as_os_error(error: SSL.Error) -> OSError:
    if isinstance(error, SSL.SysCallError) and error.args[0] > 0:
        return OSError(*error.args)
    if isinstance(error, SSL.SysCallError):
        return ConnectionResetError(errno.ECONNRESET, "the client left")
    return OSError(errno.EPROTO, f"TLS: {reason(error)}")
