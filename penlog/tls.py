"""TLS for a stream socket that never waits; loaded only where TLS is asked for."""

import socket
import ssl

from penlog.tlsfiles import TlsFiles


def sender_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of a sender, who always checks the receiver.

    Raises:
        OSError: A file cannot be read or is not what it should be.
    """
    context = ssl.create_default_context(cafile=files.authority)
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key)
    return context


def receiver_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of a receiver; with an authority, senders must show a certificate.

    Raises:
        OSError: A file cannot be read or is not what it should be.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authority)
    if files.authority:
        context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate or "", files.key)
    return context


class TlsSocket:
    """A non-blocking socket that speaks TLS; what would wait raises BlockingIOError."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str | None) -> None:
        self._sock = context.wrap_socket(
            sock, server_side=name is None, server_hostname=name, do_handshake_on_connect=False
        )

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it, without a farewell."""
        self._sock.close()

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        try:
            self._sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def recv(self, most: int) -> bytes:
        """Return what has come; empty at the end."""
        try:
            return self._sock.recv(most)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data: bytes) -> int:
        """Send some of it."""
        try:
            return self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
